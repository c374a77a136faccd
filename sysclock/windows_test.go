package sysclock

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fakeHost is a Windows that may lack what it likes.
type fakeHost struct {
	lacks     []string
	ungranted bool // enabling the privilege succeeds and does nothing
	refuse    error
	fine, old *fakeWindows
}

func (h fakeHost) enable() error             { return h.refuse }
func (h fakeHost) enabled() (bool, error)    { return !h.ungranted, nil }
func (h fakeHost) has(procedure string) bool { return !slices.Contains(h.lacks, procedure) }
func (h fakeHost) api(coarse bool) winAPI {
	if coarse {
		return h.old
	}
	return h.fine
}

// What is missing is said; what can be done without it is done, and said too.
func TestOpenAdjuster(t *testing.T) {
	fine := func() *fakeWindows { return &fakeWindows{value: 10_000_000, nominal: 10_000_000, disabled: true} }
	old := func() *fakeWindows { return &fakeWindows{value: 156_250, nominal: 156_250, disabled: true} }
	for _, c := range []struct {
		name    string
		host    fakeHost
		is      error
		says    string // of the error
		clock   string
		finding string
	}{
		{name: "all there", clock: preciseName},
		{name: "old Windows, wine", host: fakeHost{lacks: []string{preciseName, "GetSystemTimeAdjustmentPrecise"}}, clock: coarseName,
			finding: "SetSystemTimeAdjustmentPrecise is missing (Windows before 10, or wine): SetSystemTimeAdjustment moves the rate by 6.4 ppm"},
		{name: "half of it", host: fakeHost{lacks: []string{"GetSystemTimeAdjustmentPrecise"}}, clock: coarseName, finding: "is missing"},
		{name: "none", host: fakeHost{lacks: []string{preciseName, coarseName}}, is: ErrUnsupported, says: "SetSystemTimeAdjustment is missing"},
		{name: "no counter", host: fakeHost{lacks: []string{"QueryPerformanceCounter"}}, is: ErrUnsupported, says: "QueryPerformanceCounter"},
		{name: "silently not granted", host: fakeHost{ungranted: true}, is: ErrPermission, says: "lacks SeSystemtimePrivilege; run as the service"},
		{name: "refused", host: fakeHost{refuse: errFake}, is: errFake, says: "refused"},
	} {
		c.host.fine, c.host.old = fine(), old()
		a, err := openAdjuster(c.host)
		if !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		if found := strings.Join(a.Findings(), "\n"); a.Limits().Name != c.clock || !strings.Contains(found, c.finding) || found != "" && c.finding == "" {
			t.Errorf("%s: %s, found %q", c.name, a.Limits().Name, found)
		}
		if !c.host.fine.disabled || !c.host.old.disabled {
			t.Errorf("%s: it was opened and has been changed", c.name)
		}
	}
}

var errFake = errors.New("refused")

// blind opens a clock whose sense the adjuster does not know, after a second in which it was only read.
func blind(t interface{ Fatal(...any) }, w *fakeWindows) *adjuster {
	w.wall = 1e12
	a, err := newAdjuster("fake", w)
	if err != nil {
		t.Fatal(err)
	}
	a.after = w.after
	w.run(time.Second)
	if _, err := a.Read(); err != nil {
		t.Fatal(err)
	}
	return a
}

