package node

import (
	"slices"

	"meantime/netproto"
)

// outbox is what one Handle wants done, with the bytes of its packets. The next Handle uses all of it again, so that a node that has grown
// to the size of its LAN allocates no more. What grows in the middle of a Handle leaves its old room to the effects that point into it.
type outbox struct {
	effects []Effect
	sends   []Send
	steers  []Steer
	packets []byte
}

// empty begins another Handle.
func (o *outbox) empty() {
	clear(o.effects) // words are not kept
	o.effects, o.sends, o.steers, o.packets = o.effects[:0], o.sends[:0], o.steers[:0], o.packets[:0]
}

// do wants an effect.
func (n *Node) do(e Effect) { n.out.effects = append(n.out.effects, e) }

// note logs a line.
func (n *Node) note(level Level, text string, attrs ...Attr) {
	n.do(Note{level, text, attrs})
}

// command wants the clock steered.
func (n *Node) command(s Steer) {
	n.out.steers = append(n.out.steers, s)
	n.do(&n.out.steers[len(n.out.steers)-1])
}

// paper is empty room for one packet, which is to be sent before the next is written.
func (n *Node) paper() []byte {
	n.out.packets = slices.Grow(n.out.packets, netproto.MaxPacket)
	return n.out.packets[len(n.out.packets):]
}

// send seals a packet under a key, sends it and returns the token under which the transmit stamp will come. Its bytes are on this Handle's
// paper.
func (n *Node) send(s Send, key uint32) uint64 {
	s.Data = slices.Clip(s.Data)
	n.cfg.Ring.Seal(s.Data, key)
	n.token++
	s.Token = n.token
	n.seen.Sent++
	n.out.packets = n.out.packets[:len(n.out.packets)+len(s.Data)]
	n.out.sends = append(n.out.sends, s)
	n.do(&n.out.sends[len(n.out.sends)-1])
	return s.Token
}

// sendAll sends a packet to the group once under each key held.
func (n *Node) sendAll(data []byte) {
	for _, id := range n.cfg.Ring.IDs() {
		n.send(Send{Data: append(n.paper(), data...), Group: true}, id)
	}
}
