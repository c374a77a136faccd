package sysclock

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fakeWindows is a wall clock that runs at value/nominal of true time.
type fakeWindows struct {
	value, nominal uint64
	disabled       bool
	stub           bool    // it takes values and forgets them
	sense          float64 // the system's true sense of value; 0 = no effect
	drift          float64 // of the wall clock by itself
	width          int64   // ns: how wide the brackets come; the wall clock is off by up to half of it, as rng draws
	rng            *rand.Rand
	raw, wall      float64 // ns
	refuse         error
	timers         []fakeTimer
}

type fakeTimer struct {
	at float64 // raw ns
	f  func()
}

func (w *fakeWindows) adjustment() (uint64, uint64, bool, error) {
	return w.value, w.nominal, w.disabled, w.refuse
}

func (w *fakeWindows) setAdjustment(v uint64, off bool) error {
	if w.refuse != nil {
		return w.refuse
	}
	if !w.stub {
		w.value, w.disabled = v, off
	}
	return nil
}

func (w *fakeWindows) setTime(ms int64) error { w.wall = float64(ms) * 1e6; return w.refuse }

func (w *fakeWindows) read() (Reading, error) {
	r := Reading{Raw: int64(math.Round(w.raw)), Wall: int64(math.Round(w.wall)), Width: w.width}
	if w.width > 0 {
		r.Wall += w.rng.Int64N(w.width) - w.width/2
	}
	return r, nil
}

func (w *fakeWindows) after(d time.Duration, f func()) func() bool {
	w.timers = append(w.timers, fakeTimer{w.raw + float64(d), f})
	return func() bool { return true } // too late to stop: the adjuster must cope
}

// run lets true time pass, firing timers on time.
func (w *fakeWindows) run(d time.Duration) {
	end := w.raw + float64(d)
	for {
		next, which := end, -1
		for i, tm := range w.timers {
			if tm.at <= next {
				next, which = tm.at, i
			}
		}
		rate := 1 + w.drift
		if !w.disabled {
			rate += w.sense * (float64(w.value)/float64(w.nominal) - 1)
		}
		w.wall += (next - w.raw) * rate
		w.raw = next
		if which < 0 {
			return
		}
		f := w.timers[which].f
		w.timers = append(w.timers[:which], w.timers[which+1:]...)
		f()
	}
}

func newFake(t interface{ Fatal(...any) }, nominal uint64, sense int) (*fakeWindows, *adjuster) {
	w := &fakeWindows{value: nominal, nominal: nominal, disabled: true, sense: float64(sense), wall: 1e12}
	a, err := newAdjuster("fake", w)
	if err != nil {
		t.Fatal(err)
	}
	a.after, a.sign, a.known = w.after, float64(sense), true
	return w, a
}