// A clock that turns out to go the other way costs no more than what a quarter of a second at the full rate makes, twice, and goes
// right from then on.
func TestSenseIsMeasured(t *testing.T) {
	for _, sense := range []float64{1, -1} {
		for _, drift := range []float64{0, 80e-6, -80e-6} { // the wall clock's own against the counter
			w := &fakeWindows{value: 10_000_000, nominal: 10_000_000, disabled: true, sense: sense, drift: drift}
			a := blind(t, w)
			before := w.wall - w.raw*(1+drift)
			if err := a.Steer(Steering{Phase: 1_000_000, MaxSlew: 5e-4, Frequency: 1e-7}); err != nil {
				t.Fatal(err)
			}
			w.run(firstLook + time.Millisecond)
			if !a.known || a.sign != sense {
				t.Fatalf("sense %g, drift %g: after %v known %v, sign %g", sense, drift, firstLook, a.known, a.sign)
			}
			moved := w.wall - w.raw*(1+drift) - before
			if harm := 125_000 * 1.02; moved < -harm {
				t.Errorf("sense %g: moved %.0f ns the wrong way", sense, -moved)
			}
			w.run(4 * time.Second)
			if left := w.wall - w.raw*(1+drift) - before; w.value != unitsFor(1e-7, w.nominal, sense) || math.Abs(left-(sense+1)*500_000-375_000*(1-sense)) > 10_000 {
				t.Errorf("sense %g: value %d at the end of the turn, paid %.0f ns", sense, w.value, left)
			}
			word := map[float64]string{1: "faster", -1: "slower"}[sense]
			if got := a.Findings(); len(got) != 1 || !strings.HasSuffix(got[0], "a larger value makes this clock "+word) {
				t.Errorf("sense %g: found %q", sense, got)
			}
		}
	}
}

// senseLoop is a servo that steers a clock whose sense it has to find out.
type senseLoop struct {
	sense   float64
	nominal uint64
	drift   float64
	poll    time.Duration
	width   int64
	seed    uint64
	off     float64 // ns at first
}

// run steers until the sense has been known for 30 polls, or for 120 polls in vain.
func (l senseLoop) run(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}) {
	w := &fakeWindows{value: l.nominal, nominal: l.nominal, disabled: true, sense: l.sense, drift: l.drift, width: l.width,
		rng: rand.New(rand.NewPCG(l.seed, 0))}
	a := blind(t, w)
	wall := w.wall - w.raw + l.off
	for vain, settled := 0, 0; settled < 30 && (a.known || vain < 120); {
		if a.known {
			settled++
		} else {
			vain++
		}
		r, err := a.Read()
		if err != nil {
			t.Fatal(err)
		}
		off := int64(wall) + r.Raw - r.Wall
		if err := a.Steer(Steering{Frequency: -l.drift, Phase: off, MaxSlew: 5e-4}); err != nil {
			t.Fatal(err)
		}
		w.run(l.poll)
	}
	if a.known && a.sign != l.sense {
		t.Fatalf("sense %g was taken for %g", l.sense, a.sign)
	}
	if enough := 9e-9 * float64(l.width+senseBlur); !a.known && math.Abs(l.drift) > enough { // a second before says no more
		t.Fatalf("%g was asked for again and again, and the sense %g is not known", l.drift, l.sense)
	}
	most := float64(l.width) + 2*float64(l.poll)/float64(l.nominal) + 30_000
	if !a.known {
		most += 250_000 // what cannot be told from noise yet
	}
	if left := wall + w.raw - w.wall; math.Abs(left) > most {
		t.Fatalf("%.0f ns off, at most %.0f allowed; the sense is known: %v", left, most, a.known)
	}
}

// Whatever is steered, by whatever readings, the sense that is settled upon is the clock's, and a servo that believes in its clock
// brings it to where it wants it.
func TestSenseInALoop(t *testing.T) {
	for _, l := range []senseLoop{ // almost no drift, so the sense is known only at the last of the polls
		{sense: -1, nominal: 156_250, drift: 2.8e-9, poll: 250 * time.Millisecond, width: 129, seed: 12, off: 1},
		{sense: -1, nominal: 156_250, drift: 7.8e-9, poll: 250 * time.Millisecond, off: 54.5},
	} {
		l.run(t)
	}
	rapid.Check(t, func(t *rapid.T) {
		senseLoop{
			sense:   rapid.SampledFrom([]float64{1, -1}).Draw(t, "sense"),
			nominal: rapid.SampledFrom([]uint64{156_250, 10_000_000, 2_400_000_000}).Draw(t, "nominal"),
			drift:   rapid.Float64Range(-100e-6, 100e-6).Draw(t, "drift"),
			poll:    time.Duration(rapid.Int64Range(250, 8000).Draw(t, "poll ms")) * time.Millisecond,
			width:   rapid.Int64Range(0, 20_000).Draw(t, "width"),
			seed:    rapid.Uint64().Draw(t, "seed"),
			off:     rapid.Float64Range(-2e6, 2e6).Draw(t, "off"),
		}.run(t)
	})
}

