package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// requireKernels skips a test that boots kernels unless MEANTIME_REQUIRE names them; then what is missing fails it.
func requireKernels(t *testing.T, programs ...string) {
	t.Helper()
	requireBed(t, "kernels", programs...)
}

// requireBed is that for whatever word asks for the bed.
func requireBed(t *testing.T, word string, programs ...string) {
	t.Helper()
	lacking := missing(programs...)
	required := slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), word)
	switch {
	case !required && len(lacking) != 0:
		t.Skipf("boots kernels only where MEANTIME_REQUIRE names %s; also missing: %s", word, strings.Join(lacking, "; "))
	case !required:
		t.Skipf("boots kernels only where MEANTIME_REQUIRE names %s", word)
	case len(lacking) != 0:
		t.Fatalf("MEANTIME_REQUIRE names %s, but missing: %s", word, strings.Join(lacking, "; "))
	}
}

// runLab runs the lab as its command line would and prints the report.
func runLab(t *testing.T, args ...string) *Result {
	t.Helper()
	plan, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run(t.Context(), plan, t.Output(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r.table())
	return r
}

// TestKernelsFreeRun proves that the bed shows the oscillators and offsets that were set, and their wander as it was drawn: so
// strong here that none is within the tolerance of the rate that was set.
func TestKernelsFreeRun(t *testing.T) {
	requireKernels(t)
	r := runLab(t, "--program", "none", "--for", "12s", "--wander", "1ppm", "--realtime")
	if !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
	}
	strayed := 0.0
	for _, g := range r.Guests {
		strayed = max(strayed, math.Abs(g.Drawn-g.Set.PPM))
	}
	if strayed < 2*oscillatorTolerance {
		t.Errorf("no oscillator strayed by more than %.2f ppm", strayed)
	}
}

// TestKernelsUnbent proves that the checks of the bed are red when no clock is bent.
func TestKernelsUnbent(t *testing.T) {
	requireKernels(t)
	r := runLab(t, "--program", "none", "--nodes", "2", "--for", "8s", "--straight")
	if failed := verdicts(r); !strings.Contains(failed, "oscillators") || !strings.Contains(failed, "free rates") {
		t.Errorf("failed: %q, want the oscillators and the free rates among them", failed)
	}
}

// TestKernelsSysclock runs the tests of sysclock that set a clock, in a kernel of their own.
func TestKernelsSysclock(t *testing.T) {
	requireKernels(t)
	if r := runLab(t, "--program", "sysclock-test", "--for", "8m"); !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
	}
}

// TestKernelsMeantime is the promise on real kernels: oscillators 75 ppm and clocks 600 ms apart agree within 1 ms
// in 30 s, stay so for 60 s, and run at the mean rate of their oscillators. In real time, because a LAN's hosts do not
// share their processors with whatever else this machine does.
func TestKernelsMeantime(t *testing.T) {
	requireKernels(t)
	r := runLab(t, "--program", "meantime", "--nodes", "4", "--ppm", "40,-35,15,-20", "--offset", "0s,200ms,400ms,600ms",
		"--for", "90s", "--settle", "30s", "--expect-within", "1ms", "--expect-by", "30s", "--expect-rate", "5ppm", "--realtime")
	if !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
	}
}

// TestKernelsKill is the other promise: the master dies without a word, another takes over, and the others stay together.
func TestKernelsKill(t *testing.T) {
	requireKernels(t)
	r := runLab(t, "--program", "meantime", "--for", "38s", "--settle", "20s", "--kill", "master@25s", "--expect-within", "1ms", "--expect-by", "35s",
		"--realtime")
	if !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
	}
	if len(r.Aftermaths) != 1 {
		t.Fatalf("%d aftermaths of one fault", len(r.Aftermaths))
	}
	// The promise is three poll intervals; what is beyond is for a machine whose processors others want too.
	const patience = 6.0
	a := r.Aftermaths[0]
	if !a.Leader || a.Takes == nil || *a.Takes > patience || a.Heir == a.Node {
		t.Errorf("node %d was killed and led: %v; node %d took over after %s s", a.Node, a.Leader, a.Heir, figure(a.Takes, "%.2f"))
	}
	for _, g := range r.Guests {
		if g.Record.Down != (g.Node == a.Node) {
			t.Errorf("node %d: down at the end: %v", g.Node, g.Record.Down)
		}
	}
}

// TestKernelsSetTime: an operator on a host sets the LAN 200 ms on; all clocks are slewed there together, none steps, none exceeds max_slew,
// and the pace is that of the common course, which leaves an eighth of it. Sixteen times the default, or it would take seven minutes.
func TestKernelsSetTime(t *testing.T) {
	requireKernels(t)
	const most, course, noise = 8000, 7000, 300 // ppm; noise is what a sample leaves open
	r := runLab(t, "--program", "meantime", "--nodes", "3", "--for", "77s", "--settle", "16s", "--faults", "set-time:2@26s~200ms",
		"--set", fmt.Sprintf("meantime:max_slew: %dppm", most), "--realtime")
	if !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
	}
	if len(r.Aftermaths) != 1 || r.Aftermaths[0].Set == nil {
		t.Fatalf("%d aftermaths of one order", len(r.Aftermaths))
	}
	s := r.Aftermaths[0].Set
	if s.Told == nil || s.There == nil || *s.There > *s.Told+5 {
		t.Errorf("there after %s s, the operator was told %s s", figure(s.There, "%.1f"), figure(s.Told, "%.1f"))
	}
	if s.Pace == nil || math.Abs(*s.Pace-course) > noise {
		t.Errorf("at %s ppm on the way, want %d", figure(s.Pace, "%+.0f"), course)
	}
	if s.Slowest == nil || *s.Slowest < -most-noise || *s.Fastest > most+noise {
		t.Errorf("a clock ran at %s to %s ppm", figure(s.Slowest, "%+.0f"), figure(s.Fastest, "%+.0f"))
	}
}

