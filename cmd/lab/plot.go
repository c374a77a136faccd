package main

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/go-analyze/charts/chartdraw"
	"github.com/go-analyze/charts/chartdraw/drawing"
)

// Sizes of a picture, in pixels. Panels lie one below the other, all with the same scales.
const (
	panelWidth, panelHeight             = 1400, 440
	panelTop, panelSide, panelUnder     = 88, 40, 40
	panelFont, panelTitle, legendHeight = 15, 21, 36
)

const (
	// linearPart is the part of the offset scale that is linear, in ns; beyond it each step is ten times the one before.
	linearPart = 10e3
	// mostTicks is how many ticks of time a panel has at most.
	mostTicks = 12
)

var (
	inkColor, greyColor, gridColor = drawing.ColorFromHex("222222"), drawing.ColorFromHex("777777"), drawing.ColorFromHex("e4e4e4")
	deedColor                      = drawing.ColorFromHex("c0392b")
	nodeColors                     = []drawing.Color{
		drawing.ColorFromHex("4e79a7"), drawing.ColorFromHex("f28e2b"), drawing.ColorFromHex("59a14f"), drawing.ColorFromHex("e15759"),
		drawing.ColorFromHex("76b7b2"), drawing.ColorFromHex("b07aa1"), drawing.ColorFromHex("9c755f"), drawing.ColorFromHex("edc948"),
	}
)

// level maps an offset in ns to the scale: ±1 at the ends of the linear part, then one more for each power of ten.
func level(ns float64) float64 {
	part := ns / linearPart
	if math.Abs(part) <= 1 {
		return part
	}
	return math.Copysign(1+math.Log10(math.Abs(part)), part)
}

// plot draws each guest's true offset from the LAN's mean over time, a panel for each result, as one SVG.
func plot(w io.Writer, results []*Result) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d">`+"\n", panelWidth, panelHeight*len(results))
	top, end := 1.0, 1.0
	for _, r := range results {
		end = max(end, r.Bed.Ran.Seconds())
		for _, t := range r.timeline {
			m := t.mean()
			for _, o := range t.Offsets {
				top = max(top, math.Ceil(math.Abs(level(o-m))))
			}
		}
	}
	for i, r := range results {
		// A panel fills what is around it: so it gets a frame of its own size.
		fmt.Fprintf(&b, `<svg y="%d" width="%d" height="%d">`+"\n", i*panelHeight, panelWidth, panelHeight)
		if err := panel(r, top, end).Render(chartdraw.SVG, &b); err != nil {
			return err
		}
		b.WriteString("\n</svg>\n")
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// panel is the picture of one result, up to a level and a second that all panels share.
func panel(r *Result, top, end float64) chartdraw.Chart {
	xs := &chartdraw.ContinuousRange{Max: end}
	text := chartdraw.FontStyle{FontSize: panelFont, FontColor: inkColor}
	grid := chartdraw.Style{StrokeColor: gridColor, StrokeWidth: 1}
	axis := chartdraw.Style{FontStyle: text, StrokeColor: greyColor, StrokeWidth: 1}
	levels, times := levelTicks(top), secondTicks(end)
	return chartdraw.Chart{
		Width: panelWidth, Height: panelHeight, DPI: 72,
		Background: chartdraw.Style{Padding: chartdraw.Box{Top: panelTop, Left: panelSide, Right: panelSide, Bottom: panelUnder}},
		XAxis:      chartdraw.XAxis{Style: axis, Range: xs, Ticks: times, GridLines: gridLines(times), GridMajorStyle: grid},
		YAxis:      chartdraw.YAxis{Style: chartdraw.Hidden(), Range: &chartdraw.ContinuousRange{Max: 1}}, // on the right: not used
		YAxisSecondary: chartdraw.YAxis{
			Style: axis, Range: &chartdraw.ContinuousRange{}, Ticks: levels, GridLines: gridLines(levels), GridMajorStyle: grid,
		},
		Series: offsetLines(r),
		Elements: []chartdraw.Renderable{func(c chartdraw.Renderer, box chartdraw.Box, _ chartdraw.Style) {
			p := pen{c, box, xs}
			p.deeds(r)
			p.head(r)
		}},
	}
}

// offsetLines are the guests' offsets from the mean of those that count.
func offsetLines(r *Result) (all []chartdraw.Series) {
	all = append(all, chartdraw.ContinuousSeries{
		YAxis: chartdraw.YAxisSecondary, Style: chartdraw.Style{StrokeColor: greyColor, StrokeWidth: 1},
		XValues: []float64{0, max(1, r.Bed.Ran.Seconds())}, YValues: []float64{0, 0},
	})
	for i := range r.Guests {
		line := chartdraw.ContinuousSeries{
			YAxis: chartdraw.YAxisSecondary, Style: chartdraw.Style{StrokeColor: nodeColor(i), StrokeWidth: 1.5},
		}
		for _, t := range r.timeline {
			line.XValues, line.YValues = append(line.XValues, t.At.Seconds()), append(line.YValues, level(t.Offsets[i]-t.mean()))
		}
		if len(line.XValues) > 0 {
			all = append(all, line)
		}
	}
	return all
}

func nodeColor(guest int) drawing.Color { return nodeColors[guest%len(nodeColors)] }

// levelTicks are the ends of the linear part and the powers of ten beyond, either way.
func levelTicks(top float64) []chartdraw.Tick {
	ticks := []chartdraw.Tick{{Value: 0, Label: "0  "}}
	for i := 1.0; i <= top; i++ {
		name := spell(linearPart * math.Pow(10, i-1))
		ticks = append(ticks, chartdraw.Tick{Value: i, Label: "+" + name}, chartdraw.Tick{Value: -i, Label: "-" + name})
	}
	return ticks
}

// spell names a power of ten of ns. Spaces keep it off the axis.
func spell(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.0f s  ", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.0f ms  ", ns/1e6)
	}
	return fmt.Sprintf("%.0f µs  ", ns/1e3)
}

