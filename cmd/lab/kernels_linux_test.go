package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// requireKernels skips a test that boots kernels unless MEANTIME_REQUIRE names them; then what is missing fails it.
func requireKernels(t *testing.T) {
	t.Helper()
	lacking := missing()
	required := slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "kernels")
	switch {
	case !required && len(lacking) != 0:
		t.Skipf("boots kernels only where MEANTIME_REQUIRE names kernels; also missing: %s", strings.Join(lacking, "; "))
	case !required:
		t.Skip("boots kernels only where MEANTIME_REQUIRE names kernels")
	case len(lacking) != 0:
		t.Fatalf("MEANTIME_REQUIRE names kernels, but missing: %s", strings.Join(lacking, "; "))
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

// TestKernelsFreeRun proves that the bed shows the oscillators and offsets that were set.
func TestKernelsFreeRun(t *testing.T) {
	requireKernels(t)
	if r := runLab(t, "--program", "none", "--for", "12s", "--realtime"); !r.passed() {
		t.Errorf("failed: %s", verdicts(r))
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
	if r := runLab(t, "--program", "sysclock-test", "--for", "5m"); !r.passed() {
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
