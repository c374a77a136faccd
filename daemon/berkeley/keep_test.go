package berkeley

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestMain lets rapid try harder: the arithmetic is cheap and its corners are rare.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "1000"); err != nil { // the command line still has the last word
		panic(err)
	}
	m.Run()
}

func TestKeepByHand(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, c := range []struct {
		name     string
		readings []Reading
		ok       bool
		want     Mean
	}{
		{"nobody", nil, false, Mean{}},
		{"one", []Reading{{7, 0}}, true, Mean{Offset: 7, Count: 1}},
		{"two that agree", []Reading{{0, 5}, {9, 5}}, true, Mean{Offset: 5, Count: 2, Spread: 9}},
		{"two that touch", []Reading{{0, 5}, {10, 5}}, true, Mean{Offset: 5, Count: 2, Spread: 10}},
		{"two that do not", []Reading{{0, 5}, {11, 5}}, false, Mean{}},
		{"two of three outvote one", []Reading{{0, 5}, {4, 5}, {ms, 5}}, true, Mean{Offset: 2, Count: 2, Spread: 4}},
		{"and the master, if it is the one", []Reading{{0, 5}, {ms, 5}, {ms + 4, 5}}, true, Mean{Offset: ms + 2, Count: 2, Spread: 4}},
		{"three apart", []Reading{{0, 5}, {ms, 5}, {2 * ms, 5}}, false, Mean{}},
		{"half of four is no majority", []Reading{{0, 5}, {4, 5}, {ms, 5}, {ms + 4, 5}}, false, Mean{}},
		{"of four that agree the extremes may lie", []Reading{{0, 99}, {4, 99}, {6, 99}, {98, 99}}, true,
			Mean{Offset: 5, Count: 4, Spread: 98}},
		{"the liar is out: the other three count whole", []Reading{{0, 9}, {4, 9}, {ms, 9}, {5, 9}}, true,
			Mean{Offset: 3, Count: 3, Spread: 5}},
		{"bounds below zero hold nothing", []Reading{{0, -1}}, false, Mean{}},
	} {
		got, ok := new(Keeper).Keep(c.readings)
		in := 0
		for _, b := range got.In {
			if b {
				in++
			}
		}
		if len(got.In) != len(c.readings) || in != c.want.Count {
			t.Errorf("%s: In is %v", c.name, got.In)
		}
		got.In = nil
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: ok %v, want %v (-want +got):\n%s", c.name, ok, c.ok, diff)
		}
	}
}

// TestLiarsWithAFootInTheMajority are the cases that showed what may hide: liars share a point with all honest clocks but
// one, and make it as popular as the point that the honest share, or more popular. Dropping the one in their favour would
// leave too few to drop for the liars.
func TestLiarsWithAFootInTheMajority(t *testing.T) {
	liar := Reading{Offset: -500_000, Bound: 499_500}
	honest, odd := Reading{Offset: 0, Bound: 1000}, Reading{Offset: 1000, Bound: 1000}
	for _, c := range []struct {
		name     string
		readings []Reading
	}{
		{"one of four", []Reading{liar, honest, honest, odd}},
		{"two of seven", []Reading{liar, liar, honest, honest, honest, honest, odd}},
		{"three of ten", []Reading{liar, liar, liar, honest, honest, honest, honest, honest, honest, odd}},
	} {
		for _, side := range []int64{1, -1} {
			readings := slices.Clone(c.readings)
			for i := range readings {
				readings[i].Offset *= side
			}
			got, ok := new(Keeper).Keep(readings)
			if lo, hi := min(0, side*1000), max(0, side*1000); !ok || got.Offset < lo || got.Offset > hi {
				t.Errorf("%s, side %d: mean %d, %v; the honest are within %d and %d", c.name, side, got.Offset, ok, lo, hi)
			}
			if !got.In[len(readings)-1] {
				t.Errorf("%s, side %d: an honest clock was left out: %v", c.name, side, got.In)
			}
		}
	}
}

