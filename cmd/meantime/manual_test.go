package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/configs"
)

// TestManualIsWhole: every command, flag and key that a user may write has its heading, and every line begins as man wants it.
func TestManualIsWhole(t *testing.T) {
	root := newRootCommand(&ui{})
	commands, file := commandManual(root), fileManual()
	seen := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			look(child)
		}
		if !c.Runnable() || c.HasSubCommands() || !c.IsAvailableCommand() || c.Name() == "help" || c.Parent().Name() == "completion" {
			return
		}
		_, text, ok := strings.Cut(commands, `.SS "`+plain(c.CommandPath()))
		text, _, _ = strings.Cut(text, "\n.SS ")
		if !ok {
			t.Errorf("%s is not in it", c.CommandPath())
		}
		if !strings.Contains(c.Example, "  meantime ") || !strings.Contains(text, "\nExamples:\n") {
			t.Errorf("%s: no example", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			seen++
			if f.Name != "help" && !f.Hidden && !strings.Contains(text, ".TP\n"+bold("--"+f.Name)) {
				t.Errorf("%s: --%s is not in it", c.CommandPath(), f.Name)
			}
		})
	}
	look(root)
	if seen < 50 {
		t.Errorf("%d flags looked for: the test looks at nothing", seen)
	}
	for _, part := range []string{configs.Default().Control, ".SH \"EXAMPLES\""} {
		if !strings.Contains(commands, strings.ReplaceAll(part, "-", "\\-")) {
			t.Errorf("%s is not in it", part)
		}
	}
	_, entries := configs.Entries()
	for _, e := range entries {
		if !strings.Contains(file, "\n"+bold(e.Key+":")) {
			t.Errorf("%s is not in it", e.Key)
		}
	}
	for line := range strings.Lines(commands + file) {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".T") && !strings.HasPrefix(line, ".S") &&
			line != ".nf\n" && line != ".fi\n" && line != ".sp\n" && line != ".PP\n" || strings.HasPrefix(line, "'") {
			t.Errorf("man would take this for a request: %q", line)
		}
	}
}

func TestManualText(t *testing.T) {
	for text, want := range map[string]string{
		"a-b":                "a\\-b\n",
		`C:\dir`:             "C:\\edir\n",
		".hidden":            "\\&.hidden\n",
		"'s":                 "\\(aqs\n",
		"run `key new` now":  "run \\fBkey new\\fR now\n",
		"one\n\ntwo":         "one\n.sp\ntwo\n",
		"so:\n  a\n  b\nend": "so:\n.nf\n  a\n  b\n.fi\nend\n",
		"so:\n\n  a":         "so:\n.sp\n.nf\n  a\n.fi\n",
	} {
		var p page
		p.prose(text)
		if got := p.String(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
