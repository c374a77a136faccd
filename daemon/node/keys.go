package node

import (
	"slices"

	"meantime/netproto"
)

// rekey takes other keys into use, at once: no office, round or timer is touched. A running node never goes back to none.
func (n *Node) rekey(ring *netproto.Ring) {
	if ring.Group() != n.cfg.Group { // a nil ring is of none
		return
	}
	n.cfg.Ring = ring
	n.laggards, n.told = 0, 0
	if n.lead != nil {
		n.lead.without = 0
	}
	n.note(Info, "keys read", Attr{"newest", netproto.KeyName(ring.Newest())}, Attr{"held", len(ring.IDs())})
	if !ring.Holds(n.key) {
		n.key = ring.Newest()
	}
}

// chooseKey settles under which key this master sends: the newest that all members hold, and while there is none such the one that it
// used before. A new master hears first who is there.
func (n *Node) chooseKey() {
	if n.lead.resuming > 0 {
		return
	}
	ids := n.cfg.Ring.IDs()
	i := slices.IndexFunc(ids, n.lead.allHold)
	if i < 0 {
		return
	}
	if ids[i] != n.key && i > 0 {
		n.note(Info, "sending under an older key, which all members hold", Attr{"key", netproto.KeyName(ids[i])})
	}
	if n.key = ids[i]; i == 0 && len(ids) > 1 {
		n.tellHolders()
	}
}

// tellHolders tells, once for each newest key, that all members hold it. An empty LAN says nothing of who is not there at the moment, and
// who left without the key may come back.
func (n *Node) tellHolders() {
	l := n.lead
	if n.told == n.key || len(l.peers) == 0 {
		return
	}
	n.told = n.key
	key, members := Attr{"key", netproto.KeyName(n.key)}, Attr{"members", len(l.peers) + 1}
	if l.without > 0 {
		n.note(Warn, "all members that are here hold the newest key, but some left without it: see to them before older ones are taken away",
			key, members, Attr{"left", l.without})
		return
	}
	n.note(Info, "all members hold the newest key: sending under it; older ones can be taken away", key, members)
}

// allHold says whether every member that is known holds a key.
func (l *leader) allHold(id uint32) bool {
	return !slices.ContainsFunc(l.peers, func(p *peer) bool { return !p.holds(id) })
}

// holds says whether the peer holds a key, as its last reply said or was sealed.
func (p *peer) holds(id uint32) bool { return p.key == id || slices.Contains(p.held[:], id) }

// keyFor is the key under which a peer is told its delta: the one that this master sends under, else the newest that both hold.
func (n *Node) keyFor(p *peer) uint32 {
	if !p.holds(n.key) {
		if ids := n.cfg.Ring.IDs(); slices.ContainsFunc(ids, p.holds) {
			return ids[slices.IndexFunc(ids, p.holds)]
		}
	}
	return n.key
}

// pollOthers repeats a poll under the other keys, so that whoever holds only one of them is found. Each copy has a nonce of its own: its
// departure is not the poll's.
func (n *Node) pollOthers(poll netproto.Poll, h netproto.Header) {
	l := n.lead
	l.copies = l.copies[:0]
	for _, id := range n.cfg.Ring.IDs() {
		if id == n.key {
			continue
		}
		poll.Nonce = netproto.Nonce(n.random())
		l.copies = append(l.copies, poll.Nonce)
		n.send(Send{Data: poll.Append(n.paper(), h), Group: true}, id)
	}
}

// laggard names a member that lacks the newest key: once, and no more of them than new faces.
func (n *Node) laggard(p *peer) {
	newest := n.cfg.Ring.Newest()
	if p.lacks == newest || p.holds(newest) || n.laggards >= mostWelcomes {
		return
	}
	p.lacks = newest
	n.laggards++
	n.note(Info, "a member lacks the newest key: give it the key file of this host", Attr{"id", p.id.String()},
		Attr{"at", p.addr.String()}, Attr{"newest", netproto.KeyName(newest)}, Attr{"uses", netproto.KeyName(p.key)})
}

// held lists the keys of this node as a Reply tells them.
func (n *Node) held() (ids [netproto.HeldKeys]uint32) {
	copy(ids[:], n.cfg.Ring.IDs())
	return ids
}
