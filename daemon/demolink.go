package daemon

import (
	"math/rand/v2"
	"net/netip"

	"meantime/netproto/udp"
)

// refusesGroup says whether this OS will not send to the group on loopback, as macOS does not. The probe is an empty
// datagram, which every node drops as truncated.
func refusesGroup(c *udp.Conn) bool {
	return c.Send([]udp.Datagram{{Group: true}}) != nil
}

// wrap gives a demo's node its link: lossy and, where need be, without multicast.
func (l *demoLAN) wrap(i int, c *udp.Conn, all []*udp.Conn, iface int) link {
	var wrapped link = c
	if l.unicast {
		m := meshLink{link: c, iface: iface}
		for _, other := range all {
			m.members = append(m.members, other.LocalAddr())
		}
		wrapped = m
	}
	if l.options.Loss > 0 {
		seed := l.options.Seed
		wrapped = lossyLink{
			link: wrapped, loss: l.options.Loss,
			group:   rand.New(rand.NewPCG(seed, 1000+2*uint64(i))),
			unicast: rand.New(rand.NewPCG(seed, 1001+2*uint64(i))),
		}
	}
	return wrapped
}

// meshLink sends to every member where multicast cannot be sent.
type meshLink struct {
	link
	members []netip.AddrPort
	iface   int
}

// Send sends a copy of what is to the group to each member. Each has a stamp, and they are alike: the copies leave within microseconds of
// each other.
func (m meshLink) Send(batch []udp.Datagram) error {
	var copies []udp.Datagram
	for _, d := range batch {
		if !d.Group {
			copies = append(copies, d)
			continue
		}
		for _, to := range m.members {
			copies = append(copies, udp.Datagram{Data: d.Data, To: to, Iface: m.iface, Token: d.Token})
		}
	}
	return m.link.Send(copies)
}

// lossyLink loses a fraction of what is received. Each reader draws from a source of its own, since they run side by side.
type lossyLink struct {
	link
	loss           float64
	group, unicast *rand.Rand
}

// ReceiveGroup waits for datagrams that are not lost.
func (l lossyLink) ReceiveGroup(batch []udp.Packet) (int, error) {
	return l.receive(l.link.ReceiveGroup, l.group, batch)
}

// ReceiveUnicast waits for datagrams that are not lost.
func (l lossyLink) ReceiveUnicast(batch []udp.Packet) (int, error) {
	return l.receive(l.link.ReceiveUnicast, l.unicast, batch)
}

func (l lossyLink) receive(from receive, rng *rand.Rand, batch []udp.Packet) (int, error) {
	for {
		n, err := from(batch)
		if err != nil {
			return n, err
		}
		kept := 0
		for i := range n {
			if rng.Float64() >= l.loss {
				batch[kept], batch[i] = batch[i], batch[kept]
				kept++
			}
		}
		if kept > 0 {
			return kept, nil
		}
	}
}