// slowKeep tries all groups there are: a group agrees if no two of its intervals miss each other.
func slowKeep(readings []Reading) (Mean, bool) {
	n := len(readings)
	faulty := (n - 1) / 3
	var agreeing [][]int
	most := 0
	for _, group := range subsets(readings) {
		if agree(readings, group) {
			agreeing = append(agreeing, group)
			most = max(most, len(group))
		}
	}
	if 2*most <= n {
		return Mean{In: make([]bool, n)}, false
	}
	var set []int
	for _, group := range agreeing {
		if len(group) == most || len(group) >= n-faulty {
			set = append(set, group...)
		}
	}
	slices.Sort(set)
	set = slices.Compact(set)
	core := offsetsOf(readings, set)
	for hidden := faulty - (n - len(set)); hidden > 0; hidden-- {
		core = core[1 : len(core)-1]
	}
	return slowMean(readings, set, core), true
}

func agree(readings []Reading, group []int) bool {
	for _, i := range group {
		for _, j := range group {
			a, b := readings[i], readings[j]
			if a.Offset-a.Bound > b.Offset+b.Bound {
				return false
			}
		}
	}
	return true
}

// One keeper does for all: what it keeps from one mean does not show in the next.
func TestKeepAgainstAllGroups(t *testing.T) {
	var k Keeper
	rapid.Check(t, func(t *rapid.T) {
		readings := drawReadings(t)
		want, wantOK := slowKeep(readings)
		got, ok := k.Keep(readings)
		if diff := cmp.Diff(want, got); diff != "" || ok != wantOK {
			t.Fatalf("Keep(%v) is %v, want %v (-want +got):\n%s", readings, ok, wantOK, diff)
		}
	})
}

// TestKeepKnowsNoOrderAndNoZero: unlike a founding, not even the master's reading is special.
func TestKeepKnowsNoOrderAndNoZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings := drawReadings(t)
		before, okBefore := new(Keeper).Keep(readings)
		order := rapid.Permutation(indices(readings)).Draw(t, "order")
		by := rapid.Int64Range(-1<<61, 1<<61).Draw(t, "by")
		after, ok := new(Keeper).Keep(shuffled(readings, order, by))
		want := moved(before, order, by)
		if !ok {
			want.Offset = 0
		}
		if diff := cmp.Diff(want, after); diff != "" || ok != okBefore {
			t.Fatalf("in order %v, moved by %d (-want +got):\n%s", order, by, diff)
		}
	})
}

// TestKeepKnowsNoSides: clocks that are as much fast as others are slow give the opposite mean, but for half a nanosecond.
func TestKeepKnowsNoSides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings := drawReadings(t)
		mirrored := slices.Clone(readings)
		for i := range mirrored {
			mirrored[i].Offset *= -1
		}
		a, okA := new(Keeper).Keep(readings)
		b, okB := new(Keeper).Keep(mirrored)
		if okA != okB || !slices.Equal(a.In, b.In) || a.Spread != b.Spread || a.Offset+b.Offset < 0 || a.Offset+b.Offset > 1 {
			t.Fatalf("Keep(%v) = %+v %v, mirrored %+v %v", readings, a, okA, b, okB)
		}
	})
}

// drawLAN is a LAN of n clocks of which fewer than a third lie. Honest intervals share a point. Liars know them all, and
// say what they like: their stamps make offsets up to ±146 years and bounds up to half of that.
func drawLAN(t *rapid.T) (readings []Reading, liars int) {
	n := rapid.IntRange(4, 31).Draw(t, "n")
	liars = rapid.IntRange(0, (n-1)/3).Draw(t, "liars")
	widest := rapid.SampledFrom([]int64{2, 1000, 1_000_000}).Draw(t, "widest bound")
	point := rapid.Int64Range(-widest, widest).Draw(t, "point")
	honest := make([]Reading, n-liars)
	for i := range honest {
		bound := rapid.Int64Range(0, widest).Draw(t, "bound")
		honest[i] = Reading{Offset: point + rapid.Int64Range(-bound, bound).Draw(t, "off"), Bound: bound}
	}
	gang := rapid.Bool().Draw(t, "gang")
	for i := range liars {
		if gang && i > 0 {
			readings = append(readings, readings[0])
			continue
		}
		readings = append(readings, drawLie(t, honest))
	}
	return append(readings, honest...), liars
}