// TestKernelsUser: root of a real kernel goes on as another user, who steers that kernel's clock with the one right that is left.
func TestKernelsUser(t *testing.T) {
	requireKernels(t)
	kept := t.TempDir()
	r := runLab(t, "--program", "meantime", "--nodes", "2", "--offset", "0s,200ms", "--for", "20s", "--settle", "15s", "--set", "meantime:user: nobody",
		"--keep", kept, "--realtime")
	for _, g := range r.Guests {
		log, err := os.ReadFile(filepath.Join(guestDir(kept, g.Node), fileLog))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`msg="going on as another user" user=nobody `, "msg=confined capabilities=cap_sys_time no_new_privileges=true core_dumps=false ",
			`msg="first synchronisation: clock stepped"`, "msg=stopped",
		} {
			if bytes.Count(log, []byte(want)) != 1 {
				t.Errorf("node %d does not say once %s:\n%s", g.Node, want, log)
			}
		}
		if g.Record.Exit != 0 || g.Record.Early {
			t.Errorf("node %d: exit code %d, early: %v", g.Node, g.Record.Exit, g.Record.Early)
		}
	}
}

// TestKernelsDeeds does everything else to daemons that can be done to them, and to a clock.
func TestKernelsDeeds(t *testing.T) {
	requireKernels(t)
	kept := t.TempDir()
	// Four guests that boot at once have their daemons up after 4 s, on a busy machine after 8: what ends one comes later.
	r := runLab(t, "--program", "meantime", "--for", "29s", "--settle", "2s", "--keep", kept, "--realtime", "--faults",
		"step:1@3s~10s,freeze:2@12s+3s,stop:3@12s+2s,power:4@12s+3s~-5s,wipe:3@20s+2s,cut:2@21s+2s")
	for _, a := range r.Aftermaths {
		if a.Error != "" {
			t.Errorf("%s: %s", a.Fault, a.Error)
		}
	}
	if len(r.Aftermaths) != 6 {
		t.Errorf("%d aftermaths of six faults", len(r.Aftermaths))
	}
	at := func(node int, second float64) float64 {
		i := slices.IndexFunc(r.timeline, func(t Instant) bool { return t.At.Seconds() >= second })
		return r.timeline[i].Offsets[node-1] / 1e9
	}
	// Nobody has founded a LAN and steered a clock by then: what moved them were the steps alone.
	if by := at(1, 3.8) - at(1, 2.4); math.Abs(by-10) > 0.1 {
		t.Errorf("a step of 10 s moved the clock by %.3f s", by)
	}
	for node, want := range map[int]int{1: 1, 2: 1, 3: 3, 4: 2} {
		log, err := os.ReadFile(filepath.Join(guestDir(kept, node), fileLog))
		if got := bytes.Count(log, []byte("msg=running")); err != nil || got != want {
			t.Errorf("node %d: its daemon started %d times, want %d; %v", node, got, want, err)
		}
	}
}

// TestKernelsCompare runs one short pair beside the rival and prints the table. What is promised is half of the rival's
// disagreement, on an idle machine and over five longer pairs; this one fails where that is missed five times over.
func TestKernelsCompare(t *testing.T) {
	requireKernels(t, programOrphan)
	const goal, slack = 0.5, 5
	c, plans, err := compared("--pairs", "1", "--for", "42s", "--settle", "22s", "--realtime")
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.run(t.Context(), plans, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", found.table())
	for _, row := range found.Rows {
		if !row.Passed {
			t.Errorf("%s: its checks failed, and its figures mean nothing", row.Program)
		}
	}
	if m := found.Ratios[0].Median; m == nil || *m > goal*slack {
		t.Errorf("disagreement %s of the rival's, want at most %g", figure(m, "%.2f"), goal*slack)
	}
}

// TestKernelsInterrupted proves that a run that is broken off leaves neither a process nor a file.
func TestKernelsInterrupted(t *testing.T) {
	requireKernels(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	plan, err := parse(t, "--program", "none", "--nodes", "2", "--for", "1h")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		kernel := "umid=node2"
		for !slices.ContainsFunc(processes(t, temp), func(p string) bool { return strings.Contains(p, kernel) }) && ctx.Err() == nil {
			time.Sleep(pollPeriod)
		}
		time.Sleep(time.Second)
	}()
	limit := time.AfterFunc(bootLimit, cancel)
	defer limit.Stop()
	if _, err := run(ctx, plan, t.Output(), t.Output()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := processes(t, temp); len(left) != 0 {
		t.Errorf("still running: %q", left)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// processes are the command lines that name a directory.
func processes(t *testing.T, dir string) []string {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	var list []string
	for _, path := range paths {
		// One that has ended meanwhile has nothing to read.
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), dir) {
			list = append(list, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return list
}
