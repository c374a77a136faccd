package election

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// PROTOCOL.md 9.3.
func TestCompareTakesTheCriteriaInOrder(t *testing.T) {
	better := []Candidate{
		{ID: 1, Priority: 200},
		{ID: 2, Priority: 100, Voter: true, Rounds: 9},
		{ID: 9, Priority: 100, Voter: true, Rounds: 5},
		{ID: 3, Priority: 100, Voter: true, Rounds: 5},
		{ID: 2, Priority: 100, Voter: true, Rounds: 5},
		{ID: math.MaxUint64, Priority: 100, Rounds: 70},
		{ID: 4, Priority: 100, Rounds: 70},
		{ID: 5, Priority: 0, Voter: true, Rounds: 999},
	}
	for i, a := range better {
		for j, b := range better {
			if got, want := cmp.Compare(Compare(a, b), 0), cmp.Compare(i, j); got != want {
				t.Errorf("Compare(%+v, %+v) has sign %d, want %d", a, b, got, want)
			}
		}
	}
}

// candidate draws from few values, so that every criterion ties often.
func candidate() *rapid.Generator[Candidate] {
	return rapid.Custom(func(t *rapid.T) Candidate {
		return Candidate{
			ID:       rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64()).Draw(t, "id"),
			Priority: rapid.OneOf(rapid.Uint8Range(0, 2), rapid.Uint8()).Draw(t, "priority"),
			Voter:    rapid.Bool().Draw(t, "voter"),
			Rounds:   rapid.OneOf(rapid.IntRange(0, 2), rapid.Int()).Draw(t, "rounds"),
		}
	})
}

// TestCompareIsATotalOrder (PROTOCOL.md 9.3): two nodes that know the same candidates name the same successor. Only equals tie.
func TestCompareIsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := candidate().Draw(t, "a"), candidate().Draw(t, "b"), candidate().Draw(t, "c")
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("Compare(%+v, %+v) = %d, the other way %d", a, b, Compare(a, b), Compare(b, a))
		}
		if (Compare(a, b) == 0) != (a == b) {
			t.Fatalf("Compare(%+v, %+v) = %d", a, b, Compare(a, b))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%+v before %+v before %+v, but not the first before the last", a, b, c)
		}
	})
}

// succession is the ids of the first n of a line that candidates enter one after the other.
func succession(candidates []Candidate, n int) (ids []uint64) {
	line := make([]Candidate, 0, n)
	for _, c := range candidates {
		line = Enter(line, c)
	}
	for _, c := range line {
		ids = append(ids, c.ID)
	}
	return ids
}

// PROTOCOL.md 9.1 and 9.6.
func TestSuccessionLeavesOutWhoMayNever(t *testing.T) {
	got := succession([]Candidate{{ID: 1, Priority: 0}, {ID: 2, Priority: 7}, {ID: 3, Priority: 9}, {ID: 4, Priority: 8}}, 2)
	if want := []uint64{3, 4}; !slices.Equal(got, want) {
		t.Errorf("the line is %v, want %v", got, want)
	}
	if got := succession([]Candidate{{ID: 1}, {ID: 2, Voter: true}}, 3); got != nil {
		t.Errorf("the line of those that may never be master is %v", got)
	}
}

// TestSuccessionTakesTheBest (PROTOCOL.md 9.3), one after the other, whatever the order they are known in.
func TestSuccessionTakesTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates := rapid.SliceOfNDistinct(candidate(), 0, 12, func(c Candidate) uint64 { return c.ID }).Draw(t, "candidates")
		n := rapid.IntRange(0, 14).Draw(t, "n")
		left := slices.DeleteFunc(slices.Clone(candidates), func(c Candidate) bool { return c.Priority == 0 })
		var want []uint64
		for len(want) < n && len(left) > 0 {
			next := slices.MinFunc(left, Compare)
			want = append(want, next.ID)
			left = slices.DeleteFunc(left, func(c Candidate) bool { return c == next })
		}
		if got := succession(rapid.Permutation(candidates).Draw(t, "order"), n); !slices.Equal(got, want) {
			t.Fatalf("the line of %+v, %d places, is %v, want %v", candidates, n, got, want)
		}
	})
}
