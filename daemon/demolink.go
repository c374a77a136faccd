package daemon

import (
	"errors"
	"math/rand/v2"
	"net/netip"

	"meantime/netproto/udp"
)

// refusesGroup says whether this OS will not send to the group on loopback, as macOS does not. The probe is an empty
// datagram, which every node drops as truncated.
func refusesGroup(c *udp.Conn) bool {
	_, err := c.SendGroup(nil)
	c.Stamps(nil, stampWait)
	return err != nil
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

// SendGroup sends a copy to each member.
func (m meshLink) SendGroup(b []byte) (sent []udp.Sent, err error) {
	for _, to := range m.members {
		s, e := m.Send(b, to, m.iface)
		if err = errors.Join(err, e); e == nil && len(sent) == 0 {
			sent = append(sent, s) // one stamp for all: the copies leave within microseconds of each other
		}
	}
	return sent, err
}

// lossyLink loses a fraction of what is received. Each reader draws from a source of its own, since they run side by side.
type lossyLink struct {
	link
	loss           float64
	group, unicast *rand.Rand
}

// ReceiveGroup waits for a datagram that is not lost.
func (l lossyLink) ReceiveGroup(buf []byte) (udp.Packet, error) {
	return l.receive(l.link.ReceiveGroup, l.group, buf)
}

// ReceiveUnicast waits for a datagram that is not lost.
func (l lossyLink) ReceiveUnicast(buf []byte) (udp.Packet, error) {
	return l.receive(l.link.ReceiveUnicast, l.unicast, buf)
}

func (l lossyLink) receive(from func([]byte) (udp.Packet, error), rng *rand.Rand, buf []byte) (udp.Packet, error) {
	for {
		p, err := from(buf)
		if err != nil || rng.Float64() >= l.loss {
			return p, err
		}
	}
}
