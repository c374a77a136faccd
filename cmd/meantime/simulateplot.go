package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"meantime/cmd/picture"
	"meantime/daemon/sim"
)

// history keeps of a run what a picture needs: each host's offset from the LAN's middle, thinned so that a year is no bigger
// than a minute. Thinning keeps extremes.
type history struct {
	each    int // points in a bucket
	filled  int // points in the last bucket
	buckets []bucket
}

// bucket is what happened within some neighbouring seconds.
type bucket struct {
	at        time.Duration // of its first point
	low, high []time.Duration
}

// mostBuckets is how many buckets a history has at most: more than a picture has columns.
const mostBuckets = 1500

// add takes a point.
func (h *history) add(p sim.Point) {
	p.Offsets = fromMiddle(p.Offsets)
	if h.filled++; h.filled <= h.each && len(h.buckets) > 0 {
		last := len(h.buckets) - 1
		h.buckets[last] = merge(h.buckets[last], bucket{p.At, p.Offsets, p.Offsets})
		return
	}
	if h.filled = 1; len(h.buckets) == mostBuckets {
		for i := range mostBuckets / 2 {
			h.buckets[i] = merge(h.buckets[2*i], h.buckets[2*i+1])
		}
		h.buckets = h.buckets[:mostBuckets/2]
		h.each *= 2
	}
	h.each = max(h.each, 1)
	h.buckets = append(h.buckets, bucket{p.At, p.Offsets, p.Offsets})
}

// merge makes one bucket of two neighbours. A host that was down in either is down in both: Down is below all offsets.
func merge(a, b bucket) bucket {
	m := bucket{at: a.at, low: slices.Clone(a.low), high: slices.Clone(a.high)}
	for i := range m.low {
		m.low[i], m.high[i] = min(m.low[i], b.low[i]), max(m.high[i], b.high[i])
	}
	return m
}

// fromMiddle takes the LAN's middle off all offsets: the mean of the middle third of the clocks that are up.
func fromMiddle(offsets []time.Duration) []time.Duration {
	from := slices.Clone(offsets)
	up := slices.DeleteFunc(slices.Clone(offsets), func(o time.Duration) bool { return o == sim.Down })
	slices.Sort(up)
	up = up[len(up)/3 : len(up)-len(up)/3]
	var middle float64 // of two clocks a century apart, an int64 of ns holds no sum
	for _, o := range up {
		middle += float64(o-up[0]) / float64(len(up))
	}
	for i := range from {
		if from[i] != sim.Down {
			from[i] -= up[0] + time.Duration(middle)
		}
	}
	return from
}

// offsets is the scale of a picture: simulated clocks agree within microseconds.
var offsets = picture.Scale{Linear: time.Microsecond}

// Sizes of a picture, in pixels.
const (
	pictureWidth, pictureHeight        = 1600, 900
	marginTop, marginSide, marginUnder = 146, 40, 70
	fontSize, titleSize                = 17, 26
	bandTop, bandHeight                = 98, 38 // of the band that says who is master
)

// draw writes the picture of a run: each host's offset over time, who was master when, and what happened to whom.
func (h *history) draw(w io.Writer, r run) error {
	end := r.report.Simulated
	frame := picture.Frame{
		Width: pictureWidth, Height: pictureHeight, Top: marginTop, Side: marginSide, Under: marginUnder, Font: fontSize,
		Scale: offsets, Reach: math.Ceil(offsets.Height(h.largest())), Times: timeTicks(end), End: end.Seconds(),
	}
	zero := picture.Line{Color: picture.Grey, Width: 1, Seconds: []float64{0, end.Seconds()}, Heights: []float64{0, 0}}
	return frame.Render(w, append([]picture.Line{zero}, h.lines()...), func(p picture.Pen) {
		drawFaults(p, r.plan().Faults)
		drawMasters(p, reigns(r.report))
		drawHead(p, r)
	})
}

// lines are the hosts' offsets, broken where a host is down.
func (h *history) lines() (all []picture.Line) {
	if len(h.buckets) == 0 {
		return nil
	}
	for host := range h.buckets[0].low {
		line := picture.Line{Color: picture.Clock(host), Width: 1.6}
		flush := func() {
			if len(line.Seconds) > 0 {
				all = append(all, line)
			}
			line.Seconds, line.Heights = nil, nil
		}
		for _, b := range h.buckets {
			if b.low[host] == sim.Down {
				flush()
				continue
			}
			at := b.at.Seconds()
			line.Seconds, line.Heights = append(line.Seconds, at), append(line.Heights, offsets.Height(float64(b.low[host])))
			if b.high[host] != b.low[host] {
				line.Seconds, line.Heights = append(line.Seconds, at), append(line.Heights, offsets.Height(float64(b.high[host])))
			}
		}
		flush()
	}
	return all
}

