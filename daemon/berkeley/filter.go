package berkeley

import "math"

// filterRounds is how many past rounds a Filter remembers: at one poll a second it forgets a quiet network within a
// quarter of a minute, while one quiet exchange in sixteen rounds is still common on a busy one.
const filterRounds = 16

// Filter keeps, for one peer, the best sample of the round under way and the bounds of the best samples of the last
// rounds. The sample with the smallest bound is the one that waited least in queues (Mills, "Internet Time
// Synchronization", IEEE Transactions on Communications 39(10), 1991, section V). Its zero value is ready.
type Filter struct {
	best  Sample
	has   bool
	past  [filterRounds]int64
	count int
}

// Add offers a sample of the round under way.
func (f *Filter) Add(s Sample) {
	if !f.has || s.Bound < f.best.Bound {
		f.best, f.has = s, true
	}
}

// Renew forgets the samples of the round under way: better ones are coming.
func (f *Filter) Renew() { f.best, f.has = Sample{}, false }

// Best returns the best sample of the round under way; ok is false where there was none.
func (f *Filter) Best() (s Sample, ok bool) { return f.best, f.has }

// Next ends the round: its best bound enters the memory, and the next round begins without a sample.
func (f *Filter) Next() {
	if f.has {
		f.past[f.count%filterRounds] = f.best.Bound
		f.count++
	}
	f.best, f.has = Sample{}, false
}

// Usual returns the smallest bound (ns) of the last rounds, math.MaxInt64 before there was one.
func (f *Filter) Usual() int64 {
	least := int64(math.MaxInt64)
	for i := range min(f.count, filterRounds) {
		least = min(least, f.past[i])
	}
	return least
}