// secondTicks divide a time into at most a dozen parts of a length that people read easily.
func secondTicks(end float64) (ticks []chartdraw.Tick) {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200} {
		if step = s; end/step <= mostTicks {
			break
		}
	}
	for at := 0.0; at <= end; at += step {
		ticks = append(ticks, chartdraw.Tick{Value: at, Label: fmt.Sprintf("%.0f s", at)})
	}
	return append(ticks, chartdraw.Tick{Value: end}) // the axis reaches as far as its ticks
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

// text writes a line and returns where it ended.
func (p pen) text(x, y int, size float64, color drawing.Color, line string) int {
	p.SetFont(chartdraw.GetDefaultFont())
	p.SetFontSize(size)
	p.SetFontColor(color)
	p.Text(line, x, y)
	return x + p.MeasureText(line).Width()
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

// deeds shades the time of each fault.
func (p pen) deeds(r *Result) {
	for _, a := range r.Aftermaths {
		left, right := p.box.Left+p.times.Translate(a.At), p.box.Left+p.times.Translate(a.At)
		if a.Ended != nil {
			right = p.box.Left + p.times.Translate(*a.Ended)
		}
		p.fill(left, p.box.Top, min(max(right, left+2), p.box.Right), p.box.Bottom, deedColor.WithAlpha(40))
		p.text(left+5, p.box.Bottom-8, panelFont-2, deedColor, fmt.Sprintf("%s (node %d)", a.Fault, a.Node))
	}
}

// head writes what the panel shows, what it came to, and which colour is which node.
func (p pen) head(r *Result) {
	title := fmt.Sprintf("%s: true offset of each kernel's clock from their mean", r.Plan.Program)
	p.text(p.box.Left, 26, panelTitle, inkColor, title)
	if s := r.Spread; s != nil {
		p.text(p.box.Left, 48, panelFont, greyColor, fmt.Sprintf("apart from %v on: median %.1f µs, p99 %.1f µs; rate %s ppm, oscillators %+.2f",
			r.judgedFrom(), s.Median, s.P99, figure(r.LANRate, "%+.2f"), r.Oscillator))
	}
	x := p.box.Left
	for i, g := range r.Guests {
		p.fill(x, legendHeight+25, x+20, legendHeight+31, nodeColor(i))
		x = 30 + p.text(x+26, legendHeight+34, panelFont, inkColor, fmt.Sprintf("node %d (%+g ppm)", g.Node, g.Set.PPM))
	}
}
