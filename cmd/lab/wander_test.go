package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestWalk(t *testing.T) {
	const wander = 0.01
	one, again, other := draw(7, 1, wander, time.Hour), draw(7, 1, wander, time.Hour), draw(7, 2, wander, time.Hour)
	if !slices.Equal(one.phase, again.phase) || slices.Equal(one.phase, other.phase) || slices.Equal(one.phase,
		draw(8, 1, wander, time.Hour).phase) {
		t.Error("a walk is not that of its seed and node alone")
	}
	// The steps of its rate are what was asked for.
	var sum float64
	for k := 2; k < len(one.phase); k++ {
		step := (one.phase[k] - 2*one.phase[k-1] + one.phase[k-2]) / 1e3
		sum += step * step
	}
	near(t, "step of the rate", math.Sqrt(sum/float64(len(one.phase)-2)), wander, wander/20)
	one.start = 1000
	near(t, "before the start", one.strayed(0), 0, 0)
	near(t, "after 10.5 s", one.strayed(1000+10_500_000_000), (one.phase[10]+one.phase[11])/2, 1e-6)
	last := len(one.phase) - 1
	near(t, "beyond the table", one.strayed(1000+int64(last+1)*1e9), 2*one.phase[last]-one.phase[last-1], 1e-3)
	near(t, "a walk that never began", draw(7, 1, wander, time.Hour).strayed(5e9), 0, 0)
}

func TestWalkFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(guestDir(dir, 1), 0o755); err != nil {
		t.Fatal(err)
	}
	if w, err := readWalk(dir, 1); err != nil || w.strayed(5e9) != 0 {
		t.Errorf("an oscillator without a walk: %v, %v", w, err)
	}
	path := filepath.Join(guestDir(dir, 1), fileWalk)
	want := draw(7, 1, 0.01, time.Minute)
	want.start = 42
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := readWalk(dir, 1); err != nil || got.start != 42 || !slices.Equal(got.phase, want.phase) {
		t.Errorf("got %v, %v", got, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 15, 16, len(data) - 8} {
		if err := os.WriteFile(path, data[:size], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readWalk(dir, 1); err == nil {
			t.Errorf("a table cut off after %d bytes is accepted", size)
		}
	}
}