// A system that takes values and does nothing is found out: at once where it does not even keep them, as wine's, else by the clock.
func TestAdjustmentWithoutEffect(t *testing.T) {
	steer := func(a *adjuster, phase int64) error {
		return a.Steer(Steering{Frequency: 20e-6, Phase: phase, MaxSlew: 5e-4})
	}
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "the adjustment has no effect") ||
			!strings.Contains(err.Error(), "--dry-run") {
			t.Errorf("%s: %v", what, err)
		}
	}
	w := &fakeWindows{value: 156_250, nominal: 156_250, disabled: true, stub: true}
	check("stub", steer(blind(t, w), 500_000))

	w = &fakeWindows{value: 156_250, nominal: 156_250, disabled: true, sense: 0}
	a := blind(t, w)
	var err error
	for i := 0; i < 10 && err == nil; i++ {
		err = steer(a, int64(500_000-1_000_000*(i%2)))
		w.run(time.Second)
	}
	check("dead", err)
	if err := a.Close(); err != nil || !w.disabled {
		t.Errorf("not handed back: %v", err)
	}
}

// Neither a clock that is set, by whomever, nor another program's rate is taken for an answer.
func TestSenseIsNotMisled(t *testing.T) {
	for name, disturb := range map[string]func(*fakeWindows, *adjuster) error{
		"set by another program": func(w *fakeWindows, _ *adjuster) error { w.wall -= 5e6; return nil },
		"stepped a little":       func(_ *fakeWindows, a *adjuster) error { return a.Step(1e6) },
		"stepped":                func(_ *fakeWindows, a *adjuster) error { return a.Step(-3e9) },
		"another program's rate": func(w *fakeWindows, _ *adjuster) error { w.value = 9_988_500; return nil },
	} {
		w := &fakeWindows{value: 10_000_000, nominal: 10_000_000, disabled: true, sense: 1}
		a := blind(t, w)
		var found []string
		for range 6 {
			for _, phase := range []int64{500_000, 1_000_000, 0} {
				if err := a.Steer(Steering{Phase: phase, MaxSlew: 5e-4}); err != nil {
					t.Fatal(err)
				}
				w.run(500 * time.Millisecond)
				if err := disturb(w, a); err != nil {
					t.Fatal(err)
				}
				w.run(time.Second)
				if _, err := a.Read(); err != nil {
					t.Fatal(err)
				}
			}
			found = append(found, a.Findings()...)
		}
		if a.sign != 1 || a.dead != 0 || len(found) > 1 {
			t.Errorf("%s: sign %g, %d times no effect, found %q", name, a.sign, a.dead, found)
		}
	}
}

// The part of a step that SetSystemTime cannot set is slewed by the steering after it.
func TestStepIsCompleted(t *testing.T) {
	w, a := newFake(t, 10_000_000, 1)
	want := w.wall + 1_234_567_891
	if err := a.Step(1_234_567_891); err != nil {
		t.Fatal(err)
	}
	if err := a.Steer(Steering{Phase: int64(want - w.wall), MaxSlew: 5e-4}); err != nil {
		t.Fatal(err)
	}
	before := w.raw
	w.run(2 * time.Second)
	if off := w.wall - want - (w.raw - before); math.Abs(off) > 2 {
		t.Errorf("%.1f ns off", off)
	}
}
