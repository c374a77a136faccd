package sysclock

import (
	"errors"
	"go/parser"
	"go/token"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// trueHost is a host whose clocks a test moves.
type trueHost struct {
	r   Reading
	err error
}

func (h *trueHost) Read() (Reading, error) { return h.r, h.err }

// pass lets ns of true time go by on a host whose wall clock runs at 1+f.
func (h *trueHost) pass(ns int64, f float64) {
	h.r.Raw += ns
	h.r.Wall += ns + int64(math.Round(f*float64(ns)))
}

const epoch = 1_800_000_000 * second // a wall clock of our day

func newTrueHost() *trueHost { return &trueHost{r: Reading{Raw: 12_345, Wall: epoch}} }

func mustRead(t interface{ Fatal(...any) }, c interface{ Read() (Reading, error) }) Reading {
	r, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustSteer(t interface{ Fatal(...any) }, c Clock, s Steering) {
	if err := c.Steer(s); err != nil {
		t.Fatal(err)
	}
}

func TestVirtualRateAndOffset(t *testing.T) {
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{Offset: -3 * second, Frequency: 50e-6}, h)
	a := mustRead(t, v)
	if a.Wall != epoch-3*second || a.Raw != h.r.Raw {
		t.Fatalf("starts at %+v", a)
	}
	h.pass(1000*second, 0)
	b := mustRead(t, v)
	if b.Raw-a.Raw != 1000*second+50_000_000 || b.Wall-a.Wall != b.Raw-a.Raw {
		t.Errorf("50 ppm over 1000 s: raw %d, wall %d", b.Raw-a.Raw, b.Wall-a.Wall)
	}
	mustSteer(t, v, Steering{Frequency: -50e-6})
	h.pass(1000*second, 0)
	c := mustRead(t, v)
	if c.Raw-b.Raw != 1000*second+50_000_000 {
		t.Errorf("steering moved the raw oscillator: %d", c.Raw-b.Raw)
	}
	// (1+50e-6)(1-50e-6) = 1 - 2.5e-9
	if got := c.Wall - b.Wall - 1000*second; got < -2501 || got > -2499 {
		t.Errorf("corrected wall clock is off by %d ns, want -2500", got)
	}
	if host, wall := v.Pair(); host != h.r || wall != c.Wall {
		t.Errorf("Pair = %+v, %d", host, wall)
	}
}

// The phase is paid within about a second where the slew rate allows, at the slew rate where it does not, in full, and
// then no more.
func TestVirtualSlewEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		phase := rapid.Int64Range(-20_000_000, 20_000_000).Draw(t, "phase")
		slew := rapid.Float64Range(10e-6, 0.1).Draw(t, "slew")
		h := newTrueHost()
		v := NewVirtual(VirtualConfig{}, h)
		mustSteer(t, v, Steering{Phase: phase, MaxSlew: slew})
		paid := func() int64 { r := mustRead(t, v); return r.Wall - h.r.Wall }
		last := int64(0)
		for range 30 {
			h.pass(100_000_000, 0)
			step := paid() - last
			last = paid()
			if math.Abs(float64(step)) > slew*1e8+1 {
				t.Fatalf("%d ns in 0.1 s, allowed %g", step, slew)
			}
		}
		if math.Abs(float64(phase)) <= slew*second && last != phase {
			t.Fatalf("paid %d of %d ns after 3 s", last, phase)
		}
		h.pass(3000*second, 0)
		if paid() != phase {
			t.Fatalf("paid %d of %d ns at the end", paid(), phase)
		}
	})
}

