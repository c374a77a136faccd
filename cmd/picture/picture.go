// Package picture draws clocks' offsets over time, as SVG. It is the only place that knows the library which does so, and knows nothing
// of clocks: what a line means, and what stands beside it, is its caller's.
package picture

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/go-analyze/charts/chartdraw"
	"github.com/go-analyze/charts/chartdraw/drawing"
)

// Color is the colour of a line, a shade or a text.
type Color = drawing.Color

// The colours of what every picture has.
var (
	Ink   = drawing.ColorFromHex("222222")
	Grey  = drawing.ColorFromHex("777777")
	White = drawing.ColorWhite
	Fault = drawing.ColorFromHex("c0392b")
	grid  = drawing.ColorFromHex("e4e4e4")
)

var clocks = []Color{
	drawing.ColorFromHex("4e79a7"), drawing.ColorFromHex("f28e2b"), drawing.ColorFromHex("59a14f"), drawing.ColorFromHex("e15759"),
	drawing.ColorFromHex("76b7b2"), drawing.ColorFromHex("b07aa1"), drawing.ColorFromHex("9c755f"), drawing.ColorFromHex("edc948"),
	drawing.ColorFromHex("ff9da7"), drawing.ColorFromHex("8c8c8c"),
}

// Colors is how many clocks have a colour of their own.
const Colors = 10

// Clock is the colour of a clock, counted from 0. After Colors of them they come again.
func Clock(i int) Color { return clocks[i%Colors] }

// Scale is one of offsets: linear up to Linear either way, and beyond that each step is ten times the one before.
type Scale struct{ Linear time.Duration }

// Height maps an offset (ns) to the scale: ±1 at the ends of the linear part, then one more for each power of ten.
func (s Scale) Height(ns float64) float64 {
	part := ns / float64(s.Linear)
	if math.Abs(part) <= 1 {
		return part
	}
	return math.Copysign(1+math.Log10(math.Abs(part)), part)
}

// ticks are the ends of the linear part and the powers of ten beyond, up to a height, either way.
func (s Scale) ticks(top float64) []Tick {
	ticks := []Tick{{Value: 0, Label: "0  "}}
	for i := 1.0; i <= top; i++ {
		unit := decade(float64(s.Linear) * math.Pow(10, i-1))
		ticks = append(ticks, Tick{Value: i, Label: "+" + unit}, Tick{Value: -i, Label: "-" + unit})
	}
	return ticks
}

// decade names a power of ten of ns: "10 µs", "1000 s". Spaces keep it off the axis.
func decade(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.0f s  ", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.0f ms  ", ns/1e6)
	}
	return fmt.Sprintf("%.0f µs  ", ns/1e3)
}

// Tick is a labelled place on an axis. The axis of time, in seconds, reaches as far as its ticks.
type Tick = chartdraw.Tick

// Line is one clock's offset over time.
type Line struct {
	Color   Color
	Width   float64   // pixels
	Seconds []float64 // since the start
	Heights []float64 // on the Scale
}

// Frame is a picture without its lines.
type Frame struct {
	Width, Height    int // pixels
	Top, Side, Under int // margins, pixels
	Font             float64
	Scale            Scale
	Reach            float64 // the largest height, rounded up
	Heights          []Tick  // of the upright axis; nil = those of Scale up to Reach
	Times            []Tick
	End              float64 // seconds
}

// Render writes the picture; paint adds what a chart has no word for.
func (f Frame) Render(w io.Writer, lines []Line, paint func(Pen)) error {
	xs := &chartdraw.ContinuousRange{Max: f.End}
	text := chartdraw.FontStyle{FontSize: f.Font, FontColor: Ink}
	thin := chartdraw.Style{StrokeColor: grid, StrokeWidth: 1}
	axis := chartdraw.Style{FontStyle: text, StrokeColor: Grey, StrokeWidth: 1}
	heights := f.Heights
	if heights == nil {
		heights = f.Scale.ticks(f.Reach)
	}
	chart := chartdraw.Chart{
		Width: f.Width, Height: f.Height, DPI: 72,
		Background: chartdraw.Style{Padding: chartdraw.Box{Top: f.Top, Left: f.Side, Right: f.Side, Bottom: f.Under}},
		XAxis:      chartdraw.XAxis{Style: axis, Range: xs, Ticks: f.Times, GridLines: gridLines(f.Times), GridMajorStyle: thin},
		YAxis:      chartdraw.YAxis{Style: chartdraw.Hidden(), Range: &chartdraw.ContinuousRange{Max: 1}}, // on the right: not used
		YAxisSecondary: chartdraw.YAxis{
			Style: axis, Range: &chartdraw.ContinuousRange{}, Ticks: heights, GridLines: gridLines(heights), GridMajorStyle: thin,
		},
		Elements: []chartdraw.Renderable{func(r chartdraw.Renderer, box chartdraw.Box, _ chartdraw.Style) {
			paint(Pen{Left: box.Left, Top: box.Top, Right: box.Right, Bottom: box.Bottom, renderer: r, times: xs})
		}},
	}
	for _, l := range lines {
		chart.Series = append(chart.Series, chartdraw.ContinuousSeries{
			YAxis: chartdraw.YAxisSecondary, Style: chartdraw.Style{StrokeColor: l.Color, StrokeWidth: l.Width},
			XValues: l.Seconds, YValues: l.Heights,
		})
	}
	return chart.Render(chartdraw.SVG, w)
}

func gridLines(ticks []Tick) (lines []chartdraw.GridLine) {
	for _, t := range ticks {
		lines = append(lines, chartdraw.GridLine{Value: t.Value})
	}
	return lines
}
