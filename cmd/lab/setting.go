package main

import (
	"fmt"
	"math"
	"time"
)

// mostSlew (ppm) is the fastest that any daemon's max_slew lets it slew. What gains or loses more between two samples was stepped, and
// what runs backward loses ten times that.
const mostSlew = 100_000

// apartOnWay is how much further apart than at rest clocks may be on their way. A kernel heeds an order in its next second, and no two have
// the same seconds: clocks that brake by 1000 ppm a second (PROTOCOL.md 8.32) may part by a millisecond.
const apartOnWay = 2

// Setting is what came of an operator's order to set LAN time. Where the clocks should be then is on the straight course that their mean
// had before it, and the amount beyond.
type Setting struct {
	By      float64  `json:"by_ms"`
	Told    *float64 `json:"told_s"`      // how long it would take, as the operator was told
	There   *float64 `json:"there_s"`     // from the order until all were where they should be, to the end; null: never
	Apart   *float64 `json:"apart_us"`    // most that they were from each other, from the order on
	Pace    *float64 `json:"pace_ppm"`    // of their mean, from a tenth of the way to nine tenths; null: at a stroke, or never
	Off     *float64 `json:"off_us"`      // furthest that one was from where it should be, in the last second
	Slowest *float64 `json:"slowest_ppm"` // that any clock ran between two samples of it
	Fastest *float64 `json:"fastest_ppm"`
	Stepped []int    `json:"stepped,omitempty"` // nodes whose clock was stepped or ran backward
}

// set says what came of an order to set LAN time, given the instants before and after it.
func (e *evidence) set(d Deed, before, after []Instant, within time.Duration) *Setting {
	s := &Setting{By: d.Amount.Seconds() * 1e3}
	if d.Told > 0 {
		s.Told = new(d.Told.Seconds())
	}
	at := e.host.since(d.TSC)
	before = between(before, at-rateSpan, at)
	if len(before) < minSamples || len(after) < minSamples {
		return s
	}
	s.follow(courseOf(before), at, after, within)
	s.watch(e, at, after[len(after)-1].At)
	return s
}

// courseOf is the straight line through the mean of some instants: its offset in nanoseconds at any time.
func courseOf(list []Instant) func(time.Duration) float64 {
	var x, y []float64
	for _, t := range list {
		x, y = append(x, float64(t.At)), append(y, t.mean())
	}
	mx, my, drift := mean(x), mean(y), slope(x, y)
	return func(at time.Duration) float64 { return my + drift*(float64(at)-mx) }
}

// follow compares the clocks after an order with where they should be.
func (s *Setting) follow(course func(time.Duration) float64, at time.Duration, after []Instant, within time.Duration) {
	by, end := s.By*1e6, after[len(after)-1].At
	gone := func(t Instant) float64 { return t.mean() - course(t.At) }
	off := func(t Instant) (worst float64) {
		for _, o := range t.counted() {
			worst = max(worst, math.Abs(o-course(t.At)-by))
		}
		return worst
	}
	var way []Instant
	worst := 0.0
	for _, t := range after {
		if share := gone(t) / by; share > 0.1 && share < 0.9 {
			way = append(way, t)
		}
		switch miss := off(t); {
		case miss >= float64(within):
			s.There = nil
		case s.There == nil:
			s.There = new((t.At - at).Seconds())
		}
		if t.At > end-backFor {
			worst = max(worst, off(t))
		}
	}
	s.Apart, s.Off = known(quantile(spreads(after), 1)), known(worst/1e3)
	if len(way) >= minSamples {
		s.Pace = known(rate(way, gone))
	}
}

// watch looks at how fast each clock ran from one sample of it to the next.
func (s *Setting) watch(e *evidence, from, to time.Duration) {
	slowest, fastest := math.Inf(1), math.Inf(-1)
	for i, w := range e.guests {
		low, high := e.host.extremes(e.host.within(w.wall, from-maxGap, to))
		if low < -mostSlew || high > mostSlew {
			s.Stepped = append(s.Stepped, i+1)
		}
		slowest, fastest = min(slowest, low), max(fastest, high)
	}
	s.Slowest, s.Fastest = known(slowest), known(fastest)
}

// extremes are the slowest and the fastest that a clock ran between two neighbouring samples, in ppm off the machine's time.
func (t *truth) extremes(l Line) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i := 1; i < len(l); i++ {
		from, ok1 := t.elapsed(l[i-1].mid())
		to, ok2 := t.elapsed(l[i].mid())
		if ok1 && ok2 && to > from {
			passed := float64(to - from)
			ppm := (float64(l[i].NS-l[i-1].NS) - passed) / passed * 1e6
			low, high = min(low, ppm), max(high, ppm)
		}
	}
	return low, high
}

// line is a setting for people.
func (s *Setting) line() string {
	return fmt.Sprintf("all there after %s s, where the operator was told %s s; at %s ppm on the way, each clock between two samples "+
		"at %s to %s ppm; %s µs apart at most from the order on; in the last second %s µs from where they should be",
		figure(s.There, "%.1f"), figure(s.Told, "%.1f"), figure(s.Pace, "%+.0f"), figure(s.Slowest, "%+.0f"), figure(s.Fastest, "%+.0f"),
		figure(s.Apart, "%.1f"), figure(s.Off, "%.1f"))
}

// checkSettings makes sure that LAN time went where operators set it, all clocks together and none of them back.
func (r *Result) checkSettings() {
	most := apartOnWay * r.Within
	for _, a := range r.Aftermaths {
		s := a.Set
		if s == nil {
			continue
		}
		stepped := "none stepped or back"
		if len(s.Stepped) != 0 {
			stepped = fmt.Sprintf("stepped or back: %v", s.Stepped)
		}
		r.add(fmt.Sprintf("set-time by node %d", a.Node),
			fmt.Sprintf("all clocks %+g ms on to within %v, within %v of each other all the way, none stepped or back", s.By, r.Within, most),
			fmt.Sprintf("there after %s s, %s µs apart at most, %s", figure(s.There, "%.1f"), figure(s.Apart, "%.1f"), stepped),
			s.There != nil && s.Apart != nil && *s.Apart < float64(most)/1e3 && s.Slowest != nil && len(s.Stepped) == 0)
	}
}

// setAt is when an operator first set LAN time: it runs at no rate of its own from then on.
func (r *Result) setAt() time.Duration {
	first := maxFor
	for _, a := range r.Aftermaths {
		if a.Set != nil {
			first = min(first, time.Duration(a.At*1e9))
		}
	}
	return first
}
