package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// ErrTemporary is what a Receive error wraps when the socket is still good: count it and call again.
var ErrTemporary = errors.New("temporary receive error")

// errorPause is how long a reader rests after such an error, so that one that stays cannot take a whole
// processor, while the receive buffer lasts.
const errorPause = time.Millisecond

// Packet is a received datagram.
type Packet struct {
	Data      []byte         // in the buffer that the batch brought
	From      netip.AddrPort // sender; a link-local IPv6 address has the interface's name as its zone
	Iface     int            // index of the interface it came in on
	ToGroup   bool           // it was addressed to the group
	Stamp     int64          // when it came in, ns since the Unix epoch
	Kernel    bool           // Stamp is the kernel's, else it was read after the datagram was
	Truncated bool           // it was longer than the buffer: Data is its beginning; on Windows, From is not set
}

// Dropped counts datagrams that no Receive returned, since Listen.
type Dropped struct {
	// Kernel is what the kernel threw away: by the Shield, because a queue was full, or for a wrong checksum. Only Linux tells, with
	// the next datagram that it lets in, and not which of them it was.
	Kernel      uint64
	Destination uint64 // addressed to somebody else: not the group, not unicast
	Interface   uint64 // came in on an interface not in use
	Unknown     uint64 // the kernel did not tell destination and interface
}

// drops is Dropped, counted by both readers.
type drops struct{ kernel, destination, iface, unknown atomic.Uint64 }

// Dropped gives the counts so far.
func (c *Conn) Dropped() Dropped {
	return Dropped{
		Kernel: c.drops.kernel.Load(), Destination: c.drops.destination.Load(),
		Interface: c.drops.iface.Load(), Unknown: c.drops.unknown.Load(),
	}
}

// arrival is a datagram as the system handed it over.
type arrival struct {
	size    int // of what is in the buffer
	cut     bool
	from    netip.AddrPort
	control []byte
}

// ReceiveGroup waits for datagrams addressed to the group that come in on an interface in use, and returns as many as are there and the
// batch holds: on Linux with one system call, elsewhere always one. Each Packet of the batch brings its buffer as its Data, whose
// capacity counts; those that were filled come first. The node's own packets are among them. Its error is net.ErrClosed after Close;
// any other wraps ErrTemporary and leaves the socket usable.
func (c *Conn) ReceiveGroup(batch []Packet) (int, error) { return c.receive(c.shared, batch, true) }

// ReceiveUnicast waits for datagrams addressed to this host's unicast port that come in on an interface in use or on loopback.
// Batch and errors are as with ReceiveGroup.
func (c *Conn) ReceiveUnicast(batch []Packet) (int, error) { return c.receive(c.own, batch, false) }

// receive reads until a datagram is acceptable.
func (c *Conn) receive(s *socket, batch []Packet, toGroup bool) (int, error) {
	for {
		n, err := s.arrive(batch)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		default:
			time.Sleep(errorPause)
			return 0, fmt.Errorf("%w: %w", ErrTemporary, err)
		}
		l, kept := c.links.Load(), 0
		for i := range n {
			if !c.fill(l, s, &batch[i], s.in.arrival(i), toGroup) {
				continue
			}
			batch[kept], batch[i] = batch[i], batch[kept] // the buffer of a refused one stays in the batch
			kept++
		}
		if kept > 0 {
			return kept, nil
		}
	}
}

// fill makes a packet of what arrived in its buffer, if it is acceptable.
func (c *Conn) fill(l *links, s *socket, p *Packet, a arrival, toGroup bool) bool {
	ctl := parseControl(a.control)
	if ctl.lost != 0 {
		c.drops.kernel.Add(uint64(ctl.lost - s.lost))
		s.lost = ctl.lost
	}
	if !c.accept(l, ctl, toGroup) {
		return false
	}
	// In the first milliseconds after opening, until the kernel has got round to switching stamping on, packets come
	// without a stamp. (SO_TIMESTAMPNS would fill in the time of the read; SO_TIMESTAMPING does not.)
	if !ctl.stamped {
		ctl.stamp = wallNow()
	}
	*p = Packet{Data: p.Data[:a.size], From: c.sender(l, a.from, ctl.iface), Iface: ctl.iface, ToGroup: toGroup,
		Stamp: ctl.stamp, Kernel: ctl.stamped, Truncated: a.cut}
	return true
}

// accept tells whether a datagram is for this socket, and counts it if not.
func (c *Conn) accept(l *links, ctl control, toGroup bool) bool {
	i := l.byIndex(ctl.iface)
	switch {
	case !ctl.dst.IsValid() || ctl.iface == 0:
		c.drops.unknown.Add(1)
		return false
	case i == nil && (toGroup || !l.loopback(ctl.iface)):
		c.drops.iface.Add(1)
		return false
	case toGroup && !c.group.accepts(ctl.dst, i), !toGroup && !l.unicast(ctl.dst):
		c.drops.destination.Add(1)
		return false
	}
	return true
}

// sender gives the sender's address with a zone by which it can be answered.
func (c *Conn) sender(l *links, from netip.AddrPort, iface int) netip.AddrPort {
	a := from.Addr().Unmap()
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		return netip.AddrPortFrom(a, from.Port())
	}
	// The standard library's names of zones may be a minute old, when an interface was re-created under another index.
	if i := l.byIndex(iface); i != nil && i.Name != a.Zone() {
		a = a.WithZone(i.Name)
	}
	return netip.AddrPortFrom(a, from.Port())
}