// A new Steer replaces the rest; Step drops it and moves at once.
func TestVirtualReplaceAndStep(t *testing.T) {
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{}, h)
	off := func() int64 { r := mustRead(t, v); return r.Wall - h.r.Wall }
	mustSteer(t, v, Steering{Phase: 1_000_000, MaxSlew: 5e-4})
	h.pass(second, 0)
	mustSteer(t, v, Steering{Phase: -100_000, MaxSlew: 5e-4})
	if got := off(); got != 500_000 {
		t.Errorf("after one second of two: %d", got)
	}
	h.pass(10*second, 0)
	if got := off(); got != 400_000 {
		t.Errorf("after the second phase: %d", got)
	}
	mustSteer(t, v, Steering{Phase: 1_000_000, MaxSlew: 5e-4, Frequency: 10e-6})
	h.pass(second, 0)
	if err := v.Step(-7 * second); err != nil {
		t.Fatal(err)
	}
	if got := off(); got != 910_000-7*second {
		t.Errorf("right after the step: %d", got)
	}
	h.pass(10*second, 0)
	if got := off(); got != 1_010_000-7*second {
		t.Errorf("ten seconds after the step: %d: the rest was not dropped or the frequency was", got)
	}
}

// The oscillator's walk depends on the seed and on the host's time, never on how often anybody looked or steered.
func TestVirtualWanderDeterministic(t *testing.T) {
	run := func(seed uint64, pattern *rand.Rand) []int64 {
		h := newTrueHost()
		v := NewVirtual(VirtualConfig{Frequency: 20e-6, Wander: 1e-7, Rand: rand.New(rand.NewPCG(seed, 1))}, h)
		var raws []int64
		for range 50 {
			for left := int64(10 * second); left > 0; {
				d := int64(10 * second)
				if pattern != nil {
					d = 1 + pattern.Int64N(3*second)
				}
				d = min(d, left)
				h.pass(d, 0)
				left -= d
				if pattern != nil {
					mustRead(t, v)
					v.FromHost(h.r.Wall - 1000)
					mustSteer(t, v, Steering{Frequency: 1e-6 * pattern.Float64()})
				}
			}
			raws = append(raws, mustRead(t, v).Raw)
		}
		return raws
	}
	plain := run(7, nil)
	for seed := range uint64(5) {
		busy := run(7, rand.New(rand.NewPCG(seed, 99)))
		for i := range plain {
			if plain[i] != busy[i] {
				t.Fatalf("pattern %d, %d s: %d, undisturbed %d", seed, 10*i+10, busy[i], plain[i])
			}
		}
	}
	other := run(8, nil)
	if other[49] == plain[49] {
		t.Error("another seed gave the same walk")
	}
	if d := plain[49] - (plain[0] - 10*second) - 500*second; d == 0 {
		t.Error("no walk at all")
	}
}

// The walk's frequency spreads as Wander says: after T seconds with standard deviation Wander·√T.
func TestVirtualWanderSize(t *testing.T) {
	const wander, seconds, clocks = 1e-8, 400, 400
	var sum2 float64
	for seed := range uint64(clocks) {
		h := newTrueHost()
		v := NewVirtual(VirtualConfig{Wander: wander, Rand: rand.New(rand.NewPCG(seed, 2))}, h)
		mustRead(t, v)
		h.pass(seconds*second, 0)
		mustRead(t, v)
		sum2 += v.osc.frequency * v.osc.frequency
	}
	got, want := math.Sqrt(sum2/clocks), wander*math.Sqrt(seconds)
	if got < 0.9*want || got > 1.1*want {
		t.Errorf("spread %g, want %g", got, want)
	}
}

// The fraction of a nanosecond goes over from one stretch of the walk to the next.
func TestVirtualWanderKeepsFraction(t *testing.T) {
	const seconds = 100_000
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{Frequency: 49_999.9e-9, Wander: 1e-18, Rand: rand.New(rand.NewPCG(1, 3))}, h)
	a := mustRead(t, v)
	h.pass(seconds*second, 0)
	b := mustRead(t, v)
	if d := b.Raw - a.Raw - seconds*second - 4_999_990_000; d < -2 || d > 2 {
		t.Errorf("off by %d ns after %d stretches", d, seconds)
	}
}

