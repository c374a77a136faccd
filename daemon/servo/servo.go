package servo

import "math"

const (
	// window is how many points the line is fitted through at most. At one poll a second the oscillators of ordinary machines
	// wander less in a minute than a fit over it still gains: the height of 64 points is four times as sure as one
	// round's, 2.5 µs at 10 µs of noise (TestFitAverages; DESIGN.md, "Fitting a line").
	window = 64
	// leastWindow is how few points a window is shortened to.
	leastWindow = 16
	// minFit is how many points must stand before the slope is believed. Slopes of shorter fits are noise over a short
	// base, and are fed back through the LAN's mean (DESIGN.md, "Rate centring").
	minFit = 8
	// telling is how well (fractional, one standard deviation) a slope must be known to be believed: half of what the oscillators of
	// ordinary machines are off by. Eight rounds of a network that is wrong by a millisecond each tell 150 ppm: nothing.
	telling = 25e-6
	// maxRate is the largest frequency correction believed: the oscillators of computers are within 100 ppm, broken ones
	// within 500; the kernel's own limit is 500 ppm.
	maxRate = 500e-6
	// freeSkew is the largest rate error of a timescale whose slope is not known.
	freeSkew = 200e-6
	// firm is how well (fractional) a slope must have been known before for the first points to be fitted with it: well below
	// what minFit points tell.
	firm = 2e-6
	// disbelief is how many standard deviations of what was known before the points may take the slope away.
	disbelief = 3
	// unsure is the least error (fractional) that is assumed of a slope after a jump, or of one remembered from another day: an
	// oscillator's rate moves by as much with a few degrees.
	unsure = 0.1e-6
	// stray is what a rate may change within the next rounds on top of the error of its fit.
	stray = 0.2e-6
	// fading is by how much the error of what was known before the points grows with each point that leaves the window: twice as large
	// after 22 rounds.
	fading = 1 + 1.0/32
	// drift and driftTime are for holdover: nothing tells what temperature does to an oscillator that is not measured. It is
	// taken to be within 1 ppm, and within one more for each 20 minutes: a swing of 1 ppm with the room stays inside
	// (TestHoldoverBoundsAreHonest in daemon/sim).
	drift     = 1e-6
	driftTime = 1200e9
)

// bendTime (ns) is the time constant of rate centring: those who are left turn LAN time's rate to their own mean, away from that of a
// member that is not heard any more by half of its correction or less (a third member left).
const bendTime = 3600e9

// Servo holds a node's timescale and the points it was fitted through.
type Servo struct {
	line   Line
	known  prior // of the slope, before the points
	points []point
	cloud  cloud // the same, for the last fit
	fit    fit
	last   int64
	heard  bool
	bound  int64 // ns: of the measurement; once there is a fit, of those that it hangs on
	moved  int64 // ns: sum of what corrections have moved the line by
	plain  bool  // no fit
	sloped bool  // the slope has been believed
}

// New starts a timescale that stands at time (ns since the Unix epoch) at raw and runs with a frequency correction that was found or
// remembered, known to within err (both fractional; an err of 0 says that it is a guess).
func New(raw, time int64, rate, err float64) *Servo {
	s := &Servo{points: make([]point, 0, window)}
	s.line = Line{Raw: raw, Time: time, Rate: clampRate(rate)}
	s.known = prior{s.line.Rate, freeSkew}
	if err > 0 && err < freeSkew {
		s.known.err = max(err, unsure)
	}
	return s
}

// NewPlain starts a timescale that fits nothing: it takes each delta as it comes and keeps the oscillator's own rate, as in the
// textbook. It is there to be compared with.
func NewPlain(raw, time int64) *Servo {
	s := New(raw, time, 0, 0)
	s.plain = true
	return s
}

// Line returns the timescale as it stands.
func (s *Servo) Line() Line { return s.line }

// Fitted says whether the slope comes from a fit, so that the timescale's rate error is small.
func (s *Servo) Fitted() bool { return len(s.points) >= minFit && s.sloped }

// Rate returns the frequency correction and its standard deviation, both fractional.
func (s *Servo) Rate() (rate, err float64) {
	if len(s.points) > 0 && s.sloped {
		return s.line.Rate, s.fit.rateErr
	}
	return s.line.Rate, s.known.err
}

// Skew is the largest rate error (fractional) to be assumed of the timescale for the next rounds.
func (s *Servo) Skew() float64 {
	_, err := s.Rate()
	return min(freeSkew, 3*err+stray)
}

// RMS is the scatter of the points about the line, ns; 0 before there is a fit.
func (s *Servo) RMS() float64 { return s.fit.rms }

// Error is the standard deviation (ns) of the timescale's height, as far as the scatter tells it; 0 before there is a fit.
func (s *Servo) Error() float64 { return s.fit.heightErr }

// Points is how many points the line goes through.
func (s *Servo) Points() int { return len(s.points) }

// Heard says whether the timescale has been corrected at least once, and at which raw reading last.
func (s *Servo) Heard() (raw int64, ok bool) { return s.last, s.heard }

// Bound bounds the distance (ns) of the timescale from LAN time at a raw reading: what the legs of the measurements that it hangs on
// may have been unequal by, three times the error of the fit, and what the rate error may have added since the last delta, the longer
// ago the more. It is math.MaxInt64 before the first delta.
func (s *Servo) Bound(raw int64) int64 {
	if !s.heard {
		return math.MaxInt64
	}
	age := float64(max(0, raw-s.last))
	_, err := s.Rate()
	bend := math.Abs(s.line.Rate) / 2 * min(1, age/(2*bendTime))
	skew := min(freeSkew, 3*err+drift*(1+age/driftTime)+bend)
	return s.bound + int64(min(3*s.fit.heightErr+skew*age, math.MaxInt64/4))
}

