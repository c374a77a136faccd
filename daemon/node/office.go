package node

import (
	"slices"

	"meantime/daemon/election"
	"meantime/netproto"
)

// resumeRounds is how many rounds a new master takes members at their word that they vote in its lineage: by then whoever
// lives has answered, even if a poll or two were lost.
const resumeRounds = 4

// mayStand says whether this node stands for master.
func (n *Node) mayStand() bool {
	return !n.resting() && n.cfg.Role != RoleSlave && n.cfg.Priority > 0 && n.trusted(n.cfg.ID)
}

// trusted says whether a node may be master here.
func (n *Node) trusted(id netproto.ID) bool {
	return !slices.Contains(n.cfg.Excluded, id) && (len(n.cfg.Trusted) == 0 || slices.Contains(n.cfg.Trusted, id))
}

// trusts says whether a packet may be its sender's: what only masters send, only trusted nodes may.
func (n *Node) trusts(h netproto.Header) bool {
	switch h.Kind {
	case netproto.KindPoll, netproto.KindAdjust, netproto.KindCandidate, netproto.KindResign:
		return n.trusted(h.Sender)
	}
	return true
}

// fraction is a random number in [0, 1).
func (n *Node) fraction() float64 { return float64(n.cfg.Random()>>11) / (1 << 53) }

// calm notes proof that the own master lives: nobody needs to stand.
func (n *Node) calm(s *session) {
	f := n.follow
	f.resigned, f.objections, f.candidacy = false, 0, 0
	f.watch.Heard(s.heard, s.interval)
}

// obey notes under whose term this node stands now.
func (n *Node) obey(term uint64, master netproto.ID) {
	if term > n.term {
		n.do(NewTerm{term})
	}
	n.term, n.obeyed = term, master
}

// rank is this node's in elections.
func (n *Node) rank() election.Candidate {
	return election.Candidate{ID: uint64(n.cfg.ID), Priority: n.cfg.Priority, Voter: n.voter(), Rounds: int(n.rounds)}
}

// claim is what this node holds against another master or candidate.
func (n *Node) claim() election.Claim {
	c := election.Claim{Candidate: n.rank()}
	if n.lead != nil {
		c.Voters = n.lead.group
	}
	return c
}

// stand does what the watch says.
func (n *Node) stand(a election.Action) {
	f := n.follow
	if a != election.Nothing && !n.tellable() {
		f.watch.Objected(n.at.Now)
		return
	}
	switch a {
	case election.Stand:
		f.candidacy = netproto.Nonce(n.random())
		n.note(Debug, "standing for master", Attr{"term", n.term + 1})
		n.ask()
	case election.Repeat:
		n.ask()
	case election.Take:
		n.takeOffice()
	}
}

// ask multicasts the candidacy.
func (n *Node) ask() {
	n.seen.Elections++
	c := n.candidate(n.follow.candidacy)
	n.sendAll(c.Append(n.paper(), n.header(n.electionSeq(), n.term+1)))
}

// electionSeq is what the header's seq holds in packets that belong to no round: it is never 0.
func (n *Node) electionSeq() uint32 { return max(n.seq, 1) }

func (n *Node) candidate(nonce netproto.Nonce) netproto.Candidate {
	c := netproto.Candidate{Nonce: nonce, Rounds: n.rounds, Priority: n.cfg.Priority}
	switch {
	case n.lead != nil:
		c.Master = n.cfg.ID
	case n.follow.master != nil:
		c.Master = n.follow.master.id
	}
	return c
}

// takeOffice makes this node master: of a LAN that has its time, if it has taken part in one, else to found one.
func (n *Node) takeOffice() {
	n.follow = nil
	n.obey(n.term+1, n.cfg.ID)
	n.lead = newLeader(n.at.Now, n.cfg.Interval)
	l := n.lead
	l.seq, l.term = n.seq, n.term
	if n.synced {
		l.phase, l.lineage, l.resuming = netproto.PhaseKeeping, n.lineage, resumeRounds
		if l.founded = n.age; n.age > centredRounds {
			l.founded = foundingRounds // the old master's rate is not in the mean any more
		}
		l.sum = netproto.Rotation{Epoch: n.stamp(n.at.Raw)}
	}
	n.note(Info, "master now", Attr{"term", n.term}, Attr{"lan_time", n.synced})
}

