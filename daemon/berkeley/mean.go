package berkeley

import (
	"cmp"
	"slices"
)

// Reading is one clock's part in a mean, in nanoseconds.
type Reading struct {
	Offset int64 // that clock minus the master's; the master's own reading has 0
	Bound  int64 // the clock is honest only if it lies within Offset ± Bound of LAN time
}

// Mean is the outcome of Found and Keep.
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
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(readings[a].Offset, readings[b].Offset) })
	var best []int
	for i := range order {
		j := i
		for j < len(order) && apart(readings[order[j]], readings[order[i]]) <= width {
			j++
		}
		if group := order[i:j]; better(readings, group, best) {
			best = group
		}
	}
	return average(readings, best, best)
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

// better says whether group, sorted by offset, is to be preferred over best.
func better(readings []Reading, group, best []int) bool {
	if len(group) != len(best) {
		return len(group) > len(best)
	}
	a, b := slices.Contains(group, 0), slices.Contains(best, 0)
	if a != b {
		return a
	}
	return span(readings, group) < span(readings, best)
}

// Keep takes the fault-tolerant mean over the voters of a round. First the largest sets of readings whose intervals
// (Offset ± Bound) share a point are found (Marzullo and Owicki, "Maintaining the Time in a Distributed System", 1983): they
// must hold more than half of the readings, else ok is false and nobody may be steered. Then, of the n readings given, a
// third at most may be faulty: as many readings as could still hide in the group are dropped from either end and the rest is
// averaged (Lundelius Welch and Lynch, "A New Fault-Tolerant Algorithm for Clock Synchronization", Information and
// Computation 77, 1988). Fewer than n/3 faulty readings therefore cannot move the mean beyond the range of the honest ones,
// nor have an honest one left out.
func Keep(readings []Reading) (m Mean, ok bool) {
	faulty := (len(readings) - 1) / 3
	set, ok := agreeing(readings, len(readings)-faulty)
	if !ok {
		return Mean{In: make([]bool, len(readings))}, false
	}
	slices.SortStableFunc(set, func(a, b int) int { return cmp.Compare(readings[a].Offset, readings[b].Offset) })
	hidden := max(0, faulty-(len(readings)-len(set)))
	return average(readings, set, set[hidden:len(set)-hidden]), true
}

// agreeing returns the indices of the intervals that hold a point which at least enough of them share, or, where no point
// is shared by so many, one that the most share; ok says whether those are a majority. It takes all such points, not one:
// a faulty interval may make a second one as popular as the one that the honest share, and who misses only that is not faulty.
func agreeing(readings []Reading, enough int) (set []int, ok bool) {
	most := 0
	shared := make([]int, len(readings)) // by how many, for the lower ends: whoever shares a point shares one of those
	for i, r := range readings {
		for _, o := range readings {
			if o.holds(r.Offset - r.Bound) {
				shared[i]++
			}
		}
		most = max(most, shared[i])
	}
	for i, r := range readings {
		for j, o := range readings {
			if shared[j] >= min(most, enough) && r.holds(o.Offset-o.Bound) {
				set = append(set, i)
				break
			}
		}
	}
	return set, 2*most > len(readings)
}

// holds says whether the reading's interval contains the point.
func (r Reading) holds(point int64) bool {
	return r.Offset-r.Bound <= point && point <= r.Offset+r.Bound
}

// average is the plain mean over the readings in core, reported with the group they come from.
func average(readings []Reading, group, core []int) Mean {
	m := Mean{In: make([]bool, len(readings)), Count: len(group), Spread: span(readings, group)}
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

// span is the distance of the extremes of a group sorted by offset.
func span(readings []Reading, group []int) int64 {
	return apart(readings[group[len(group)-1]], readings[group[0]])
}

func apart(a, b Reading) int64 { return a.Offset - b.Offset }