// Correct takes a round's delta (ns to add to the timescale as it stood at raw, known to ± bound ns) as a point of the fit
// and moves the line onto the new fit. Until the slope is known only the height is moved, by what all points say of it.
func (s *Servo) Correct(raw, delta, bound int64) {
	s.line = s.line.moved(raw)
	p := point{raw: raw, time: s.line.Time + delta, bound: max(0, bound)}
	s.last, s.bound, s.heard = raw, p.bound, true
	if s.plain {
		s.line.Time = p.time
		return
	}
	if len(s.points) == window {
		s.known.err = min(freeSkew, s.known.err*fading)
	}
	s.points = push(s.points, p)
	before := s.line.Time
	if s.line.Time = p.time; s.refit() {
		s.line.Time += int64(math.Round(s.fit.height))
		s.line.Rate = clampRate(s.fit.rate)
	} else {
		s.rest()
	}
	s.moved += s.line.Time - before
}

// Moved is the sum (ns) of what Correct has moved the timescale by, all else left out: jumps and common moves.
func (s *Servo) Moved() int64 { return s.moved }

// refit puts a line through the points: without what was known before where they deny it, and through fewer of them where they show that
// it has bent. It says whether its slope can be believed: it goes through enough points, or it was known well before; and it is
// known well enough now.
func (s *Servo) refit() bool {
	if len(s.points) < minFit && s.known.err > firm {
		return false
	}
	c := &s.cloud
	c.load(s.points)
	s.fit = c.line(s.known)
	if off := math.Abs(s.fit.rate - s.known.rate); len(s.points) >= minFit && off > disbelief*s.known.err {
		s.known.err = freeSkew
		s.fit = c.line(s.known)
	}
	if len(s.points) > leastWindow && c.bent(s.fit) {
		s.forget(min(len(s.points)/8, len(s.points)-leastWindow))
		c.load(s.points)
		s.fit = c.line(s.known)
	}
	if s.sloped = s.sloped || s.fit.rateErr <= telling; !s.sloped {
		s.fit = fit{}
		return false
	}
	s.bound = c.bound()
	return true
}

// rest puts the line, whose slope is not to be believed yet, to the height that its points have with the slope known before. They count by
// how long they waited and by how long ago they were, so the newest decides, unless it is far worse than the ones before it.
func (s *Servo) rest() {
	c := &s.cloud
	c.load(s.points)
	c.assume()
	height, bound := c.height(s.known, s.points)
	s.line.Time += int64(math.Round(height))
	s.bound = int64(math.Round(bound))
}

// forget drops the oldest points.
func (s *Servo) forget(count int) {
	kept := copy(s.points, s.points[count:])
	s.points = s.points[:kept]
	s.known.err = freeSkew // what was known before them is older still
}

// Jump moves the timescale by delta (ns, known to ± bound ns) and drops its points: LAN time is elsewhere than they said. The slope stays,
// since the oscillator is the same.
func (s *Servo) Jump(raw, delta, bound int64) {
	s.drop(raw, delta)
	s.last, s.bound, s.heard = raw, max(0, bound), true
}

// Join moves the timescale to a LAN's time, delta (ns) away as was measured to ± bound (ns). It is Jump, but that the measurement is the
// first point of the fit, as good as its bound says. A jump may have been a measurement's fault, which the next one alone can tell.
func (s *Servo) Join(raw, delta, bound int64) {
	s.Jump(raw, delta, bound)
	s.points = push(s.points, point{raw: raw, time: s.line.Time, bound: s.bound})
}

// drop moves the timescale by delta (ns) and drops its points.
func (s *Servo) drop(raw, delta int64) {
	_, err := s.Rate()
	s.known = prior{s.line.Rate, min(freeSkew, max(err, unsure))}
	s.line = s.line.moved(raw)
	s.line.Time += delta
	s.points, s.fit, s.sloped = s.points[:0], fit{}, false
}

// Restart puts the timescale at a time (ns since the Unix epoch), as if it had never been corrected: the oscillator stood still, and
// nobody knows for how long. The slope stays.
func (s *Servo) Restart(raw, time int64) {
	s.drop(raw, 0)
	s.line.Time, s.heard = time, false
}

// Doubt says that the slope may be off by err (fractional): another LAN's time may go at another rate.
func (s *Servo) Doubt(err float64) { s.known.err = min(freeSkew, max(s.known.err, err)) }

// Turn moves line and points by shift(t) ns, where t is the timescale's reading there (ns since the Unix epoch): the whole
// past is seen as if LAN time had always gone that way. rate is the slope of shift.
func (s *Servo) Turn(shift func(time int64) int64, rate float64) {
	s.line.Time += shift(s.line.Time)
	s.line.Rate = clampRate(s.line.Rate + rate)
	s.known.rate = clampRate(s.known.rate + rate)
	for i := range s.points {
		s.points[i].time += shift(s.points[i].time)
	}
}

// Steer tells what an operating system's clock needs to reach the timescale: the frequency correction (fractional) and the
// phase (ns to add) as of a pair of readings.
func (s *Servo) Steer(raw, wall int64) (frequency float64, phase int64) {
	return s.line.Rate, s.line.At(raw) - wall
}

// push appends p, dropping the oldest point when the window is full.
func push(points []point, p point) []point {
	if len(points) == window {
		copy(points, points[1:])
		points = points[:window-1]
	}
	return append(points, p)
}

func clampRate(r float64) float64 {
	if math.IsNaN(r) {
		return 0
	}
	return min(max(r, -maxRate), maxRate)
}

// Shift moves line and points by delta (ns), the whole past: LAN time itself was set.
func (s *Servo) Shift(delta int64) { s.Turn(func(int64) int64 { return delta }, 0) }