// onCandidate answers a candidate, or another master that asks, if this node knows better. A Candidate is hearsay: it changes nothing here.
func (n *Node) onCandidate(h netproto.Header, c netproto.Candidate, p Packet) {
	dry := h.Flags&netproto.FlagDry != 0
	if dry && !n.cfg.Dry && n.lead == nil || !dry && n.cfg.Dry && !n.followsReal() {
		n.drop(DropDry)
		return
	}
	if !n.tellable() {
		n.drop(DropBusy)
		return
	}
	n.seen.Elections++
	if n.lead != nil && dry == n.cfg.Dry {
		n.lead.summoned(n, h.Sender)
	}
	answer := netproto.Claim{Echo: c.Nonce, Rounds: n.rounds, Priority: n.cfg.Priority}
	term := n.term
	switch {
	case n.lead != nil:
		answer.Master, answer.Voters, term = n.cfg.ID, uint16(n.lead.group), n.lead.term
	case n.speaksFor(h) && n.oneOfFew():
		answer.Master = n.follow.master.id
	case n.follow.candidacy != 0 && dry == n.cfg.Dry && election.Compare(n.rank(), candidateOf(h, c)) < 0:
	default:
		return
	}
	if !n.mayAnswer(h.Sender) {
		n.drop(DropBusy)
		return
	}
	n.send(Send{Data: answer.Append(n.paper(), n.header(n.electionSeq(), term)), To: p.From, Iface: p.Iface}, h.KeyID)
}

// objectors is how many members that follow a living master object to a candidate. One is enough; of ten thousand all would, at once.
const objectors = 32

// oneOfFew says whether this node is one of those that object: each of a small LAN, and of a large one about so many, drawn by lot. That
// nobody does, the master included, happens once in 10^13 times.
func (n *Node) oneOfFew() bool {
	members := n.follow.members
	return members <= objectors || n.cfg.Random()%uint64(members) < objectors
}

// followsReal says whether this node obeys a real master.
func (n *Node) followsReal() bool {
	return n.follow != nil && n.follow.master != nil && !n.follow.master.dry
}

// speaksFor says whether this node objects to a candidate on behalf of its master, of whom it has fresh proof.
func (n *Node) speaksFor(h netproto.Header) bool {
	f := n.follow
	return f.master != nil && !f.resigned && f.master.id != h.Sender && f.master.living(n.at.Now) &&
		(!f.master.dry || h.Flags&netproto.FlagDry != 0)
}

func candidateOf(h netproto.Header, c netproto.Candidate) election.Candidate {
	return election.Candidate{
		ID: uint64(h.Sender), Priority: c.Priority, Voter: h.Flags&netproto.FlagVoter != 0, Rounds: int(c.Rounds),
	}
}

// onClaim takes an objection to the own candidacy, or the answer of another master that was asked.
func (n *Node) onClaim(h netproto.Header, c netproto.Claim, p Packet) {
	if n.lead != nil {
		n.contest(h, c)
		return
	}
	f := n.follow
	if f.candidacy == 0 || c.Echo != f.candidacy || c.Master != 0 && !n.trusted(c.Master) {
		n.drop(DropUnasked)
		return
	}
	n.seen.Elections++
	f.candidacy = 0
	f.watch.Objected(n.at.Now)
	if f.objections++; c.Master != 0 && f.objections == 2 { // one is a candidate that was a moment too early
		n.note(Warn, "a living master does not reach this node, though it reaches others: check cabling and firewall",
			Attr{"master", c.Master.String()}, Attr{"says", p.From.String()})
	}
}

// onResign notes that the own master stops. An older one is hearsay: whoever stands because of it is objected to by a living master. One of
// the round in which this master proved itself is not: a master that has resigned leads no round of that number.
func (n *Node) onResign(h netproto.Header, r netproto.Resign) {
	f := n.follow
	if f == nil {
		n.drop(DropRole)
		return
	}
	if m := f.master; m == nil || m.id != h.Sender || m.start != h.Start || h.Term < n.term {
		n.drop(DropStale)
		return
	}
	n.seen.Elections++
	f.resigned = true
	f.watch.Resigned(n.at.Now, r.Successor == n.cfg.ID, h.Seq == f.master.seq && f.master.proven())
}

