package node

import (
	"net/netip"
	"slices"
	"time"

	"meantime/daemon/election"
	"meantime/netproto"
)

const (
	// maxSessions is how many masters a slave keeps in view: its own, one that takes over, a stray one and a dry one are
	// already more than a sound LAN has. The rest is for recordings of former masters, and of the same ones before they started anew: none
	// of them is to push out one that lives before it is answered.
	maxSessions = 16
	// maxRepeats is how many replies of a round a slave gives: the first, what FlagAgain may ask for on top, and what is lost.
	maxRepeats = 16
	// maxTries is how many replies in a row a slave sends without an Ack: with a fifth of all datagrams lost, nobody answers
	// four of them once in sixty rounds.
	maxTries = 4
	// leastPatience is how long a slave waits for an Ack before it replies once more: longer than an answer takes on a LAN, so
	// short that four fit into a round. An Ack that comes later nevertheless doubles it, up to mostPatience; one in time takes an
	// eighth off.
	leastPatience = 25 * time.Millisecond
	mostPatience  = 200 * time.Millisecond
	// silentPolls is after how many missed polls a master counts as silent (brief silence is loss, and the fit holds).
	silentPolls = 3
	// listenFor is how long a slave that hears nothing waits before it says so: longer than the slowest first poll in
	// common use, shorter than a person's patience.
	listenFor = 10 * time.Second
)

// leastInterval and mostInterval are the poll intervals believed: a little beyond what any configuration allows.
const (
	leastInterval = 10 * time.Millisecond
	mostInterval  = 5 * time.Minute
)

// follower is the slave's half of a node.
type follower struct {
	sessions []*session
	master   *session // the one obeyed, nil before one is known
	holdover bool     // the master is silent
	resigned bool     // it said that it stops
	listenAt time.Duration

	watch       *election.Watch
	winner      netproto.ID // the master that this node yielded to: until winnerUntil nobody else is followed
	winnerUntil time.Duration

	candidacy  netproto.Nonce // of the Candidate that is out, 0 = none
	objections int            // in a row, without proof of a master in between

	members, voters int // as the last Adjust said
	spread          time.Duration
}

// session is what a slave knows of one master.
type session struct {
	id       netproto.ID
	name     string
	polls    int // heard
	start    uint32
	term     uint64
	lineage  uint64
	dry      bool
	addr     netip.AddrPort
	iface    int
	verified bool          // it has answered a nonce of ours: it lives, and is who it says
	heard    time.Duration // last time it proved so: never later than the end of the round that the proof is of
	interval time.Duration // as of the last proof
	offered  time.Duration // as of the last poll: hearsay
	slot     uint16
	told     bool // a conflict with it has been logged

	seq      uint32
	key      uint32 // of the poll: the replies go out under it
	poll     netproto.Nonce
	phase    netproto.Phase // as the poll told it
	turn     bool           // replies of this round are Acked: else one is enough
	last     bool           // the reply that the last Ack asked for may get none
	t2       int64          // raw: receipt of the poll
	kernel   bool           // every receive stamp of this round is the kernel's
	due      time.Duration
	over     time.Duration // end of the window: a reply sent after that is not waited for
	sent     [maxRepeats]sending
	replies  int   // of this round, sent so far
	acked    int   // how many of them stand up to the last that was answered
	adjusted bool  // this round's Adjust has been taken
	epoch    int64 // raw: sending of the first reply, as it was known then
	earlier  netproto.Earlier
	then     sending // the exchange that earlier tells of
	t6then   int64   // raw
	patience time.Duration
}

// sending is one reply as it left.
type sending struct {
	nonce  netproto.Nonce
	token  uint64
	raw    int64 // when, exact once its stamp came
	kernel bool  // the stamp is the kernel's
}

// newFollower begins the life of a node without office. atOnce stands for it without listening first.
func (n *Node) newFollower(atOnce bool) *follower {
	return &follower{
		listenAt: n.at.Now + listenFor,
		watch:    election.NewWatch(n.at.Now, n.cfg.Interval, n.mayStand(), atOnce, n.fraction),
	}
}