func TestUnitsFor(t *testing.T) {
	for _, c := range []struct {
		rate    float64
		nominal uint64
		sign    float64
		want    uint64
	}{
		{0, 10_000_000, 1, 10_000_000}, {100e-6, 10_000_000, 1, 10_001_000}, {-100e-6, 10_000_000, 1, 9_999_000},
		{100e-6, 10_000_000, -1, 9_999_000}, {500e-6, 156_250, 1, 156_328}, {-500e-6, 156_250, 1, 156_172},
		{1e-6, 156_250, 1, 156_250}, // below half a unit of the old interface
		{1e-6, 3_000_000_000, 1, 3_000_003_000},
	} {
		got := unitsFor(c.rate, c.nominal, c.sign)
		if got != c.want {
			t.Errorf("unitsFor(%g, %d, %g) = %d, want %d", c.rate, c.nominal, c.sign, got, c.want)
		}
		if back := rateOf(got, c.nominal, c.sign); math.Abs(back-c.rate) > 0.5001/float64(c.nominal) {
			t.Errorf("rateOf(%d) = %g, want %g", got, back, c.rate)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name       string
		s          Steering
		nominal    uint64
		now, later uint64
		turn       time.Duration
	}{
		{"frequency alone", Steering{Frequency: 1e-4}, 10_000_000, 10_001_000, 10_001_000, 0},
		{"in one second", Steering{Phase: 100_000, MaxSlew: 5e-4}, 10_000_000, 10_001_000, 10_000_000, time.Second},
		{"backwards", Steering{Phase: -100_000, MaxSlew: 5e-4}, 10_000_000, 9_999_000, 10_000_000, time.Second},
		{"at full slew", Steering{Phase: 1_000_000, MaxSlew: 5e-4}, 10_000_000, 10_005_000, 10_000_000, 2 * time.Second},
		{"four seconds at most", Steering{Phase: 1e9, MaxSlew: 5e-4}, 10_000_000, 10_005_000, 10_000_000, maxTurn},
		{"one unit, shorter", Steering{Phase: 3_200, MaxSlew: 5e-4}, 156_250, 156_251, 156_250, 500 * time.Millisecond},
		{"too small for a timer", Steering{Phase: 1, MaxSlew: 5e-4}, 10_000_000, 10_000_000, 10_000_000, 0},
		{"unit faster than allowed", Steering{Phase: 3_200, MaxSlew: 5e-6}, 156_250, 156_250, 156_250, 0},
	} {
		now, later, turn := plan(c.s, c.nominal, 1)
		if now != c.now || later != c.later || turn != c.turn {
			t.Errorf("%s: %d, %d, %v; want %d, %d, %v", c.name, now, later, turn, c.now, c.later, c.turn)
		}
	}
}

// Whatever the phase, the rate, the units and the sense: the slew stays within its limit, pays what it promised and
// ends by itself.
func TestAdjusterSlewEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nominal := rapid.SampledFrom([]uint64{156_250, 10_000_000, 3_579_545, 2_400_000_000}).Draw(t, "nominal")
		sense := rapid.SampledFrom([]int{1, -1}).Draw(t, "sense")
		s := Steering{
			Frequency: rapid.Float64Range(-500e-6, 500e-6).Draw(t, "frequency"),
			Phase:     rapid.Int64Range(-5_000_000, 5_000_000).Draw(t, "phase"),
			MaxSlew:   rapid.Float64Range(10e-6, 500e-6).Draw(t, "slew"),
		}
		w, a := newFake(t, nominal, sense)
		if err := a.Steer(s); err != nil {
			t.Fatal(err)
		}
		unit := 1 / float64(nominal)
		steady := rateOf(unitsFor(s.Frequency, nominal, a.sign), nominal, a.sign)
		if got := rateOf(w.value, nominal, a.sign) - steady; math.Abs(got) > s.MaxSlew+1e-15 {
			t.Fatalf("slews at %g, allowed %g", got, s.MaxSlew)
		}
		before := w.wall - w.raw
		w.run(10 * time.Second)
		paid := w.wall - w.raw - before - steady*10*second
		if limit := s.MaxSlew * maxTurn.Seconds() * second; math.Abs(paid) > limit+1 {
			t.Fatalf("paid %.0f ns, at most %.0f allowed", paid, limit)
		}
		due := float64(clampAbs(s.Phase, int64(math.Floor(s.MaxSlew*float64(nominal))*unit*4*second)))
		slack := math.Max(2, unit*float64(minTurn))
		if unit > s.MaxSlew {
			due = 0
		}
		if math.Abs(paid-due) > slack {
			t.Fatalf("paid %.1f ns of %.1f", paid, due)
		}
		at := w.wall
		w.run(time.Second)
		if rate := (w.wall-at)/second - 1; math.Abs(rate-steady) > 1e-9 {
			t.Fatalf("still slewing: rate %g, frequency %g", rate, steady)
		}
	})
}

// A timer of an old turn that comes too late to be stopped must not end the new one.
func TestAdjusterLateTimer(t *testing.T) {
	w, a := newFake(t, 10_000_000, 1)
	steer := func(f float64, phase int64) {
		t.Helper()
		if err := a.Steer(Steering{Frequency: f, Phase: phase, MaxSlew: 5e-4}); err != nil {
			t.Fatal(err)
		}
	}
	steer(0, 500_000) // one second at 500 ppm
	w.run(900 * time.Millisecond)
	steer(0, 500_000)
	w.run(200 * time.Millisecond) // the first timer fires here
	if w.value != 10_005_000 {
		t.Errorf("value %d: the old timer ended the new turn", w.value)
	}
	w.run(time.Second)
	if w.value != 10_000_000 {
		t.Errorf("value %d after the turn", w.value)
	}
}

