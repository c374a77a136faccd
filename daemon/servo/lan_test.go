package servo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// lan is the smallest closed loop: servos on oscillators of their own, measured against each other with noise, brought to
// their plain mean round by round, and turned by a common rotation. The servo of the master is the first.
type lan struct {
	random  *rand.Rand
	sigma   float64   // ns, noise of a measurement
	rates   []float64 // of the oscillators against true time, fractional
	servos  []*Servo
	sum     rotation
	rounds  int
	centred bool
	rough   bool // a tenth of the replies are lost, a third wait in a queue
}

// quiet is the bound (ns) of an exchange that waited nowhere.
const quiet = 20_000

// newLAN is one just founded.
func newLAN(seed uint64, n int, sigma float64, centred bool) *lan {
	l := &lan{random: rand.New(rand.NewPCG(seed, 8)), sigma: sigma, centred: centred}
	for range n {
		l.rates = append(l.rates, (2*l.random.Float64()-1)*50*ppm)
		l.servos = append(l.servos, New(0, noon, 0, 0))
	}
	return l
}

// raw is what an oscillator reads at true time t.
func (l *lan) raw(i int, t int64) int64 { return t + int64(math.Round(float64(t)*l.rates[i])) }

// times are all timescales' readings at true time t.
func (l *lan) times(t int64) []int64 {
	var all []int64
	for i, s := range l.servos {
		all = append(all, s.Line().At(l.raw(i, t)))
	}
	return all
}

// measure gives the offset and bound of a clock; ok is false where the reply was lost.
func (l *lan) measure(times []int64, i int) (offset, bound int64, ok bool) {
	if i == 0 { // the master's own
		return 0, quiet, true
	}
	offset, bound = times[i]-times[0]+int64(math.Round(l.sigma*l.random.NormFloat64())), quiet
	if !l.rough {
		return offset, bound, true
	}
	if l.random.Float64() < 1.0/3 {
		wait := int64(l.random.ExpFloat64() * 300_000) // there or back
		offset, bound = offset+(2*l.random.Int64N(2)-1)*wait/2, bound+wait/2
	}
	return offset, bound, l.random.Float64() > 0.1
}

// round is one poll: measure, mean over what waited little, correct, centre the rate, turn (as daemon/node/decide.go does).
func (l *lan) round() {
	l.rounds++
	t := int64(l.rounds) * second
	times := l.times(t)
	offsets, bounds := make([]int64, len(times)), make([]int64, len(times))
	var sum, count float64
	for i := range times {
		var ok bool
		if offsets[i], bounds[i], ok = l.measure(times, i); !ok {
			bounds[i] = 0
		} else if bounds[i] <= 4*quiet {
			sum, count = sum+float64(offsets[i]), count+1
		}
	}
	next := l.sum
	if l.centred {
		next = rotation{rate: l.sum.rate - l.gain()*l.meanRate(), phase: l.sum.at(times[0]), epoch: times[0]}
	}
	for i, s := range l.servos {
		if bounds[i] > 0 {
			s.Correct(l.raw(i, t), int64(math.Round(sum/count))-offsets[i], bounds[i])
		}
		next.turn(s, l.sum)
	}
	l.sum = next
}

// gain is daemon/node's: 0.3 a round for 64 rounds after the founding, then an hour's time constant.
func (l *lan) gain() float64 {
	if l.rounds <= 64 {
		return 0.3
	}
	return 1.0 / 3600
}

func (l *lan) meanRate() float64 {
	sum := 0.0
	for _, s := range l.servos {
		sum += s.Line().Rate
	}
	return sum / float64(len(l.servos))
}

// disagreement is the distance (ns) of the fastest from the slowest clock.
func (l *lan) disagreement() float64 {
	times := l.times(int64(l.rounds) * second)
	return float64(slices.Max(times) - slices.Min(times))
}

// rate is LAN time's against true time: the mean of the slopes of all timescales.
func (l *lan) rate() float64 {
	sum := 0.0
	for i, s := range l.servos {
		sum += (1+s.Line().Rate)*(1+l.rates[i]) - 1
	}
	return sum / float64(len(l.servos))
}

// runOff is how far (fractional) LAN time's rate is from the mean of the oscillators.
func (l *lan) runOff() float64 {
	mean := 0.0
	for _, r := range l.rates {
		mean += r / float64(len(l.rates))
	}
	return math.Abs(l.rate() - mean)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

const (
	noise  = 10_000.0 // ns: σ of a measurement
	settle = 200      // rounds before figures are taken
)

// figures runs a LAN and returns the median disagreement of rounds settle … 2·settle in σ, and where the rate went, in ppm.
func (l *lan) figures() (disagreement, runOff float64) {
	var apart []float64
	for l.rounds < 2*settle {
		if l.round(); l.rounds > settle {
			apart = append(apart, l.disagreement())
		}
	}
	return median(apart) / noise, l.runOff() / ppm
}

// TestLAN is the claim of the design (BRIEF 4): eight oscillators within ±50 ppm and measurements of σ = 10 µs make clocks that
// agree within 0.65 σ, whose common rate is the mean of the oscillators'.
func TestLAN(t *testing.T) {
	var apart, off []float64
	for seed := range uint64(20) {
		a, o := newLAN(seed, 8, noise, true).figures()
		if apart, off = append(apart, a), append(off, o); a > 0.8 || o > 0.1 {
			t.Errorf("seed %d: median disagreement %.2f σ, rate %.3f ppm off the oscillators' mean", seed, a, o)
		}
	}
	t.Logf("disagreement: median %.2f σ, worst seed's median %.2f σ; rate off by %.4f ppm, worst %.4f ppm",
		median(apart), slices.Max(apart), median(off), slices.Max(off))
}

// TestCentringHoldsTheRate: on a LAN that loses and delays replies weights and windows are unequal, and without rate
// centring LAN time's rate wanders from the oscillators' mean.
func TestCentringHoldsTheRate(t *testing.T) {
	off := map[bool][]float64{}
	for seed := range uint64(20) {
		for _, centred := range []bool{true, false} {
			l := newLAN(seed, 8, noise, centred)
			l.rough = true
			_, o := l.figures()
			off[centred] = append(off[centred], o)
		}
	}
	t.Logf("rate off by: centred median %.3f, worst %.3f ppm; not centred median %.3f, worst %.3f ppm",
		median(off[true]), slices.Max(off[true]), median(off[false]), slices.Max(off[false]))
	if slices.Max(off[true]) > 0.5 || median(off[false]) < 20*median(off[true]) {
		t.Error("centring is not what holds it")
	}
}

// TestCentringForgetsTheFounder: where all clocks run at the rate of the one that founded the LAN, as newcomers learn to,
// centring brings LAN time to the mean of all; without it the founder's oscillator rules for ever.
func TestCentringForgetsTheFounder(t *testing.T) {
	for _, centred := range []bool{true, false} {
		l := newLAN(1, 8, noise, centred)
		for i, s := range l.servos {
			s.line.Rate = l.rates[0] - l.rates[i]
		}
		before := l.runOff() / ppm
		_, after := l.figures()
		t.Logf("centred %v: from %.2f to %.3f ppm off the oscillators' mean", centred, before, after)
		if before < 5 || centred && after > 0.1 || !centred && math.Abs(after-before) > 0.1 {
			t.Errorf("centred %v: from %.2f to %.3f ppm off the oscillators' mean", centred, before, after)
		}
	}
}
