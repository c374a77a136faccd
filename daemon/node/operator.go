package node

import (
	"time"

	"meantime/daemon/election"
	"meantime/netproto"
)

// Elect says that an operator wants the office held by whoever ranks first, by priority and vote. By names who asked.
type Elect struct{ By string }

// StepDown says that an operator wants this master to hand over, and not to stand again before Rest is over. By names who asked.
type StepDown struct {
	By   string
	Rest time.Duration
}

func (Elect) input()    {}
func (StepDown) input() {}

// Answer tells an operator what became of a wish.
type Answer struct {
	Done bool        // false: nothing has changed, and Text says why
	Text string      // for people
	Node netproto.ID // who it is about; 0 = nobody
}

func (Answer) effect() {}

// refuseTo answers that a wish cannot be fulfilled.
func (n *Node) refuseTo(text string, about netproto.ID) { n.do(Answer{Text: text, Node: about}) }

// elect has the office go to whoever ranks first. A master takes itself into account; where none lives, this node stands.
func (n *Node) elect(e Elect) {
	switch {
	case n.lead != nil && n.lead.phase == netproto.PhaseGathering:
		n.refuseTo("LAN time has not been founded yet: members are still measured", 0)
	case n.lead != nil:
		n.handOverIfOutranked(e.By)
	case n.reached():
		n.refuseTo("the LAN has a living master: ask there", n.follow.master.id)
	case !n.standsNow():
		n.refuseTo("no master is heard, and this node does not stand for master", 0)
	default:
		n.note(Info, "standing for master: an operator asked", Attr{"by", e.By})
		n.follow.watch = election.NewWatch(n.at.Now, n.cfg.Interval, true, true, n.fraction)
		n.do(Answer{Done: true, Text: "no master is heard: this node stands now", Node: n.cfg.ID})
	}
}

// standsNow says whether this node may stand, now that an operator asks: that ends the rest after a step down.
func (n *Node) standsNow() bool {
	n.rest = never
	n.follow.watch.May(n.mayStand())
	return n.mayStand()
}

// reached says whether this node obeys a master that lives.
func (n *Node) reached() bool {
	m := n.follow.master
	return m != nil && !n.follow.resigned && n.at.Now < m.silentAt()
}

// outranks says whether a is worth a change of master: by priority or vote, not by mere rounds or id, which change with each
// question.
func outranks(a, b election.Candidate) bool {
	a.Rounds, a.ID = b.Rounds, b.ID
	return election.Compare(a, b) < 0
}

// handOverIfOutranked gives the office to a member that ranks before this master, if there is one.
func (n *Node) handOverIfOutranked(by string) {
	heir := n.firstSuccessor()
	i, ok := n.lead.peers.find(heir)
	if !ok || !outranks(n.lead.peers[i].rank(), n.rank()) {
		n.do(Answer{Done: true, Text: "this master ranks first: it stays", Node: n.cfg.ID})
		return
	}
	n.handOver(heir, "handing over to the member that ranks first: an operator asked", by)
	n.do(Answer{Done: true, Text: "the office went to the member that ranks first", Node: heir})
}

// stepDown hands over to the first successor.
func (n *Node) stepDown(s StepDown) {
	switch {
	case n.lead == nil && n.follow.master != nil:
		n.refuseTo("this node is not the master: ask there", n.follow.master.id)
		return
	case n.lead == nil:
		n.refuseTo("this node is not the master, and knows of none", 0)
		return
	case n.lead.phase == netproto.PhaseGathering:
		n.refuseTo("LAN time has not been founded yet: members are still measured", 0)
		return
	}
	heir := n.firstSuccessor()
	if heir == 0 {
		n.refuseTo("no member is known that could follow: nobody would keep LAN time", 0)
		return
	}
	n.rest = n.at.Now + s.Rest
	n.handOver(heir, "stepping down: an operator asked", s.By, Attr{"not_again_for", s.Rest})
	n.do(Answer{Done: true, Text: "the office went to the first successor", Node: heir})
}

// handOver ends this node's office as a clean stop does, and goes on as a member with its vote.
func (n *Node) handOver(heir netproto.ID, why, by string, more ...Attr) {
	n.note(Info, why, append([]Attr{{"to", heir.String()}, {"by", by}}, more...)...)
	n.resign(heir)
	n.lead = nil
	n.follow = n.newFollower(false)
}

// rested lets this node stand again once its rest is over.
func (n *Node) rested() {
	if n.at.Now < n.rest {
		return
	}
	n.rest = never
	if n.follow != nil {
		n.follow.watch.May(n.mayStand())
	}
}

// resting says whether this node does not stand because an operator made it step down.
func (n *Node) resting() bool { return n.rest != never }
