package model

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The two beds: rounds with a death, where whoever may stand takes office unasked, and elections.
var (
	deaths    = []string{"-DPOLLS=1", "-DREPLIES=2", "-DFAULTS=1"}
	restarts  = []string{"-DPOLLS=2", "-DREPLIES=1", "-DFAULTS=1"}
	elections = []string{"-DPOLLS=1", "-DREPLIES=1", "-DFAULTS=0", "-DASKS=2"}
)

// spun are the searches of handshake.pml, and the assertion that each ends at; "" for none.
var spun = []struct {
	without string // the check that is taken out
	bed     []string
	breaks  string
}{
	{"", deaths, ""},
	{"", restarts, ""},
	{"", elections, ""},
	{"NO_ACK_NONCE", deaths, "lived"},
	{"NO_ADJUST_NONCE", deaths, ".life==node[me].life"},
	{"NO_ONCE", deaths, "adjusted"},
	{"NO_FENCE", deaths, "under"},
	{"NO_POLL_NONCE", deaths, ".round==polls[me]"},
	{"NO_ECHO", elections, "claim"},
}

// figures are what pan says of a search.
var figures = regexp.MustCompile(`depth reached \d+, errors: \d+|\d+ states, stored`)

// TestSpin searches every state of the Promela model, with all checks and with one taken out.
func TestSpin(t *testing.T) {
	for _, program := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(program); err != nil && required() {
			t.Fatalf("MEANTIME_REQUIRE holds model, but %v", err)
		}
	}
	if !required() {
		t.Skip("takes a minute and needs Debian's spin and gcc: run with MEANTIME_REQUIRE=model")
	}
	for _, s := range spun {
		t.Run(strings.TrimSpace(s.without+" "+strings.Join(s.bed, " ")), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			out := pan(t, s.without, s.bed)
			if whole := !strings.Contains(out, "max search depth") && !strings.Contains(out, "out of memory"); !whole {
				t.Fatalf("the search was cut short:\n%s", out)
			}
			clean := strings.Contains(out, "errors: 0")
			if s.breaks == "" && !clean || s.breaks != "" && (clean || !strings.Contains(out, "assertion violated") || !strings.Contains(out, s.breaks)) {
				t.Fatalf("want the search to end at %q:\n%s", s.breaks, out)
			}
			t.Logf("%s in %.1f s", strings.Join(figures.FindAllString(out, -1), ", "), time.Since(began).Seconds())
		})
	}
}

// pan makes and runs the verifier: every state, none hashed away, within 4 GB.
func pan(t *testing.T, without string, bed []string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs("handshake.pml")
	if err != nil {
		t.Fatal(err)
	}
	options := append([]string{"-a"}, bed...)
	if without != "" {
		options = append(options, "-D"+without)
	}
	for _, command := range [][]string{
		append(append([]string{"spin"}, options...), source),
		{"gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=4000", "-o", "pan", "pan.c"},
	} {
		c := exec.Command(command[0], command[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	c := exec.Command(filepath.Join(dir, "pan"), "-E", "-n", "-m100000") // -E: that nobody can do any more is no error
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("pan: %v\n%s", err, out)
	}
	return string(out)
}
