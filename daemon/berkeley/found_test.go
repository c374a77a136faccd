package berkeley

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everybody is the judgement that all clocks are plausible.
func everybody(int) bool { return true }

// at makes readings of offsets, with a bound that plays no part in a founding.
func at(offsets ...time.Duration) []Reading {
	var readings []Reading
	for _, o := range offsets {
		readings = append(readings, Reading{Offset: int64(o), Bound: 1})
	}
	return readings
}

// TestOfRecord is the example by which the Berkeley algorithm is taught (BRIEF 4): 3:00 is the master's.
func TestOfRecord(t *testing.T) {
	readings := at(0, 25*time.Minute, -10*time.Minute)
	got := Found(readings, int64(time.Hour), everybody)
	want := Mean{Offset: int64(5 * time.Minute), In: []bool{true, true, true}, Count: 3, Spread: int64(35 * time.Minute)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Found (-want +got):\n%s", diff)
	}
	deltas := []time.Duration{5 * time.Minute, -20 * time.Minute, 15 * time.Minute}
	for i, r := range readings {
		if delta := time.Duration(got.Offset - r.Offset); delta != deltas[i] {
			t.Errorf("delta %d is %v, want %v", i, delta, deltas[i])
		}
	}
}

func TestFoundPrefers(t *testing.T) {
	const h, m, year = time.Hour, time.Minute, 365 * 24 * time.Hour
	for _, c := range []struct {
		name     string
		readings []Reading
		early    []int // implausible
		in       []bool
		offset   time.Duration
	}{
		{"alone", at(0), nil, []bool{true}, 0},
		{"exactly the width still agrees", at(0, h), nil, []bool{true, true}, h / 2},
		{"a nanosecond more does not", at(0, h+1), nil, []bool{true, false}, 0},
		{"the larger group before the master's", at(0, 5*h, 5*h+m), nil, []bool{false, true, true}, 5*h + m/2},
		{"of two as large the master's, though wider", at(0, 50*m, 5*h, 5*h+m), nil, []bool{true, true, false, false}, 25 * m},
		{"of two as large without the master the narrower", at(0, 5*h, 5*h+9*m, -5*h, -5*h+m), nil,
			[]bool{false, false, false, true, true}, -5*h + m/2},
		{"of two as wide the slower", at(0, 5*h, 5*h+m, -5*h, -5*h+m), nil, []bool{false, false, false, true, true}, -5*h + m/2},
		{"the master's overlapping group", at(0, -50*m, 50*m), nil, []bool{true, true, false}, -25 * m},
		{"an implausible clock has no voice", at(0, -30*year, -30*year, 2*m), []int{1, 2}, []bool{true, false, false, true}, m},
		{"nor has an implausible master", at(0, 30*year, 30*year+2*m), []int{0}, []bool{false, true, true}, 30*year + m},
		{"one plausible clock outweighs all others", at(0, 2*m, 30*year), []int{0, 1}, []bool{false, false, true}, 30 * year},
		{"where none is plausible all have one", at(0, 2*m), []int{0, 1}, []bool{true, true}, m},
	} {
		plausible := func(i int) bool { return !slices.Contains(c.early, i) }
		got := Found(c.readings, int64(h), plausible)
		if got.Offset != int64(c.offset) || !slices.Equal(got.In, c.in) {
			t.Errorf("%s: %v %v, want %v %v", c.name, time.Duration(got.Offset), got.In, c.offset, c.in)
		}
	}
}

// slowFound tries all groups there are.
func slowFound(readings []Reading, width int64, plausible func(int) bool) Mean {
	anybody := !slices.ContainsFunc(indices(readings), plausible)
	var best []int
	for _, group := range subsets(readings) {
		heard := !slices.ContainsFunc(group, func(i int) bool { return !anybody && !plausible(i) })
		if heard && offsetsOf(readings, group).spread() <= width && preferred(readings, group, best) {
			best = group
		}
	}
	return slowMean(readings, best, offsetsOf(readings, best))
}

