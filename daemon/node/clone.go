package node

import (
	"time"

	"meantime/netproto"
)

// double is the question that is out to who sends under this node's own id, as after cloning a disk. What was heard may be a recording
// of this very node before its restart: only an answer proves that there are two.
type double struct {
	asked netproto.Nonce // 0 = nothing was asked
	next  time.Duration  // no question before this
}

// own counts the node's own multicast, and takes a new id when another host proves that it uses this one.
func (n *Node) own(h netproto.Header, body []byte, p Packet) {
	n.drop(DropOwn)
	if h.Start == n.cfg.Start || !n.tellable() {
		return
	}
	switch h.Kind {
	case netproto.KindCandidate:
		n.answerDouble(body, p, h.KeyID)
	case netproto.KindClaim:
		c, err := netproto.ParseClaim(body)
		if err == nil && c.Echo == n.double.asked && n.double.asked != 0 {
			n.rename()
			return
		}
	}
	if n.at.Now < n.double.next {
		return
	}
	n.double = double{asked: netproto.Nonce(n.random()), next: n.at.Now + n.cfg.Interval}
	n.seen.Elections++
	c := n.candidate(n.double.asked)
	c.Priority = max(c.Priority, 1) // nobody stands: it is a question
	n.send(Send{Data: c.Append(n.paper(), n.header(n.electionSeq(), n.term)), To: p.From, Iface: p.Iface}, h.KeyID)
}

// answerDouble answers the question of who sends under this node's id.
func (n *Node) answerDouble(body []byte, p Packet, key uint32) {
	c, err := netproto.ParseCandidate(body)
	if err != nil || !n.mayAnswer(n.cfg.ID) {
		return
	}
	n.seen.Elections++
	answer := netproto.Claim{Echo: c.Nonce, Rounds: n.rounds, Priority: n.cfg.Priority}
	n.send(Send{Data: answer.Append(n.paper(), n.header(n.electionSeq(), n.term)), To: p.From, Iface: p.Iface}, key)
}

// rename takes a new id.
func (n *Node) rename() {
	n.double = double{}
	n.cfg.ID = netproto.ID(n.random())
	n.note(Warn, "another host uses this node's id, as after cloning a disk: taking a new one", Attr{"id", n.cfg.ID.String()})
	n.do(NewID{uint64(n.cfg.ID)})
}
