package sysclock

import "math"

// sense finds out in which direction, if in any, a clock's rate follows the value that is written to it. A stretch is the time
// during which one value was in force: what the wall clock gained in it on the raw oscillator, over what was asked for, is the answer.
// The two may part by themselves, by a rate that nobody knows and that stays, so a line is laid through stretches of different
// values and only its slope counts.
type sense struct {
	first, last Reading // of the present stretch
	asked       float64 // fractional rate that the value in force should mean
	past        line    // of the stretches that are over
}

const (
	// senseBlur (ns) is added to the brackets' uncertainty: a value may come into force with the next tick of the clock, up to
	// 15.6 ms late, which at 500 ppm makes 8 µs.
	senseBlur = 10_000
	// senseError is the standard error of the slope that is good enough: the three answers, 1, 0 and -1, are then told apart at
	// four of them.
	senseError = 1.0 / 8
	// senseJump (fractional): in a stretch that differs by more from the rates that can be asked for, somebody set the clock.
	senseJump = maxFrequency + maxWinSlew + 200e-6
)

// begin ends the present stretch and begins another one, in which the rate should be asked.
func (s *sense) begin(r Reading, asked float64) {
	s.look(r)
	s.past = s.upto()
	s.first, s.last, s.asked = r, r, asked
}

// set forgets the present stretch: the clock was set to another time, and not by a rate.
func (s *sense) set(r Reading) { s.first, s.last = r, r }

// look takes in a reading within a stretch.
func (s *sense) look(r Reading) {
	span, moved := r.Raw-s.last.Raw, (r.Wall-s.last.Wall)-(r.Raw-s.last.Raw)
	most := senseJump*float64(span) + float64(s.last.Width+r.Width)/2 + senseBlur
	if s.last = r; math.Abs(float64(moved)) > most {
		s.set(r)
	}
}

// upto is the line through the stretches, the present one included.
func (s *sense) upto() line {
	span := float64(s.last.Raw - s.first.Raw)
	if span <= 0 {
		return s.past
	}
	blur := (float64(s.first.Width+s.last.Width)/2 + senseBlur) / span
	gained := float64(s.last.Wall-s.first.Wall)/span - 1
	return s.past.with(s.asked, gained, 1/(blur*blur))
}

// slope is what a unit of rate that was asked for has made of the clock's: 1, -1, or 0 where nothing happens. It is not known
// until stretches that were asked for different rates have lasted long enough.
func (s *sense) slope() (slope float64, known bool) {
	l := s.upto()
	if l.spread() < 1/(senseError*senseError) {
		return 0, false
	}
	return l.slope(), true
}

// forget drops all evidence but the present stretch's beginning, so that the next answer rests on its own.
func (s *sense) forget() { s.past, s.first = line{}, s.last }

// line is a straight line by least squares, as its weighted sums.
type line struct{ w, x, y, xx, xy float64 }

// with is the line with another point.
func (l line) with(x, y, w float64) line {
	return line{l.w + w, l.x + w*x, l.y + w*y, l.xx + w*x*x, l.xy + w*x*y}
}

// spread is the weighted square of the points' distances from their middle: one over the slope's variance.
func (l line) spread() float64 {
	if l.w == 0 {
		return 0
	}
	return l.xx - l.x*l.x/l.w
}

func (l line) slope() float64 { return (l.xy - l.x*l.y/l.w) / l.spread() }
