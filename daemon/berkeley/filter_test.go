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
				s := Sample{Offset: rapid.Int64Range(-100, 100).Draw(t, "offset"), Bound: rapid.Int64Range(0, 200).Draw(t, "bound")}
				f.Add(s)
				now = append(now, s)
			} else {
				f.Next()
				if len(now) > 0 {
					past = append(past, together(now).Bound)
				}
				now = nil
			}
			got, ok := f.Best()
			if ok != (len(now) > 0) || ok && got != together(now) || !ok && got != (Sample{}) {
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

// together is what samples say together: the middle of where they overlap, found by trying every offset, and the sample of the smallest
// bound where they do not.
func together(samples []Sample) Sample {
	s := best(samples)
	lo, hi, found := int64(0), int64(0), false
	for offset := int64(-300); offset <= 300; offset++ {
		in := func(s Sample) bool { return offset >= s.Offset-s.Bound && offset <= s.Offset+s.Bound }
		if !slices.ContainsFunc(samples, func(s Sample) bool { return !in(s) }) {
			if !found {
				lo, found = offset, true
			}
			hi = offset
		}
	}
	if found && len(samples) > 1 {
		s.Offset, s.Bound = lo/2+hi/2+(lo%2+hi%2)/2, hi/2-lo/2+1
	}
	return s
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

// TestHostileSamplesDoNotOverflow: whatever the stamps, the bound is not negative and the offset within what was offered.
func TestHostileSamplesDoNotOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Filter
		for range rapid.IntRange(1, 4).Draw(t, "samples") {
			f.Add(Sample{Offset: rapid.Int64().Draw(t, "offset"), Bound: rapid.Int64Range(0, math.MaxInt64).Draw(t, "bound")})
		}
		if s, ok := f.Best(); !ok || s.Bound < 0 {
			t.Fatalf("%+v, %v", s, ok)
		}
	})
}

// TestEachLegCountsForItself: the quickest leg there and the quickest leg back need not be of one exchange.
func TestEachLegCountsForItself(t *testing.T) {
	var f Filter
	f.Add(Sample{Offset: 45, Delay: 110, Bound: 55})  // 100 there, 10 back, of clocks that agree
	f.Add(Sample{Offset: -40, Delay: 100, Bound: 50}) // 10 there, 90 back
	if s, ok := f.Best(); !ok || s.Offset != 0 || s.Bound > 11 {
		t.Errorf("%+v, want an offset of 0 within 10", s)
	}
	f.Add(Sample{Offset: 1000, Bound: 5}) // something else is wrong
	if s, _ := f.Best(); s.Offset != 1000 || s.Bound != 5 {
		t.Errorf("%+v, want the sample of the smallest bound where they do not overlap", s)
	}
}