// 10^9 s (31 years), steered at every reading with a change of frequency, against a closed form in big floats.
// MEANTIME_LONG=1 reads each of the seconds; without it every 2000th.
func TestVirtualLongRun(t *testing.T) {
	step := int64(2000)
	if os.Getenv("MEANTIME_LONG") != "" {
		step = 1
	}
	const total, f = 1_000_000_000, 49.7e-6
	ys := [2]float64{-50.3e-6, 12.9e-6}
	h := &trueHost{} // from 0: 10^18 ns and an epoch do not fit together comfortably
	v := NewVirtual(VirtualConfig{Frequency: f}, h)
	mustRead(t, v)
	for s := int64(0); s < total; s += step {
		mustSteer(t, v, Steering{Frequency: ys[s/step%2], Phase: 1, MaxSlew: 1})
		h.r.Raw += step * second
		h.r.Wall += step * second
		mustRead(t, v)
	}
	r := mustRead(t, v)
	raw := new(big.Float).SetPrec(200).SetInt64(total * second)
	raw.Mul(raw, new(big.Float).SetPrec(200).Add(big.NewFloat(1).SetPrec(200), big.NewFloat(f)))
	mean := new(big.Float).SetPrec(200).Add(big.NewFloat(ys[0]).SetPrec(200), big.NewFloat(ys[1]))
	mean.Quo(mean, big.NewFloat(2))
	wall := new(big.Float).SetPrec(200).Mul(raw, mean.Add(mean, big.NewFloat(1)))
	wall.Add(wall, new(big.Float).SetInt64(total/step)) // the 1 ns of phase of each call
	off := func(got int64, want *big.Float) float64 {
		d, _ := new(big.Float).SetPrec(200).Sub(new(big.Float).SetPrec(200).SetInt64(got), want).Float64()
		return d
	}
	dr, dw := off(r.Raw, raw), off(r.Wall, wall)
	t.Logf("after %d s in steps of %d s: raw off by %.3f ns, wall by %.3f ns", int64(total), step, dr, dw)
	if math.Abs(dr) > 1000 || math.Abs(dw) > 1000 {
		t.Errorf("raw off by %.0f ns, wall by %.0f ns", dr, dw)
	}
}

// Stamps up to 20 ms old map to what the virtual wall clock showed, whatever the host's clock did meanwhile.
func TestVirtualFromHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newTrueHost()
		v := NewVirtual(VirtualConfig{Offset: 5 * second, Frequency: 80e-6}, h)
		slewed := rapid.Float64Range(-900e-6, 900e-6).Draw(t, "host slew")
		for range 5 {
			h.pass(rapid.Int64Range(1_000_000, 2*second).Draw(t, "gap"), slewed)
			mustRead(t, v)
		}
		mustSteer(t, v, Steering{Frequency: -70e-6, Phase: 100_000, MaxSlew: 5e-4})
		since := rapid.Int64Range(1, second).Draw(t, "since")
		h.pass(since, slewed)
		stamp, want := h.r.Wall, mustPeek(t, v, h)
		step := int64(0)
		if rapid.Bool().Draw(t, "host steps") {
			step = rapid.Int64Range(-3600*second, 3600*second).Draw(t, "step")
			if step > -21_000_000 && step < 21_000_000 {
				step = 0 // smaller than the stamp's age may be: not told apart, and said so
			}
		}
		h.r.Wall += step
		h.pass(rapid.Int64Range(0, 20_000_000).Draw(t, "age"), slewed)
		got := v.FromHost(stamp)
		slack := int64(20)
		if step != 0 { // no pair beyond the stamp on its own scale: the host's slew since the last one is not seen
			slack += int64(math.Abs(slewed) * float64(since+100_000_000))
		}
		if d := got - want; d < -slack || d > slack {
			t.Fatalf("off by %d ns, allowed %d (host stepped by %d)", d, slack, step)
		}
	})
}

// mustPeek reads what a copy of v shows now: v itself learns nothing of the moment.
func mustPeek(t interface{ Fatal(...any) }, v *Virtual, h *trueHost) int64 {
	w := *v
	w.marks = append([]mark(nil), v.marks...)
	w.pairs = append([]Reading(nil), v.pairs...)
	return mustRead(t, &w).Wall
}

