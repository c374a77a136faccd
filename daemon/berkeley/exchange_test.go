package berkeley

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// clock is a clock of the model: it reads start + t·(1 + rate) at true time t, rounded down to a nanosecond.
type clock struct {
	start int64
	ppb   int64
}

func (c clock) at(t int64) int64 {
	gained := t * c.ppb // t stays below 100 s and the rate below 1,000 ppm: far from overflow
	if gained < 0 {
		gained -= 999_999_999
	}
	return c.start + t + gained/1_000_000_000
}

// exchange is what happens on the wire, in true time.
type exchange struct {
	own, other clock
	begin      int64 // departure of the first packet
	there      int64 // time the outgoing packet spends on the wire
	back       int64 // time the incoming one does
	hold       int64 // between arrival of the first and departure of the second
	wrong      [4]int64
}

func drawExchange(t *rapid.T) exchange {
	delay := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1000), rapid.Int64Range(0, 2_000_000_000))
	e := exchange{
		own:   clock{rapid.Int64Range(0, 1<<61).Draw(t, "own"), rapid.Int64Range(-500_000, 500_000).Draw(t, "own ppb")},
		other: clock{rapid.Int64Range(0, 1<<61).Draw(t, "other"), rapid.Int64Range(-500_000, 500_000).Draw(t, "other ppb")},
		begin: rapid.Int64Range(0, 20_000_000_000).Draw(t, "begin"),
		there: delay.Draw(t, "there"), back: delay.Draw(t, "back"), hold: delay.Draw(t, "hold"),
	}
	if rapid.Bool().Draw(t, "near") { // clocks that agree, as they do when it matters
		e.other.start = e.own.start + rapid.Int64Range(-100, 100).Draw(t, "apart")
	}
	for i := range e.wrong {
		e.wrong[i] = rapid.Int64Range(-40_000, 40_000).Draw(t, "stamp error")
	}
	return e
}

// doubt is what is known beforehand: the rates' true difference, the true sum of the stamps' errors, 1 ns for the rounding
// of each of the four readings, and what the rates part while a stamp errs (its product with the skew, here up to 160 ns;
// Measure sees the time between the legs only by stamps).
func (e exchange) doubt() Doubt {
	d := Doubt{Stamp: 4}
	for _, w := range e.wrong {
		d.Stamp += max(w, -w)
	}
	apart := e.own.ppb - e.other.ppb
	d.Skew = float64(max(apart, -apart)) * 1e-9 * 1.001 // seen over an interval of the other clock, which may be slow
	d.Stamp += 1 + int64(math.Ceil(d.Skew*float64(d.Stamp)))
	return d
}

// pollReply is the first kind: out, then in. It returns the stamps and the true offsets at the other's two stamps.
func (e exchange) pollReply() (l Legs, first, last int64) {
	t1 := e.begin
	t2 := t1 + e.there
	t3 := t2 + e.hold
	t4 := t3 + e.back
	return e.legs(t1, t2, t3, t4), e.offset(t2), e.offset(t3)
}

// replyAck is the second kind: in, then out.
func (e exchange) replyAck() (l Legs, first, last int64) {
	t3 := e.begin
	t4 := t3 + e.back
	t5 := t4 + e.hold
	t6 := t5 + e.there
	return e.legs(t5, t6, t3, t4), e.offset(t3), e.offset(t6)
}

func (e exchange) legs(sent, received, replied, returned int64) Legs {
	return Legs{
		Sent: e.own.at(sent) + e.wrong[0], Received: e.other.at(received) + e.wrong[1],
		Replied: e.other.at(replied) + e.wrong[2], Returned: e.own.at(returned) + e.wrong[3],
	}
}

func (e exchange) offset(t int64) int64 { return e.other.at(t) - e.own.at(t) }

// TestBoundHoldsTheTrueOffset: whatever the wire did and whenever between its stamps, the other clock was within the bound.
func TestBoundHoldsTheTrueOffset(t *testing.T) {
	kinds := map[string]func(exchange) (Legs, int64, int64){"poll and reply": exchange.pollReply, "reply and ack": exchange.replyAck}
	for name, kind := range kinds {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			e := drawExchange(t)
			legs, first, last := kind(e)
			s, err := Measure(legs, e.doubt())
			if err != nil {
				t.Fatalf("Measure(%+v): %v", legs, err)
			}
			for _, truth := range []int64{first, last} {
				if wrong := s.Offset - truth; max(wrong, -wrong) > s.Bound {
					t.Fatalf("offset %d is %d off the truth, bound %d", s.Offset, wrong, s.Bound)
				}
			}
		}))
	}
}

// TestBoundHoldsToTheNanosecond tries all short delays on perfect clocks, where halves of nanoseconds count.
func TestBoundHoldsToTheNanosecond(t *testing.T) {
	for i := range 7 * 6 * 6 {
		offset, there, back := int64(i%7-3), int64(i/7%6), int64(i/42)
		s, err := Measure(Legs{Sent: 100, Received: 100 + there + offset, Replied: 200 + offset, Returned: 200 + back}, Doubt{})
		if wrong := s.Offset - offset; err != nil || max(wrong, -wrong) > s.Bound {
			t.Errorf("offset %d by way of %d there and %d back: got %+v, %v", offset, there, back, s, err)
		}
		if s.Delay != there+back {
			t.Errorf("delay %d, want %d", s.Delay, there+back)
		}
	}
}