func (f *follower) deadline() time.Duration {
	d := min(f.listenAt, f.watch.Deadline())
	for _, s := range f.sessions {
		d = min(d, s.due)
	}
	if f.master != nil && !f.holdover {
		d = min(d, f.master.silentAt())
	}
	return d
}

// proven says whether the master has proved itself in the present round.
func (s *session) proven() bool { return s.acked > 0 || s.adjusted }

// prove notes proof that came now. It may have been held back, and whoever sent it may be gone: it tells of its round, which ends when
// the master has heard everybody, and half a grace later its Adjust is there.
func (s *session) prove(now time.Duration) { s.heard = max(s.heard, min(now, s.over+grace)) }

// living says whether there is proof of the master from the round before this one or later.
func (s *session) living(now time.Duration) bool { return now < s.heard+s.interval+s.interval/2 }

func (s *session) silentAt() time.Duration { return s.heard + silentPolls*s.interval + s.interval/2 }

// followDue sends the replies whose slot has come, and notices silence.
func (n *Node) followDue() {
	f := n.follow
	for _, s := range f.sessions {
		if n.at.Now >= s.due {
			n.reply(s)
		}
	}
	if m := f.master; m != nil && !f.holdover && n.at.Now >= m.silentAt() {
		f.holdover = true
		n.note(Warn, "master is silent: holding the frequency", Attr{"master", m.id.String()}, Attr{"for", n.at.Now - m.heard})
	}
	n.stand(f.watch.Tick(n.at.Now))
	if n.follow != nil && n.at.Now >= f.listenAt {
		f.listenAt = never
		if f.master == nil {
			n.note(Warn, "no master heard: is one running with this group and address, and does a firewall let its polls in?",
				Attr{"waited", listenFor})
		}
	}
}

// onPoll notes a poll and plans the reply. The poll itself is hearsay: it may be old, and moves and renews nothing.
func (n *Node) onPoll(h netproto.Header, poll netproto.Poll, p Packet) {
	if n.follow == nil {
		n.rival(h, p)
		return
	}
	if h.Flags&netproto.FlagDry != 0 && !n.cfg.Dry {
		n.drop(DropDry)
		return
	}
	interval := time.Duration(poll.Interval) * time.Microsecond
	if interval < leastInterval || interval > mostInterval {
		n.drop(DropValue)
		return
	}
	s := n.follow.find(h)
	if s != nil && h.Seq <= s.seq {
		n.dropRepeated(h.Seq == s.seq)
		return
	}
	if s == nil {
		s = n.follow.meet(h)
	}
	n.seen.Polls++
	s.addr, s.iface, s.term, s.lineage = p.From, p.Iface, h.Term, h.Lineage
	s.dry = h.Flags&netproto.FlagDry != 0
	s.offered = interval
	s.polls++
	relabel(&s.name, poll.Name)
	if !s.verified {
		s.interval = interval // of use to nobody but whoever is obeyed later
	}
	s.seq, s.key, s.poll, s.t2, s.kernel = h.Seq, h.KeyID, poll.Nonce, n.clock.raw(p.Stamp), p.Kernel
	s.replies, s.acked, s.adjusted, s.last, s.phase = 0, 0, false, false, poll.Phase
	s.turn = netproto.Turn(poll.Turns, s.slot, h.Seq)
	s.due = n.at.Now + n.slot(s.slot, poll)
	s.over = n.at.Now + time.Duration(poll.Window)*time.Microsecond + grace/2
}

// dropRepeated counts a packet that has been seen before, or whose round is over.
func (n *Node) dropRepeated(same bool) {
	if same {
		n.drop(DropDuplicate)
		return
	}
	n.drop(DropStale)
}

// slot is how long to wait with the reply, so that slaves speak one at a time.
func (n *Node) slot(slot uint16, poll netproto.Poll) time.Duration {
	window := time.Duration(poll.Window) * time.Microsecond
	if slot >= poll.Slots { // NoSlot included
		return time.Duration(n.cfg.Random() % uint64(window))
	}
	return window * time.Duration(slot) / time.Duration(poll.Slots)
}

