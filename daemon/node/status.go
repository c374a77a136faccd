package node

import (
	"time"

	"meantime/netproto"
)

// State is what a node is doing, in one word.
type State string

// The states.
const (
	StateListening State = "listening" // no master heard yet
	StateGathering State = "gathering" // measuring, nothing is moved
	StateKeeping   State = "keeping"   // master of a LAN that has its time
	StateFollowing State = "following" // on LAN time
	StateJoining   State = "joining"   // a master is heard, LAN time not adopted yet
	StateHoldover  State = "holdover"  // the master is silent: frequency held
	StatePanic     State = "panic"     // the clock is beyond the panic limits and left alone
	StateHolding   State = "holding"   // master without a majority: nobody is steered
)

// Status is a plain copy of what a node knows.
type Status struct {
	ID       netproto.ID
	Role     Role
	State    State
	Dry      bool
	Standing netproto.Standing // 0 before the first round
	Master   netproto.ID       // itself in a master, 0 where none is known
	Lineage  uint64
	Term     uint64
	Seq      uint32 // last round
	Members  int    // the master included, as last heard
	Voters   int
	Spread   time.Duration // among the voters in the last round, as last heard
	Rate     float64       // fractional frequency correction of the timescale
	Residual time.Duration // what the clock still has to move to stand on the timescale
	Bound    time.Duration // of the timescale; negative where unknown
	Scatter  time.Duration // scatter of the rounds about the fitted line
	Fitted   bool
	Interval time.Duration            // from poll to poll, at present
	LastPoll time.Duration            // moment of the last poll that was sent, or proved to be of the master obeyed; negative before
	Kernel   bool                     // the last exchange was stamped by kernels at both ends, each way
	Key      uint32                   // under which a master here sends: this node, or the one obeyed; 0 = the null key
	Held     [netproto.MaxKeys]uint32 // the keys that this node holds, newest first, 0 = none
	Turns    int                      // master: rounds in which each member has all its exchanges once; 1 = each round
	Window   time.Duration            // master: within which replies of the last round were sent
	Expected uint64                   // master: replies that were due, of members that were heard in the round before
	Lost     uint64                   // master: of those, how many did not come
	Holders  int                      // master: members, itself included, that hold the newest of them
	Drops    Drops
	Traffic  Traffic
}

// Status copies out what the node knows.
func (n *Node) Status() Status {
	rate, residual := n.steering()
	s := Status{
		ID: n.cfg.ID, Role: n.cfg.Role, Dry: n.cfg.Dry, Standing: n.standing, Lineage: n.lineage, Term: n.term,
		Rate: rate, Residual: time.Duration(residual), Bound: -1, Scatter: time.Duration(n.servo.RMS()),
		Interval: n.cfg.Interval, LastPoll: -1,
		Key: n.key, Held: n.held(), Fitted: n.servo.Fitted(), Drops: n.drops, Traffic: n.seen,
	}
	if _, ok := n.servo.Heard(); ok {
		s.Bound = time.Duration(n.servo.Bound(n.at.Raw))
	} else if n.synced && n.itself() {
		s.Bound = 0
	}
	if n.lead != nil {
		n.lead.fill(&s)
	} else {
		n.follow.fill(&s, n.together)
	}
	if n.panic {
		s.State = StatePanic
	}
	return s
}

func (l *leader) fill(s *Status) {
	s.Master, s.Seq, s.Members, s.Voters, s.Spread = s.ID, l.seq, len(l.peers)+1, l.voters, time.Duration(l.spread)
	s.Turns, s.Window, s.Expected, s.Lost = l.load.turns, l.load.window, l.load.expected, l.load.lost
	s.State, s.Interval, s.LastPoll = StateKeeping, l.interval, l.reading.at
	switch l.phase {
	case netproto.PhaseGathering:
		s.State = StateGathering
	case netproto.PhaseHolding:
		s.State = StateHolding
	}
	s.Kernel, s.Holders = len(l.peers) > 0, 1
	for _, p := range l.peers {
		if p.holds(s.Held[0]) {
			s.Holders++
		}
		s.Kernel = s.Kernel && p.stamps
	}
}

func (f *follower) fill(s *Status, together bool) {
	s.Members, s.Voters, s.Spread = f.members, f.voters, f.spread
	if f.master == nil {
		s.State = StateListening
		return
	}
	s.Master, s.Seq, s.Interval, s.LastPoll = f.master.id, f.master.seq, f.master.interval, f.master.heard
	s.Kernel = f.master.kernel && f.master.then.kernel
	switch {
	case f.holdover:
		s.State = StateHoldover
	case together:
		s.State = StateFollowing
	default:
		s.State = StateJoining
	}
}

// view keeps what an Adjust says of the LAN.
func (f *follower) view(a netproto.Adjust) {
	f.members, f.voters, f.spread = int(a.Members), int(a.Voters), time.Duration(a.Spread)
}

// LANTime is LAN time at a moment, and how far from it that may be (both ns, the former since the Unix epoch). ok is false before the node
// has been told it.
func (n *Node) LANTime(at Moment) (best, bound int64, ok bool) {
	_, heard := n.servo.Heard()
	switch {
	case n.synced && heard:
		return n.servo.Line().At(at.Raw), n.servo.Bound(at.Raw), true
	case n.synced && n.itself():
		return n.servo.Line().At(at.Raw), 0, true
	}
	return 0, 0, false
}
