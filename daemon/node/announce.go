package node

import (
	"math"

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
		back += n.at.Raw - p.t4
		sum += min(c.samples[i].Bound, math.MaxInt64/mostMembers)
	}
	count := int64(len(c.peers))
	return n.at.Raw - back/count, sum / count
}

// announce tells the members their deltas, each under a key that it holds: one key for all, but for a change of keys.
func (n *Node) announce(c conclusion) {
	for _, key := range n.cfg.Ring.IDs() {
		entries := n.lead.room.entries[:0]
		for i, p := range c.peers {
			if n.keyFor(p) == key {
				entries = append(entries, n.lead.entry(c, i))
			}
		}
		n.lead.room.entries = entries
		n.adjust(entries, key)
	}
}

// adjust multicasts an Adjust, in as many parts as its entries need. Where there is none, there is nobody to tell.
func (n *Node) adjust(entries []netproto.Entry, key uint32) {
	l := n.lead
	most, move := netproto.MaxEntries, n.news()
	if move.Lineage != 0 {
		most = netproto.MaxEntriesMoving
	}
	parts := (len(entries) + most - 1) / most
	a := netproto.Adjust{
		Rotation: l.sum, Pace: n.leastPace(), Spread: saturate(l.spread),
		Voters: uint16(l.voters), Members: uint16(len(l.peers) + 1), Parts: uint8(parts), Phase: l.phase,
		Successors: n.successors(), Move: move,
	}
	h := n.header(l.seq, l.term)
	h.Lineage = l.lineage
	for part := range parts {
		first := part * most
		a.Part, a.Entries = uint8(part), entries[first:min(first+most, len(entries))]
		n.seen.Adjusts++
		n.send(Send{Data: a.Append(n.paper(), h), Group: true}, key)
	}
}

// entry is one member's part of an Adjust.
func (l *leader) entry(c conclusion, i int) netproto.Entry {
	p := c.peers[i]
	p.slot = uint16(i)
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