// find finds the session of a master, nil if there is none. A restart of it is another.
func (f *follower) find(h netproto.Header) *session {
	for _, s := range f.sessions {
		if s.id == h.Sender && s.start == h.Start {
			return s
		}
	}
	return nil
}

// meet opens the session of a master.
func (f *follower) meet(h netproto.Header) *session {
	s := &session{id: h.Sender, start: h.Start, slot: netproto.NoSlot, due: never, patience: leastPatience}
	if len(f.sessions) < maxSessions {
		f.sessions = append(f.sessions, s)
		return s
	}
	// The oldest that has proved nothing makes room, or else the oldest that is not obeyed: hearsay can never push the master out.
	i := slices.IndexFunc(f.sessions, func(old *session) bool { return !old.verified })
	if i < 0 {
		i = slices.IndexFunc(f.sessions, func(old *session) bool { return old != f.master })
	}
	f.sessions = append(slices.Delete(f.sessions, i, i+1), s)
	return s
}

// again says when a reply that nobody answers is to be sent once more: never for the last one, nor for one that may get no Ack, nor out of
// turn, and never to a stranger, who may be somebody that wants others flooded.
func (s *session) again(now time.Duration) time.Duration {
	at := now + s.patience
	if !s.verified || !s.turn || s.last || s.replies == maxRepeats || s.replies-s.acked >= maxTries || at > s.over {
		return never
	}
	return at
}

// reply sends the round's next reply.
func (n *Node) reply(s *session) {
	s.due = never
	if !n.tellable() {
		return
	}
	if s != n.follow.master && !n.mayAnswer(s.id) { // recordings never use up what is the master's
		n.drop(DropBusy)
		return
	}
	nonce, repeat := netproto.Nonce(n.random()), s.replies
	line := n.servo.Line()
	r := netproto.Reply{
		Echo: s.poll, Nonce: nonce,
		T2: n.stamp(s.t2), T3: n.stamp(n.at.Raw + n.lag.usual),
		Residual: line.At(n.at.Raw) - n.clock.wall(n.at.Raw),
		Rate:     netproto.RateOf(line.Rate),
		Bound:    min(n.servo.Bound(n.at.Raw), netproto.MaxSpan),
		Repeat:   uint8(repeat), Priority: n.cfg.Priority, Pace: netproto.PaceOf(n.cfg.MaxSlew), Moved: uint32(n.servo.Moved()),
		Held: n.held(), Move: n.news(),
	}
	if m := n.follow.master; m != nil {
		r.Master = m.id
	}
	if repeat == 0 && named(s.polls, s.seq) {
		r.Name = n.name
	}
	h := n.header(s.seq, n.term)
	if s.acked > 0 {
		s.earlier.T3, s.earlier.T6 = n.stamp(s.then.raw), n.stamp(s.t6then)
		r.Earlier = s.earlier
		if s.then.kernel {
			h.Flags |= netproto.FlagKernelTX
		}
	}
	if repeat == 0 {
		s.epoch = n.at.Raw
	}
	if s.kernel {
		h.Flags |= netproto.FlagKernelRX
	}
	if n.servo.Fitted() {
		h.Flags |= netproto.FlagFitted
	}
	if n.jumped {
		h.Flags |= netproto.FlagJumped
		n.jumped = s != n.follow.master // a stranger's Poll, an old one perhaps, does not use the word up
	}
	s.sent[repeat] = sending{nonce: nonce, raw: n.at.Raw}
	s.replies++
	s.due = s.again(n.at.Now)
	s.sent[repeat].token = n.send(Send{Data: r.Append(n.paper(), h), To: s.addr, Iface: s.iface}, s.key)
}

// followSent makes the sending of a reply exact.
func (n *Node) followSent(in Sent) {
	for _, s := range n.follow.sessions {
		for i := range s.sent[:s.replies] {
			if r := &s.sent[i]; r.token == in.Token {
				raw := n.clock.raw(in.Stamp)
				if in.Kernel && !r.kernel {
					n.lag.learn(raw - r.raw)
				}
				r.raw, r.kernel = raw, in.Kernel
			}
		}
		if s.then.token == in.Token { // later than the Ack
			s.then.raw, s.then.kernel = n.clock.raw(in.Stamp), in.Kernel
		}
	}
}