// preferred is the order of groups, as the brief tells it; the slower of two otherwise equal ones comes first.
func preferred(readings []Reading, a, b []int) bool {
	switch {
	case len(a) != len(b):
		return len(a) > len(b)
	case slices.Contains(a, 0) != slices.Contains(b, 0):
		return slices.Contains(a, 0)
	}
	x, y := offsetsOf(readings, a), offsetsOf(readings, b)
	if x.spread() != y.spread() {
		return x.spread() < y.spread()
	}
	return x[0] < y[0]
}

type offsets []int64 // sorted

func offsetsOf(readings []Reading, group []int) offsets {
	var o offsets
	for _, i := range group {
		o = append(o, readings[i].Offset)
	}
	slices.Sort(o)
	return o
}

func (o offsets) spread() int64 { return o[len(o)-1] - o[0] }

// mean is the plain mean to the nearest nanosecond, halves up: floor((2·sum + n) / 2n).
func (o offsets) mean() int64 {
	sum := new(big.Int)
	for _, v := range o {
		sum.Add(sum, big.NewInt(v))
	}
	n := int64(len(o))
	sum.Add(sum.Lsh(sum, 1), big.NewInt(n))
	return new(big.Int).Div(sum, big.NewInt(2*n)).Int64() // Div rounds down for a divisor above zero
}

func slowMean(readings []Reading, group []int, core offsets) Mean {
	m := Mean{In: make([]bool, len(readings)), Count: len(group), Spread: offsetsOf(readings, group).spread(), Offset: core.mean()}
	for _, i := range group {
		m.In[i] = true
	}
	return m
}

func indices(readings []Reading) []int {
	var all []int
	for i := range readings {
		all = append(all, i)
	}
	return all
}

// subsets lists all groups of one and more.
func subsets(readings []Reading) [][]int {
	var all [][]int
	for mask := 1; mask < 1<<len(readings); mask++ {
		var group []int
		for i := range readings {
			if mask>>i&1 == 1 {
				group = append(group, i)
			}
		}
		all = append(all, group)
	}
	return all
}

// drawReadings are few readings, close enough together for every kind of tie.
func drawReadings(t *rapid.T) []Reading {
	span := rapid.SampledFrom([]int64{3, 12, 1000}).Draw(t, "span")
	n := rapid.IntRange(1, 8).Draw(t, "n")
	var readings []Reading
	for range n {
		readings = append(readings, Reading{
			Offset: rapid.Int64Range(-span, span).Draw(t, "offset"),
			Bound:  rapid.Int64Range(0, span).Draw(t, "bound"),
		})
	}
	return readings
}

func TestFoundAgainstAllGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings := drawReadings(t)
		readings[0].Offset = 0
		width := rapid.Int64Range(0, 20).Draw(t, "width")
		early := rapid.SliceOfN(rapid.Bool(), len(readings), len(readings)).Draw(t, "early")
		plausible := func(i int) bool { return !early[i] }
		if diff := cmp.Diff(slowFound(readings, width, plausible), Found(readings, width, plausible)); diff != "" {
			t.Fatalf("Found(%v, %d) without %v (-want +got):\n%s", readings, width, early, diff)
		}
	})
}

// TestFoundKnowsNoOrderAndNoZero: who answers first and where the master's clock stands make no difference.
func TestFoundKnowsNoOrderAndNoZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings := drawReadings(t)
		width := rapid.Int64Range(0, 2000).Draw(t, "width")
		before := Found(readings, width, everybody)
		order := append([]int{0}, rapid.Permutation(indices(readings)[1:]).Draw(t, "order")...)
		by := rapid.Int64Range(-1<<61, 1<<61).Draw(t, "by")
		after := Found(shuffled(readings, order, by), width, everybody)
		if diff := cmp.Diff(moved(before, order, by), after); diff != "" {
			t.Fatalf("in order %v, moved by %d (-want +got):\n%s", order, by, diff)
		}
	})
}

// shuffled are the readings in another order, all moved.
func shuffled(readings []Reading, order []int, by int64) []Reading {
	var out []Reading
	for _, i := range order {
		out = append(out, Reading{Offset: readings[i].Offset + by, Bound: readings[i].Bound})
	}
	return out
}

// moved is what a mean should become by it.
func moved(m Mean, order []int, by int64) Mean {
	out := Mean{Offset: m.Offset + by, Count: m.Count, Spread: m.Spread}
	for _, i := range order {
		out.In = append(out.In, m.In[i])
	}
	return out
}
