package node

import (
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

const (
	// exchanges is how many exchanges a round asks of each slave, that of Poll and Reply included. The first wakes the slave; the ones after
	// it, back to back, find it awake (DESIGN.md, "Two exchanges").
	exchanges = 3
	// fewExchanges are enough where kernels took all stamps and the sample is as good as usual, but for alike (ns), and no more than that part
	// (its inverse) of what is usual: another one would say the same, and cost the slave a packet each way (DESIGN.md, "What an idle node
	// costs"). With 20 µs, clocks on virtual cables were 3 µs apart instead of 0.4: one leg was always longer. Where all legs take 2 µs
	// together, 2 µs more was anything, and clocks were 1.0 µs apart instead of 0.7.
	fewExchanges = 2
	alike        = 2_000
	alikeShare   = 4
	// mostExchanges is how many it asks of a slave whose samples of this round are all worse than usual by more than enough (ns): more
	// tries are worth their packets only there.
	mostExchanges = 8
	enough        = 10_000
	// slotTime is what an exchange with one slave may take, so that the next one's does not get in its way.
	slotTime = 30 * time.Millisecond
	// leastWindow spreads the replies of slaves that have no slot yet.
	leastWindow = 100 * time.Millisecond
	// grace is how long after the window replies are still waited for: the last slot's exchange and a sleepy slave.
	grace = 100 * time.Millisecond
)

const (
	// userReceive is the error (ns) of a receive stamp taken in user space: 99 % came within 131 µs of the kernel's.
	userReceive = 130_000
	// userSend is the error (ns) of a transmit stamp taken in user space before sending: 99 % within 56 µs, 90 % within 17.
	userSend = 20_000
)

// leader is the master's half of a node.
type leader struct {
	phase   netproto.Phase
	term    uint64
	lineage uint64 // of the LAN that is kept, 0 while gathering
	peers   table
	room    room

	interval time.Duration // from poll to poll, at present
	calm     int           // consecutive rounds in which nothing was the matter, at this interval

	rival   netproto.ID    // another master that has been logged
	asked   netproto.Nonce // of the question that is out to another master, 0 = none
	askAt   time.Duration  // no question before this
	sum     netproto.Rotation
	founded int // rounds kept since the founding
	kept    int // the same with others, of this master and without a break

	rates int   // how many made the last mean rate
	tally tally // of the master itself

	resuming int // rounds left in which members are taken at their word that they vote

	gatherEnd time.Duration // FoundWait is over
	fresh     int           // new faces this round
	quiet     int           // rounds in a row without one
	good      int           // consecutive rounds on LAN time, while this master itself is a newcomer
	bad       int           // consecutive rounds off the majority, as a voter
	jumped    int           // rounds left in which this host's own jump is held against it
	holding   bool          // the lack of a majority has been logged
	refused   int           // newcomers this round for whom there was no room
	full      bool          // the log knows that there is none

	seq      uint32
	rounds   int  // in this office, or since somebody came
	open     bool // a round is under way
	left     int  // peers from which something more is to come in it
	nonce    netproto.Nonce
	copies   []netproto.Nonce // of the poll under other keys
	without  int              // members that left without the newest key, as of the last change of keys
	token    uint64
	departed []departure // of the poll, per interface
	pollAt   time.Duration
	closeAt  time.Duration
	load     load
	outgoing outgoing

	reading reading // of itself

	spread int64
	voters int // whose readings made the last mean
	group  int // voters that obeyed in the last round, whether or not their readings counted
}

// departure is when a poll left through one interface.
type departure struct {
	iface  int
	raw    int64
	kernel bool
}

func newLeader(now, interval time.Duration) *leader {
	return &leader{
		interval: interval, phase: netproto.PhaseGathering, pollAt: now, closeAt: never, gatherEnd: never, reading: reading{at: -1},
		load: load{turns: 1, slots: 1, exchange: slotTime / 2}, outgoing: outgoing{at: never},
	}
}

func (l *leader) deadline() time.Duration { return min(l.pollAt, l.closeAt, l.outgoing.at) }

// leadDue ends a round and starts the next when it is time.
func (n *Node) leadDue() {
	l := n.lead
	if n.at.Now >= l.closeAt {
		stale := l.stale(n.at.Now)
		l.closeAt, l.open = never, l.established() && !stale && l.left == 0
		if stale {
			l.voters, l.group, l.kept = 0, 0, 0
			for _, p := range l.peers {
				p.filter.Next()
			}
		} else {
			n.decide()
		}
	}
	if n.lead == nil {
		return
	}
	if n.at.Now >= l.outgoing.at {
		n.sendAdjusts()
	}
	if n.at.Now >= l.pollAt {
		n.poll()
	}
}

// grace is how long after the window replies are still waited for.
func (l *leader) grace() time.Duration { return min(grace, l.interval/4) }

// poll starts a round.
func (n *Node) poll() {
	l := n.lead
	if l.gatherEnd == never {
		l.gatherEnd = n.at.Now + n.cfg.FoundWait
		if l.phase == netproto.PhaseGathering {
			n.note(Info, "gathering: measuring, no clock is moved", Attr{"at_most", n.cfg.FoundWait})
		}
	}
	l.schedule(n.at.Now)
	if !n.tellable() {
		return
	}
	n.flushAdjusts()
	before := l.load.turns
	window := l.plan(n.cfg.FullRoundsTo, n.awaited())
	if l.phase == netproto.PhaseGathering {
		l.hasten(n.at.Now, window)
	}
	l.pollAt += n.toBeat(l.pollAt, l.interval)
	n.tellTurns(before)
	l.seq++
	l.rounds++
	n.seq = l.seq
	l.full = l.refused > 0
	l.open, l.fresh, l.refused = true, 0, 0
	l.closeAt = n.at.Now + window + l.grace()
	for _, p := range l.peers {
		p.heard, p.last, p.done = false, false, false
		p.filter.Renew() // of whoever came after the round was decided
	}
	l.left = len(l.peers)
	n.chooseKey()
	l.nonce = netproto.Nonce(n.random())
	body := netproto.Poll{
		Nonce: l.nonce, Interval: micros(l.interval), Window: micros(window), Slots: l.load.slots,
		Members: uint16(len(l.peers) + 1), Priority: n.cfg.Priority, Phase: l.phase, Turns: l.load.told(),
	}
	if named(l.rounds, l.seq) {
		body.Name = n.name
	}
	l.departed = l.departed[:0]
	n.seen.Polls++
	l.reading.at = n.at.Now
	h := n.header(l.seq, l.term)
	l.token = n.send(Send{Data: body.Append(n.paper(), h), Group: true}, n.key)
	n.pollOthers(body, h)
}

// micros is a duration in µs as it goes on the wire; configuration keeps it in range.
func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

// leadSent files the stamp of a poll or of an Ack.
func (n *Node) leadSent(s Sent) {
	l := n.lead
	raw := n.clock.raw(s.Stamp)
	if s.Token == l.token {
		for i := range l.departed {
			if d := &l.departed[i]; d.iface == s.Iface { // the kernel's stamp after the user's
				d.raw, d.kernel = raw, s.Kernel
				return
			}
		}
		l.departed = append(l.departed, departure{s.Iface, raw, s.Kernel})
		return
	}
	if p := l.room.acked.find(s.Token); p != nil {
		p.t5 = raw
		p.kernel = withFlag(p.kernel, netproto.FlagKernelTX, s.Kernel)
	}
}

func withFlag(f, bit netproto.Flags, on bool) netproto.Flags {
	if on {
		return f | bit
	}
	return f &^ bit
}

// onReply takes a reply's stamps and acknowledges it at once. Nothing is decided before the round ends.
func (n *Node) onReply(h netproto.Header, r netproto.Reply, in Packet) {
	l := n.lead
	switch {
	case l == nil:
		n.drop(DropRole)
		return
	case h.Flags&netproto.FlagDry == 0 && n.cfg.Dry:
		n.drop(DropDry)
		return
	case !l.open || h.Seq != l.seq || !l.polled(r.Echo):
		n.drop(DropStale)
		return
	case !credible(h.Term, l.term):
		n.drop(DropValue)
		return
	}
	if l.resuming > 0 && (h.Flags&netproto.FlagDry == 0 || n.cfg.Dry) { // the old master may have been told what this one has not heard
		n.learn(r.Move, h.Lineage)
		n.carryOut()
	}
	p, fresh := l.peers.get(h.Sender, n.mostPeers())
	if p == nil {
		n.turnAway(h, in)
		return
	}
	if !fresh && h.Start == p.former {
		n.twin(p, in)
		return
	}
	if fresh || p.start != h.Start {
		n.welcome(p, h, in)
	}
	if p.heard && r.Repeat <= p.repeat {
		n.drop(DropDuplicate)
		return
	}
	if l.ended() && p.done {
		n.drop(DropStale)
		return
	}
	p.key, p.held = h.KeyID, r.Held // also of one that cannot be measured: it is to hear its polls
	n.laggard(p)
	if err := n.measure(p, h, r, in); err != nil {
		n.drop(DropRange)
		return
	}
	n.seen.Replies++
	p.learn(h, r)
	p.reading.at = n.at.Now
	p.rotated = l.sum.Rate
	p.addr = in.From
	if h.Term > l.term || h.Term == l.term && p.master != n.cfg.ID {
		n.outbid(h.Term) // it obeyed another master under that term, or has forgotten whom
	}
	if in.Kernel {
		l.load.late = max(l.load.late, time.Duration(n.at.Raw-p.t4))
	}
	more := l.serves(n.cfg.ID, p, r) && n.ack(p, h, r, in)
	l.finish(p, !more, n.at.Now)
}

// mostPeers is how many members this master takes besides itself.
func (n *Node) mostPeers() int {
	if n.cfg.MaxMembers == 0 {
		return mostMembers - 1
	}
	return n.cfg.MaxMembers - 1
}

// turnAway refuses a newcomer to a LAN that is full, and says so once, until a round comes in which nobody had to be refused.
func (n *Node) turnAway(h netproto.Header, in Packet) {
	n.drop(DropFull)
	if n.lead.refused++; n.lead.refused == 1 && !n.lead.full {
		n.lead.full = true
		n.note(Warn, "the LAN has max_members: newcomers are refused. Raise it on every node that may be master, or split the LAN into groups",
			Attr{"max_members", n.mostPeers() + 1}, Attr{"first", h.Sender.String()}, Attr{"at", in.From.String()})
	}
}

// twin counts a packet of a start that another one under the same id has taken the place of: two daemons with one id, from a disk that
// was cloned or one state directory for two. The later one is the member.
func (n *Node) twin(p *peer, in Packet) {
	n.drop(DropStale)
	if !p.twinned {
		p.twinned = true
		n.note(Warn, "two nodes use one id, as after cloning a disk: give one another state directory, or remove the file id in it",
			Attr{"id", p.id.String()}, Attr{"at", p.addr.String()}, Attr{"and_at", in.From.String()})
	}
}

// mostWelcomes is how many new faces a round are logged: a flood of made-up ones must not fill a disk.
const mostWelcomes = 32

// welcome notes a new face: a member that came, or came again after a restart. It has no vote.
func (n *Node) welcome(p *peer, h netproto.Header, in Packet) {
	if p.done {
		n.lead.left++
	}
	*p = peer{id: h.Sender, start: h.Start, former: p.start, slot: netproto.NoSlot, standing: netproto.StandingNewcomer}
	p.reading.at = -1
	n.lead.fresh++
	if n.lead.ended() {
		n.lead.pollSoon(n) // setInterval has not seen it, and would forget it
	}
	if n.lead.resuming > 0 && h.Flags&netproto.FlagVoter != 0 && (h.Lineage == n.lead.lineage || n.behind(h.Lineage)) {
		p.standing = netproto.StandingVoter
	}
	if n.lead.fresh > mostWelcomes {
		return
	}
	n.lead.rounds = 0
	n.note(Info, "member came", Attr{"id", p.id.String()}, Attr{"at", in.From.String()})
}

// learn takes in what a reply says of its sender.
func (p *peer) learn(h netproto.Header, r netproto.Reply) {
	p.flags, p.lineage, p.master = h.Flags, h.Lineage, r.Master
	p.rate, p.residual, p.bound, p.priority = r.Rate.Fraction(), r.Residual, r.Bound, r.Priority
	p.repeat, p.nonce, p.pace = r.Repeat, r.Nonce, r.Pace
	p.moved += int64(int32(r.Moved - uint32(p.moved))) // it wraps around on the wire
	p.exchanges++
	relabel(&p.name, r.Name)
	if h.Flags&netproto.FlagJumped != 0 {
		p.jumped = patience
	}
	if !p.heard {
		p.heard, p.exchanges = true, 1
		p.rounds++
	}
}

// measure turns a reply into samples: of Poll and Reply for the first of a round, of the exchange before it for the others.
func (n *Node) measure(p *peer, h netproto.Header, r netproto.Reply, in Packet) error {
	t4 := n.clock.raw(in.Stamp)
	legs, doubt, ok := n.pollLegs(h, r, in, t4)
	if p.heard {
		legs, doubt, ok = n.ackLegs(p, h, r)
	}
	if ok {
		s, err := berkeley.Measure(legs, doubt)
		if err != nil {
			return err
		}
		if p.heard && p.polled {
			// The first exchange of Reply and Ack shares its way back with the Poll's sample. Choosing the narrower of two that
			// share a leg favours a short other leg: 1 ms of jitter bent the LAN's rate by 5 ppm.
			p.filter.Renew()
		}
		p.polled = !p.heard
		p.filter.Add(s)
		p.stamps = doubt.Stamp == 0
	}
	p.t4, p.epoch = t4, t4
	if ok && !p.heard && r.Repeat == 0 { // as the slave does it: session.measured
		p.epoch -= (legs.Returned - legs.Sent) / 2
	}
	p.kernel = withFlag(p.kernel, netproto.FlagKernelRX, in.Kernel)
	return nil
}

// pollLegs are the stamps of a Poll and its Reply. The reply's T3 was put down before it was sent, so it counts as a stamp of
// user space whatever comes later. To a copy of the poll, whose departure nobody notes, there are none.
func (n *Node) pollLegs(h netproto.Header, r netproto.Reply, in Packet, t4 int64) (berkeley.Legs, berkeley.Doubt, bool) {
	for _, d := range n.lead.departed {
		if d.iface != in.Iface || r.Echo != n.lead.nonce {
			continue
		}
		doubt := berkeley.Doubt{Skew: n.skew(h), Stamp: userSend}
		if !in.Kernel || h.Flags&netproto.FlagKernelRX == 0 {
			doubt.Stamp += userReceive
		}
		return berkeley.Legs{
			Sent: int64(n.stamp(d.raw)), Received: int64(r.T2), Replied: int64(r.T3), Returned: int64(n.stamp(t4)),
		}, doubt, true
	}
	return berkeley.Legs{}, berkeley.Doubt{}, false
}

// ackLegs are the stamps of the Reply and Ack before this Reply, which brings the slave's half of them.
func (n *Node) ackLegs(p *peer, h netproto.Header, r netproto.Reply) (berkeley.Legs, berkeley.Doubt, bool) {
	if r.Earlier.Seq != n.lead.seq || r.Earlier.Repeat != p.repeat { // an Ack was lost: its exchange is
		return berkeley.Legs{}, berkeley.Doubt{}, false
	}
	doubt := berkeley.Doubt{Skew: n.skew(h)}
	both := h.Flags & p.kernel
	if both&netproto.FlagKernelTX == 0 {
		doubt.Stamp += userSend
	}
	if both&netproto.FlagKernelRX == 0 {
		doubt.Stamp += userReceive
	}
	return berkeley.Legs{
		Sent: int64(n.stamp(p.t5)), Received: int64(r.Earlier.T6),
		Replied: int64(r.Earlier.T3), Returned: int64(n.stamp(p.t4)),
	}, doubt, true
}

// skew is the largest rate difference to be assumed between this timescale and a peer's.
func (n *Node) skew(h netproto.Header) float64 {
	if h.Flags&netproto.FlagFitted != 0 && n.servo.Fitted() {
		return 2 * n.servo.Skew()
	}
	return looseSkew
}

// looseSkew is the rate difference of two clocks of which one at least is not fitted: ±200 ppm each.
const looseSkew = 400e-6

// wanted is how many exchanges this round is to have with a peer.
func (p *peer) wanted() int {
	s, ok := p.filter.Best()
	switch usual := p.filter.Usual(); {
	case !ok:
		return mostExchanges
	case p.stamps && p.filter.Full() && s.Bound-min(alike, usual/alikeShare) <= usual:
		return fewExchanges
	case s.Bound-enough > usual:
		return mostExchanges
	}
	return exchanges
}

// ack answers a reply at once, but for the last one of a round: that brings what the master wants, and the slave knows that no Ack may come
// (PROTOCOL.md 8.8).
func (n *Node) ack(p *peer, to netproto.Header, r netproto.Reply, in Packet) (more bool) {
	unanswered := p.last
	more = p.exchanges < p.wanted() && n.lead.admits(p, n.cfg.FullRoundsTo)
	if p.last = more && p.patchy == 0; unanswered && !more {
		return false
	}
	h := n.header(n.lead.seq, n.lead.term)
	h.Flags = withFlag(withFlag(h.Flags, netproto.FlagAgain, more), netproto.FlagLast, p.last)
	a := netproto.Ack{Echo: r.Nonce, Repeat: r.Repeat}
	p.t5 = n.at.Raw
	p.kernel &^= netproto.FlagKernelTX
	n.seen.Acks++
	p.token = n.send(Send{Data: a.Append(n.paper(), h), To: in.From, Iface: in.Iface}, to.KeyID)
	n.lead.room.acked.add(p, len(n.lead.peers))
	return more
}

// lapse forgets who obeyed, where this host was paused: they may have gone over to another master.
func (l *leader) lapse(now time.Duration) {
	if l.stale(now) || now > l.pollAt+l.interval/2 {
		l.voters, l.group = 0, 0
	}
}

// stale says that a round was not closed in time, as after a pause of this host: what it measured is old, and who obeyed may have
// gone over to another master.
func (l *leader) stale(now time.Duration) bool {
	return l.closeAt != never && now > l.closeAt+l.interval/2
}
