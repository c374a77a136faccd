package servo

import "testing"

// BenchmarkCorrect is a round of a full window: the fit through 64 points, and the common move that comes with each Adjust.
func BenchmarkCorrect(b *testing.B) {
	s := New(0, 1e18, 0, 0)
	raw := int64(0)
	round := func() {
		raw += 1e9
		s.Correct(raw, (raw/1e9*7919)%5000-2500, 40_000+(raw/1e9*104729)%20_000)
	}
	for range window {
		round()
	}
	b.Run("fit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			round()
		}
	})
	b.Run("turn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Turn(func(t int64) int64 { return (t - 1e18) >> 60 }, 0)
		}
	})
}
