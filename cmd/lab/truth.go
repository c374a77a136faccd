package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

const (
	// tick is the distance of the instants at which all clocks are compared: that of the samples.
	tick = samplePeriod
	// maxGap is how far two samples may lie apart for the clock in between to count as known. A clock that is
	// steered bends in between: by 25 ns over such a gap when its rate is moved by 0.1 ppm.
	maxGap = 5 * samplePeriod
	// hostGap is the same for the machine's own clocks. Nobody steers its raw oscillator, so that a straight line between two samples far
	// apart is as good as one between neighbours. A machine that stood still for half a second as the programs started cost a whole run.
	hostGap = 10 * time.Second
	// looseBracket is how many times wider than the median a bracket may be before its sample is left out.
	// Both readings of a wide one are right, but nobody knows when in between the clock was read.
	looseBracket = 4
	// minSamples is what a line needs before anything is said of it.
	minSamples = 10
)

// Pair is one reading of a clock, bracketed by two readings of the time stamp counter.
type Pair struct {
	Lo, Hi int64 // counter before and after
	NS     int64 // what the clock said in between
}

// mid is the best guess of the instant at which the clock was read; it is off by half the bracket at most.
func (p Pair) mid() int64 { return p.Lo + (p.Hi-p.Lo)/2 }

// width is the bracket in ticks of the counter.
func (p Pair) width() int64 { return p.Hi - p.Lo }

// withinRing finds the kernel's own reading of its clocksource within a bracket around a system call, in a ring as
// preload.c writes it; false unless there is exactly one.
func withinRing(ring []byte, p Pair) (Pair, bool) {
	const entry = 16 // two counters
	found := 0
	exact := p
	for ; len(ring) >= entry; ring = ring[entry:] {
		lo := int64(binary.NativeEndian.Uint64(ring))
		hi := int64(binary.NativeEndian.Uint64(ring[8:]))
		if lo > p.Lo && hi < p.Hi {
			exact.Lo, exact.Hi = lo, hi
			found++
		}
	}
	return exact, found == 1
}

// Line is a clock as it was seen over a run: pairs in the order of the counter.
type Line []Pair

// widths are the widths of all brackets in nanoseconds.
func (l Line) widths(hz float64) []float64 {
	w := make([]float64, len(l))
	for i, p := range l {
		w[i] = float64(p.width()) / hz * 1e9
	}
	return w
}

// tight returns the line without its loose brackets.
func (l Line) tight() Line {
	widths := make([]float64, len(l))
	for i, p := range l {
		widths[i] = float64(p.width())
	}
	limit := looseBracket * quantile(widths, 0.5)
	kept := make(Line, 0, len(l))
	for _, p := range l {
		if float64(p.width()) <= limit {
			kept = append(kept, p)
		}
	}
	return kept
}

// with returns the line with one more pair in its place.
func (l Line) with(p Pair) Line {
	i, _ := slices.BinarySearchFunc(l, p, func(a, b Pair) int { return cmp.Compare(a.mid(), b.mid()) })
	return slices.Insert(slices.Clone(l), i, p)
}

// at is what the clock said when the counter stood at tsc, by a straight line between the samples around it;
// false where these lie further apart than gap counter ticks.
func (l Line) at(tsc, gap int64) (int64, bool) {
	i, hit := slices.BinarySearchFunc(l, tsc, func(p Pair, t int64) int {
		switch m := p.mid(); {
		case m < t:
			return -1
		case m > t:
			return 1
		}
		return 0
	})
	if hit {
		return l[i].NS, true
	}
	if i == 0 || i == len(l) {
		return 0, false
	}
	a, b := l[i-1], l[i]
	span := b.mid() - a.mid()
	if span > gap {
		return 0, false
	}
	share := float64(tsc-a.mid()) / float64(span)
	return a.NS + int64(math.Round(share*float64(b.NS-a.NS))), true
}

