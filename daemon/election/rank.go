package election

import (
	"cmp"
	"slices"
)

// Candidate is what the order of succession looks at.
type Candidate struct {
	ID       uint64
	Priority uint8 // 0 = never master
	Voter    bool  // votes on LAN time; a newcomer's clock is not LAN time yet
	Rounds   int   // rounds it has been a member without a gap: the longest-serving is the most settled
}

// Compare orders candidates, the better one first: priority, then voter before newcomer, then time as a member, then the
// higher id, so that the order is total and the same everywhere. It returns a negative number if a comes before b.
func Compare(a, b Candidate) int {
	return cmp.Or(
		cmp.Compare(b.Priority, a.Priority),
		compareBool(b.Voter, a.Voter),
		cmp.Compare(b.Rounds, a.Rounds),
		cmp.Compare(b.ID, a.ID),
	)
}

// Enter puts a candidate into a line of succession of cap(line) places, best first. There is no place for who may never be master, nor for
// who ranks behind all that are taken.
func Enter(line []Candidate, c Candidate) []Candidate {
	at, _ := slices.BinarySearchFunc(line, c, Compare)
	if c.Priority == 0 || at == cap(line) {
		return line
	}
	return slices.Insert(line[:min(len(line), cap(line)-1)], at, c)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Claim is what two masters, or a master and a candidate, hold against each other.
type Claim struct {
	Candidate
	Voters int // members that vote and obeyed it in the last round; 0 for who is no master
}

// Prevails says whether claim a stands against claim b: the larger voting group, then priority, then the higher id. Of two different
// nodes' claims exactly one prevails. What else ranks candidates changes from round to round: two masters that ask each other at
// different moments would both find that they prevail, for ever.
func (a Claim) Prevails(b Claim) bool {
	if a.Voters != b.Voters {
		return a.Voters > b.Voters
	}
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.ID > b.ID
}
