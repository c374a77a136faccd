package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"meantime/daemon"
)

// README's table of clocks holds what the command says of each, and all of it.
func TestClockInReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := func(line string) []string {
		var all []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			all = append(all, strings.TrimSpace(cell))
		}
		return all
	}
	header := []string{""}
	for _, system := range daemon.Clocks() {
		header = append(header, clockTitles[system])
	}
	lines := strings.Split(string(readme), "\n")
	start := slices.IndexFunc(lines, func(line string) bool { return slices.Equal(cells(line), header) })
	if start < 0 {
		t.Fatalf("README.md has no table with the columns %q", header)
	}
	for i, line := range clockLines {
		want := []string{line.name}
		for _, system := range daemon.Clocks() {
			l, _ := daemon.ClockOf(system)
			want = append(want, line.say(l))
		}
		if got := cells(lines[start+2+i]); !slices.Equal(got, want) {
			t.Errorf("README.md:%d\n%q\nthe command says\n%q; write\n| %s |", start+3+i, got, want, strings.Join(want, " | "))
		}
	}
	if after := lines[start+2+len(clockLines)]; strings.HasPrefix(after, "|") {
		t.Errorf("README.md: one line too many: %s", after)
	}
}
