package election

import (
	"slices"
	"testing"
)

func TestCompareTakesTheCriteriaInOrder(t *testing.T) {
	better := []Candidate{
		{ID: 1, Priority: 200},
		{ID: 2, Priority: 100, Voter: true, Rounds: 9},
		{ID: 9, Priority: 100, Voter: true, Rounds: 5},
		{ID: 3, Priority: 100, Voter: true, Rounds: 5},
		{ID: 4, Priority: 100, Rounds: 70},
	}
	for i, a := range better {
		for j, b := range better {
			if got, want := Compare(a, b) < 0, i < j; got != want {
				t.Errorf("Compare(%+v, %+v) < 0 is %v, want %v", a, b, got, want)
			}
		}
	}
}

func TestSuccessionLeavesOutWhoMayNever(t *testing.T) {
	got := Succession([]Candidate{{ID: 1, Priority: 0}, {ID: 2, Priority: 7}, {ID: 3, Priority: 9}, {ID: 4, Priority: 8}}, 2)
	if want := []uint64{3, 4}; !slices.Equal(got, want) {
		t.Errorf("Succession = %v, want %v", got, want)
	}
}
