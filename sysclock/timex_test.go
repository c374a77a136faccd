package sysclock

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestFreqUnits(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want int64
	}{
		{0, 0}, {1e-6, 65536}, {-1e-6, -65536}, {100e-6, 6_553_600}, {-100e-6, -6_553_600},
		{500e-6, 32_768_000}, {501e-6, 32_768_000}, {-1, -32_768_000}, // the kernel's silent clamp, made visible
		{1e-6 / 65536, 1}, {0.4e-6 / 65536, 0}, {0.6e-6 / 65536, 1},
	} {
		if got := freqUnits(c.in); got != c.want {
			t.Errorf("freqUnits(%g) = %d, want %d", c.in, got, c.want)
		}
	}
}

func TestFractional(t *testing.T) {
	for _, c := range []struct {
		units, tick int64
		want        float64
	}{
		{0, 0, 0}, {65536, 10_000, 1e-6}, {-32_768_000, 10_000, -500e-6},
		{0, 10_001, 100e-6}, {65536, 9_999, -99e-6}, {0, 9_000, -0.1},
	} {
		if got := fractional(c.units, c.tick); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("fractional(%d, %d) = %g, want %g", c.units, c.tick, got, c.want)
		}
	}
}

// A frequency that went through the kernel's units comes back within half a unit: 7.6e-12.
func TestFreqUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64Range(-500e-6, 500e-6).Draw(t, "f")
		if got := fractional(freqUnits(f), nominalTick); math.Abs(got-f) > 0.5000001/unitsPerOne {
			t.Fatalf("%g came back as %g", f, got)
		}
	})
}

func TestPhaseChunk(t *testing.T) {
	for _, c := range []struct {
		phase int64
		slew  float64
		want  int64
	}{
		{0, 500e-6, 0}, {1000, 500e-6, 1000}, {-1000, 500e-6, -1000},
		{10_000_000, 500e-6, 2_000_000}, {-10_000_000, 500e-6, -2_000_000}, // 4 × 500 ppm × 1 s
		{math.MaxInt64, maxPhaseSlew, maxPhase}, {math.MinInt64, maxPhaseSlew, -maxPhase},
		{math.MaxInt64, 100, maxPhase},
		{5, 1e-10, 0},
	} {
		if got := phaseChunk(c.phase, c.slew); got != c.want {
			t.Errorf("phaseChunk(%d, %g) = %d, want %d", c.phase, c.slew, got, c.want)
		}
	}
}

func TestBSDChunk(t *testing.T) {
	for _, c := range []struct {
		phase int64
		slew  float64
		want  int64
	}{
		{999, 500e-6, 0}, {1000, 500e-6, 1}, {-1000, 500e-6, -1}, {4000, 500e-6, 1}, {5000, 500e-6, 2}, {-5000, 500e-6, -2},
		{100_000, 500e-6, 25}, {10_000_000, 500e-6, 1000}, {-10_000_000, 100e-6, -100}, {1_000_000, 100e-6, 100},
		{10_000_000, 0.1, 1000}, {math.MinInt64, 1, -1000}, {math.MaxInt64, 499e-6, 499}, {5, 1e-10, 0},
	} {
		if got := bsdChunk(c.phase, c.slew); got != c.want {
			t.Errorf("bsdChunk(%d, %g) = %d, want %d", c.phase, c.slew, got, c.want)
		}
	}
}

func TestSplitNs(t *testing.T) {
	for _, c := range []struct{ ns, sec, nsec int64 }{
		{0, 0, 0}, {1, 0, 1}, {-1, -1, 999_999_999}, {-500_000_000, -1, 500_000_000}, {1_500_000_000, 1, 500_000_000},
		{-1_000_000_000, -1, 0}, {-1_000_000_001, -2, 999_999_999},
		{math.MinInt64, -9_223_372_037, 145_224_192}, {math.MaxInt64, 9_223_372_036, 854_775_807},
	} {
		if sec, nsec := splitNs(c.ns); sec != c.sec || nsec != c.nsec {
			t.Errorf("splitNs(%d) = %d, %d, want %d, %d", c.ns, sec, nsec, c.sec, c.nsec)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(math.MinInt64+second, math.MaxInt64).Draw(t, "ns")
		sec, nsec := splitNs(ns)
		if nsec < 0 || nsec >= second || sec*second+nsec != ns {
			t.Fatalf("splitNs(%d) = %d, %d", ns, sec, nsec)
		}
	})
}

func TestErrorMicros(t *testing.T) {
	for _, c := range []struct{ ns, want int64 }{
		{-5, 0}, {0, 0}, {1, 1}, {1000, 1}, {1001, 2}, {15_999_999_999, 16_000_000}, {math.MaxInt64, 16_000_000},
	} {
		if got := errorMicros(c.ns); got != c.want {
			t.Errorf("errorMicros(%d) = %d, want %d", c.ns, got, c.want)
		}
	}
}

func TestTicksToNs(t *testing.T) {
	for _, c := range []struct {
		count, hz uint64
		want      int64
	}{
		{0, 10_000_000, 0}, {1, 10_000_000, 100}, {10_000_000, 10_000_000, second},
		{315_360_000 * 10_000_000, 10_000_000, 315_360_000 * second}, // ten years
		{1, 3, 333_333_333}, {2, 3, 666_666_666}, {4, 3, 1_333_333_333}, {7, 0, 0},
		{3_579_545*1000 + 1, 3_579_545, 1000*second + 279},
	} {
		if got := ticksToNs(c.count, c.hz); got != c.want {
			t.Errorf("ticksToNs(%d, %d) = %d, want %d", c.count, c.hz, got, c.want)
		}
	}
}

func TestChecked(t *testing.T) {
	l := Limits{Frequency: 500e-6, Slew: 0.1}
	for _, s := range []Steering{
		{Frequency: math.NaN(), MaxSlew: 1e-4}, {Frequency: math.Inf(1), MaxSlew: 1e-4},
		{Phase: 1}, {Phase: 1, MaxSlew: -1}, {MaxSlew: math.NaN()}, {MaxSlew: math.Inf(1)}, {MaxSlew: -1e-4},
	} {
		if _, err := checked(s, l); !errors.Is(err, errBadSteering) {
			t.Errorf("checked(%+v) gave %v", s, err)
		}
	}
	got, err := checked(Steering{Frequency: -1, MaxSlew: 1, Phase: 7}, l)
	if err != nil || got.Frequency != -500e-6 || got.MaxSlew != 0.1 || got.Phase != 7 {
		t.Errorf("clamped to %+v, %v", got, err)
	}
	if _, err := checked(Steering{Frequency: 1e-6}, l); err != nil {
		t.Errorf("frequency alone, without a slew rate: %v", err)
	}
}

// The rebuilt oscillator follows the true one through changes of frequency and slews, to the ns and for ever.
func TestRawRebuild(t *testing.T) {
	const f1, f2 = 120e-6, -80e-6
	r := rawRebuild{frequency: f1}
	mono, truth := 0.0, 0.0
	pending := int64(0)
	for i := range 2_000_000 {
		switch {
		case i%1000 == 0:
			r.frequency = []float64{f1, f2}[i/1000%2]
		case i%1000 == 500:
			pending = 300_000 // adjtime is given 300 µs
			r.pending = pending
		}
		pay := (pending + 2) / 3
		pending -= pay
		truth += second
		mono += second*(1+r.frequency) + float64(pay)
		r.account(int64(math.Round(mono)), pending)
	}
	if e := float64(r.raw) - truth; math.Abs(e) > 10 {
		t.Errorf("off by %.0f ns after %.0f s", e, truth/second)
	}
}
