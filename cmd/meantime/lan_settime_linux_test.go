package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// setLAN is a LAN of five whose time an operator on the third host sets. It returns the nodes, when it was ordered (on the host's raw
// oscillator), and all moments until a while after it has ended.
func setLAN(t *testing.T, config string, by, takes time.Duration) (nodes []*process, ordered int64, all moments) {
	b := enter(t, time.Minute)
	if b == nil {
		return nil, 0, nil
	}
	dir, err := os.MkdirTemp("", "set") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	socket := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	for i, h := range b.lan(len(voterPPM)) {
		role := "slave"
		if i == 0 {
			role = "master"
		}
		nodes = append(nodes, h.run(config, "--role", role, "--poll", "250ms", "--control", socket(i),
			"--virtual-frequency", fmt.Sprintf("%gppm", voterPPM[i]), "--virtual-offset", fmt.Sprintf("%dms", 300*i)))
	}
	time.Sleep(12 * time.Second)
	ordered = rawNow(t)
	p := b.hosts[2].meantime("set-time", "--socket", socket(2), "--by", by.String())
	if code := p.wait(startLimit); code != exitOK {
		t.Fatalf("set-time: exit code %d\n%s", code, p.text())
	}
	t.Log(strings.TrimSpace(p.text()))
	time.Sleep(3*time.Second + takes)
	stopAll(t, nodes...)
	return nodes, ordered, readMoments(t, nodes...)
}

// moved is how far the clocks' mean went over a span (ns).
func (list moments) moved() time.Duration {
	return time.Duration(list[len(list)-1].mean - list[0].mean)
}

// TestLANSetTimeSlewed: all clocks go 200 ms together, none of them back, none faster than it may.
func TestLANSetTimeSlewed(t *testing.T) {
	t.Parallel()
	takes(t, 45*time.Second)
	const by = 200 * time.Millisecond
	nodes, ordered, all := setLAN(t, "step: boot\nmax_slew: 100000ppm\n", by, 22*time.Second)
	if nodes == nil {
		return
	}
	way := all.between(ordered, math.MaxInt64)
	f, end := way.figures(), way.last(time.Second).figures()
	t.Logf("on the way: %v; at the end: %v; moved by %v", f, end, way.moved())
	if f.max > time.Millisecond || f.instants < 100 || (way.moved()-by).Abs() > 5*time.Millisecond {
		t.Errorf("apart by %v, moved by %v", f.max, way.moved())
	}
	for i, p := range nodes {
		if c := p.shown().course(ordered, 0.1); c.back > 0 || c.steps > 0 || c.lines < 100 {
			t.Errorf("host %d: %+v", i, c)
		}
	}
}

// TestLANSetTimeStepped: where policy is to step, all clocks step 90 s back.
func TestLANSetTimeStepped(t *testing.T) {
	t.Parallel()
	takes(t, 30*time.Second)
	const by = -90 * time.Second
	nodes, ordered, all := setLAN(t, "step: always\n", by, 5*time.Second)
	if nodes == nil {
		return
	}
	way, end := all.between(ordered, math.MaxInt64), all.last(3*time.Second).figures()
	t.Logf("at the end: %v; moved by %v", end, way.moved())
	if end.max > time.Millisecond || (way.moved()-by).Abs() > 5*time.Millisecond {
		t.Errorf("apart by %v, moved by %v", end.max, way.moved())
	}
	for i, p := range nodes {
		if c := p.shown().course(ordered, 0.1); c.steps != 1 {
			t.Errorf("host %d: %+v, want one step", i, c)
		}
	}
}