// onAck takes the proof that the master lives, and replies once more if asked.
func (n *Node) onAck(h netproto.Header, a netproto.Ack, p Packet) {
	if n.follow == nil {
		n.drop(DropRole)
		return
	}
	s, which := n.answers(h, a.Echo)
	if s == nil {
		n.drop(DropUnasked)
		return
	}
	if which < s.acked || int(a.Repeat) != which {
		n.drop(DropDuplicate)
		return
	}
	n.seen.Acks++
	last := which == s.replies-1
	if last {
		s.patience = max(leastPatience, s.patience-s.patience/8)
	} else { // it was on its way when the reply was sent again
		s.patience = min(2*s.patience, mostPatience)
	}
	s.acked, s.due = which+1, never
	s.kernel = s.kernel && p.Kernel
	s.earlier = netproto.Earlier{Seq: s.seq, Repeat: a.Repeat}
	s.then, s.t6then = s.sent[which], n.clock.raw(p.Stamp)
	n.proved(s)
	s.last = h.Flags&netproto.FlagLast != 0
	if h.Flags&netproto.FlagAgain != 0 && last && s.replies < maxRepeats {
		n.reply(s)
	}
}

// answers finds the session, and which of its round's replies, whose nonce a packet shows.
func (n *Node) answers(h netproto.Header, echo netproto.Nonce) (s *session, which int) {
	for _, s := range n.follow.sessions {
		if s.id == h.Sender && s.start == h.Start && s.seq == h.Seq {
			if i := s.shown(echo); i >= 0 {
				return s, i
			}
		}
	}
	return nil, 0
}

// proved notes that a master answered a nonce of ours, and decides whether to obey it.
func (n *Node) proved(s *session) {
	s.verified, s.interval = true, s.offered
	s.prove(n.at.Now)
	if !s.living(n.at.Now) {
		return
	}
	f := n.follow
	switch m := f.master; {
	case m == s:
		n.calm(s)
		if f.holdover {
			f.holdover = false
			n.note(Info, "master is back", Attr{"master", s.id.String()})
		}
		return
	case m == nil && f.winner != 0 && f.winner != s.id && n.at.Now < f.winnerUntil:
		return // a loser too, perhaps: following it would spend this node's one step on a time that is not to stay
	case m == nil, m.id == s.id, n.at.Now >= m.silentAt(), m.dry && !s.dry, f.resigned:
	case s.term > m.term && s.lineage != 0 && !m.living(n.at.Now):
	default:
		if !s.told {
			s.told = true
			n.note(Warn, "a second master is on this LAN: staying with the first",
				Attr{"master", m.id.String()}, Attr{"other", s.id.String()}, Attr{"at", s.addr.String()})
		}
		return
	}
	f.master, f.holdover, f.listenAt = s, false, never
	n.calm(s)
	n.note(Info, "following a master", Attr{"master", s.id.String()}, Attr{"at", s.addr.String()}, Attr{"poll", s.interval})
}

// onAdjust takes this node's entry, if it shows a nonce of the round. An Adjust without one counts for nothing.
func (n *Node) onAdjust(h netproto.Header, a netproto.Adjust, own netproto.Entry) {
	if n.follow == nil {
		n.drop(DropRole)
		return
	}
	s := n.follow.master
	if s == nil || s.id != h.Sender || s.start != h.Start {
		n.drop(DropUnasked)
		return
	}
	if !credible(h.Term, n.term) {
		n.drop(DropValue)
		return
	}
	if h.Seq != s.seq || h.Term < n.term || h.Term == n.term && n.obeyed != s.id && n.obeyed != 0 {
		n.drop(DropStale)
		return
	}
	if own.ID == n.cfg.ID {
		n.onEntry(h, a, s, &own)
	}
}

