package picture

import "github.com/go-analyze/charts/chartdraw"

// Pen draws on and around the canvas, whose edges it knows. All measures are pixels from the upper left.
type Pen struct {
	Left, Top, Right, Bottom int
	renderer                 chartdraw.Renderer
	times                    chartdraw.Range
}

// X is where an instant (seconds) lies.
func (p Pen) X(seconds float64) int { return p.Left + p.times.Translate(seconds) }

// Text writes a line that ends at most at the given x; it returns where it ended, or x itself if there was no room.
func (p Pen) Text(x, y, most int, size float64, color Color, line string) int {
	p.renderer.SetFont(chartdraw.GetDefaultFont())
	p.renderer.SetFontSize(size)
	p.renderer.SetFontColor(color)
	wide := p.renderer.MeasureText(line).Width()
	if x+wide > most {
		return x
	}
	p.renderer.Text(line, x, y)
	return x + wide
}

// Fill shades a rectangle.
func (p Pen) Fill(left, top, right, bottom int, color Color) {
	p.renderer.SetFillColor(color)
	p.renderer.MoveTo(left, top)
	p.renderer.LineTo(right, top)
	p.renderer.LineTo(right, bottom)
	p.renderer.LineTo(left, bottom)
	p.renderer.Close()
	p.renderer.Fill()
}

// Shade marks the time from an instant to another (seconds) over the canvas, two pixels at least. It returns where it begins.
func (p Pen) Shade(from, to float64, color Color) (left int) {
	left = p.X(from)
	p.Fill(left, p.Top, min(max(p.X(to), left+2), p.Right), p.Bottom, color)
	return left
}

// Upright draws a broken line from a height down to the end of the canvas.
func (p Pen) Upright(x, top int, color Color) {
	p.renderer.SetStrokeColor(color)
	p.renderer.SetStrokeWidth(1.2)
	p.renderer.SetStrokeDashArray([]float64{5, 4})
	p.renderer.MoveTo(x, top)
	p.renderer.LineTo(x, p.Bottom)
	p.renderer.Stroke()
	p.renderer.SetStrokeDashArray(nil)
}
