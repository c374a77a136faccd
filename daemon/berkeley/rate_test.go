package berkeley

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const ppm = 1e-6

func TestMeanRateByHand(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates []float64 // ppm
		want  float64
	}{
		{"none", nil, 0},
		{"one", []float64{12}, 12},
		{"two", []float64{10, 20}, 15},
		{"far from zero they count whole", []float64{390, 400, 410}, 400},
		{"clamped above", []float64{0, 10, 10_000}, (0 + 10 + 210) / 3.0},
		{"clamped below", []float64{-500, 10, 20}, (-190 + 10 + 20) / 3.0},
		{"at the limit they count whole", []float64{-190, 10, 210}, 10},
		{"an even number: the median is between the middle ones", []float64{-1000, 10, 30, 1000}, (-180 + 10 + 30 + 220) / 4.0},
		{"infinite", []float64{math.Inf(-1), 10, 20, 30, math.Inf(1)}, (-180 + 10 + 20 + 30 + 220) / 5.0},
	} {
		rates := slices.Clone(c.rates)
		for i := range rates {
			rates[i] *= ppm
		}
		given := slices.Clone(rates)
		if got := MeanRate(rates) / ppm; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v ppm, want %v", c.name, got, c.want)
		}
		if !slices.Equal(rates, given) {
			t.Errorf("%s: the rates given were changed", c.name)
		}
	}
}

func drawRates(t *rapid.T, label string, least, most int, widest float64) []float64 {
	return rapid.SliceOfN(rapid.Float64Range(-widest*ppm, widest*ppm), least, most).Draw(t, label)
}

// TestMeanRateKnowsNoZero: adding a rate to all adds it to the mean, and their order does not matter.
func TestMeanRateKnowsNoZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := drawRates(t, "rates", 1, 31, 1000)
		by := rapid.Float64Range(-1000*ppm, 1000*ppm).Draw(t, "by")
		moved := rapid.Permutation(rates).Draw(t, "order")
		for i := range moved {
			moved[i] += by
		}
		if a, b := MeanRate(rates)+by, MeanRate(moved); math.Abs(a-b) > 1e-9*ppm {
			t.Fatalf("mean of all moved by %v: %v, want %v", by, b, a)
		}
	})
}

// TestHonestRatesCountWhole: members within 200 ppm of each other get their plain mean, and each liar among them, fewer
// than half, moves it by no more than twice the clamp over n.
func TestHonestRatesCountWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := drawRates(t, "rates", 1, 31, 100)
		n := float64(len(rates))
		plain := 0.0
		for _, r := range rates {
			plain += r / n
		}
		if got := MeanRate(rates); math.Abs(got-plain) > 1e-9*ppm {
			t.Fatalf("mean %v, want the plain one %v", got, plain)
		}
		liars := rapid.IntRange(0, (len(rates)-1)/2).Draw(t, "liars")
		for i := range liars {
			rates[i] = rapid.Float64Range(-1, 1).Draw(t, "lie")
		}
		if got, most := MeanRate(rates), 400*ppm*float64(liars)/n; math.Abs(got-plain) > most+1e-9*ppm {
			t.Fatalf("%d liars of %v moved the mean from %v to %v, by more than %v", liars, n, plain, got, most)
		}
	})
}
