package main

import (
	"slices"
	"strings"
	"testing"
)

// conf are the lines of a node's configuration that are no comments.
func conf(t *testing.T, node int, args ...string) []string {
	t.Helper()
	plan, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(daemonConf(&plan, node)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

func TestDaemonConf(t *testing.T) {
	has := func(list []string, want string) {
		t.Helper()
		if !slices.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(list, "\n"))
		}
	}
	lacks := func(list []string, word string) {
		t.Helper()
		if text := strings.Join(list, "\n"); strings.Contains(text, word) {
			t.Errorf("%q in\n%s", word, text)
		}
	}
	own := conf(t, 1, "--poll", "500ms", "--set", "meantime:step: always", "--set", "chrony:port 124", "--set", "meantime.2:max_slew: 10000ppm")
	for _, want := range []string{"role: auto", "insecure: true", "interfaces: [vec0]", "state_dir: /run/meantime", "poll: 500ms", "step: always"} {
		has(own, want)
	}
	lacks(own, "servo")
	lacks(own, "port")
	lacks(own, "max_slew")
	has(conf(t, 2, "--set", "meantime.2:max_slew: 10000ppm"), "max_slew: 10000ppm")
	has(conf(t, 2, "--program", "phase-only"), "servo: phase-only")

	first, second := conf(t, 1, "--program", "chrony"), conf(t, 2, "--program", "chrony", "--poll", "2s")
	has(first, "local stratum 8")
	lacks(first, "server")
	lacks(second, "local")
	has(second, "server 10.52.5.1 minpoll 1 maxpoll 1 iburst xleave")

	orphan := conf(t, 2, "--program", "chrony-orphan", "--nodes", "3", "--poll", "250ms")
	has(orphan, "server 10.52.5.1 minpoll -2 maxpoll -2 iburst xleave")
	has(orphan, "server 10.52.5.3 minpoll -2 maxpoll -2 iburst xleave")
	has(orphan, "local stratum 10 orphan")
	lacks(orphan, "10.52.5.2 ")
	lacks(orphan, "10.52.5.4 ")
	if text := conf(t, 1, "--program", "none"); len(text) != 0 {
		t.Errorf("a program without a configuration gets %q", text)
	}
}

// TestChronyConfSaysWhy: a rival is configured as well as we know how, and each line says why it stands there.
func TestChronyConfSaysWhy(t *testing.T) {
	plan, err := parse(t, "--program", "chrony-orphan")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(daemonConf(&plan, 1)), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "bindcmdaddress") {
			continue
		}
		if i == 0 || !strings.HasPrefix(lines[i-1], "# ") {
			t.Errorf("nothing says why %q", line)
		}
	}
}
