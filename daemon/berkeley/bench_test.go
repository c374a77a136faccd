package berkeley

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

func BenchmarkMeasure(b *testing.B) {
	legs := Legs{Sent: 1e18, Received: 1e18 + 60_000, Replied: 1e18 + 90_000, Returned: 1e18 + 140_000}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Measure(legs, Doubt{Skew: 1e-6, Stamp: 1000}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFilter is a round of one peer: three samples, what they come to, and what is usual.
func BenchmarkFilter(b *testing.B) {
	var f Filter
	b.ReportAllocs()
	for b.Loop() {
		for i := range int64(3) {
			f.Add(Sample{Offset: 100 * i, Delay: 80_000, Bound: 40_000 - 1000*i})
		}
		if s, ok := f.Best(); !ok || s.Bound-10_000 > f.Usual() {
			b.Fatal("no sample, or a bad one")
		}
		f.Next()
	}
}

// BenchmarkFound is a founding: once in a LAN's life.
func BenchmarkFound(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			readings := make([]Reading, n)
			for i := range readings[1:] {
				readings[i+1] = Reading{Offset: int64(60e9 * rng.NormFloat64()), Bound: 50_000}
			}
			for b.Loop() {
				Found(readings, int64(time.Hour), everybody)
			}
		})
	}
}
