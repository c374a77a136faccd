package servo

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

const (
	second = int64(1_000_000_000)
	year   = 365 * 24 * 3600 * second
	noon   = int64(1_790_000_000) * second // 2026-09-21, a wall time of our days
	ppm    = 1e-6
)

// slowAt is Line.At in arithmetic without rounding.
func slowAt(l Line, raw int64) *big.Float {
	exact := func() *big.Float { return new(big.Float).SetPrec(400) }
	elapsed := exact().SetInt64(raw)
	elapsed.Sub(elapsed, exact().SetInt64(l.Raw))
	gained := exact().Mul(elapsed, exact().SetFloat64(l.Rate))
	return elapsed.Add(elapsed, gained).Add(elapsed, exact().SetInt64(l.Time))
}

// off is how far (ns) a reading is from the exact one.
func off(got int64, want *big.Float) float64 {
	d := new(big.Float).SetPrec(400).SetInt64(got)
	f, _ := d.Sub(d, want).Abs(d).Float64()
	return f
}

func drawLine(t *rapid.T) Line {
	return Line{
		Raw:  rapid.Int64Range(0, 10*year).Draw(t, "raw"),
		Time: rapid.Int64Range(0, noon+50*year).Draw(t, "time"),
		Rate: rapid.Float64Range(-maxRate, maxRate).Draw(t, "rate"),
	}
}

// TestLineIsExact: over ten years either way a line is read to the nearest nanosecond.
func TestLineIsExact(t *testing.T) {
	worst := 0.0
	rapid.Check(t, func(t *rapid.T) {
		l := drawLine(t)
		raw := l.Raw + rapid.Int64Range(-10*year, 10*year).Draw(t, "elapsed")
		e := off(l.At(raw), slowAt(l, raw))
		if worst = max(worst, e); e > 0.54 {
			t.Fatalf("%+v at %d is %v ns off", l, raw, e)
		}
	})
	t.Logf("at most %.3f ns off within ten years", worst)
}

// TestLineMoves: put up elsewhere it is the same line, but for one more rounding.
func TestLineMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLine(t)
		there := l.Raw + rapid.Int64Range(-10*year, 10*year).Draw(t, "there")
		raw := l.Raw + rapid.Int64Range(-10*year, 10*year).Draw(t, "elapsed")
		m := l.moved(there)
		if m.Raw != there || m.Time != l.At(there) || m.Rate != l.Rate {
			t.Fatalf("%+v moved to %d is %+v", l, there, m)
		}
		if d := m.At(raw) - l.At(raw); max(d, -d) > 2 {
			t.Fatalf("%+v and %+v part by %d ns at %d", l, m, d, raw)
		}
	})
}
