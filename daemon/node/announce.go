package node

import (
	"math"
	"time"

	"meantime/daemon/berkeley"
	"meantime/daemon/election"
	"meantime/netproto"
)

// conclusion is what a round came to.
type conclusion struct {
	mean     int64 // ns: LAN time minus the master's timescale
	standing netproto.Standing
	peers    []*peer
	samples  []berkeley.Sample
	founding bool
}

// conclude gives everybody their delta: the others by an Adjust, this node through the code that they use.
func (n *Node) conclude(c conclusion) {
	l := n.lead
	raw, bound := n.middle(c)
	n.announce(c) // from the timescale as it was measured, before the own delta moves it
	n.adopt(correction{
		raw: raw, delta: c.mean, bound: bound, lineage: l.lineage, standing: c.standing,
		rotation: rotation{l.sum, n.cfg.ID, n.cfg.Start, l.term}, founding: c.founding, alone: len(c.peers) == 0,
		pace: n.leastPace(),
	})
}

// leastPace is the largest slew rate (ppb) that all members can keep, as far as they state it.
func (n *Node) leastPace() uint32 {
	least := netproto.PaceOf(n.cfg.MaxSlew)
	for _, p := range n.lead.peers {
		if p.pace >= slowestPace {
			least = min(least, p.pace)
		}
	}
	return least
}

// middle is the instant that the master's own delta refers to, and its bound: the means over the peers'.
func (n *Node) middle(c conclusion) (raw, bound int64) {
	if len(c.peers) == 0 {
		return n.at.Raw, 0
	}
	var back, sum int64
	for i, p := range c.peers {
		back += n.at.Raw - p.epoch
		sum += min(c.samples[i].Bound, math.MaxInt64/mostMembers)
	}
	count := int64(len(c.peers))
	return n.at.Raw - back/count, sum / count
}

// outgoing is the Adjusts of a round: what is common in them, and which are left to send.
type outgoing struct {
	header  netproto.Header
	common  netproto.Adjust
	entries []netproto.Entry
	parts   []part
	next    int           // of the parts
	at      time.Duration // when it leaves, never = all are out
	pause   time.Duration
}

// part is one Adjust: a run of the entries, and its number within a series of them.
type part struct {
	key        uint32
	first, end int
	number, of uint8
}

const (
	// longestSeries is how many parts one series has at most: their number is told in a byte. Nobody waits for a whole series.
	longestSeries = math.MaxUint8
	// burst is how many Adjusts leave at once: a socket of Linux that nobody has enlarged (212,992 bytes) takes 90 of them, each of which
	// counts there for the 2,304 bytes of its buffers, before it throws any away.
	burst = 16
)

// announce tells the members their deltas, each under a key that it holds: one key for all, but for a change of keys. Where there is none,
// there is nobody to tell.
func (n *Node) announce(c conclusion) {
	l := n.lead
	o := &l.outgoing
	o.common = netproto.Adjust{
		Rotation: l.sum, Pace: n.leastPace(), Spread: saturate(l.spread), Voters: uint16(l.voters), Members: uint16(len(l.peers) + 1),
		Phase: l.phase, Successors: n.successors(), Move: n.news(),
	}
	o.header = n.header(l.seq, l.term)
	o.header.Lineage = l.lineage
	o.entries, o.parts, o.next = o.entries[:0], o.parts[:0], 0
	l.seat()
	for _, key := range n.cfg.Ring.IDs() {
		first := len(o.entries)
		for i, p := range c.peers {
			if n.keyFor(p) == key {
				o.entries = append(o.entries, l.entry(c, i))
			}
		}
		o.cut(key, first)
	}
	end := l.pollAt
	if n.awaited() {
		end = min(end, n.order.at) // what they tell is of the time before
	}
	bursts := (len(o.parts) + burst - 1) / burst
	o.pause = max(0, end-n.at.Now) * 3 / 4 / time.Duration(max(1, bursts))
	n.sendAdjusts()
}

// cut divides the entries from first on among as many parts as they need.
func (o *outgoing) cut(key uint32, first int) {
	most := netproto.MaxEntries
	if o.common.Move.Lineage != 0 {
		most = netproto.MaxEntriesMoving
	}
	count := (len(o.entries) - first + most - 1) / most
	for i := range count {
		begin := first + i*most
		o.parts = append(o.parts, part{
			key: key, first: begin, end: min(begin+most, len(o.entries)),
			number: uint8(i % longestSeries), of: uint8(min(longestSeries, count-i/longestSeries*longestSeries)),
		})
	}
}

// sendAdjusts multicasts the next Adjusts of the round. Where there are many they leave by and by, in three quarters of the time until the
// next poll, or until a move of LAN time: each slave gets them all, for the sake of one, and none of them may have to wait for the next
// round's poll.
func (n *Node) sendAdjusts() {
	o := &n.lead.outgoing
	end := min(o.next+burst, len(o.parts))
	for _, p := range o.parts[o.next:end] {
		a := o.common
		a.Part, a.Parts, a.Entries = p.number, p.of, o.entries[p.first:p.end]
		n.seen.Adjusts++
		n.send(Send{Data: a.Append(n.paper(), o.header), Group: true}, p.key)
	}
	o.at = never
	if o.next = end; end < len(o.parts) {
		o.at = n.at.Now + o.pause
	}
}

// flushAdjusts sends what is left of them: a round is over.
func (n *Node) flushAdjusts() {
	for o := &n.lead.outgoing; o.next < len(o.parts); {
		n.sendAdjusts()
	}
}

// seat gives each member a slot, which it learns with its entry: its place in the table, so that a lost reply moves nobody.
func (l *leader) seat() {
	for i, p := range l.peers {
		p.place = uint16(i)
	}
}

// entry is one member's part of an Adjust.
func (l *leader) entry(c conclusion, i int) netproto.Entry {
	p := c.peers[i]
	p.slot = p.place
	e := netproto.Entry{
		ID: p.id, Nonce: p.nonce, Delta: c.mean - c.samples[i].Offset, Bound: saturate(c.samples[i].Bound),
		Slot: p.slot, Standing: p.standing,
	}
	if l.phase != netproto.PhaseKeeping {
		e.Delta = 0
	}
	if p.voter() && p.bad > 0 {
		e.Standing = netproto.StandingLeftOut
	}
	return e
}

// saturate fits nanoseconds into 32 bits.
func saturate(ns int64) uint32 { return uint32(min(max(ns, 0), math.MaxUint32)) }

// successors names who may hold the office next.
func (n *Node) successors() (ids [netproto.Successors]netproto.ID) {
	line := make([]election.Candidate, 0, netproto.Successors)
	for _, p := range n.lead.peers {
		able := p.flags&netproto.FlagNeverMaster == 0 && n.trusted(p.id)
		if able && (p.flags&netproto.FlagDry == 0 || n.cfg.Dry) {
			line = election.Enter(line, p.rank())
		}
	}
	for i, c := range line {
		ids[i] = netproto.ID(c.ID)
	}
	return ids
}