// After a step of the host, stamps of the new scale map as well as before.
func TestVirtualFromHostAfterStep(t *testing.T) {
	for _, step := range []int64{-3600 * second, -50_000_000, 50_000_000, 3600 * second} {
		h := newTrueHost()
		v := NewVirtual(VirtualConfig{}, h)
		h.pass(second, 0)
		mustRead(t, v)
		h.pass(second, 0)
		h.r.Wall += step
		for i := range 100 {
			h.pass(30_000_000, 0)
			stamp, want := h.r.Wall, mustPeek(t, v, h)
			h.pass(5_000_000, 0)
			if d := v.FromHost(stamp) - want; d < -100 || d > 100 {
				t.Fatalf("step %d, packet %d: off by %d ns", step, i, d)
			}
		}
	}
}

// A stamp from before the virtual clock's own step shows the wall clock of then.
func TestVirtualFromHostAcrossOwnStep(t *testing.T) {
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{}, h)
	h.pass(second, 0)
	before := h.r.Wall
	h.pass(2_000_000, 0)
	if err := v.Step(3600 * second); err != nil {
		t.Fatal(err)
	}
	h.pass(2_000_000, 0)
	after := h.r.Wall
	h.pass(1_000_000, 0)
	if got := v.FromHost(before); got != before {
		t.Errorf("before the step: off by %d", got-before)
	}
	if got := v.FromHost(after); got != after+3600*second {
		t.Errorf("after the step: off by %d", got-after-3600*second)
	}
}

// A host that cannot be read is an error, not a reading, and the clock begins when it can.
func TestVirtualHostFails(t *testing.T) {
	h := newTrueHost()
	h.err = errors.New("no host")
	v := NewVirtual(VirtualConfig{Offset: 7}, h)
	if _, err := v.Read(); err == nil {
		t.Error("Read hides the host's failure")
	}
	if err := v.Steer(Steering{}); err == nil {
		t.Error("Steer hides the host's failure")
	}
	if err := v.Step(1); err == nil {
		t.Error("Step hides the host's failure")
	}
	if got := v.FromHost(5); got != 5 {
		t.Errorf("FromHost without a beginning: %d", got)
	}
	h.err = nil
	if r := mustRead(t, v); r.Wall != epoch+7 {
		t.Errorf("begins at %d", r.Wall)
	}
	if err := v.Steer(Steering{Frequency: math.NaN()}); !errors.Is(err, errBadSteering) {
		t.Errorf("NaN gave %v", err)
	}
}

// The virtual clock on the real host reads monotone and close to it.
func TestVirtualOnHostClock(t *testing.T) {
	v := NewVirtual(VirtualConfig{Offset: second}, HostClock())
	a := mustRead(t, v)
	host, wall := v.Pair()
	if wall-host.Wall < second-1_000_000 || wall-host.Wall > second+1_000_000 {
		t.Errorf("one second ahead reads %d ns ahead", wall-host.Wall)
	}
	b := mustRead(t, v)
	if b.Raw < a.Raw {
		t.Error("raw ran backwards")
	}
	if d := v.FromHost(host.Wall) - wall; d < -200_000 || d > 200_000 {
		t.Errorf("FromHost is off by %d ns", d)
	}
}

// tagged are the files of one operating system or a family of them.
var tagged = regexp.MustCompile(`_(linux|windows|darwin|freebsd|bsd|other)\.go$`)

// Files without a build constraint may not reach an operating system: above all the virtual clock, whose promise is
// that it never writes one.
func TestUntaggedFilesTouchNoOS(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source files", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || tagged.MatchString(file) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			switch {
			case strings.Contains(path, "."), path == "syscall", path == "unsafe", path == "os", strings.HasPrefix(path, "os/"):
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
}

func BenchmarkVirtualRead(b *testing.B) {
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{Frequency: 50e-6}, h)
	for b.Loop() {
		h.pass(1000, 0)
		mustRead(b, v)
	}
}