func (n *Node) onEntry(h netproto.Header, a netproto.Adjust, s *session, e *netproto.Entry) {
	if s.shown(e.Nonce) < 0 {
		n.drop(DropUnasked)
		return
	}
	if s.adjusted {
		n.drop(DropDuplicate)
		return
	}
	if !n.bearable(h, e) {
		n.drop(DropRange)
		if !n.refused {
			n.refused = true
			n.note(Warn, "the master's delta is beyond max_skew, or no date at all: not taken", Attr{"delta", time.Duration(e.Delta)})
		}
		return
	}
	n.refused = false
	n.seen.Adjusts++
	s.adjusted, s.slot, s.due = true, e.Slot, never
	s.prove(n.at.Now)
	n.obey(h.Term, s.id)
	n.key = h.KeyID
	if s.living(n.at.Now) {
		n.calm(s)
	}
	n.follow.view(a)
	n.follow.watch.Successor(a.Successors[0] == n.cfg.ID)
	if a.Phase != netproto.PhaseKeeping {
		return
	}
	founder := e.Standing == netproto.StandingFounder
	founding := founder && s.phase == netproto.PhaseGathering // its own delta, by the best that the gathering had
	if !founding && n.rough(int64(e.Bound), founder) {
		return // before it learns of an order, which it would carry out on a timescale that is not the LAN's yet
	}
	epoch := s.measured()
	n.learn(a.Move, h.Lineage)
	if ours := h.Lineage == n.lineage || n.behind(h.Lineage); n.order.known && epoch < n.order.raw && ours {
		return // it may have been measured before LAN time was set, or after
	}
	n.adopt(correction{
		raw: epoch, delta: e.Delta, bound: int64(e.Bound), lineage: h.Lineage, standing: e.Standing,
		rotation: rotation{a.Rotation, s.id, s.start, h.Term}, founding: e.Standing == netproto.StandingFounder, pace: a.Pace,
	})
}

// wait is for a measurement that is good enough to join a LAN by.
type wait struct {
	rounds int
	least  int64 // ns: the smallest bound that was not
}

// founderRounds is how long a founder waits that the Adjust of its founding did not reach, and which is measured anew: less than others,
// since it has a vote to give.
const founderRounds = 2

// rough says whether a better measurement (of a smaller bound, ns) is worth waiting for: the clock goes all the way to the first one. It
// may be stepped there, and is only slewed back; or its daemon was restarted, and it is right. Where none is good the wait ends with one
// that is as good as others, or ends.
func (n *Node) rough(bound int64, founder bool) bool {
	w, most := &n.wait, patientRounds
	if founder {
		most = founderRounds
	}
	enough := bound <= coarse || w.rounds >= most && bound <= 2*w.least || w.rounds >= 2*most
	if n.together || enough {
		return false
	}
	if w.rounds++; w.rounds == 1 {
		w.least = bound
		n.note(Info, "waiting for a better measurement before the clock is moved", Attr{"bound", time.Duration(bound)},
			Attr{"rounds_at_most", 2 * most})
	}
	w.least = min(w.least, bound)
	return true
}

// measured is the raw reading that the round's delta refers to. One reply alone is measured by when the poll came and when it went out, and
// that gives the offset in the middle of the two, however far apart they are. More of them are exchanges of their own, all of one moment.
func (s *session) measured() int64 {
	if s.replies == 1 {
		return s.t2 + (s.epoch-s.t2)/2
	}
	return s.epoch
}

// bearable says whether a delta may be taken: within one LAN nothing moves by more than max_skew at once, and from one LAN to
// another the timescale must stay where it can be told (PROTOCOL.md 1.7).
func (n *Node) bearable(h netproto.Header, e *netproto.Entry) bool {
	size := max(e.Delta, -e.Delta)
	if h.Lineage == n.lineage && n.together {
		return size <= int64(n.cfg.MaxSkew)
	}
	t := netproto.Stamp(int64(n.stamp(n.at.Raw)) + e.Delta) // both are below 2^62
	return t >= 0 && t <= netproto.MaxStamp-brink
}

// brink (ns) is how far from the end of the wire's range a timescale must stay, so that it does not run off it: ten years.
const brink = netproto.Stamp(10 * 365 * 24 * time.Hour)

// shown says which of this round's replies a nonce belongs to, −1 for none.
func (s *session) shown(nonce netproto.Nonce) int {
	return slices.IndexFunc(s.sent[:s.replies], func(r sending) bool { return r.nonce == nonce })
}
