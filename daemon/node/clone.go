package node

import "meantime/netproto"

// own takes a packet under this node's own id: its own multicast, an old recording, or one of another host that has its id, as after
// cloning a disk. The last two differ in that the other host, if there is one, answers a question (PROTOCOL.md 8.22).
func (n *Node) own(h netproto.Header, body []byte, p Packet) {
	if h.Start == n.cfg.Start {
		n.drop(DropOwn)
		return
	}
	if h.Kind == netproto.KindClaim {
		n.onOwnClaim(body)
		return
	}
	if !n.tellable() || !n.budget.take(n.at.Now) {
		n.drop(DropBusy)
		return
	}
	n.drop(DropOwn)
	to := Send{To: p.From, Iface: p.Iface}
	if h.Kind == netproto.KindCandidate {
		n.answerOwn(h, body, to)
		return
	}
	n.clone = netproto.Nonce(n.random())
	c := n.candidate(n.clone)
	c.Priority = max(1, c.Priority) // it stands for nothing, but 0 does not travel
	to.Data = c.Append(nil, n.header(n.electionSeq(), n.term))
	n.send(to, h.KeyID)
}

// answerOwn tells another host under this node's id that it is not alone.
func (n *Node) answerOwn(h netproto.Header, body []byte, to Send) {
	c, err := netproto.ParseCandidate(body)
	if err != nil {
		n.drop(DropOf(err))
		return
	}
	answer := netproto.Claim{Echo: c.Nonce}
	to.Data = answer.Append(nil, n.header(n.electionSeq(), n.term))
	n.send(to, h.KeyID)
}

// onOwnClaim takes a new id where another host has just proved that it uses this one.
func (n *Node) onOwnClaim(body []byte) {
	c, err := netproto.ParseClaim(body)
	if err != nil || n.clone == 0 || c.Echo != n.clone {
		n.drop(DropOwn)
		return
	}
	n.clone = 0
	n.cfg.ID = netproto.ID(n.random())
	n.note(Warn, "another host uses this node's id, as after cloning a disk: taking a new one", Attr{"id", n.cfg.ID.String()})
	n.do(NewID{uint64(n.cfg.ID)})
}