func TestAdjusterStep(t *testing.T) {
	for _, delta := range []int64{0, 300_000, 700_000, -700_000, 3_600_000_000_000, -1_500_400_000} {
		w, a := newFake(t, 10_000_000, 1)
		if err := a.Steer(Steering{Frequency: 1e-5, Phase: 1_000_000, MaxSlew: 5e-4}); err != nil {
			t.Fatal(err)
		}
		w.run(time.Second)
		before := w.wall
		if err := a.Step(delta); err != nil {
			t.Fatal(err)
		}
		if e := w.wall - before - float64(delta); math.Abs(e) > 500_200 {
			t.Errorf("step of %d ns is off by %.0f ns", delta, e)
		}
		if w.value != 10_000_100 {
			t.Errorf("value %d after a step: the slew goes on", w.value)
		}
	}
}

func TestAdjusterFoundAndClose(t *testing.T) {
	w := &fakeWindows{value: 9_999_000, nominal: 10_000_000}
	a, err := newAdjuster("fake", w)
	if err != nil || math.Abs(a.FrequencyFound()+100e-6) > 1e-12 {
		t.Fatalf("found %g, %v", a.FrequencyFound(), err)
	}
	if err := a.Close(); err != nil || w.disabled || w.value != 9_999_000 {
		t.Errorf("a clock that was only read was changed: %+v, %v", w, err)
	}
	if err := a.Steer(Steering{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil || !w.disabled {
		t.Errorf("not handed back: %+v, %v", w, err)
	}
	for _, c := range []struct {
		value    uint64
		disabled bool
	}{{10_000_000 * 2, false}, {9_999_000, true}} {
		w := &fakeWindows{value: c.value, nominal: 10_000_000, disabled: c.disabled}
		if a, err := newAdjuster("fake", w); err != nil || a.FrequencyFound() != 0 {
			t.Errorf("%+v: found %g, %v", c, a.FrequencyFound(), err)
		}
	}
	if _, err := newAdjuster("fake", &fakeWindows{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("increment 0 gave %v", err)
	}
}

// What another program writes is told until it is written over; the turn's own end is not another program.
func TestAdjusterForeign(t *testing.T) {
	w, a := newFake(t, 10_000_000, -1)
	check := func(when, want string) {
		t.Helper()
		if got, err := a.Foreign(); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", when, got, err, want)
		}
	}
	w.value, w.disabled = 10_001_000, false
	check("nothing written yet", "")
	steer := func() {
		t.Helper()
		if err := a.Steer(Steering{Frequency: 1e-5, Phase: 500_000, MaxSlew: 5e-4}); err != nil {
			t.Fatal(err)
		}
	}
	steer()
	check("within the turn", "")
	w.run(2 * time.Second)
	check("after the turn", "")
	w.value = 9_999_000
	check("another value", "the clock's rate is adjusted by +100.000 ppm, was set to +10.000 ppm")
	w.disabled = true
	check("handed back", "the adjustment of the clock's rate was switched off")
	steer()
	check("written over", "")
	if err := a.Step(1); err != nil {
		t.Fatal(err)
	}
	check("after a step", "")
	w.refuse = errors.New("refused")
	if _, err := a.Foreign(); err == nil {
		t.Error("Foreign hides a refusal")
	}
	w.refuse = nil
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	check("after the end", "")
}

// A refusal at the end of a turn is not lost, and Steer and Step pass on their own.
func TestAdjusterRefusals(t *testing.T) {
	w, a := newFake(t, 10_000_000, 1)
	if err := a.Steer(Steering{Phase: 500_000, MaxSlew: 5e-4}); err != nil {
		t.Fatal(err)
	}
	w.refuse = errors.New("refused")
	w.run(2 * time.Second)
	w.refuse = nil
	if err := a.Steer(Steering{}); err == nil || err.Error() != "refused" {
		t.Errorf("the end of the turn was refused, Steer says %v", err)
	}
	if err := a.Steer(Steering{}); err != nil {
		t.Errorf("told twice: %v", err)
	}
	w.refuse = errors.New("refused")
	if err := a.Steer(Steering{}); err == nil {
		t.Error("Steer hides a refusal")
	}
	if err := a.Step(1); err == nil {
		t.Error("Step hides a refusal")
	}
	if err := a.Close(); err == nil {
		t.Error("Close hides a refusal")
	}
}