// frequency is the counter's frequency in Hz, as the clock of the line sees it.
func (l Line) frequency() (float64, error) {
	if len(l) < 2 {
		return 0, fmt.Errorf("%d samples, want 2", len(l))
	}
	a, b := l[0], l[len(l)-1]
	hz := float64(b.mid()-a.mid()) / float64(b.NS-a.NS) * 1e9
	if !(hz > 1e8 && hz < 1e11) {
		return 0, fmt.Errorf("the time stamp counter seems to run at %g Hz", hz)
	}
	return hz, nil
}

// truth is the machine's own time, by which all guests are judged: a straight count of its raw oscillator.
type truth struct {
	raw   Line
	hz    float64 // of the counter
	start int64   // counter at the start of the programs
	wall  int64   // the machine's wall clock at that instant
	from  int64   // the machine's raw oscillator at that instant
}

// newTruth builds the machine's time from its own samples, and from the pairs that were read as the programs started.
func newTruth(raw, wall Line, start Start) (*truth, error) {
	hz, err := raw.frequency()
	if err != nil {
		return nil, fmt.Errorf("host samples: %w", err)
	}
	t := &truth{raw: raw.tight().with(start.Raw), hz: hz, start: start.TSC}
	from, ok1 := t.raw.at(start.TSC, t.ticks(hostGap))
	now, ok2 := wall.tight().with(start.Wall).at(start.TSC, t.ticks(hostGap))
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("host samples: none within %v of the start of the programs: is this machine overloaded?", hostGap)
	}
	t.from, t.wall = from, now
	return t, nil
}

// ticks is a span of time in ticks of the counter.
func (t *truth) ticks(span time.Duration) int64 { return int64(span.Seconds() * t.hz) }

// elapsed is the true time in nanoseconds between the start of the programs and counter reading tsc.
func (t *truth) elapsed(tsc int64) (int64, bool) {
	ns, ok := t.raw.at(tsc, t.ticks(hostGap))
	return ns - t.from, ok
}

// ppm is the rate error of a clock against the machine's oscillator, by least squares over all its samples; and what the table of
// its oscillator adds to the rate that was set over the same time.
func (t *truth) ppm(l Line, w walk) (measured, strayed float64, err error) {
	if len(l) < minSamples {
		return 0, 0, fmt.Errorf("%d samples, want %d", len(l), minSamples)
	}
	var x, y, z []float64
	for _, p := range l {
		if ns, ok := t.elapsed(p.mid()); ok {
			x = append(x, float64(ns))
			y = append(y, float64(p.NS-l[0].NS-ns))
			z = append(z, w.strayed(t.from+ns))
		}
	}
	if len(x) < minSamples {
		return 0, 0, fmt.Errorf("%d samples within the host's, want %d", len(x), minSamples)
	}
	return slope(x, y) * 1e6, slope(x, z) * 1e6, nil
}

// since is the time from the start of the programs to counter reading tsc, as the counter's own rate has it.
func (t *truth) since(tsc int64) time.Duration {
	return time.Duration(float64(tsc-t.start) / t.hz * 1e9)
}

// tsc is what the counter showed at a time since the start of the programs.
func (t *truth) tsc(at time.Duration) int64 { return t.start + t.ticks(at) }

// within is the part of a line from one time to another.
func (t *truth) within(l Line, from, to time.Duration) Line {
	lo, hi := t.tsc(from), t.tsc(to)
	return slices.DeleteFunc(slices.Clone(l), func(p Pair) bool { return p.mid() < lo || p.mid() > hi })
}

// Instant is the true state of the LAN at one moment.
type Instant struct {
	At      time.Duration // since the start of the programs
	Offsets []float64     // of each guest's wall clock from the machine's, in nanoseconds
	Absent  []bool        // guests that do not count, because of a fault; nil: all count
}

