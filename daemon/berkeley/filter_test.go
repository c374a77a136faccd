package berkeley

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFilterAgainstAList: a filter that keeps every sample of every round gives the same answers.
func TestFilterAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Filter
		var now []Sample
		var past []int64
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "step") > 0 {
				s := Sample{Offset: rapid.Int64().Draw(t, "offset"), Bound: rapid.Int64Range(0, 50).Draw(t, "bound")}
				f.Add(s)
				now = append(now, s)
			} else {
				f.Next()
				if len(now) > 0 {
					past = append(past, best(now).Bound)
				}
				now = nil
			}
			got, ok := f.Best()
			if ok != (len(now) > 0) || ok && got != best(now) || !ok && got != (Sample{}) {
				t.Fatalf("Best = %+v, %v of %+v", got, ok, now)
			}
			want := int64(math.MaxInt64)
			if n := len(past); n > 0 {
				want = slices.Min(past[max(0, n-16):])
			}
			if f.Usual() != want {
				t.Fatalf("Usual = %d, want %d of %v", f.Usual(), want, past)
			}
		}
	})
}

// best is the first sample of the smallest bound.
func best(samples []Sample) Sample {
	return slices.MinFunc(samples, func(a, b Sample) int { return int(a.Bound - b.Bound) })
}

// TestFilterForgetsAQuietNetwork: sixteen rounds after the last quiet exchange, queues are the usual thing.
func TestFilterForgetsAQuietNetwork(t *testing.T) {
	var f Filter
	f.Add(Sample{Bound: 5})
	f.Next()
	for round := range 16 {
		if got := f.Usual(); got != 5 {
			t.Errorf("after %d rounds with queues: usual %d, want 5", round, got)
		}
		f.Next() // a round without a sample takes nothing out of the memory
		f.Add(Sample{Bound: 900})
		f.Next()
	}
	if got := f.Usual(); got != 900 {
		t.Errorf("usual %d, want 900", got)
	}
}
