package netproto

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
)

// String returns the id as 16 lower-case hex digits, as it stands in logs and in the state directory.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// known reports whether k is a kind that this version reads.
func (k Kind) known() bool { return k >= KindPoll && k <= KindClaim }

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case KindPoll:
		return "poll"
	case KindReply:
		return "reply"
	case KindAck:
		return "ack"
	case KindAdjust:
		return "adjust"
	case KindCandidate:
		return "candidate"
	case KindResign:
		return "resign"
	case KindSetTime:
		return "set-time"
	case KindClaim:
		return "claim"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// String returns the phase's name in lower case.
func (p Phase) String() string {
	switch p {
	case PhaseGathering:
		return "gathering"
	case PhaseKeeping:
		return "keeping"
	case PhaseHolding:
		return "holding"
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// String returns the standing's name in lower case.
func (s Standing) String() string {
	switch s {
	case StandingFounder:
		return "founder"
	case StandingVoter:
		return "voter"
	case StandingNewcomer:
		return "newcomer"
	case StandingLeftOut:
		return "left out"
	}
	return fmt.Sprintf("standing %d", uint8(s))
}

// String says what the answer is, in a few words.
func (a Answer) String() string {
	switch a {
	case AnswerNone:
		return "none"
	case AnswerYes:
		return "accepted"
	case AnswerNoTime:
		return "there is no LAN time that a majority agrees on"
	case AnswerBusy:
		return "another move has been announced and has not begun"
	case AnswerRange:
		return "there is no such date, or the protocol cannot carry it"
	case AnswerUntrusted:
		return "the master has a list of trusted nodes, and this one is not in it"
	}
	return fmt.Sprintf("answer %d", uint8(a))
}

// rateUnits is how many units of Rate make a clock gain one second per second.
const rateUnits = 1_000_000_000_000_000

// MaxRate is the largest magnitude of a Rate that travels: one second per second, at which a clock stands still or runs
// twice as fast. No oscillator comes near, and 9,000 such rates add up without overflow.
const MaxRate Rate = rateUnits

// PaceOf returns a slew rate (fractional, ≥ 0) in the ppb of a pace field, saturating.
func PaceOf(fractional float64) uint32 { return uint32(min(fractional*1e9, math.MaxUint32)) }

// RateOf converts a fraction (1e-6 = 1 ppm) to the nearest Rate. It saturates at ±MaxRate; what is not a number
// becomes 0.
func RateOf(fraction float64) Rate {
	switch {
	case math.IsNaN(fraction):
		return 0
	case fraction >= 1:
		return MaxRate
	case fraction <= -1:
		return -MaxRate
	}
	return Rate(math.Round(fraction * rateUnits))
}

// Fraction returns the rate as a fraction: 1e-6 is 1 ppm. RateOf gives back every rate that may travel.
func (r Rate) Fraction() float64 { return float64(r) / rateUnits }

// GroupID returns the number of a group's name for Header.Group: the 32-bit FNV-1a hash of its bytes. It is never zero;
// the name that would hash to zero gets 1. It keeps LANs apart that share a wire by mistake; it is no secret.
func GroupID(name string) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name)) // documented never to fail
	return max(hash.Sum32(), 1)
}

// At returns by how many ns the rotation has moved every timescale at LAN time t: Phase + Rate·(t − Epoch), to the
// nearest ns, halves away from zero. The product is taken in 128 bits, so it is exact over any span; a result outside
// int64 saturates.
func (r Rotation) At(t Stamp) int64 {
	span, spanNegative := distance(int64(r.Epoch), int64(t))
	hi, lo := bits.Mul64(magnitude(int64(r.Rate)), span)
	lo, carry := bits.Add64(lo, rateUnits/2, 0)
	hi += carry // cannot overflow: the product is at most 2^63·(2^64−1)
	moved := uint64(math.MaxUint64)
	if hi < rateUnits {
		moved, _ = bits.Div64(hi, lo, rateUnits)
	}
	return addSigned(r.Phase, moved, spanNegative != (r.Rate < 0))
}

// Since returns what a node that stands on the rotation old has to do at LAN time t to stand on r: move its timescale by
// so many ns at once, and change its rate by so much. Both saturate. Each At rounds, so the move is within 1 ns.
func (r Rotation) Since(old Rotation, t Stamp) (move int64, rate Rate) {
	m, negative := distance(old.At(t), r.At(t))
	move = addSigned(0, m, negative)
	m, negative = distance(int64(old.Rate), int64(r.Rate))
	return move, Rate(addSigned(0, m, negative))
}

// magnitude returns |v|; it knows math.MinInt64 too.
func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// distance returns |to − from| and whether the way leads down. It holds for any two numbers.
func distance(from, to int64) (uint64, bool) {
	if to < from {
		return uint64(from) - uint64(to), true
	}
	return uint64(to) - uint64(from), false
}

// addSigned returns v + m, or v − m if negative, saturating.
func addSigned(v int64, m uint64, negative bool) int64 {
	if negative {
		if room, _ := distance(math.MinInt64, v); m > room {
			return math.MinInt64
		}
		return int64(uint64(v) - m)
	}
	if room, _ := distance(v, math.MaxInt64); m > room {
		return math.MaxInt64
	}
	return int64(uint64(v) + m)
}