// drawLie is any reading, or one that reaches from afar to just where an honest interval ends.
func drawLie(t *rapid.T, honest []Reading) Reading {
	const mostOffset, mostBound = maxLeg, maxLeg/2 + 1_000_000
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		return Reading{
			Offset: rapid.Int64Range(-mostOffset, mostOffset).Draw(t, "lie"),
			Bound:  rapid.Int64Range(0, mostBound).Draw(t, "pretext"),
		}
	}
	h := rapid.SampledFrom(honest).Draw(t, "victim")
	edge := rapid.SampledFrom([]int64{h.Offset - h.Bound, h.Offset + h.Bound}).Draw(t, "edge")
	edge += rapid.Int64Range(-2, 2).Draw(t, "past it")
	bound := rapid.OneOf(rapid.Int64Range(0, 3_000_000), rapid.Int64Range(0, mostBound)).Draw(t, "reach")
	return Reading{Offset: edge + rapid.SampledFrom([]int64{-1, 1}).Draw(t, "from")*bound, Bound: bound}
}

func honestRange(honest []Reading) (lo, hi int64) {
	o := offsetsOf(honest, indices(honest))
	return o[0], o[len(o)-1]
}

// TestLiarsMoveNothing is promise 4: fewer than n/3 liars shift the mean no further than the honest clocks' own range,
// and talk no honest clock out of its vote.
func TestLiarsMoveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings, liars := drawLAN(t)
		m, ok := new(Keeper).Keep(readings)
		if !ok {
			t.Fatalf("%d liars of %d took the majority away", liars, len(readings))
		}
		if lo, hi := honestRange(readings[liars:]); m.Offset < lo || m.Offset > hi {
			t.Fatalf("%d liars of %d moved the mean to %d, beyond the honest %d to %d", liars, len(readings), m.Offset, lo, hi)
		}
		if slices.Contains(m.In[liars:], false) {
			t.Fatalf("an honest clock was left out: %v", m.In)
		}
	})
}

// TestTwoLiarsOfTen at any distance. The mean of BSD's timed, which averaged whoever was within 20 ms of the master, was
// moved by 36 ms this way (BRIEF 4).
func TestTwoLiarsOfTen(t *testing.T) {
	var honest []Reading
	for i := range 8 {
		honest = append(honest, Reading{Offset: int64(i-4) * 1000, Bound: 20_000})
	}
	lo, hi := honestRange(honest)
	worst := int64(0)
	for distance := int64(1); distance < maxLeg/2; distance = distance*3/2 + 1 {
		for _, bound := range []int64{0, 20_000, 1_000_000, distance, distance - 30_000} {
			for _, sides := range [][2]int64{{1, 1}, {-1, -1}, {1, -1}} {
				readings := append(slices.Clone(honest),
					Reading{Offset: sides[0] * distance, Bound: max(0, bound)},
					Reading{Offset: sides[1] * distance, Bound: max(0, bound)})
				m, ok := new(Keeper).Keep(readings)
				if !ok || m.Offset < lo || m.Offset > hi {
					t.Errorf("%d ± %d, sides %v: mean %d, %v", distance, bound, sides, m.Offset, ok)
				}
				worst = max(worst, max(m.Offset+500, -m.Offset-500)) // −500 is the honest mean
			}
		}
	}
	t.Logf("honest within %d … %d ns; two liars of ten moved the mean by %d ns at the most", lo, hi, worst)
}

// TestNoMajorityNoMean: whenever no half of the clocks agrees, nobody is steered, whatever their number.
func TestNoMajorityNoMean(t *testing.T) {
	for n := 2; n <= 31; n++ {
		var readings []Reading
		for i := range n {
			camp := int64(i%2) * math.MaxInt32
			readings = append(readings, Reading{Offset: camp, Bound: 100})
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m, ok := new(Keeper).Keep(readings)
			if odd := n%2 == 1; ok != odd || ok && (m.Count != n/2+1 || m.Offset != 0) {
				t.Errorf("two camps of %d clocks: %+v, %v", n, m, ok)
			}
		})
	}
}

// BenchmarkKeep is a round's mean over many voters: n log n, and nothing allocated.
func BenchmarkKeep(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			readings := make([]Reading, n)
			for i := range readings {
				readings[i] = Reading{int64(5e3 * rng.NormFloat64()), 20_000 + rng.Int64N(50_000)}
			}
			var k Keeper
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := k.Keep(readings); !ok {
					b.Fatal("no majority")
				}
			}
		})
	}
}
