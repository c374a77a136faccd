package netproto_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"meantime/netproto"
)

func TestStrings(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{netproto.ID(0xAB).String(), "00000000000000ab"},
		{netproto.ID(math.MaxUint64).String(), "ffffffffffffffff"},
		{netproto.KindPoll.String(), "poll"},
		{netproto.KindReply.String(), "reply"},
		{netproto.KindAck.String(), "ack"},
		{netproto.KindAdjust.String(), "adjust"},
		{netproto.KindCandidate.String(), "candidate"},
		{netproto.KindResign.String(), "resign"},
		{netproto.KindSetTime.String(), "set-time"},
		{netproto.KindClaim.String(), "claim"},
		{netproto.Kind(200).String(), "kind 200"},
		{netproto.PhaseGathering.String(), "gathering"},
		{netproto.PhaseKeeping.String(), "keeping"},
		{netproto.PhaseHolding.String(), "holding"},
		{netproto.Phase(0).String(), "phase 0"},
		{netproto.AnswerNone.String(), "none"},
		{netproto.AnswerYes.String(), "accepted"},
		{netproto.AnswerNoTime.String(), "there is no LAN time that a majority agrees on"},
		{netproto.Answer(9).String(), "answer 9"},
		{netproto.StandingFounder.String(), "founder"},
		{netproto.StandingVoter.String(), "voter"},
		{netproto.StandingNewcomer.String(), "newcomer"},
		{netproto.StandingLeftOut.String(), "left out"},
		{netproto.Standing(9).String(), "standing 9"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestRateOf(t *testing.T) {
	for _, test := range []struct {
		fraction float64
		want     netproto.Rate
	}{
		{0, 0}, {1e-6, 1e9}, {-35.25e-6, -35_250_000_000}, {0.6e-15, 1}, {0.4e-15, 0}, {-0.6e-15, -1},
		{1, netproto.MaxRate}, {-1, -netproto.MaxRate}, {1.5, netproto.MaxRate}, {-1e300, -netproto.MaxRate},
		{math.Inf(1), netproto.MaxRate}, {math.Inf(-1), -netproto.MaxRate}, {math.NaN(), 0},
	} {
		if got := netproto.RateOf(test.fraction); got != test.want {
			t.Errorf("RateOf(%v) = %d, want %d", test.fraction, got, test.want)
		}
	}
	if got := netproto.Rate(15_750_000_000).Fraction(); got != 15.75e-6 {
		t.Errorf("Fraction = %v, want 15.75e-6", got)
	}
	rapid.Check(t, func(rt *rapid.T) {
		if r := drawRate(rt); netproto.RateOf(r.Fraction()) != r {
			rt.Fatalf("RateOf(%d.Fraction()) = %d", r, netproto.RateOf(r.Fraction()))
		}
	})
}

// TestGroupID: the published values of 32-bit FNV-1a, and the hash that must not come out.
func TestGroupID(t *testing.T) {
	for _, test := range []struct {
		name string
		want uint32
	}{
		{"", 0x811C9DC5}, {"a", 0xE40C292C}, {"foobar", 0xBF9CF968},
		{"\xCC\x24\x31\xC4", 1}, // hashes to zero
	} {
		if got := netproto.GroupID(test.name); got != test.want {
			t.Errorf("GroupID(%q) = %#x, want %#x", test.name, got, test.want)
		}
	}
}

const tenYears = 10 * 366 * 86_400 * 1_000_000_000

func TestRotationAt(t *testing.T) {
	const maxInt, minInt = math.MaxInt64, math.MinInt64
	for _, test := range []struct {
		name string
		r    netproto.Rotation
		t    netproto.Stamp
		want int64
	}{
		{"at the epoch only the phase", netproto.Rotation{Rate: 5e9, Phase: -7, Epoch: noon}, noon, -7},
		{"1 ppm for a second", netproto.Rotation{Rate: 1e9, Epoch: noon}, noon + 1e9, 1000},
		{"1 ppm, a second before", netproto.Rotation{Rate: 1e9, Phase: 1, Epoch: noon}, noon - 1e9, -999},
		{"-1 ppm, a second before", netproto.Rotation{Rate: -1e9, Epoch: noon}, noon - 1e9, 1000},
		{"40 ppm for ten years", netproto.Rotation{Rate: 40e9, Epoch: noon}, noon + tenYears, tenYears / 1e6 * 40},
		{"smallest rate for ten years", netproto.Rotation{Rate: -1, Epoch: noon}, noon + tenYears, -316},
		{"half a ns rounds away from zero", netproto.Rotation{Rate: 1e15 / 2}, 1, 1},
		{"and so below zero", netproto.Rotation{Rate: -1e15 / 2}, 1, -1},
		{"less than half does not", netproto.Rotation{Rate: 1e15/2 - 1}, 1, 0},
		{"whole range up", netproto.Rotation{Rate: netproto.MaxRate, Phase: netproto.MaxSpan}, netproto.MaxStamp, maxInt - 1},
		{"beyond it", netproto.Rotation{Rate: maxInt, Phase: 1}, netproto.MaxStamp, maxInt},
		{"beyond it, down", netproto.Rotation{Rate: minInt, Phase: -1}, netproto.MaxStamp, minInt},
		{"widest span", netproto.Rotation{Rate: minInt, Epoch: maxInt}, minInt, maxInt},
		{"phase brings back what is beyond int64", netproto.Rotation{Rate: 2e15, Phase: minInt}, maxInt, maxInt - 1},
		{"phase brings it back", netproto.Rotation{Rate: netproto.MaxRate, Phase: minInt}, maxInt, -1},
	} {
		if got := test.r.At(test.t); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// slowAt is Rotation.At in arithmetic without limits.
func slowAt(r netproto.Rotation, t netproto.Stamp) int64 {
	unit := big.NewInt(1e15)
	product := new(big.Int).Sub(big.NewInt(int64(t)), big.NewInt(int64(r.Epoch)))
	product.Mul(product, big.NewInt(int64(r.Rate)))
	half := big.NewInt(int64(product.Sign()) * 5e14)
	moved := product.Add(product, half).Quo(product, unit)
	moved.Add(moved, big.NewInt(r.Phase))
	return clamp(moved)
}

func clamp(v *big.Int) int64 {
	switch {
	case v.IsInt64():
		return v.Int64()
	case v.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// TestRotationAgainstBigInt: any three numbers, not only those that may travel.
func TestRotationAgainstBigInt(t *testing.T) {
	rotation := func(rt *rapid.T) netproto.Rotation {
		return netproto.Rotation{
			Rate: netproto.Rate(rapid.Int64().Draw(rt, "rate")), Phase: rapid.Int64().Draw(rt, "phase"),
			Epoch: netproto.Stamp(rapid.Int64().Draw(rt, "epoch")),
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		older, newer := rotation(rt), rotation(rt)
		at := netproto.Stamp(rapid.Int64().Draw(rt, "at"))
		if got, want := newer.At(at), slowAt(newer, at); got != want {
			rt.Fatalf("At(%d) of %+v = %d, want %d", at, newer, got, want)
		}
		move, rate := newer.Since(older, at)
		wantMove := clamp(new(big.Int).Sub(big.NewInt(slowAt(newer, at)), big.NewInt(slowAt(older, at))))
		wantRate := clamp(new(big.Int).Sub(big.NewInt(int64(newer.Rate)), big.NewInt(int64(older.Rate))))
		if move != wantMove || int64(rate) != wantRate {
			rt.Fatalf("Since = %d, %d, want %d, %d", move, rate, wantMove, wantRate)
		}
	})
}

// TestRotationIsIdempotent: PROTOCOL.md 8.14. The same sum told twice, or about another epoch, moves nothing.
func TestRotationIsIdempotent(t *testing.T) {
	r := netproto.Rotation{Rate: 12e9, Phase: 5_000, Epoch: noon}
	if move, rate := r.Since(r, noon+tenYears); move != 0 || rate != 0 {
		t.Errorf("told twice: %d ns, rate %d", move, rate)
	}
	later := netproto.Rotation{Rate: r.Rate, Phase: r.At(noon + 1e12), Epoch: noon + 1e12}
	if move, rate := later.Since(r, noon+3e12); move != 0 || rate != 0 {
		t.Errorf("about another epoch: %d ns, rate %d", move, rate)
	}
}

// TestNoFormulaOverflows: PROTOCOL.md 1.8, with the formulas of 8.9 and 8.10 at the corners of what may travel.
func TestNoFormulaOverflows(t *testing.T) {
	corners := []int64{0, 1, int64(netproto.MaxStamp)}
	for i := range len(corners) * len(corners) * len(corners) * len(corners) {
		a, b, c, d := corners[i%3], corners[i/3%3], corners[i/9%3], corners[i/27]
		sum := (a - b) + (c - d)
		exact := new(big.Int).Sub(big.NewInt(a), big.NewInt(b))
		exact.Add(exact, big.NewInt(c)).Sub(exact, big.NewInt(d))
		if !exact.IsInt64() || exact.Int64() != sum {
			t.Errorf("(%d - %d) + (%d - %d) overflows", a, b, c, d)
		}
	}
}
