package sysclock

import (
	"runtime"
	"testing"
)

// The limits of every system are known on each, and are those that the clocks themselves hold to.
func TestLimitsOf(t *testing.T) {
	for goos, slew := range map[string]float64{"linux": 0.125, "windows": 500e-6, "darwin": 500e-6, "freebsd": 500e-6} {
		l, ok := LimitsOf(goos)
		if !ok || l.Slew != slew || l.Frequency != 500e-6 || l.Name == "" || l.Step <= 0 || l.Leaves == "" {
			t.Errorf("%s: %+v, %v", goos, l, ok)
		}
	}
	if l, ok := LimitsOf("plan9"); ok || l != (Limits{}) {
		t.Errorf("plan9: %+v, %v", l, ok)
	}
	// A phase far beyond what a system can slew is cut by these very limits.
	for goos, chunk := range map[string]int64{"linux": phaseChunk(1<<62, 1), "darwin": 2000 * bsdChunk(1<<62, 1)} {
		if l, _ := LimitsOf(goos); float64(chunk) != 4*second*l.Slew {
			t.Errorf("%s: the clock is given %d ns, its limit means %.0f", goos, chunk, 4*second*l.Slew)
		}
	}
	w := &fakeWindows{value: 10_000_000, nominal: 10_000_000, disabled: true}
	a, err := newAdjuster("x", w)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := LimitsOf("windows")
	want.Name, want.Phase = "x", 2
	if got := a.Limits(); got != want {
		t.Errorf("the adjuster's limits are %+v, want %+v", got, want)
	}
	if _, ok := LimitsOf(runtime.GOOS); !ok {
		t.Logf("%s has no clock that can be steered", runtime.GOOS)
	}
}
