package node

import (
	"net/netip"
	"slices"

	"meantime/daemon/berkeley"
	"meantime/daemon/election"
	"meantime/netproto"
)

// peer is what a master knows of one member. Instants are raw readings.
type peer struct {
	id       netproto.ID
	name     string
	start    uint32
	former   uint32 // the start before this one, 0 for none
	twinned  bool   // the log knows that both are there
	lacks    uint32 // the key that the log knows it to lack, 0 for none
	addr     netip.AddrPort
	standing netproto.Standing
	filter   berkeley.Filter
	gathered gathered // of the gathering
	slot     uint16   // that it was told, NoSlot before
	place    uint16   // that it is to be told
	rounds   int      // rounds heard since it came
	good     int      // consecutive rounds on LAN time, as a newcomer
	bad      int      // consecutive rounds off the majority, as a voter
	missed   int      // consecutive rounds not heard
	jumped   int      // rounds left in which its own jump is held against it
	fallen   bool     // it had a vote, and lost it
	patchy   int      // rounds left in which each of its replies gets an Ack, since one that was to get none was lost
	reading  reading
	tally    tally

	// of its last reply
	flags    netproto.Flags
	lineage  uint64
	master   netproto.ID
	rate     float64       // fractional
	rotated  netproto.Rate // the common rotation as it stood then
	residual int64         // ns
	bound    int64         // ns
	priority uint8
	pace     uint32 // ppb, 0 = not stated
	moved    int64  // ns: what its own corrections have moved its timescale by, since about when it came
	key      uint32 // it was sealed with
	held     [netproto.HeldKeys]uint32

	// of the round under way
	heard     bool
	polled    bool           // its only sample is of Poll and Reply
	repeat    uint8          // of its last reply
	exchanges int            // replies taken
	done      bool           // nothing more is to come
	last      bool           // it was asked for one to which it expects no Ack
	nonce     netproto.Nonce // of its last reply: the Adjust must show it
	t4        int64          // receipt of its last reply
	epoch     int64          // what its sample refers to
	t5        int64          // sending of the Ack to it
	kernel    netproto.Flags // FlagKernelRX and FlagKernelTX as they hold for t4 and t5
	token     uint64
	stamps    bool // the last sample was made of kernel stamps only
}

// voter says whether the peer votes on LAN time.
func (p *peer) voter() bool { return p.standing == netproto.StandingVoter }

// measured says whether the peer has a sample of the round under way.
func (p *peer) measured() bool {
	_, ok := p.filter.Best()
	return ok
}

// onTime says whether the peer's clock stands on LAN time as far as its offset (ns, found with a bound) and its own word
// tell: within 1 ms or three times the bound, whichever is more. rest is what clocks have to go that are slewed to a time that an
// operator set.
func (p *peer) onTime(offset, bound, rest int64) bool {
	limit := max(int64(1e6), 3*bound)
	near := func(ns int64) bool { return max(ns, -ns) < limit }
	return near(offset) && (near(p.residual) || near(p.residual-rest))
}

// table holds the peers in the order of their ids, so that every walk over it is the same everywhere.
type table []*peer

func (t table) find(id netproto.ID) (int, bool) {
	return slices.BinarySearchFunc(t, id, func(p *peer, id netproto.ID) int {
		switch {
		case p.id < id:
			return -1
		case p.id > id:
			return 1
		}
		return 0
	})
}

// get returns the peer with an id, making it where there are fewer than most; fresh says that it is new. It is nil where there is no room.
func (t *table) get(id netproto.ID, most int) (p *peer, fresh bool) {
	i, ok := t.find(id)
	if ok {
		return (*t)[i], false
	}
	if len(*t) >= most {
		return nil, false
	}
	p = &peer{id: id, standing: netproto.StandingNewcomer, slot: netproto.NoSlot, done: true}
	*t = slices.Insert(*t, i, p)
	return p, true
}

// rank is this peer's in elections.
func (p *peer) rank() election.Candidate {
	return election.Candidate{ID: uint64(p.id), Priority: p.priority, Voter: p.voter(), Rounds: p.rounds}
}
