package sim

import (
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

const (
	// userLateness is the mean of what a stamp of user space comes late by on top of Latency: half came within 29 µs on real
	// kernels, 99 % within 131.
	userLateness = 29 * time.Microsecond
	// heldBack is the mean of how long a reordered packet is held back: longer than a whole exchange on a LAN.
	heldBack = time.Millisecond
)

// send lets a packet depart a moment from now, tells the sender its stamp and brings a copy to each receiver.
func (w *World) send(from *Host, s *node.Send) error {
	w.packets++
	data := slices.Clone(s.Data)
	if from.member.Lie.Kind != Truth {
		data = w.lie(from, data)
	}
	if from.member.Mangle != nil {
		data = from.member.Mangle(data)
	}
	if w.attacker != nil {
		w.attacker.hear(from, s, data)
	}
	own := w.links.between(from, from)
	departs := w.now + w.plan.Latency.draw(own.dice)
	back := w.plans(departs+w.plan.Latency.draw(own.dice), departed, from.index)
	back.token, back.stamp, back.kernel = s.Token, departs, true
	if w.plan.UserStamps {
		back.stamp, back.kernel, back.told = from.read.wall, false, true
		departs += int64(own.dice.ExpFloat64() * float64(userLateness))
	}
	if !s.Group {
		if i := w.index(s.To); i >= 0 {
			w.carry(from, w.hosts[i], departs, event{data: data})
		}
		return nil
	}
	packet := event{data: data, group: true}
	if h, body, err := netproto.Inspect(data); err == nil {
		packet.kind, packet.term = h.Kind, h.Term
		w.judge.announced(from, h, body)
	}
	for _, to := range w.concerned(&packet) {
		w.carry(from, to, departs, packet)
	}
	return nil
}

// concerned are the hosts that a packet to the group is brought to. On a large LAN those are, of an Adjust, the ones that have an entry in
// it: to all others it means nothing (PROTOCOL.md 8.12), and of three million parts a round hardly anything else would be simulated.
func (w *World) concerned(packet *event) []*Host {
	if packet.kind != netproto.KindAdjust || !w.sparing {
		return w.hosts
	}
	_, body, err := netproto.Inspect(packet.data)
	if err != nil {
		return w.hosts
	}
	a, err := netproto.ParseAdjust(body, w.entries[:0])
	if err != nil {
		return w.hosts
	}
	if w.who == nil {
		w.who = map[netproto.ID][]*Host{}
		for _, h := range w.hosts {
			w.who[h.id] = append(w.who[h.id], h)
		}
	}
	w.meant = w.meant[:0]
	for i := range a.Entries {
		w.meant = append(w.meant, w.who[a.Entries[i].ID]...)
	}
	w.entries = a.Entries
	return w.meant
}

// carry brings copies of a packet from host to host, if the link does not lose them. A host hears its own multicast.
func (w *World) carry(from, to *Host, departs int64, packet event) {
	l := w.links.between(from, to)
	parted := from != to && (from.cut > 0 || to.deaf > 0 || w.walled(from, to))
	if parted || l.Loss > 0 && l.dice.Float64() < l.Loss || w.lossy > 0 && l.dice.Float64() < w.lossy {
		if w.attacker != nil {
			w.attacker.missed(to)
		}
		return
	}
	copies := 1 + l.Copies
	if l.Duplicate > 0 && l.dice.Float64() < l.Duplicate {
		copies++
	}
	for range copies {
		arrived := departs + l.Delay.draw(l.dice)
		if from != to {
			arrived += to.behind
		}
		if l.Reorder > 0 && l.dice.Float64() < l.Reorder {
			arrived += int64(l.dice.ExpFloat64() * float64(heldBack))
		}
		seen := arrived + w.plan.Latency.draw(l.dice)
		if w.plan.UserStamps {
			seen += int64(l.dice.ExpFloat64() * float64(userLateness))
		}
		e := w.queue.push(seen)
		*e = packet
		e.what, e.host, e.from, e.life = arrives, int32(to.index), int32(from.index), to.life
		e.stamp, e.kernel = arrived, !w.plan.UserStamps
	}
}

// receive is a packet that the process is about to see.
func (h *Host) receive(e *event) error {
	if h.Node == nil || h.asleep > 0 && e.stamp >= h.ground.since {
		return nil
	}
	if h.frozen+h.asleep > 0 {
		if len(h.inbox) < inboxLimit {
			e.stamp, e.told = h.wallAt(e.stamp), true // as long as the clock remembers the instant
			h.inbox = append(h.inbox, *e)
		}
		return nil
	}
	return h.take(e)
}

// wallAt is what the host's clock showed at a true time of the last moments, as a kernel would stamp a packet.
func (h *Host) wallAt(t int64) int64 { return h.Clock.FromHost(Epoch + h.ground.at(t)) }

// take hands a packet, or the stamp of one sent, to the node.
func (h *Host) take(e *event) error {
	w := h.world
	at, err := h.moment()
	if err != nil {
		return err
	}
	stamp := e.stamp
	switch {
	case e.told:
	case e.kernel:
		stamp = h.wallAt(e.stamp)
	default:
		stamp = at.Wall
	}
	if e.token != 0 {
		w.input(h, departed, e.token, stamp, nil)
		w.sent = node.Sent{Token: e.token, Iface: 1, Stamp: stamp, Kernel: e.kernel}
		return h.perform(h.Node.Handle(at, &w.sent))
	}
	data := e.data
	if h.member.Hear != nil {
		data = h.member.Hear(data)
	}
	w.input(h, arrives, uint64(e.from), stamp, data)
	w.packet = node.Packet{Data: data, From: w.source(e.from), Iface: 1, ToGroup: e.group, Stamp: stamp, Kernel: e.kernel}
	if e.foe {
		return w.attacker.strike(e.class, h, at, &w.packet)
	}
	if e.kind != netproto.KindAdjust {
		return h.perform(h.Node.Handle(at, &w.packet))
	}
	before := h.Node.Status().Traffic.Adjusts
	effects := h.Node.Handle(at, &w.packet)
	// A master counts the Adjusts that it sends: one may fall due in the moment in which another's arrives.
	after := h.Node.Status()
	taken := after.Traffic.Adjusts != before && after.Master != after.ID
	if err := h.perform(effects); err != nil {
		return err
	}
	if taken {
		w.judge.obeyed(h, e.term, int(e.from))
	}
	return nil
}

// stamped is a transmit stamp that comes back.
func (h *Host) stamped(e *event) error {
	if h.Node == nil {
		return nil
	}
	if h.frozen+h.asleep > 0 {
		if !e.told {
			e.stamp, e.told = h.wallAt(e.stamp), true
		}
		h.inbox = append(h.inbox, *e)
		return nil
	}
	return h.take(e)
}
