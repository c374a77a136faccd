package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Token names a sent packet, until its kernel stamp comes back. Tokens are never used twice in the life of a Conn.
type Token uint64

// Sent is a packet that was sent, with its stamp.
type Sent struct {
	Token  Token
	Iface  int   // index of the interface it left by; 0 if the routes chose it
	Stamp  int64 // ns since the Unix epoch
	Kernel bool  // Stamp is the kernel's, taken at the hand-over to the driver, else it was read just before the send
}

// Send sends b to one node from the unicast socket, by the interface with that index; with 0, by the zone of to or as
// the routes say. The Sent it returns has a user stamp; the kernel's comes from Stamps. No error of Send means that the
// socket is unusable, except net.ErrClosed.
func (c *Conn) Send(b []byte, to netip.AddrPort, iface int) (Sent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links.Load()
	if iface == 0 && to.Addr().Zone() != "" {
		iface = l.byZone(to.Addr().Zone())
	}
	return c.send(b, to, iface, l.byIndex(iface))
}

// SendGroup sends b to the group once on every interface in use. It returns what was sent, and an error that holds an
// InterfaceError for each interface on which that failed.
func (c *Conn) SendGroup(b []byte) ([]Sent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	joined := c.links.Load().joined
	sent := make([]Sent, 0, len(joined))
	var errs []error
	for k := range joined {
		s, err := c.sendGroup(b, &joined[k])
		if err != nil {
			problem := fmt.Sprintf("sending to the group failed: %v", err)
			errs = append(errs, &InterfaceError{Name: joined[k].Name, Problem: problem, Err: err})
			continue
		}
		sent = append(sent, s)
	}
	return sent, errors.Join(errs...)
}

// sendGroup sends b to the group on interface i.
func (c *Conn) sendGroup(b []byte, i *Interface) (Sent, error) {
	if err := c.setHops(i); err != nil {
		return Sent{}, err
	}
	to := c.group.addr
	if !sendControl && !c.group.broadcast {
		if err := c.own.chooseInterface(i); err != nil {
			return Sent{}, err
		}
	}
	if !sendControl && c.group.limited {
		// Which interface 255.255.255.255 leaves by cannot be chosen here, but each network's own broadcast address
		// leads to that network.
		to = netip.AddrPortFrom(i.broadcast(), to.Port())
	}
	return c.send(b, to, i.Index, i)
}

// setHops sets the multicast hop limit for interface i, if it is not the present one: 0 on loopback.
func (c *Conn) setHops(i *Interface) error {
	want := hopLimit
	if i.Loopback {
		want = 0
	}
	if c.own.p4 == nil || want == c.hops {
		return nil
	}
	if err := c.own.p4.SetMulticastTTL(want); err != nil {
		return err
	}
	c.hops = want
	return nil
}

// send sends b by the interface with that index; i is what is known of it, nil if nothing.
func (c *Conn) send(b []byte, to netip.AddrPort, iface int, i *Interface) (Sent, error) {
	var source netip.Addr
	if i != nil && i.Loopback && !c.group.v6 {
		source = i.source()
	}
	ask := c.ledger.asks(iface)
	c.control = appendSendControl(c.control[:0], c.group.v6, iface, source, ask)
	c.token++
	s := Sent{Token: c.token, Iface: iface, Stamp: wallNow()}
	if _, _, err := c.own.conn.WriteMsgUDPAddrPort(b, c.control, destination(to, i)); err != nil {
		if ask {
			c.drain()
			c.restart()
		}
		return Sent{}, err
	}
	if ask {
		c.ledger.asked(s, time.Now())
	}
	return s, nil
}

// destination gives to in the form the socket wants. With sendControl the interface goes by index and a zone would only
// slow the send down, or be out of date; without, the zone is what chooses it.
func destination(to netip.AddrPort, i *Interface) netip.AddrPort {
	a := to.Addr().Unmap()
	switch {
	case i == nil || a.Is4():
	case sendControl:
		a = a.WithZone("")
	case a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast():
		a = a.WithZone(i.Name)
	}
	return netip.AddrPortFrom(a, to.Port())
}

// Stamps appends to dst the kernel's stamps that have come since the last call, and waits for outstanding ones at most
// wait, and never longer than 2 ms after the last send. Call it after every send (or burst of sends): uncollected
// stamps fill the receive buffer. A packet whose stamp never comes keeps its user stamp. With a wait of 0 it also clears away what
// nobody waits for any more.
func (c *Conn) Stamps(dst []Sent, wait time.Duration) []Sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ledger.on || wait > 0 && len(c.ledger.pending)+len(c.ledger.ready) == 0 {
		return dst
	}
	c.drain()
	for start := time.Now(); ; c.drain() {
		now := time.Now()
		left := min(wait-now.Sub(start), c.ledger.patience(now))
		if left <= 0 {
			c.ledger.expire(now)
			return c.ledger.collect(dst)
		}
		c.stamper.wait(left)
	}
}

// drain empties the error queue into the ledger, without waiting.
func (c *Conn) drain() {
	c.stamper.drain(c.take)
	if c.astray {
		c.restart()
	}
}

// takeStamp takes one stamp off the error queue.
func (c *Conn) takeStamp(stamp int64, id uint32) {
	if !c.ledger.report(stamp, id, wallNow()) {
		c.astray = true
	}
}

// restart begins the counting of stamped packets anew, in the kernel and here.
func (c *Conn) restart() {
	c.stamper.restartIDs()
	c.ledger.restarted()
	c.astray = false
}
