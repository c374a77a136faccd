package servo

import "math"

const (
	// window is how many points the line is fitted through. At one poll a second the oscillators of ordinary machines
	// wander less in a minute than a fit over it still gains: the height of 64 points is four times as sure as one
	// round's, 2.5 µs at 10 µs of noise (TestFitAverages; DESIGN.md, "Fitting a line").
	window = 64
	// minFit is how many points must stand before the slope is believed. Slopes of shorter fits are noise over a short
	// base, and are fed back through the LAN's mean (DESIGN.md, "Rate centring").
	minFit = 8
	// maxRate is the largest frequency correction believed: the oscillators of computers are within 100 ppm, broken ones
	// within 500; the kernel's own limit is 500 ppm.
	maxRate = 500e-6
	// freeSkew is the largest rate error of a timescale whose slope has not been fitted.
	freeSkew = 200e-6
	// fittedSkew is the rate error left when it has: wander within a window.
	fittedSkew = 1e-6
)

// Servo holds a node's timescale and the points it was fitted through.
type Servo struct {
	line   Line
	points []point
	rms    float64
	last   int64 // raw reading of the last delta
	heard  bool  // whether there was one
	bound  int64 // its bound, ns
}

// New starts a timescale that stands at time (ns since the Unix epoch) at raw and runs with a frequency correction
// remembered or 0 (fractional).
func New(raw, time int64, rate float64) *Servo {
	s := &Servo{points: make([]point, 0, window)}
	s.line = Line{Raw: raw, Time: time, Rate: clampRate(rate)}
	return s
}

// Line returns the timescale as it stands.
func (s *Servo) Line() Line { return s.line }

// Fitted says whether the slope comes from a fit, so that the timescale's rate error is small.
func (s *Servo) Fitted() bool { return len(s.points) >= minFit }

// Skew is the largest rate error (fractional) to be assumed of the timescale.
func (s *Servo) Skew() float64 {
	if s.Fitted() {
		return fittedSkew
	}
	return freeSkew
}

// RMS is the scatter of the points about the line, ns; 0 before there is a fit.
func (s *Servo) RMS() float64 { return s.rms }

// Heard says whether the timescale has been corrected at least once, and at which raw reading last.
func (s *Servo) Heard() (raw int64, ok bool) { return s.last, s.heard }

// Bound bounds the distance (ns) of the timescale from LAN time at a raw reading: the last measurement's bound, three
// times the scatter of the fit, and what the rate error may have added since. It is math.MaxInt64 before the first delta.
func (s *Servo) Bound(raw int64) int64 {
	if !s.heard {
		return math.MaxInt64
	}
	aged := s.Skew() * float64(max(0, raw-s.last))
	return s.bound + int64(3*s.rms+aged)
}

// Correct takes a round's delta (ns to add to the timescale as it stood at raw, known to ± bound ns) as a point of the fit
// and moves the line onto the new fit. Before minFit points stand only the height is moved.
func (s *Servo) Correct(raw, delta, bound int64) {
	s.line = s.line.moved(raw)
	p := point{raw: raw, time: s.line.Time + delta, bound: max(0, bound)}
	s.points = push(s.points, p)
	s.last, s.bound, s.heard = raw, p.bound, true
	if !s.Fitted() {
		s.line.Time = p.time
		return
	}
	f := fitLine(s.points)
	s.rms = f.rms
	s.line.Time = p.time + int64(math.Round(f.height))
	s.line.Rate = clampRate(f.rate)
}

// Jump moves the timescale by delta (ns) and drops its points: LAN time is elsewhere than they said. The slope stays,
// since the oscillator is the same.
func (s *Servo) Jump(raw, delta, bound int64) {
	s.line = s.line.moved(raw)
	s.line.Time += delta
	s.points, s.rms = s.points[:0], 0
	s.last, s.bound, s.heard = raw, max(0, bound), true
}

// Turn moves line and points by shift(t) ns, where t is the timescale's reading there (ns since the Unix epoch): the whole
// past is seen as if LAN time had always gone that way. rate is the slope of shift.
func (s *Servo) Turn(shift func(time int64) int64, rate float64) {
	s.line.Time += shift(s.line.Time)
	s.line.Rate = clampRate(s.line.Rate + rate)
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