// largest is the largest offset of a host that is up, ns; the linear part of the scale at least.
func (h *history) largest() float64 {
	largest := offsets.Linear
	for _, b := range h.buckets {
		for i := range b.low {
			if b.low[i] != sim.Down {
				largest = max(largest, b.low[i].Abs(), b.high[i].Abs())
			}
		}
	}
	return float64(largest)
}

// tickSteps are the distances between ticks of time that people read easily.
var tickSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// timeTicks divide the time from 0 to end into a dozen parts at most.
func timeTicks(end time.Duration) []picture.Tick {
	const most = 12
	step := tickSteps[len(tickSteps)-1]
	for _, s := range slices.Backward(tickSteps) {
		if end/s <= most {
			step = s
		}
	}
	for end/step > most {
		step *= 2
	}
	var ticks []picture.Tick
	for at := time.Duration(0); at <= end; at += step {
		ticks = append(ticks, picture.Tick{Value: at.Seconds(), Label: brief(at)})
	}
	return append(ticks, picture.Tick{Value: end.Seconds()}) // the axis reaches as far as its ticks
}

// brief writes a time without its empty tail: 1h, not 1h0m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, tail := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, tail) {
			text = strings.TrimSuffix(text, tail[1:])
		}
	}
	return text
}

// drawMasters draws the band over the canvas: who was master, from its first poll to the next one's. Where there were several at a
// time, the band is divided.
func drawMasters(p picture.Pen, all []reign) {
	var lanes []time.Duration // when each is free
	lane := make([]int, len(all))
	for i, r := range all {
		lane[i] = slices.IndexFunc(lanes, func(free time.Duration) bool { return free <= r.from })
		if lane[i] < 0 {
			lane[i], lanes = len(lanes), append(lanes, 0)
		}
		lanes[lane[i]] = r.until
	}
	high := bandHeight / max(1, len(lanes))
	for i, r := range all {
		left, right, top := p.X(r.from.Seconds()), p.X(r.until.Seconds()), bandTop+lane[i]*high
		p.Fill(left, top, max(right-2, left+1), top+high-1, picture.Clock(r.host))
		if size := min(fontSize, high-4); size > 8 {
			p.Text(left+8, top+(high+size)/2-2, right-6, float64(size), picture.White, fmt.Sprintf("host %d", r.host))
		}
		p.Upright(left, top, picture.Clock(r.host))
	}
}

// drawFaults marks when what happened to whom: a shade for as long as it lasts.
func drawFaults(p picture.Pen, faults []sim.Fault) {
	free := 0
	for _, f := range faults {
		left := p.Shade(f.At.Seconds(), (f.At + f.For).Seconds(), picture.Fault.WithAlpha(28))
		name, _, _ := strings.Cut(strings.Replace(f.String(), ":", " ", 1), "@")
		if left >= free {
			free = p.Text(left+5, p.Bottom-10, p.Right, fontSize-2, picture.Fault, name) + 5
		}
	}
}

// drawHead writes the title, what it came to, and which colour is which host.
func drawHead(p picture.Pen, r run) {
	right := p.Right
	title := r.name()
	if r.scenario == nil {
		title = fmt.Sprintf("%d hosts, a poll every %v", r.lan.Nodes, r.lan.Poll)
	}
	p.Text(p.Left, 44, right, titleSize, picture.Ink, fmt.Sprintf("%s, seed %d: offset from the LAN's middle", title, r.lan.Seed))
	said := "never in sync; "
	if s := r.report; s.TimeToSync >= 0 {
		said = fmt.Sprintf("in sync after %s; then %s apart in the median, %s at most; ", span(s.TimeToSync),
			span(s.Disagreement.Median), span(s.Disagreement.Max))
	}
	p.Text(p.Left, 76, right, fontSize, picture.Grey, said+"invariants: "+kept(r.report))
	p.Text(marginSide, bandTop+25, p.Left, fontSize, picture.Grey, "master")
	x := p.Left
	if r.report.Nodes > picture.Colors {
		say := fmt.Sprintf("%d hosts; every %dth has the same colour", r.report.Nodes, picture.Colors)
		p.Text(x, pictureHeight-17, right, fontSize, picture.Grey, say)
		return
	}
	for host := range r.report.Nodes {
		p.Fill(x, pictureHeight-26, x+22, pictureHeight-20, picture.Clock(host))
		x = 24 + p.Text(x+28, pictureHeight-17, right, fontSize, picture.Ink, fmt.Sprintf("host %d", host))
	}
}
