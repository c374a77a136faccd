package servo

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// nothing is what is known of a slope before its points where nothing is.
var nothing = prior{0, math.Inf(1)}

func fitLine(points []point, known prior) fit {
	var c cloud
	c.load(points)
	c.assume()
	return c.fit(known)
}

// straight are n points a second apart on a line that gains ppb ns each second.
func straight(n int, ppb int64) []point {
	var points []point
	for i := range int64(n) {
		points = append(points, point{raw: i * second, time: noon + i*(second+ppb), bound: 20_000})
	}
	return points
}

// TestFitFindsTheLine: through points without noise, whatever their bounds and wherever they stand, the line is theirs.
func TestFitFindsTheLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ppb := rapid.Int64Range(-500_000, 500_000).Draw(t, "ppb")
		raw, time := rapid.Int64Range(0, 10*year).Draw(t, "raw"), rapid.Int64Range(0, noon+50*year).Draw(t, "time")
		var points []point
		for i := range rapid.IntRange(2, window).Draw(t, "n") {
			if i > 0 { // gaps of 0.1 s to ten minutes, in ms so that the points are exact
				gap := rapid.Int64Range(100, 600_000).Draw(t, "gap")
				raw, time = raw+gap*1_000_000, time+gap*(1_000_000+ppb/1000)
			}
			points = append(points, point{raw, time, rapid.Int64Range(0, 1_000_000).Draw(t, "bound")})
		}
		want := float64(ppb/1000) * ppm
		f := fitLine(points, nothing)
		if math.Abs(f.rate-want) > 1e-12 || math.Abs(f.height) > 2 || f.rms > 1 {
			t.Fatalf("fit %+v through points that gain %v", f, want)
		}
	})
}

// slowFit solves the same equations in 600 bits, with the weights as they are documented.
func slowFit(points []point) (height, rate float64) {
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(600).SetFloat64(v) }
	whole := func(v int64) *big.Float { return new(big.Float).SetPrec(600).SetInt64(v) }
	times := func(a, b *big.Float) *big.Float { return number(0).Mul(a, b) }
	less := func(a, b *big.Float) *big.Float { return number(0).Sub(a, b) }
	bounds := make([]int64, len(points))
	for i, p := range points {
		bounds[i] = p.bound
	}
	slices.Sort(bounds)
	quiet, eighth := bounds[0], bounds[min(8, (len(bounds)+1)/2)-1]
	newest := points[len(points)-1]
	sw, sx, sy, sxx, sxy := number(0), number(0), number(0), number(0), number(0)
	for _, p := range points {
		floor, wait := number(500+0.577*float64(eighth-quiet)), number(0.577*float64(p.bound-quiet))
		w := number(1)
		w.Quo(w, number(0).Add(times(floor, floor), times(wait, wait)))
		x := whole(p.raw - newest.raw)
		y := less(whole(p.time-newest.time), x)
		sw.Add(sw, w)
		sx.Add(sx, times(w, x))
		sy.Add(sy, times(w, y))
		sxx.Add(sxx, times(w, times(x, x)))
		sxy.Add(sxy, times(w, times(x, y)))
	}
	det := less(times(sw, sxx), times(sx, sx))
	slope := less(times(sw, sxy), times(sx, sy))
	slope.Quo(slope, det)
	top := less(sy, times(slope, sx))
	top.Quo(top, sw)
	height, _ = top.Float64()
	rate, _ = slope.Float64()
	return height, rate
}

// TestFitAgainstExactArithmetic: float64 costs less than half a nanosecond and a thousandth of a ppm.
func TestFitAgainstExactArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Int64Range(0, 10*year).Draw(t, "raw")
		offset := rapid.Int64Range(-noon, noon).Draw(t, "time")
		var points []point
		for range rapid.IntRange(2, window).Draw(t, "n") {
			raw += rapid.Int64Range(second, 60*second).Draw(t, "gap")
			noise := rapid.Int64Range(-100_000, 100_000).Draw(t, "noise")
			points = append(points, point{raw, raw + offset + noise, rapid.Int64Range(0, 10_000_000).Draw(t, "bound")})
		}
		f := fitLine(points, nothing)
		if height, rate := slowFit(points); math.Abs(f.height-height) > 0.5 || math.Abs(f.rate-rate) > ppm/1000 {
			t.Fatalf("fit %+v, exactly %v and %v", f, height, rate)
		}
	})
}

