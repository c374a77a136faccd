package berkeley

import (
	"cmp"
	"math"
	"slices"
)

// Reading is one clock's part in a mean, in nanoseconds.
type Reading struct {
	Offset int64 // that clock minus the master's; the master's own reading has 0
	Bound  int64 // the clock is honest only if it lies within Offset ± Bound of LAN time
}

// Mean is the outcome of Found and Keeper.Keep.
type Mean struct {
	Offset int64  // ns: LAN time minus the master's clock
	In     []bool // per reading: whether it stands in the group that made the mean
	Count  int    // how many do
	Spread int64  // ns: largest minus smallest offset among them
}

// Found takes the classic Berkeley mean (Gusella and Zatti 1989, section II): the plain average over the largest group of
// clocks that lie within width of each other. Of several largest groups it prefers the one that holds reading 0, the
// master's, then the narrower one, then the slower one. A reading for which plausible is false has no voice while
// another is plausible. It panics without readings: a master always has its own.
func Found(readings []Reading, width int64, plausible func(i int) bool) Mean {
	order := voices(readings, plausible)
	sortByOffset(readings, order)
	master := slices.Index(order, 0) // −1 where it has no voice
	var best group
	for i, j := 0, 0; i < len(order); i++ {
		for j < len(order) && apart(readings[order[j]], readings[order[i]]) <= width {
			j++
		}
		g := group{order[i:j], i <= master && master < j, apart(readings[order[j-1]], readings[order[i]])}
		if g.better(best) {
			best = g
		}
	}
	return average(readings, best.who, best.who, make([]bool, len(readings)))
}

// group is readings that lie within the width of each other, in the order of their offsets.
type group struct {
	who    []int
	master bool  // reading 0 is among them
	span   int64 // ns
}

// better says whether a group is to be preferred over the best before it, which has no later offset than this.
func (g group) better(best group) bool {
	switch {
	case len(g.who) != len(best.who):
		return len(g.who) > len(best.who)
	case g.master != best.master:
		return g.master
	}
	return g.span < best.span
}

// sortByOffset sorts indices of readings; of equal offsets the lower index comes first.
func sortByOffset(readings []Reading, order []int) {
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(readings[a].Offset, readings[b].Offset), cmp.Compare(a, b))
	})
}

// voices lists the plausible readings, or all where none is.
func voices(readings []Reading, plausible func(int) bool) []int {
	var all, some []int
	for i := range readings {
		all = append(all, i)
		if plausible(i) {
			some = append(some, i)
		}
	}
	if len(some) == 0 {
		return all
	}
	return some
}

// Keeper takes the means of the rounds of a LAN that has its time. It keeps the room that they need. Its zero value is ready.
type Keeper struct {
	lows, highs []int64 // ends of the intervals, sorted
	popular     []int64 // ends that enough intervals share, sorted
	set         []int
	in          []bool
}

// Keep takes the fault-tolerant mean over the voters of a round. First the largest sets of readings whose intervals
// (Offset ± Bound) share a point are found (Marzullo and Owicki, "Maintaining the Time in a Distributed System", 1983): they
// must hold more than half of the readings, else ok is false and nobody may be steered. Then, of the n readings given, a
// third at most may be faulty: as many readings as could still hide in the group are dropped from either end and the rest is
// averaged (Lundelius Welch and Lynch, "A New Fault-Tolerant Algorithm for Clock Synchronization", Information and
// Computation 77, 1988). Fewer than n/3 faulty readings therefore cannot move the mean beyond the range of the honest ones,
// nor have an honest one left out. The Mean's In is the keeper's, until it is used again.
func (k *Keeper) Keep(readings []Reading) (m Mean, ok bool) {
	faulty := (len(readings) - 1) / 3
	k.in = slices.Grow(k.in[:0], len(readings))[:len(readings)]
	clear(k.in)
	if !k.agree(readings, len(readings)-faulty) {
		return Mean{In: k.in}, false
	}
	sortByOffset(readings, k.set)
	hidden := max(0, faulty-(len(readings)-len(k.set)))
	return average(readings, k.set, k.set[hidden:len(k.set)-hidden], k.in), true
}

// agree finds the set of the intervals that hold a point which at least enough of them share, or, where no point is shared by so many, one
// that the most share; it says whether those are a majority. It takes all such points, not one: a faulty interval may make a second
// one as popular as the one that the honest share, and who misses only that is not faulty. Whoever shares a point shares the lower end of
// an interval, and that is shared by all that begin no later and have not ended before.
func (k *Keeper) agree(readings []Reading, enough int) bool {
	k.lows, k.highs, k.set = k.lows[:0], k.highs[:0], k.set[:0]
	for _, r := range readings {
		if low, high := r.Offset-r.Bound, r.Offset+r.Bound; low <= high { // else it holds nothing
			k.lows, k.highs = append(k.lows, low), append(k.highs, high)
		}
	}
	slices.Sort(k.lows)
	slices.Sort(k.highs)
	most := k.share(math.MaxInt)
	k.share(min(most, enough))
	for i, r := range readings {
		at, _ := slices.BinarySearch(k.popular, r.Offset-r.Bound)
		if at < len(k.popular) && k.popular[at] <= r.Offset+r.Bound {
			k.set = append(k.set, i)
		}
	}
	return 2*most > len(readings)
}

// share finds the lower ends that at least enough intervals share, and by how many the most popular is shared.
func (k *Keeper) share(enough int) (most int) {
	k.popular = k.popular[:0]
	ended := 0
	for i, low := range k.lows {
		if i+1 < len(k.lows) && k.lows[i+1] == low {
			continue // they begin there, too
		}
		for k.highs[ended] < low {
			ended++
		}
		shared := i + 1 - ended
		if most = max(most, shared); shared >= enough {
			k.popular = append(k.popular, low)
		}
	}
	return most
}

// average is the plain mean over the readings in core, reported with the group they come from, sorted by offset, which it marks in.
func average(readings []Reading, group, core []int, in []bool) Mean {
	m := Mean{In: in, Count: len(group), Spread: apart(readings[group[len(group)-1]], readings[group[0]])}
	for _, i := range group {
		m.In[i] = true
	}
	base := readings[core[0]].Offset // sums of differences cannot overflow where sums of offsets might
	var sum int64
	for _, i := range core {
		sum += readings[i].Offset - base
	}
	m.Offset = base + round(sum, int64(len(core)))
	return m
}

// round divides to the nearest, halves up, so that a mean has no drift of its own from truncation. Sums from the lowest
// reading are never negative.
func round(sum, n int64) int64 { return (sum + n/2) / n }

func apart(a, b Reading) int64 { return a.Offset - b.Offset }
