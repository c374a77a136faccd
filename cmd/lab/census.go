package main

import (
	"cmp"
	"math"
	"slices"
	"time"

	"meantime/netproto"
)

// census is the count of a crowd's rounds: who replied, who was served, and whether all deltas name one LAN time. It sees packets as they
// go and come, and the truth, and nothing of what the nodes think.
type census struct {
	slaves []enrolled
	round  Round
	closed bool
	late   uint64   // Replies that were sent since
	named  []naming // the last rounds that named LAN time
	edges  []edge
}

// enrolled is a slave in the round under way.
type enrolled struct {
	replies int
	nonces  [mostReplies]netproto.Nonce
	polled  int64   // ns: its timescale at the Poll, less true time
	rate    float64 // of its timescale, less true time's, fractional
	first   int64   // ns of true time from the Poll to its first Reply
	last    int64   // and to its last
	acked   bool
	served  bool
	named   int64 // ns: LAN time at the poll as its entry names it, less true time
	bound   int64
	doubt   int64 // ns: how well the crowd's stamps are known, and the epoch
}

// mostReplies is how many Replies a slave may give in a round (PROTOCOL.md 8.8).
const mostReplies = 16

// Round is what a round came to.
type Round struct {
	Seq     uint32        `json:"seq"`
	Polled  int64         `json:"-"`                  // true time of the Poll, ns
	Replies uint64        `json:"replies"`            // sent
	Replied int           `json:"replied"`            // slaves that sent one
	Served  int           `json:"served"`             // slaves with an entry that shows a nonce of theirs
	Parts   int           `json:"parts"`              // of the Adjusts
	Last    time.Duration `json:"last_ns"`            // from the Poll to the last part
	Keeping bool          `json:"keeping"`            // there is LAN time
	Wrong   int           `json:"wrong"`              // deltas that name another time than most, beyond their bounds
	Strange int           `json:"strange"`            // entries that are nobody's, show no nonce of this round, or come twice
	Bound   float64       `json:"bound_us"`           // median of the deltas'
	Off     float64       `json:"off_us"`             // largest distance of a delta's LAN time from where most meet
	Rate    float64       `json:"rate_ppm,omitempty"` // of LAN time, lately
	// datagrams of the master since the round before
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
	// of the slaves' clocks at its end
	Synced int        `json:"synced"`
	Apart  [3]float64 `json:"apart_us"` // distance from their median: half of them, 95 %, all
}

// begin starts a round with its Poll.
func (c *census) begin(seq uint32, polled int64) {
	for i := range c.slaves {
		s := &c.slaves[i]
		s.replies, s.acked, s.served = 0, false, false
	}
	c.closed = false
	c.round = Round{Seq: seq, Polled: polled, Replies: c.late}
	c.late = 0
}

// complete says that nothing of the round is to come any more.
func (c *census) complete() bool { return c.round.Served == len(c.slaves) }

// replied notes a Reply as it is sent, now (true time, ns), by who has an oscillator that is fast by a
// fraction. doubt is how far off (ns) its stamps may be.
func (c *census) replied(slave int, seq uint32, r netproto.Reply, now, doubt int64, oscillator float64) {
	if c.closed {
		c.late++
		return
	}
	c.round.Replies++
	s := &c.slaves[slave]
	if seq != c.round.Seq || s.replies == mostReplies {
		return
	}
	after := now - c.round.Polled
	if s.replies == 0 {
		c.round.Replied++
		s.polled, s.rate, s.first, s.doubt = int64(r.T2)-c.round.Polled, oscillator+r.Rate.Fraction(), after, 0
	}
	s.last, s.doubt = after, max(s.doubt, doubt)
	s.nonces[s.replies] = r.Nonce
	s.replies++
}

// acknowledged notes an Ack that has reached a slave.
func (c *census) acknowledged(slave int, seq uint32) {
	if seq == c.round.Seq {
		c.slaves[slave].acked = true
	}
}

// epochs are the instants, in ns after the Poll, between which a slave's delta counts (PROTOCOL.md 8.13): halfway to its Reply where Poll
// and Reply are all that it was measured by, else when one of its Replies left; which one, only the master knows.
func (s *enrolled) epochs() (from, to int64) {
	if s.acked || s.replies > 1 {
		return s.first, s.last
	}
	return s.first / 2, s.first / 2
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
		from, to := s.epochs()
		s.named = s.polled + e.Delta + int64((s.rate-c.rate())*float64(from+to)/2)
		s.bound, s.doubt = int64(e.Bound), s.doubt+int64(math.Abs(s.rate-c.rate())*float64(to-from)/2)
		c.round.Served++
	}
}

// naming is what LAN time was at a Poll, less true time.
type naming struct{ polled, ahead int64 }

// rateRounds are what LAN time's rate is told from: over eight of them, what a median is off by makes hundredths of a ppm, and less than
// that is what the voters' oscillators move it by.
const rateRounds = 8

// rate is how much faster than true time LAN time goes, fractional.
func (c *census) rate() float64 {
	if len(c.named) < 2 {
		return 0
	}
	first, last := c.named[0], c.named[len(c.named)-1]
	return float64(last.ahead-first.ahead) / float64(last.polled-first.polled)
}

// edge is where a slave's interval begins or ends.
type edge struct {
	at   int64
	ends bool
}

// close ends the round: LAN time is where most of the intervals meet, and whoever's does not reach there was told something wrong.
func (c *census) close() Round {
	c.closed = true
	r := &c.round
	if !r.Keeping || r.Served == 0 {
		return *r
	}
	c.edges = c.edges[:0]
	bounds := make([]int64, 0, r.Served)
	for i := range c.slaves {
		if s := &c.slaves[i]; s.served {
			reach := s.bound + s.doubt
			c.edges = append(c.edges, edge{s.named - reach, false}, edge{s.named + reach, true})
			bounds = append(bounds, s.bound)
		}
	}
	ahead, meet := deepest(c.edges)
	r.Wrong = r.Served - meet
	slices.Sort(bounds)
	r.Bound = float64(bounds[len(bounds)/2]) / 1e3
	for i := range c.slaves {
		if s := &c.slaves[i]; s.served {
			r.Off = max(r.Off, float64(max(s.named-ahead, ahead-s.named))/1e3)
		}
	}
	if len(c.named) == rateRounds {
		c.named = append(c.named[:0], c.named[1:]...)
	}
	c.named = append(c.named, naming{r.Polled, ahead})
	r.Rate = c.rate() * 1e6
	return *r
}

// deepest is where most intervals meet, the middle of it, and how many they are.
func deepest(edges []edge) (at int64, most int) {
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
	for i, e := range edges {
		if e.ends {
			depth--
			continue
		}
		if depth++; depth > most {
			most, at = depth, e.at+(edges[i+1].at-e.at)/2
		}
	}
	return at, most
}

// A number that belongs to a slave of the crowd, its id or a nonce, holds whose it is in its last bits. The rest is random.
const slaveBits = 16

// slaveOf is whose a number is.
func slaveOf(number uint64) int { return int(number&(1<<slaveBits-1)) - 1 }

// marked is a random number that is a slave's.
func marked(random uint64, slave int) uint64 { return random<<slaveBits | uint64(slave+1) }
