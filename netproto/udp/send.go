package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Datagram is one to be sent.
type Datagram struct {
	Data  []byte
	Group bool           // to the group, once on every interface in use; To and Iface do not count
	To    netip.AddrPort // else to this address
	Iface int            // by the interface with this index; with 0, by the zone of To or as the routes say
	Token uint64         // under which Stamps tells when it left; 0 = nobody wants to know
}

// Sent tells when a datagram left.
type Sent struct {
	Token  uint64
	Iface  int   // index of the interface it left by; 0 if the routes chose it
	Stamp  int64 // ns since the Unix epoch
	Kernel bool  // Stamp is the kernel's, of the hand-over to the driver or to its queue, else it was read just before the send
}

// parcel is a datagram that is ready for the system.
type parcel struct {
	data, control []byte
	to            netip.AddrPort
	sent          Sent
	asks          asking     // for the kernel's stamp
	group         *Interface // that it goes to the group on, nil = it goes to one
}

// Send sends datagrams from the unicast socket in their order: on Linux many with one system call. When they left, Stamps tells. What
// fails keeps nothing else from being sent; the error then holds each reason, for the group an InterfaceError. None
// means that the socket is unusable, except net.ErrClosed.
func (c *Conn) Send(batch []Datagram) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links.Load()
	for k := range batch {
		d := &batch[k]
		if d.Group {
			for i := range l.joined {
				if err := c.putGroup(d, &l.joined[i]); err != nil {
					c.fail(&l.joined[i], err)
				}
			}
			continue
		}
		iface := d.Iface
		if iface == 0 && d.To.Addr().Zone() != "" {
			iface = l.byZone(d.To.Addr().Zone())
		}
		c.put(d, d.To, iface, l.byIndex(iface), false)
	}
	c.flush()
	err := errors.Join(c.errs...)
	c.errs = c.errs[:0]
	return err
}

// putGroup makes a parcel to the group on interface i.
func (c *Conn) putGroup(d *Datagram, i *Interface) error {
	if err := c.setHops(i); err != nil {
		return err
	}
	to := c.group.addr
	if !sendControl && !c.group.broadcast {
		if err := c.own.chooseInterface(i); err != nil {
			return err
		}
	}
	if !sendControl && c.group.limited {
		// Which interface 255.255.255.255 leaves by cannot be chosen here, but each network's own broadcast address
		// leads to that network.
		to = netip.AddrPortFrom(i.broadcast(), to.Port())
	}
	c.put(d, to, i.Index, i, true)
	return nil
}

// setHops sets the multicast hop limit for interface i, if it is not the present one: 0 on loopback. It is the socket's, so what
// waits is sent before.
func (c *Conn) setHops(i *Interface) error {
	want := hopLimit
	if i.Loopback {
		want = 0
	}
	if c.own.p4 == nil || want == c.hops {
		return nil
	}
	c.flush()
	if err := c.own.p4.SetMulticastTTL(want); err != nil {
		return err
	}
	c.hops = want
	return nil
}

// put makes a parcel that goes by the interface with that index; i is what is known of it, nil if nothing. One that asks for no kernel
// stamp goes alone: its own stamp is to be read just before it is sent.
func (c *Conn) put(d *Datagram, to netip.AddrPort, iface int, i *Interface, group bool) {
	p := parcel{data: d.Data, to: destination(to, i), sent: Sent{Token: d.Token, Iface: iface}}
	if d.Token != 0 {
		p.asks = c.ledger.asks(iface)
	}
	if p.asks == 0 {
		c.flush()
	}
	var source netip.Addr
	if i != nil && i.Loopback && !c.group.v6 {
		source = i.source()
	}
	if group {
		p.group = i
	}
	at := len(c.control)
	c.control = appendSendControl(c.control, c.group.v6, iface, source, p.asks)
	p.control = c.control[at:]
	if c.parcels = append(c.parcels, p); p.asks == 0 || len(c.parcels) == sendBatch {
		c.flush()
	}
}

// flush sends what waits.
func (c *Conn) flush() {
	list := c.parcels
	if len(list) == 0 {
		return
	}
	now := wallNow()
	for i := range list {
		list[i].sent.Stamp = now
	}
	for len(list) > 0 {
		n, err := c.own.post(list)
		var at time.Time
		if list[0].asks != 0 { // as all do then
			at = time.Now()
		}
		c.ledger.posted(list[:n], at)
		if list = list[n:]; len(list) == 0 {
			break
		}
		if list[0].asks != 0 { // whether the kernel has counted it cannot be known
			c.drain()
			c.restart()
		}
		if err != nil {
			c.fail(list[0].group, err)
			list = list[1:]
		}
	}
	c.parcels, c.control = c.parcels[:0], c.control[:0]
}

// fail notes that sending failed; i is the interface if it was to the group.
func (c *Conn) fail(i *Interface, err error) {
	if i != nil {
		err = &InterfaceError{Name: i.Name, Problem: fmt.Sprintf("sending to the group failed: %v", err), Err: err}
	}
	c.errs = append(c.errs, err)
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

// Stamps appends to dst when datagrams left, as far as it is known and was not told yet. It waits for the kernel's stamps at most wait, and
// never longer than 2 ms after the last send; a datagram whose stamp has not come by then has its user stamp, and should the kernel's
// come later, that is told as well. With a wait of 0 nothing is given up, so that a burst of sends need not wait in its midst. Call it
// after every burst: uncollected stamps fill the receive buffer.
func (c *Conn) Stamps(dst []Sent, wait time.Duration) []Sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ledger.on || wait > 0 && len(c.ledger.pending) == 0 {
		return c.ledger.collect(dst)
	}
	c.drain()
	if len(c.ledger.pending) == c.ledger.stamped {
		return c.ledger.collect(dst)
	}
	for start := time.Now(); ; c.drain() {
		now := time.Now()
		left := min(wait-now.Sub(start), c.ledger.patience(now))
		if left <= 0 {
			c.ledger.giveUp(now, wait > 0)
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

// takeStamp takes one stamp off the error queue, where it was seen at now.
func (c *Conn) takeStamp(r report, now int64) {
	if !c.ledger.report(r, now) {
		c.astray = true
	}
}

// restart begins the counting of stamped packets anew, in the kernel and here.
func (c *Conn) restart() {
	c.stamper.restartIDs()
	c.ledger.restarted()
	c.astray = false
}
