package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestKernelsDoctor lets `meantime doctor` try the clock of a kernel of its own, and looks from outside at what became of that: a clock
// that is bent by 100 ppm for two seconds and back again, at the rate it had before, in the end.
func TestKernelsDoctor(t *testing.T) {
	requireKernels(t)
	dir, kept := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "meantime")
	if err := buildGo(t.Context(), "build", "-o", program, "./cmd/meantime"); err != nil {
		t.Fatal(err)
	}
	r := runLab(t, "--program", "exec", "--nodes", "1", "--ppm", "20", "--offset", "0s", "--for", "15s", "--settle", "0s", "--realtime", "--keep", kept,
		"--", program, "doctor", "--interface", "lo", "--listen", "100ms", "--try-clock", "--json")

	text, err := os.ReadFile(filepath.Join(guestDir(kept, 1), fileLog))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Checks []struct{ Check, Verdict, Found string }
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	said := map[string]string{}
	for _, c := range report.Checks {
		said[c.Check] = c.Verdict + ": " + c.Found
	}
	t.Logf("right to set: %s; trial: %s", said["right to set"], said["trial"])
	for check, want := range map[string]string{
		"right to set": "^pass: adjtimex may be called", "kernel": `^pass: not synchronised, runs at \+0.000 ppm`,
		"trial": `^pass: .* (0.9\d|1.0\d) of what was asked, put back to \+0.000 ppm$`,
	} {
		if !regexp.MustCompile(want).MatchString(said[check]) {
			t.Errorf("%s: %q, want %s\n%s", check, said[check], want, text)
		}
	}

	// Of the clock's own rate, 20 ppm, nothing is left in bent: what it gained and gave back.
	first := r.timeline[0]
	bent := func(i Instant) float64 {
		return (i.Offsets[0] - first.Offsets[0] - 20e-6*float64(i.At-first.At)) / 1e3
	}
	most := bent(slices.MaxFunc(r.timeline, func(a, b Instant) int { return int(bent(a) - bent(b)) }))
	end := bent(r.timeline[len(r.timeline)-1])
	t.Logf("from outside: bent by %.0f µs at most, by %.0f µs in the end", most, end)
	if most < 180 || most > 280 || math.Abs(end) > 30 {
		t.Errorf("want some 210 µs and nothing")
	}
}
