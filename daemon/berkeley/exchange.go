package berkeley

import (
	"errors"
	"math"
)

// Sample is one measurement of another clock against one's own. All fields are nanoseconds.
type Sample struct {
	Offset int64 // other clock minus own clock
	Delay  int64 // time spent on the wire, there and back; slightly negative where the two clocks' rates differ
	Bound  int64 // the true offset lies within Offset ± Bound while the clocks keep to the assumptions of Measure; ≥ 0
}

// ErrRange says that stamps lie further apart than any clock can be wrong.
var ErrRange = errors.New("stamps out of range")

// maxLeg is the largest difference of two stamps that Measure takes: 146 years in nanoseconds. Anything beyond is a
// hostile packet, and sums of two legs stay clear of overflow.
const maxLeg = math.MaxInt64 / 2

// Legs are the four stamps of an exchange, in nanoseconds: two on one's own clock, two on the other's. The two legs may
// come in either order: an NTP-like Poll/Reply goes out first, a Reply/Ack comes in first.
type Legs struct {
	Sent     int64 // own clock: departure of the outgoing packet
	Received int64 // other clock: its arrival there
	Replied  int64 // other clock: departure of the incoming packet
	Returned int64 // own clock: its arrival here
}

// Doubt is what Measure must allow for besides the wire.
type Doubt struct {
	Skew  float64 // largest rate difference between the two clocks, fractional (1e-6 = 1 ppm)
	Stamp int64   // ns: largest error of the stamps together, for example of stamps taken in user space
}

// Measure computes offset and delay as in RFC 5905, section 8:
//
//	offset = ((Received − Sent) + (Replied − Returned)) / 2
//	delay  =  (Received − Sent) − (Replied − Returned)
//
// The bound is half the delay, since all of it may have been spent on one leg, plus what the clocks may have parted
// between the legs, plus the stamps' own error, rounded up. It returns ErrRange for legs or a delay beyond ±146 years.
func Measure(l Legs, d Doubt) (Sample, error) {
	if wide(l.Received, l.Sent) || wide(l.Replied, l.Returned) {
		return Sample{}, ErrRange
	}
	out, in := l.Received-l.Sent, l.Replied-l.Returned
	delay := out - in
	if wide(out, in) {
		return Sample{}, ErrRange
	}
	apart := d.Skew * math.Abs(float64(l.Replied)-float64(l.Received))
	return Sample{
		Offset: in + delay/2, // (out+in)/2 without the sum
		Delay:  delay,
		Bound:  (max(delay, -delay)+1)/2 + int64(math.Ceil(apart)) + d.Stamp,
	}, nil
}

// wide reports whether a−b is beyond ±maxLeg, overflow included.
func wide(a, b int64) bool {
	d := float64(a) - float64(b)
	return d > maxLeg || d < -maxLeg
}
