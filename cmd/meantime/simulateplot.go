package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-analyze/charts/chartdraw"
	"github.com/go-analyze/charts/chartdraw/drawing"

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

// linearWithin is the part of the offset scale that is linear; beyond, each step is ten times the one before.
const linearWithin = time.Microsecond

// height maps an offset to the scale: ±1 at the ends of the linear part, then one more for each power of ten.
func height(d time.Duration) float64 {
	part := float64(d) / float64(linearWithin)
	if math.Abs(part) <= 1 {
		return part
	}
	return math.Copysign(1+math.Log10(math.Abs(part)), part)
}

// Sizes of a picture, in pixels, and its colours.
const (
	pictureWidth, pictureHeight        = 1600, 900
	marginTop, marginSide, marginUnder = 146, 40, 70
	fontSize, titleSize                = 17, 26
	bandTop, bandHeight                = 98, 38 // of the band that says who is master
)

var (
	inkColor, greyColor, gridColor = drawing.ColorFromHex("222222"), drawing.ColorFromHex("777777"), drawing.ColorFromHex("e4e4e4")
	faultColor                     = drawing.ColorFromHex("c0392b")
	hostColors                     = hexColors("4e79a7 f28e2b 59a14f e15759 76b7b2 b07aa1 9c755f edc948 ff9da7 8c8c8c")
)

func hexColors(list string) (colors []drawing.Color) {
	for hex := range strings.FieldsSeq(list) {
		colors = append(colors, drawing.ColorFromHex(hex))
	}
	return colors
}

func hostColor(host int) drawing.Color { return hostColors[host%len(hostColors)] }

// draw writes the picture of a run: each host's offset over time, who was master when, and what happened to whom.
func (h *history) draw(w io.Writer, r run) error {
	end := r.report.Simulated
	xs := &chartdraw.ContinuousRange{Max: end.Seconds()}
	text := chartdraw.FontStyle{FontSize: fontSize, FontColor: inkColor}
	grid := chartdraw.Style{StrokeColor: gridColor, StrokeWidth: 1}
	axis := chartdraw.Style{FontStyle: text, StrokeColor: greyColor, StrokeWidth: 1}
	heights := h.heightTicks()
	times := timeTicks(end)
	zero := chartdraw.ContinuousSeries{
		YAxis: chartdraw.YAxisSecondary, Style: chartdraw.Style{StrokeColor: greyColor, StrokeWidth: 1},
		XValues: []float64{0, end.Seconds()}, YValues: []float64{0, 0},
	}
	chart := chartdraw.Chart{
		Width: pictureWidth, Height: pictureHeight, DPI: 72,
		Background: chartdraw.Style{Padding: chartdraw.Box{Top: marginTop, Left: marginSide, Right: marginSide, Bottom: marginUnder}},
		XAxis:      chartdraw.XAxis{Style: axis, Range: xs, Ticks: times, GridLines: gridLines(times), GridMajorStyle: grid},
		YAxis:      chartdraw.YAxis{Style: chartdraw.Hidden(), Range: &chartdraw.ContinuousRange{Max: 1}}, // on the right: not used
		YAxisSecondary: chartdraw.YAxis{
			Style: axis, Range: &chartdraw.ContinuousRange{}, Ticks: heights, GridLines: gridLines(heights), GridMajorStyle: grid,
		},
		Series: append([]chartdraw.Series{zero}, h.lines()...),
		Elements: []chartdraw.Renderable{func(c chartdraw.Renderer, box chartdraw.Box, _ chartdraw.Style) {
			p := pen{c, box, xs}
			p.faults(r.plan().Faults)
			p.masters(reigns(r.report))
			p.head(r)
		}},
	}
	return chart.Render(chartdraw.SVG, w)
}

// lines are the hosts' offsets, broken where a host is down.
func (h *history) lines() (all []chartdraw.Series) {
	if len(h.buckets) == 0 {
		return nil
	}
	for host := range h.buckets[0].low {
		line := chartdraw.ContinuousSeries{
			YAxis: chartdraw.YAxisSecondary, Style: chartdraw.Style{StrokeColor: hostColor(host), StrokeWidth: 1.6},
		}
		flush := func() {
			if len(line.XValues) > 0 {
				all = append(all, line)
			}
			line.XValues, line.YValues = nil, nil
		}
		for _, b := range h.buckets {
			if b.low[host] == sim.Down {
				flush()
				continue
			}
			at := b.at.Seconds()
			line.XValues, line.YValues = append(line.XValues, at), append(line.YValues, height(b.low[host]))
			if b.high[host] != b.low[host] {
				line.XValues, line.YValues = append(line.XValues, at), append(line.YValues, height(b.high[host]))
			}
		}
		flush()
	}
	return all
}

// heightTicks are the powers of ten up to the largest offset, either way.
func (h *history) heightTicks() []chartdraw.Tick {
	largest := linearWithin
	for _, b := range h.buckets {
		for i := range b.low {
			if b.low[i] != sim.Down {
				largest = max(largest, b.low[i].Abs(), b.high[i].Abs())
			}
		}
	}
	top := int(math.Ceil(height(largest)))
	ticks := []chartdraw.Tick{{Value: 0, Label: "0  "}}
	for i := 1; i <= top; i++ {
		unit := float64(linearWithin) * math.Pow10(i-1)
		ticks = append(ticks, chartdraw.Tick{Value: float64(i), Label: "+" + decade(unit)},
			chartdraw.Tick{Value: -float64(i), Label: "-" + decade(unit)})
	}
	return ticks
}