// TestFitOfTooLittle: one point, or several at one raw reading, give a height and no slope.
func TestFitOfTooLittle(t *testing.T) {
	for _, c := range []struct {
		name   string
		points []point
		want   fit
	}{
		{"one", []point{{5, 9, 3}}, fit{}},
		{"two at once", []point{{5, 19, 3}, {5, 9, 3}}, fit{height: 5}},
		{"one of them useless", []point{{5, 1009, math.MaxInt64 / 2}, {5, 9, 0}}, fit{}},
	} {
		got := fitLine(c.points, nothing)
		if math.Abs(got.height-c.want.height) > 1e-9 || got.rate != c.want.rate {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestFitAverages: the end of a line through n points with noise σ each is known to σ·√((4n−2)/(n(n+1))), nearly 2σ/√n,
// and the scatter about it tells σ.
func TestFitAverages(t *testing.T) {
	const sigma, fits = 10_000.0, 3000
	for _, n := range []int{minFit, window} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		var ss, rms float64
		for range fits {
			points := straight(n, 12_000)
			newest := points[n-1].time
			for i := range points {
				points[i].time += int64(math.Round(sigma * random.NormFloat64()))
			}
			f := fitLine(points, nothing)
			e := float64(points[n-1].time-newest) + f.height
			ss, rms = ss+e*e, rms+f.rms*f.rms
		}
		m := float64(n)
		got, want := math.Sqrt(ss/fits), sigma*math.Sqrt((4*m-2)/(m*(m+1)))
		if math.Abs(got/want-1) > 0.05 {
			t.Errorf("%d points: the end is off by %.0f ns, theory says %.0f", n, got, want)
		}
		scatter, seen := math.Sqrt(rms/fits), sigma*math.Sqrt((m-2)/m) // two degrees of freedom went into the line
		if math.Abs(scatter/seen-1) > 0.02 {
			t.Errorf("%d points: scatter %.0f ns, theory says %.0f", n, scatter, seen)
		}
		t.Logf("%d points of σ = %.0f ns: end of the line %.0f ns (theory %.0f, 2σ/√n %.0f), scatter %.0f",
			n, sigma, got, want, 2*sigma/math.Sqrt(m), scatter)
	}
}

// TestQueuesWeighLittle: a point that waited 1 ms, and is 0.5 ms wrong for it, hardly bends the line; were it thought as
// good as the others, it would.
func TestQueuesWeighLittle(t *testing.T) {
	for _, at := range []int{0, 31, 63} {
		points := straight(window, 12_000)
		points[at].time += 500_000
		trusted := end(points)
		points[at].bound += 1_000_000
		if got := end(points); math.Abs(got) > 50 || math.Abs(trusted) < 5_000 && at > 0 {
			t.Errorf("point %d 500 µs off: line %.1f ns off, %.0f if trusted", at, got, trusted)
		} else {
			t.Logf("point %d 500 µs off: line %.1f ns off, %.0f if trusted", at, got, trusted)
		}
	}
}

// TestWeightsAreLearned: on machines that are slow both ways, what an exchange took longer is hardly an error of its offset, and points that
// waited are nearly as good as the others; where each wait is on one leg they are as bad as is assumed. Against the weights that are
// assumed before the residuals tell.
func TestWeightsAreLearned(t *testing.T) {
	const fits = 2000
	for _, c := range []struct {
		name     string
		sigma    func(wait float64) float64 // of an error
		low, top float64                    // of the ratio
	}{
		{"slow both ways", func(float64) float64 { return 15_000 }, 0, 0.75},
		{"a quarter of it on one leg", func(wait float64) float64 { return math.Hypot(3_000, 0.15*wait) }, 0, 0.95},
		{"on one leg", func(wait float64) float64 { return math.Hypot(500, waited*wait) }, 0.9, 1.1},
	} {
		random := rand.New(rand.NewPCG(3, 4))
		var assumed, learned float64
		for range fits {
			points := straight(window, 12_000)
			newest := points[window-1].time
			for i := range points {
				wait := 25_000 * random.ExpFloat64()
				points[i].bound += int64(wait)
				points[i].time += int64(math.Round(c.sigma(wait) * random.NormFloat64()))
			}
			var cl cloud
			cl.load(points)
			cl.assume()
			off := float64(points[window-1].time - newest)
			before, after := off+cl.fit(nothing).height, off+cl.line(nothing).height
			assumed, learned = assumed+before*before, learned+after*after
		}
		ratio := math.Sqrt(learned / assumed)
		t.Logf("%s: the end of the line is off by %.1f µs instead of %.1f, ratio %.2f", c.name, math.Sqrt(learned/fits)/1e3, math.Sqrt(assumed/fits)/1e3, ratio)
		if ratio < c.low || ratio > c.top {
			t.Errorf("%s: ratio %.2f, want %.2f to %.2f", c.name, ratio, c.low, c.top)
		}
	}
}

// TestOneWidePointTeachesNothing: a point that waited 10 ms, or as long as a hostile packet can say, and is right nevertheless, neither makes the
// waits of all others harmless nor the bound on the line as wide as itself.
func TestOneWidePointTeachesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	points := straight(window, 12_000)
	for i := range points {
		wait := 25_000 * random.ExpFloat64()
		points[i].bound += int64(wait)
		points[i].time += int64(math.Round(math.Hypot(500, waited*wait) * random.NormFloat64()))
	}
	var c cloud
	c.load(points)
	plain := c.line(nothing)
	bound := c.bound()
	for _, wide := range []int64{10_000_000, math.MaxInt64 / 2} {
		points[20].bound = wide
		c.load(points)
		f := c.line(nothing)
		if got := c.bound(); got > 2*bound || math.Abs(f.height-plain.height) > 1000 {
			t.Errorf("with a point of %d ns: bound %d and height %.0f, without %d and %.0f", wide, got, f.height, bound, plain.height)
		}
	}
}

// end is how far the end of a fit is from where the points of straight say.
func end(points []point) float64 {
	n := len(points)
	return float64(points[n-1].time-straight(n, 12_000)[n-1].time) + fitLine(points, nothing).height
}

// TestFitSurvivesAnything: whatever masters say, a fit is made of numbers.
func TestFitSurvivesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) point {
			return point{
				raw:   rapid.Int64Range(0, 1<<62).Draw(t, "raw"),
				time:  rapid.Int64Range(0, 1<<62).Draw(t, "time"),
				bound: rapid.Int64Range(0, 1<<62).Draw(t, "bound"),
			}
		}), 1, window).Draw(t, "points")
		f := fitLine(points, nothing)
		for _, v := range []float64{f.height, f.rate, f.rms} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%+v", f)
			}
		}
	})
}
