package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meantime/daemon/doctor"
)

// doctorLimit is how long a look at a host may take, with the seconds of listening.
const doctorLimit = 10 * time.Second

// doctored is what the doctor finds on a host, with a configuration.
func doctored(h *lanHost, config string) doctor.Report {
	t := h.bed.t
	t.Helper()
	file := filepath.Join(t.TempDir(), "meantime.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	p := h.meantime("doctor", "--config", file, "--json", "--try-clock", "--listen", "1500ms")
	if code := p.wait(2 * doctorLimit); code != exitFailed { // the kernel refuses: this is a user namespace
		t.Errorf("%s: exit code %d\n%s", h.name, code, p.text())
	}
	if took := time.Since(begin); took > doctorLimit {
		t.Errorf("%s: took %v", h.name, took)
	}
	var r doctor.Report
	if err := json.Unmarshal([]byte(p.text()), &r); err != nil {
		t.Fatalf("%s: %v\n%s", h.name, err, p.text())
	}
	return r
}

// TestLANDoctor looks at the hosts of a LAN: beside its master, with its key, with another one, without a key, in another group, and off
// the LAN. The clock is refused, whatever is asked.
func TestLANDoctor(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	takes(t, limit)
	b := enter(t, limit)
	if b == nil {
		return
	}
	b.lan(3)
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	keyCommandOf(b.hosts[0], "new", ours)
	keyCommandOf(b.hosts[0], "new", theirs)
	socket := filepath.Join(dir, "socket")
	config := func(key string, more ...string) string {
		return fmt.Sprintf("key_file: %s\nstate_dir: %s\ncontrol: %s/none\n%s\n", key, dir, dir, strings.Join(more, "\n"))
	}
	master := b.hosts[0].run(fmt.Sprintf("key_file: %s\nrole: master\ncontrol: %s\n", ours, socket))
	master.says("master now", 1, 5*time.Second)
	b.ip("link set port3 nomaster")

	for _, tt := range []struct {
		host   int
		config string
		wants  []string // verdict, check and what is said; regular expressions
	}{
		{0, strings.Replace(config(ours), dir+"/none", socket, 1), []string{"(warn|pass) daemon .*one runs, (gathering|keeping)", "pass masters heard this host: master",
			"pass sockets .*10526 is the daemon's"}},
		{1, config(ours), []string{"pass masters heard 10.99.0.1: master [0-9a-f]{16}, of a dry run, term [1-9]", "warn daemon .*no meantime answers",
			"fail right to set .*user namespace", "skip trial .*not allowed", "pass time stamps .*by the kernel, sent ones by the kernel",
			"pass multicast", "pass interfaces lan0: used, 10.99.0.2/24", "pass sockets .*joined on lan0", "pass state directory"}},
		{1, config(theirs), []string{"warn masters heard 10.99.0.1: sends under key [0-9a-f]{8}, which is not held here", "warn masters heard .*no master"}},
		{1, config(ours, "insecure: true"), []string{"warn masters heard 10.99.0.1: sends under key", "warn key .*none is used"}},
		{1, config(ours, "group: cellar"), []string{"warn masters heard 10.99.0.1: sends for another group"}},
		{2, config(ours), []string{"warn masters heard .*no master was heard in 1.5s"}},
	} {
		var all strings.Builder
		for _, f := range doctored(b.hosts[tt.host], tt.config).Findings {
			fmt.Fprintf(&all, "%s %s %s: %s\n", f.Verdict, f.Check, f.Subject, f.Found)
		}
		for _, want := range tt.wants {
			if !regexp.MustCompile("(?m)^" + want).MatchString(all.String()) {
				t.Errorf("%s: nothing says %q:\n%s", b.hosts[tt.host].name, want, all.String())
			}
		}
	}
	stopAll(t, master)
}
