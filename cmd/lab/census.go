package main

import (
	"cmp"
	"slices"
	"time"

	"meantime/netproto"
)

// census is the count of a crowd's rounds: who replied, who was served, and whether all deltas name one LAN time. It sees packets as they
// go and come, and the truth, and nothing of what the nodes think.
type census struct {
	slaves []enrolled
	round  Round
	before struct{ polled, named int64 } // ns: the last round that named LAN time, and what it was less true time
	edges  []edge
}

// enrolled is a slave in the round under way.
type enrolled struct {
	replies int
	nonces  [mostReplies]netproto.Nonce
	clock   int64 // ns: its timescale at the poll, less true time
	served  bool
	named   int64 // ns: LAN time at the poll as its entry names it, less true time
	bound   int64
}

// mostReplies is how many Replies a slave may give in a round (PROTOCOL.md 8.8).
const mostReplies = 16

// Round is what a round came to.
type Round struct {
	Seq     uint32        `json:"seq"`
	Polled  int64         `json:"-"`       // true time of the Poll, ns
	Replies uint64        `json:"replies"` // sent
	Replied int           `json:"replied"` // slaves that sent one
	Served  int           `json:"served"`  // slaves with an entry that shows a nonce of theirs
	Parts   int           `json:"parts"`   // of the Adjusts
	Last    time.Duration `json:"last_ns"` // from the Poll to the last part
	Keeping bool          `json:"keeping"` // there is LAN time
	Wrong   int           `json:"wrong"`   // deltas that name another time than most, beyond their bounds
	Strange int           `json:"strange"` // entries that are nobody's, show no nonce of this round, or come twice
	Bound   float64       `json:"bound_us"`
	Off     float64       `json:"off_us"`             // of the largest distance of a delta's LAN time from their median
	Rate    float64       `json:"rate_ppm,omitempty"` // of LAN time since the round before
	// of the slaves' clocks at its end
	Synced int        `json:"synced"`
	Apart  [3]float64 `json:"apart_us"` // distance from their median: half of them, 95 %, all
}

// begin starts a round with its Poll.
func (c *census) begin(seq uint32, polled int64) {
	for i := range c.slaves {
		c.slaves[i].replies, c.slaves[i].served = 0, false
	}
	c.round = Round{Seq: seq, Polled: polled}
}

// replied notes a Reply as it was sent: its nonce, and the receipt of the Poll as it says.
func (c *census) replied(slave int, seq uint32, r netproto.Reply) {
	c.round.Replies++
	s := &c.slaves[slave]
	if seq != c.round.Seq || s.replies == mostReplies {
		return
	}
	if s.replies == 0 {
		c.round.Replied++
		s.clock = int64(r.T2) - c.round.Polled
	}
	s.nonces[s.replies] = r.Nonce
	s.replies++
}

// adjusted notes a part of an Adjust, now (true time, ns).
func (c *census) adjusted(seq uint32, a netproto.Adjust, now int64) {
	if seq != c.round.Seq {
		c.round.Strange += len(a.Entries)
		return
	}
	c.round.Parts++
	c.round.Last = time.Duration(now - c.round.Polled)
	c.round.Keeping = a.Phase == netproto.PhaseKeeping
	for _, e := range a.Entries {
		i := slaveOf(uint64(e.ID))
		if i < 0 || i >= len(c.slaves) {
			c.round.Strange++
			continue
		}
		s := &c.slaves[i]
		if s.served || !slices.Contains(s.nonces[:s.replies], e.Nonce) {
			c.round.Strange++
			continue
		}
		s.served = true
		s.named, s.bound = s.clock+e.Delta, int64(e.Bound)
		c.round.Served++
	}
}

// edge is where a slave's interval begins or ends.
type edge struct {
	at   int64
	ends bool
}

// close ends the round: LAN time is where most of the intervals meet, and whoever's does not reach there was told something wrong.
// The poll reached all in the same instant, so what it is compared at needs no rate.
func (c *census) close() Round {
	r := &c.round
	if !r.Keeping || r.Served == 0 {
		return *r
	}
	c.edges = c.edges[:0]
	var bounds, named []int64
	for i := range c.slaves {
		if s := &c.slaves[i]; s.served {
			c.edges = append(c.edges, edge{s.named - s.bound, false}, edge{s.named + s.bound, true})
			bounds, named = append(bounds, s.bound), append(named, s.named)
		}
	}
	r.Wrong = r.Served - deepest(c.edges)
	slices.Sort(bounds)
	slices.Sort(named)
	middle := named[len(named)/2]
	r.Bound = float64(bounds[len(bounds)/2]) / 1e3
	r.Off = float64(max(middle-named[0], named[len(named)-1]-middle)) / 1e3
	if c.before.polled != 0 {
		r.Rate = float64(middle-c.before.named) / float64(r.Polled-c.before.polled) * 1e6
	}
	c.before.polled, c.before.named = r.Polled, middle
	return *r
}

// deepest is how many intervals meet at most.
func deepest(edges []edge) (most int) {
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at == b.at && a.ends != b.ends { // intervals that touch do meet
			if b.ends {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.at, b.at)
	})
	depth := 0
	for _, e := range edges {
		if e.ends {
			depth--
			continue
		}
		depth++
		most = max(most, depth)
	}
	return most
}

// A number that belongs to a slave of the crowd, its id or a nonce, holds whose it is in its last bits. The rest is random.
const slaveBits = 16

// slaveOf is whose a number is.
func slaveOf(number uint64) int { return int(number&(1<<slaveBits-1)) - 1 }

// marked is a random number that is a slave's.
func marked(random uint64, slave int) uint64 { return random<<slaveBits | uint64(slave+1) }
