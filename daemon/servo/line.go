package servo

import "math"

// Line maps the raw oscillator onto a timescale: At(raw) = Time + (raw − Raw)·(1 + Rate).
type Line struct {
	Raw  int64   // ns on the raw oscillator
	Time int64   // ns since the Unix epoch at Raw
	Rate float64 // fractional frequency correction against the raw oscillator (1e-6 = 1 ppm)
}

// At returns the timescale's reading (ns since the Unix epoch) at a raw reading.
func (l Line) At(raw int64) int64 {
	elapsed := raw - l.Raw
	return l.Time + elapsed + int64(math.Round(float64(elapsed)*l.Rate))
}

// moved returns the same line, put up at another raw reading. Lines are re-anchored as they go on, so that the product
// above stays small and exact.
func (l Line) moved(raw int64) Line { return Line{Raw: raw, Time: l.At(raw), Rate: l.Rate} }
