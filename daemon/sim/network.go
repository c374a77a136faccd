package sim

import (
	"container/heap"
	"math/rand/v2"

	"meantime/daemon/node"
)

// event is something that happens at an instant; events of one instant happen in the order they were planned.
type event struct {
	at    int64 // ns since the start
	order uint64
	do    func() error
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// at plans an event.
func (w *World) at(t int64, do func() error) {
	w.count++
	heap.Push(&w.events, event{t, w.count, do})
}

// send lets a packet depart a moment from now, tells the sender its stamp and brings a copy to each receiver.
func (w *World) send(from *Host, s node.Send) {
	departs := w.now + int64(handling)
	data := s.Data
	if mangle := w.plan.Members[from.index].Mangle; mangle != nil {
		data = mangle(data)
	}
	w.at(departs, func() error {
		stamp, err := from.stamp()
		if err != nil {
			return err
		}
		w.at(departs+int64(handling), func() error {
			return from.handle(node.Sent{Token: s.Token, Iface: 1, Stamp: stamp, Kernel: true})
		})
		for _, to := range w.hosts {
			if s.Group || s.To == to.addr {
				w.carry(from, to, data, s.Group)
			}
		}
		return nil
	})
}

// carry brings one copy of a packet from host to host, if the link does not lose it. A host hears its own multicast.
func (w *World) carry(from, to *Host, data []byte, group bool) {
	link, rng := w.plan.Link, w.dice(from, to)
	if rng.Float64() < link.Loss {
		return
	}
	arrives := w.now + int64(link.Delay) + int64(rng.ExpFloat64()*float64(link.Jitter))
	w.at(arrives, func() error {
		if to.Node == nil {
			return nil
		}
		stamp, err := to.stamp()
		if err != nil {
			return err
		}
		p := node.Packet{Data: data, From: from.addr, Iface: 1, ToGroup: group, Stamp: stamp, Kernel: true}
		w.at(arrives+int64(handling), func() error { return to.handle(p) })
		return nil
	})
}

// stamp is what the host's clock shows now, as a kernel would stamp a packet.
func (h *Host) stamp() (int64, error) {
	r, err := h.Clock.Read()
	return r.Wall, err
}

// dice are the random numbers of one directed link. Each link has its own, so that in two runs of one seed a packet more on one
// link changes nothing on the others.
func (w *World) dice(from, to *Host) *rand.Rand {
	for len(from.dice) <= to.index {
		from.dice = append(from.dice, rand.New(rand.NewPCG(w.plan.Seed, 1<<32|uint64(from.index)<<16|uint64(len(from.dice)))))
	}
	return from.dice[to.index]
}
