package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meantime/daemon/control"
)

// TestLANConfined: nodes that have given up everything found a LAN, keep their state, lose and find their interface, and hand over when
// they are stopped. (Every other node of the bed is confined, too: it is the default.)
func TestLANConfined(t *testing.T) {
	t.Parallel()
	takes(t, 16*time.Second)
	b := enter(t, 45*time.Second)
	if b == nil {
		return
	}
	var nodes []*process
	socket := filepath.Join(t.TempDir(), "s")
	for i, h := range b.lan(3) {
		state := filepath.Join(t.TempDir(), "state")
		role := "auto"
		if i == 0 {
			role = "master" // at first
		}
		args := []string{"--role", role, "--poll", "250ms", "--state-dir", state}
		if i == 0 {
			args = append(args, "--control", socket)
		}
		nodes = append(nodes, h.run("found_wait: 1s\n", args...))
	}
	for _, n := range nodes {
		n.says("confined", 1, 5*time.Second)
	}
	for _, n := range nodes[1:] {
		n.says("following a master", 1, 10*time.Second)
	}
	for _, n := range nodes {
		confined(t, n)
	}
	for _, kind := range []string{control.ProfileCPU, control.ProfileHeap} { // signals and timers, and what lies where
		var profile bytes.Buffer
		if err := control.NewClient(socket).Profile(t.Context(), kind, 1, &profile); err != nil || profile.Len() == 0 {
			t.Errorf("a profile of %s: %d bytes, %v", kind, profile.Len(), err)
		}
	}
	last := len(nodes) - 1
	joined := len(nodes[last].entries("interface joined"))
	b.hosts[last].unplug()
	nodes[last].says("interface left", 1, 6*time.Second)
	b.hosts[last].plug()
	nodes[last].says("interface joined", joined+1, 6*time.Second)
	nodes[last].says("following a master", 2, 10*time.Second) // it led a LAN of its own meanwhile
	stopAll(t, nodes[0])
	nodes[1].says("master now", 1, 5*time.Second)
	stopAll(t, nodes[1:]...)
	for _, n := range nodes {
		if w := n.entries("cannot keep the new term"); len(w) != 0 {
			t.Errorf("%s could not write its state", n.host.name)
		}
	}
}

// confined asks the kernel about every thread of a process.
func confined(t *testing.T, p *process) {
	t.Helper()
	const none = "0000000000000000"
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none}
	dir := procOf(t, p.cmd.Process.Pid)
	threads, err := filepath.Glob(filepath.Join(dir, "task", "*", "status"))
	if err != nil || len(threads) < 2 {
		t.Errorf("%s: %d threads, %v", p.host.name, len(threads), err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if w, ok := want[name]; ok && strings.TrimSpace(value) != w {
				t.Errorf("%s, %s: %s is %s, want %s", p.host.name, thread, name, strings.TrimSpace(value), w)
			}
		}
	}
}

// procOf is the folder of a child in /proc, which goes by the numbers of the machine, not of the bed.
func procOf(t *testing.T, pid int) string {
	t.Helper()
	self, err := os.Readlink("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, _ := os.ReadFile(file)
		child, same := false, false
		for line := range strings.Lines(string(text)) {
			switch f := strings.Fields(line); f[0] {
			case "PPid:":
				child = f[1] == self
			case "NSpid:":
				same = f[len(f)-1] == fmt.Sprint(pid)
			}
		}
		if child && same {
			return filepath.Dir(file)
		}
	}
	t.Fatalf("no process %d", pid)
	return ""
}