// resign gives up office, naming who is to follow. It does nothing in a node without office.
func (n *Node) resign(successor netproto.ID) {
	if n.lead == nil || !n.tellable() {
		return
	}
	r := netproto.Resign{Successor: successor}
	n.seen.Elections++
	n.sendAll(r.Append(n.paper(), n.header(n.electionSeq(), n.lead.term)))
}

func (n *Node) firstSuccessor() netproto.ID {
	if n.lead == nil {
		return 0
	}
	return n.successors()[0]
}

// rival asks another master, whose poll was heard, what it has: once a round at most. The poll may be old; the answer is fresh.
func (n *Node) rival(h netproto.Header, p Packet) {
	if h.Flags&netproto.FlagDry != 0 && !n.cfg.Dry {
		n.drop(DropDry)
		return
	}
	if n.lead.asked != 0 { // nobody answered where the last poll came from: it may have been an old one, under any address
		n.question(n.sendAll)
		return
	}
	n.question(func(data []byte) { n.send(Send{Data: data, To: p.From, Iface: p.Iface}, h.KeyID) })
}

// question asks another master what it has: send sends it where it is, or wherever it may be.
func (n *Node) question(send func(data []byte)) {
	l := n.lead
	if n.at.Now < l.askAt || !n.tellable() {
		return
	}
	l.askAt, l.asked = n.at.Now+l.interval/2, netproto.Nonce(n.random())
	n.seen.Elections++
	c := n.candidate(l.asked)
	send(c.Append(n.paper(), n.header(n.electionSeq(), l.term)))
}

// divided says whether a node that was heard this round obeys another master.
func (l *leader) divided(n *Node) bool {
	return slices.ContainsFunc(l.peers, func(p *peer) bool {
		return p.heard && p.master != 0 && p.master != n.cfg.ID && (n.cfg.Dry || p.flags&netproto.FlagDry == 0)
	})
}

// contest compares this master's claim with another's, who has just proved that it lives.
func (n *Node) contest(h netproto.Header, c netproto.Claim) {
	l := n.lead
	if c.Echo != l.asked || l.asked == 0 || !n.trusted(h.Sender) {
		n.drop(DropUnasked)
		return
	}
	if n.at.Now > l.askAt+l.interval/2 { // an interval after the question: who obeyed then is no measure of now
		n.drop(DropStale)
		return
	}
	n.seen.Elections++
	if c.Master != h.Sender {
		return // no master any more, or somebody who speaks for one: it will answer for itself
	}
	l.asked = 0
	other := election.Claim{Voters: int(c.Voters), Candidate: election.Candidate{ID: uint64(h.Sender), Priority: c.Priority}}
	wins := n.claim().Prevails(other)
	if dry := h.Flags&netproto.FlagDry != 0; dry != n.cfg.Dry {
		wins = dry
	}
	if l.rival != h.Sender {
		l.rival = h.Sender
		n.note(Warn, "two masters met", Attr{"other", h.Sender.String()}, Attr{"voters_there", c.Voters},
			Attr{"voters_here", l.group}, Attr{"stays", wins})
	}
	if wins {
		n.outbid(h.Term)
		return
	}
	n.yield(h.Sender)
}

// maxTermJump is how far a term may rise at once. Terms rise by one at an election; one that leaps is a lie, and believing it would
// use up the numbers for whoever tells the truth.
const maxTermJump = 1 << 16

// credible says whether a term may be another's, given one that is known; 0 is none.
func credible(term, known uint64) bool {
	return term <= netproto.MaxTerm/2 && (known == 0 || term <= known+maxTermJump)
}

// outbid raises this master's term above another's.
func (n *Node) outbid(term uint64) {
	if !credible(term, n.lead.term) {
		return
	}
	if term >= n.lead.term {
		n.lead.term = term + 1
	}
	n.obey(max(n.term, n.lead.term), n.cfg.ID)
}

// yield gives office up to another master and follows it, as a newcomer.
func (n *Node) yield(winner netproto.ID) {
	n.note(Info, "yielding office", Attr{"to", winner.String()})
	n.resign(winner)
	n.lead = nil
	n.standing = netproto.StandingNewcomer
	n.follow = n.newFollower(false)
	n.follow.winner, n.follow.winnerUntil = winner, n.at.Now+silentPolls*n.cfg.Interval
}