// counted are the offsets of the guests that count; without any, of all: then the LAN is what is left of it.
func (i Instant) counted() []float64 {
	if i.Absent == nil {
		return i.Offsets
	}
	var list []float64
	for k, o := range i.Offsets {
		if !i.Absent[k] {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return i.Offsets
	}
	return list
}

// spread is the disagreement of the LAN: largest minus smallest offset.
func (i Instant) spread() float64 {
	list := i.counted()
	return slices.Max(list) - slices.Min(list)
}

// mean is how far the LAN as a whole is from the machine's time.
func (i Instant) mean() float64 { return mean(i.counted()) }

// timeline compares all clocks at common instants from the start to length after it. It leaves out the instants at
// which one of them is not known; wanted is how many there would be without such gaps.
func (t *truth) timeline(walls []Line, length time.Duration) (list []Instant, wanted int) {
	for at := time.Duration(0); at <= length; at += tick {
		wanted++
		if offsets, ok := t.offsets(walls, t.tsc(at)); ok {
			list = append(list, Instant{At: at, Offsets: offsets})
		}
	}
	return list, wanted
}

// offsets are those of all clocks from the machine's when the counter stood at tsc; false if one of them is not known.
func (t *truth) offsets(walls []Line, tsc int64) ([]float64, bool) {
	passed, ok := t.elapsed(tsc)
	list := make([]float64, len(walls))
	for i, wall := range walls {
		ns, known := wall.at(tsc, t.ticks(maxGap))
		ok = ok && known
		list[i] = float64(ns - t.wall - passed)
	}
	return list, ok
}

// together is the time from which on all clocks stayed within limit of one another to the end; false if they did not.
func together(list []Instant, limit time.Duration) (time.Duration, bool) {
	i := len(list)
	for i > 0 && list[i-1].spread() < float64(limit) {
		i--
	}
	if i == len(list) {
		return 0, false
	}
	return list[i].At, true
}

// convergedFor is how long clocks must stay together to have converged.
const convergedFor = 5 * time.Second

// converged is when all clocks were first within limit of one another and stayed so for a while, or to the end; false if never.
func converged(list []Instant, limit time.Duration) (time.Duration, bool) {
	begin := -1
	for i, t := range list {
		switch {
		case t.spread() >= float64(limit):
			begin = -1
		case begin < 0:
			begin = i
		case t.At-list[begin].At >= convergedFor:
			return list[begin].At, true
		}
	}
	if begin < 0 {
		return 0, false
	}
	return list[begin].At, true
}

// rate is the slope in ppm of what pick takes from each instant.
func rate(list []Instant, pick func(Instant) float64) float64 {
	x, y := make([]float64, len(list)), make([]float64, len(list))
	for i, instant := range list {
		x[i], y[i] = float64(instant.At), pick(instant)
	}
	return slope(x, y) * 1e6
}

// slope is the least-squares slope of y over x; NaN for fewer than two different x.
func slope(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xy, xx float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	return xy / xx
}

// mean is the plain mean; NaN of nothing.
func mean(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// quantile is the q-quantile by the nearest rank, an element of v; NaN of nothing.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(v)
	slices.Sort(sorted)
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// writeSample writes one line of a sample file: wall clock and raw oscillator, each with its bracket.
func writeSample(w io.Writer, wall, raw Pair) error {
	_, err := fmt.Fprintln(w, wall.Lo, wall.Hi, wall.NS, raw.Lo, raw.Hi, raw.NS)
	return err
}

// readSamples reads a sample file. A last line without its end is left out: a guest may be killed while writing.
func readSamples(data []byte) (wall, raw Line, err error) {
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for text := range bytes.Lines(data) {
		var a, b Pair
		if _, err := fmt.Sscan(string(text), &a.Lo, &a.Hi, &a.NS, &b.Lo, &b.Hi, &b.NS); err != nil {
			return nil, nil, fmt.Errorf("sample %d: %w", len(wall)+1, err)
		}
		if a.Hi < a.Lo || b.Hi < b.Lo || len(wall) > 0 && a.Lo < wall[len(wall)-1].Hi {
			return nil, nil, fmt.Errorf("sample %d: the time stamp counter went backwards", len(wall)+1)
		}
		wall, raw = append(wall, a), append(raw, b)
	}
	return wall, raw, nil
}
