package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"time"

	"meantime/cmd/picture"
)

// Sizes of a picture, in pixels. Panels lie one below the other, all with the same scales.
const (
	panelWidth, panelHeight             = 1400, 440
	panelTop, panelSide, panelUnder     = 88, 40, 40
	panelFont, panelTitle, legendHeight = 15, 21, 36
)

// offsets is the scale of a picture: clocks of kernels agree within tens of microseconds.
var offsets = picture.Scale{Linear: 10 * time.Microsecond}

// mostTicks is how many ticks of time a panel has at most.
const mostTicks = 12

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
				top = max(top, math.Ceil(math.Abs(offsets.Height(o-m))))
			}
		}
	}
	for i, r := range results {
		// A panel fills what is around it: so it gets a frame of its own size.
		fmt.Fprintf(&b, `<svg y="%d" width="%d" height="%d">`+"\n", i*panelHeight, panelWidth, panelHeight)
		if err := panel(&b, r, top, end); err != nil {
			return err
		}
		b.WriteString("\n</svg>\n")
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// panel draws one result, up to a height and a second that all panels share.
func panel(w io.Writer, r *Result, top, end float64) error {
	frame := picture.Frame{
		Width: panelWidth, Height: panelHeight, Top: panelTop, Side: panelSide, Under: panelUnder, Font: panelFont,
		Scale: offsets, Reach: top, Times: secondTicks(end), End: end,
	}
	return frame.Render(w, offsetLines(r), func(p picture.Pen) {
		drawDeeds(p, r)
		drawHead(p, r)
	})
}

// offsetLines are the guests' offsets from the mean of those that count.
func offsetLines(r *Result) []picture.Line {
	all := []picture.Line{
		{Color: picture.Grey, Width: 1, Seconds: []float64{0, max(1, r.Bed.Ran.Seconds())}, Heights: []float64{0, 0}},
	}
	for i := range r.Guests {
		line := picture.Line{Color: picture.Clock(i), Width: 1.5}
		for _, t := range r.timeline {
			line.Seconds = append(line.Seconds, t.At.Seconds())
			line.Heights = append(line.Heights, offsets.Height(t.Offsets[i]-t.mean()))
		}
		if len(line.Seconds) > 0 {
			all = append(all, line)
		}
	}
	return all
}

// secondTicks divide a time into at most a dozen parts of a length that people read easily.
func secondTicks(end float64) (ticks []picture.Tick) {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200} {
		if step = s; end/step <= mostTicks {
			break
		}
	}
	for at := 0.0; at <= end; at += step {
		ticks = append(ticks, picture.Tick{Value: at, Label: fmt.Sprintf("%.0f s", at)})
	}
	return append(ticks, picture.Tick{Value: end}) // the axis reaches as far as its ticks
}

// drawDeeds shades the time of each fault.
func drawDeeds(p picture.Pen, r *Result) {
	for _, a := range r.Aftermaths {
		until := a.At
		if a.Ended != nil {
			until = *a.Ended
		}
		left := p.Shade(a.At, until, picture.Fault.WithAlpha(40))
		text(p, left+5, p.Bottom-8, panelFont-2, picture.Fault, fmt.Sprintf("%s (node %d)", a.Fault, a.Node))
	}
}

// text writes a line however far it reaches, and returns where it ended.
func text(p picture.Pen, x, y int, size float64, color picture.Color, line string) int {
	return p.Text(x, y, math.MaxInt, size, color, line)
}

// drawHead writes what the panel shows, what it came to, and which colour is which node.
func drawHead(p picture.Pen, r *Result) {
	title := fmt.Sprintf("%s: true offset of each kernel's clock from their mean", r.Plan.Program)
	text(p, p.Left, 26, panelTitle, picture.Ink, title)
	if s := r.Spread; s != nil {
		text(p, p.Left, 48, panelFont, picture.Grey, fmt.Sprintf("apart from %v on: median %.1f µs, p99 %.1f µs; rate %s ppm, oscillators %+.2f",
			r.judgedFrom(), s.Median, s.P99, figure(r.LANRate, "%+.2f"), r.Oscillator))
	}
	x := p.Left
	for i, g := range r.Guests {
		p.Fill(x, legendHeight+25, x+20, legendHeight+31, picture.Clock(i))
		x = 30 + text(p, x+26, legendHeight+34, panelFont, picture.Ink, fmt.Sprintf("node %d (%+g ppm)", g.Node, g.Set.PPM))
	}
}
