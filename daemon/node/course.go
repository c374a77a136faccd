package node

import (
	"math"
	"time"
)

// course is how clocks that are slewed go where an operator sets LAN time: all members keep to the same one, so that they stay together.
// It goes at an even pace and brakes at the end. Its zero value is none.
type course struct {
	left int64   // ns to go at its beginning, forward or backward
	from int64   // LAN time (ns since the Unix epoch) at its beginning
	pace float64 // fractional
}

const (
	// brake (fractional, a second) is how fast the pace of a course falls at its end. Clocks are steered once a second, each at its own
	// instant, and go straight in between: they part by an eighth of this, 125 µs.
	brake = 1e-3
	// spare is the part of the slowest member's slew rate that a course leaves, so that a clock that began late can catch up.
	spare = 1.0 / 8
	// catchUp is how many seconds a clock takes to be on its course again. An operating system heeds an order up to two seconds late: at less
	// than four it would swing about the course.
	catchUp = 4
)

// rest is what a clock that keeps to the course has still to go (ns, signed) at an instant of LAN time.
func (c course) rest(at int64) int64 {
	if c.left == 0 {
		return 0
	}
	total, elapsed := math.Abs(float64(c.left)), math.Max(0, float64(at-c.from)/1e9)
	braking, even := c.phases()
	rest := total - c.pace*1e9*elapsed
	if elapsed > even {
		still := max(0, math.Sqrt(2*braking/brake)-(elapsed-even))
		rest = 1e9 * brake * still * still / 2
	}
	return int64(math.Copysign(min(rest, total), float64(c.left)))
}

// phases are the way (s) on which it brakes, and for how long (s) it goes at its pace before that.
func (c course) phases() (braking, even float64) {
	total := math.Abs(float64(c.left)) / 1e9
	braking = min(total, c.pace*c.pace/(2*brake))
	return braking, (total - braking) / c.pace
}

// takes is how long the whole course takes.
func (c course) takes() time.Duration {
	if c.left == 0 {
		return 0
	}
	braking, even := c.phases()
	return time.Duration(min(1e9*(even+math.Sqrt(2*braking/brake)), math.MaxInt64/2))
}

// rate is the slew rate (fractional, in the direction of what is left) with which a clock that has phase (ns) to go is on the course again
// soon, and ok is false where the course is over for it.
func (c course) rate(at, phase int64) (rate float64, ok bool) {
	rest := c.rest(at)
	if rest == 0 || (phase > 0) != (rest > 0) {
		return 0, false
	}
	due := float64(rest-c.rest(at+1e9)) + float64(phase-rest)/catchUp
	return math.Copysign(due, due*float64(rest)) / 1e9, true
}