// decade names a power of ten of nanoseconds: "10 µs", "1000 s". Spaces keep it off the axis.
func decade(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.0f s  ", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.0f ms  ", ns/1e6)
	}
	return fmt.Sprintf("%.0f µs  ", ns/1e3)
}

// tickSteps are the distances between ticks of time that people read easily.
var tickSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// timeTicks divide the time from 0 to end into a dozen parts at most.
func timeTicks(end time.Duration) []chartdraw.Tick {
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
	var ticks []chartdraw.Tick
	for at := time.Duration(0); at <= end; at += step {
		ticks = append(ticks, chartdraw.Tick{Value: at.Seconds(), Label: brief(at)})
	}
	return append(ticks, chartdraw.Tick{Value: end.Seconds()}) // the axis reaches as far as its ticks
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

func gridLines(ticks []chartdraw.Tick) (lines []chartdraw.GridLine) {
	for _, t := range ticks {
		lines = append(lines, chartdraw.GridLine{Value: t.Value})
	}
	return lines
}

// pen draws what a chart has no word for.
type pen struct {
	chartdraw.Renderer
	box   chartdraw.Box // of the canvas
	times chartdraw.Range
}

func (p pen) x(at time.Duration) int { return p.box.Left + p.times.Translate(at.Seconds()) }

// text writes a line that ends at most at the given x; it returns where it ended, or x itself if there was no room.
func (p pen) text(x, y, most int, size float64, color drawing.Color, line string) int {
	p.SetFont(chartdraw.GetDefaultFont())
	p.SetFontSize(size)
	p.SetFontColor(color)
	wide := p.MeasureText(line).Width()
	if x+wide > most {
		return x
	}
	p.Text(line, x, y)
	return x + wide
}

func (p pen) fill(left, top, right, bottom int, color drawing.Color) {
	p.SetFillColor(color)
	p.MoveTo(left, top)
	p.LineTo(right, top)
	p.LineTo(right, bottom)
	p.LineTo(left, bottom)
	p.Close()
	p.Fill()
}

func (p pen) upright(x, top int, color drawing.Color) {
	p.SetStrokeColor(color)
	p.SetStrokeWidth(1.2)
	p.SetStrokeDashArray([]float64{5, 4})
	p.MoveTo(x, top)
	p.LineTo(x, p.box.Bottom)
	p.Stroke()
	p.SetStrokeDashArray(nil)
}

// masters draws the band over the canvas: who was master, from its first poll to the next one's. Where there were several at a
// time, the band is divided.
func (p pen) masters(all []reign) {
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
		left, right, top := p.x(r.from), p.x(r.until), bandTop+lane[i]*high
		p.fill(left, top, max(right-2, left+1), top+high-1, hostColor(r.host))
		if size := min(fontSize, high-4); size > 8 {
			p.text(left+8, top+(high+size)/2-2, right-6, float64(size), drawing.ColorWhite, fmt.Sprintf("host %d", r.host))
		}
		p.upright(left, top, hostColor(r.host))
	}
}

// faults marks when what happened to whom: a shade for as long as it lasts.
func (p pen) faults(faults []sim.Fault) {
	free := 0
	for _, f := range faults {
		left, right := p.x(f.At), p.x(f.At+f.For)
		p.fill(left, p.box.Top, min(max(right, left+2), p.box.Right), p.box.Bottom, faultColor.WithAlpha(28))
		name, _, _ := strings.Cut(strings.Replace(f.String(), ":", " ", 1), "@")
		if left >= free {
			free = p.text(left+5, p.box.Bottom-10, p.box.Right, fontSize-2, faultColor, name) + 5
		}
	}
}

// head writes the title, what it came to, and which colour is which host.
func (p pen) head(r run) {
	right := p.box.Right
	title := r.name()
	if r.scenario == nil {
		title = fmt.Sprintf("%d hosts, a poll every %v", r.lan.Nodes, r.lan.Poll)
	}
	p.text(p.box.Left, 44, right, titleSize, inkColor, fmt.Sprintf("%s, seed %d: offset from the LAN's middle", title, r.lan.Seed))
	said := "never in sync; "
	if s := r.report; s.TimeToSync >= 0 {
		said = fmt.Sprintf("in sync after %s; then %s apart in the median, %s at most; ", span(s.TimeToSync),
			span(s.Disagreement.Median), span(s.Disagreement.Max))
	}
	p.text(p.box.Left, 76, right, fontSize, greyColor, said+"invariants: "+kept(r.report))
	p.text(marginSide, bandTop+25, p.box.Left, fontSize, greyColor, "master")
	x := p.box.Left
	if r.report.Nodes > len(hostColors) {
		say := fmt.Sprintf("%d hosts; every %dth has the same colour", r.report.Nodes, len(hostColors))
		p.text(x, pictureHeight-17, right, fontSize, greyColor, say)
		return
	}
	for host := range r.report.Nodes {
		p.fill(x, pictureHeight-26, x+22, pictureHeight-20, hostColor(host))
		x = 24 + p.text(x+28, pictureHeight-17, right, fontSize, inkColor, fmt.Sprintf("host %d", host))
	}
}
