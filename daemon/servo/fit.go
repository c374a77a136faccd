package servo

import "math"

// point is one round's finding: at raw, LAN time was time, to within about bound.
type point struct {
	raw   int64
	time  int64
	bound int64 // ns: bound of the measurement behind it
}

// fit is a weighted straight line through points, seen from the newest one.
type fit struct {
	height float64 // ns to add to the newest point's time
	rate   float64 // fractional slope minus one
	rms    float64 // ns: weighted root mean square of the residuals
}

// fitLine fits time − raw over raw by weighted least squares. Differences from the newest point are taken in integers, so
// float64 holds them to far below a nanosecond. It needs two points at different raw readings; fewer give the plain
// weighted height at rate 0.
func fitLine(points []point) fit {
	newest := points[len(points)-1]
	quiet := least(points)
	var sw, sx, sy, sxx, sxy float64
	for _, p := range points {
		x, y := from(newest, p)
		w := weight(p, quiet)
		sw, sx, sy = sw+w, sx+w*x, sy+w*y
		sxx, sxy = sxx+w*x*x, sxy+w*x*y
	}
	f := fit{height: sy / sw}
	if det := sw*sxx - sx*sx; det > 0 {
		f.rate = (sw*sxy - sx*sy) / det
		f.height = (sy - f.rate*sx) / sw
	}
	f.rms = residuals(points, newest, quiet, f)
	return f
}

// residuals is the weighted root mean square distance of the points from the line.
func residuals(points []point, newest point, quiet int64, f fit) float64 {
	var sw, ss float64
	for _, p := range points {
		x, y := from(newest, p)
		w, r := weight(p, quiet), y-f.height-f.rate*x
		sw, ss = sw+w, ss+w*r*r
	}
	return math.Sqrt(ss / sw)
}

// from gives a point's coordinates against the newest: raw distance, and how much further time went than raw.
func from(newest, p point) (x, y float64) {
	raw := p.raw - newest.raw
	return float64(raw), float64((p.time - newest.time) - raw)
}

// least returns the smallest bound among the points: what a quiet exchange on this network costs.
func least(points []point) int64 {
	b := points[0].bound
	for _, p := range points[1:] {
		b = min(b, p.bound)
	}
	return b
}

// noiseFloor is the error (ns) that remains of a measurement which waited nowhere: stamps and bracketed clock readings
// were seen good to 0.2–0.5 µs on Linux with kernel stamps.
const noiseFloor = 500

// weight of a point: whatever its bound exceeds the quietest exchange's was waiting in a queue, on one leg or the other,
// and counts as error.
func weight(p point, quiet int64) float64 {
	sigma := noiseFloor + float64(quiet)/4 + float64(p.bound-quiet)
	return 1 / (sigma * sigma)
}