// TestMeasureByHand: one exchange of each kind whose answer can be checked in the head (BRIEF 3, PROTOCOL.md 8.9 and 8.10).
func TestMeasureByHand(t *testing.T) {
	t1, t2, t3, t4, t5, t6 := int64(1000), int64(6300), int64(6800), int64(1900), int64(2000), int64(7200)
	for _, c := range []struct {
		name  string
		legs  Legs
		doubt Doubt
		want  Sample
	}{
		{"poll and reply", Legs{t1, t2, t3, t4}, Doubt{}, Sample{5100, 400, 200}},
		{"reply and ack", Legs{t5, t6, t3, t4}, Doubt{}, Sample{5050, 300, 150}},
		{"skew over 500 ns between the legs", Legs{t1, t2, t3, t4}, Doubt{Skew: 0.01}, Sample{5100, 400, 205}},
		{"any skew rounds up", Legs{t1, t2, t3, t4}, Doubt{Skew: 1e-9}, Sample{5100, 400, 201}},
		{"stamps", Legs{t1, t2, t3, t4}, Doubt{Stamp: 30}, Sample{5100, 400, 230}},
		{"negative delay", Legs{0, 990, 1000, 0}, Doubt{}, Sample{995, -10, 5}},
	} {
		if got, err := Measure(c.legs, c.doubt); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// extremes are stamps at the corners of int64 and of what may pass.
var extremes = []int64{math.MinInt64, math.MinInt64 + 1, -maxLeg - 1, -maxLeg, -1, 0, 1, maxLeg, maxLeg + 1, math.MaxInt64}

func FuzzMeasure(f *testing.F) {
	for _, a := range extremes {
		for _, b := range extremes {
			f.Add(a, b, b, a)
			f.Add(a, b, a, b)
			f.Add(int64(1_790_000_000e9), a, b, int64(1_790_000_000e9+40_000))
		}
	}
	f.Fuzz(func(t *testing.T, sent, received, replied, returned int64) {
		checkMeasure(t, Legs{sent, received, replied, returned})
	})
}

// TestHostileStamps is the fuzz target driven by rapid, whose integers like corners.
func TestHostileStamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stamp := rapid.OneOf(rapid.Int64(), rapid.SampledFrom(extremes))
		checkMeasure(t, Legs{stamp.Draw(t, "sent"), stamp.Draw(t, "received"), stamp.Draw(t, "replied"), stamp.Draw(t, "returned")})
	})
}

// checkMeasure compares Measure with arithmetic that cannot overflow. Stamps are compared in float64, which sees less
// than 4,096 ns of 2^63: that much about the limit either answer is right.
func checkMeasure(t interface {
	Helper()
	Fatalf(string, ...any)
}, l Legs) {
	t.Helper()
	const blur = 4096
	minus := func(a, b int64) *big.Int { return new(big.Int).Sub(big.NewInt(a), big.NewInt(b)) }
	out, in := minus(l.Received, l.Sent), minus(l.Replied, l.Returned)
	delay, sum := new(big.Int).Sub(out, in), new(big.Int).Add(out, in)
	widest := new(big.Int)
	for _, d := range []*big.Int{out, in, delay} {
		if d.CmpAbs(widest) > 0 {
			widest.Abs(d)
		}
	}
	s, err := Measure(l, Doubt{Skew: 1e-3, Stamp: 100_000})
	switch {
	case errors.Is(err, ErrRange):
		if widest.Cmp(big.NewInt(maxLeg-blur)) < 0 {
			t.Fatalf("%+v refused, though nothing is further apart than %v", l, widest)
		}
		if s != (Sample{}) {
			t.Fatalf("a refused exchange gave %+v", s)
		}
		return
	case err != nil:
		t.Fatalf("%+v: %v", l, err)
	case widest.Cmp(big.NewInt(maxLeg+blur)) > 0:
		t.Fatalf("%+v taken, though stamps are %v apart", l, widest)
	}
	off := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(s.Offset), 1), sum) // twice the error
	if off.CmpAbs(big.NewInt(1)) > 0 || delay.Cmp(big.NewInt(s.Delay)) != 0 {
		t.Fatalf("%+v: %+v, want offset %v/2 and delay %v", l, s, sum, delay)
	}
	least := new(big.Int).Add(new(big.Int).Rsh(delay.Abs(delay), 1), big.NewInt(100_000))
	if big.NewInt(s.Bound).Cmp(least) < 0 {
		t.Fatalf("%+v: bound %d, less than %v", l, s.Bound, least)
	}
	if s.Offset > math.MaxInt64-s.Bound || s.Offset < math.MinInt64+s.Bound {
		t.Fatalf("%+v: the interval %d ± %d does not fit", l, s.Offset, s.Bound)
	}
}
