// Package udp moves meantime's packets: multicast or broadcast to all, unicast to one, with the kernel's own
// time stamps wherever it gives them. It is the only package with sockets, and it starts no goroutine.
//
// A Conn has two sockets. The group socket is bound to the port that all nodes share, also several on one host,
// and only receives. The unicast socket has a port of its own; everything is sent from it, so that answers come
// back to it. Both are meant to stay open for the life of the program: the first packets after stamping is switched
// on have no kernel stamp.
//
// Hop limits are 1 throughout, 0 for multicast on loopback: meantime does not cross routers. (Unicast on loopback
// has 1 as well: Linux refuses 0 there, and a loopback packet goes nowhere else.) A group on loopback must be an
// IPv4 one. macOS refuses to send multicast from loopback: Send says so there.
//
// All stamps are nanoseconds since the Unix epoch on the host's system clock, kernel and user stamps alike; Kernel says
// which one it is. The two are not alike in quality: a user stamp is 10 µs off when idle, 30 ms on a busy machine.
// Kernel stamps exist on Linux for both directions, on macOS and FreeBSD for received packets, on Windows for none.
// Among nodes on one Linux host, a group packet on a real interface is stamped as received some 30 µs before it is
// stamped as sent: its copy for the host itself is made first. Unicast is stamped in the order of events.
package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Config says where to talk. Group is required.
type Config struct {
	// Group is the address and port all nodes listen to: an IPv4 multicast address, a link-local IPv6 one, or an IPv4
	// broadcast address; 255.255.255.255 means broadcast on every interface in use.
	Group netip.AddrPort
	// Unicast is the port wanted for the unicast socket. 0, or a port already taken, gives one of the system's choice.
	Unicast uint16
	// Interfaces are the names of those to use. Empty means every one that is up, can carry the group and has an address
	// for it, but neither loopback, nor a tunnel, nor one that leads to containers or virtual machines on this host.
	// What is named is always allowed.
	Interfaces []string
	// UserStamps switches the kernel's stamps off, for tests and comparisons.
	UserStamps bool
}

const (
	// hopLimit keeps packets on the link: time from beyond a router is not wanted, and nothing is to leak out.
	hopLimit = 1
	// receiveBuffer in bytes. It has to hold what comes while the reader does not run: the scheduler of a busy machine lets it wait
	// for tens of ms, and the slaves of a large LAN reply in one window. The kernel doubles it and charges some 830 for a small
	// datagram, so about 10,000 of them fit: a whole round of as many slaves. The usual limit of those without CAP_NET_ADMIN, which the
	// service does not have, lets in 512 (net.core.rmem_max). Memory is taken by what waits, not by the limit.
	receiveBuffer = 4 << 20
	// charged in bytes is what a small datagram takes of a receive buffer.
	charged = 832
	// controlSize in bytes is room for a datagram's control messages; packet info, stamp and drops take 176 at most.
	controlSize = 256
)

// options are what the sockets of a Conn differ in.
type options struct {
	v6     bool
	shared bool // several processes bind the same port
	stamps bool
}

// socket is one UDP socket with the views of it that are needed.
type socket struct {
	conn   *net.UDPConn
	raw    syscall.RawConn
	p4     *ipv4.PacketConn // set on IPv4 sockets
	p6     *ipv6.PacketConn // set on IPv6 sockets
	stamps bool             // the kernel stamps received packets
	lost   uint32           // what the kernel has dropped, as it told last
	traffic
}

// Conn is a node's connection to the LAN. Each Receive method is for one goroutine at a time; all others may be called
// from anywhere.
type Conn struct {
	cfg    Config
	group  group
	shared *socket
	own    *socket
	taken  bool
	links  atomic.Pointer[links]
	drops  drops
	close  sync.Once

	mu      sync.Mutex // guards what follows
	ledger  ledger
	stamper txStamper
	take    func(r report, now int64) // c.takeStamp, made once
	astray  bool                      // ids no longer fit; see ledger.report
	parcels []parcel                  // to be sent in one go
	control []byte                    // what stands in theirs
	errs    []error                   // of the Send under way
	hops    int                       // multicast hop limit now set on the unicast socket
	failed  map[string]string         // problems already reported by Refresh, by interface
	watch   watch
	unseen  int // how often Refresh has not looked since it last did
}

// Listen opens the sockets and joins the group on the interfaces. It fails if that works on none; the error then holds
// an InterfaceError for each reason. If it works on some, the first Refresh reports the others.
func Listen(cfg Config) (*Conn, error) {
	g, err := parseGroup(cfg.Group)
	if err != nil {
		return nil, err
	}
	host, err := hostInterfaces(cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	use, problems := g.choose(cfg.Interfaces, host)
	if len(use) == 0 {
		return nil, joinErrors(problems)
	}
	c := &Conn{cfg: cfg, group: g, hops: hopLimit, failed: map[string]string{}}
	if err := c.open(onlyLoopback(cfg.Interfaces, host)); err != nil {
		return nil, err
	}
	joined := make([]Interface, 0, len(use))
	for _, i := range use {
		if p := c.join(i); p != nil {
			problems = append(problems, p)
			continue
		}
		joined = append(joined, i)
	}
	if len(joined) == 0 {
		_ = c.Close()
		return nil, joinErrors(problems)
	}
	c.links.Store(newLinks(joined, host))
	c.watch.start()
	c.unseen = mostUnseen
	return c, nil
}

// open opens both sockets and starts stamping.
func (c *Conn) open(loopback bool) error {
	network, host := "udp4", ""
	switch {
	case c.group.v6:
		network = "udp6"
	case loopback:
		// Else the source of packets on loopback would be another interface's address.
		host = "127.0.0.1"
	}
	o := options{v6: c.group.v6, stamps: !c.cfg.UserStamps}
	var err error
	c.shared, err = openSocket(network, "", c.group.addr.Port(), options{v6: o.v6, stamps: o.stamps, shared: true})
	if err != nil {
		return fmt.Errorf("opening the group port: %w (does another program hold it for itself?)", err)
	}
	c.own, err = openSocket(network, host, c.cfg.Unicast, o)
	if err != nil && portTaken(err) {
		c.taken = true
		c.own, err = openSocket(network, host, 0, o)
	}
	if err != nil {
		_ = c.shared.conn.Close()
		return fmt.Errorf("opening the unicast port: %w", err)
	}
	c.take = c.takeStamp
	if c.own.stamps {
		c.ledger = ledger{on: c.stamper.start(c.own.raw), ways: map[int]*way{}}
	}
	return nil
}

// openSocket opens a UDP socket with its options set before it is bound. Package net allows broadcast on every one.
func openSocket(network, host string, port uint16, o options) (*socket, error) {
	s := &socket{}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { s.stamps, err = prepare(fd, o) }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	s.conn = pc.(*net.UDPConn) // what ListenPacket gives for a udp network
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		_ = s.conn.Close()
		return nil, err
	}
	if o.v6 {
		s.p6 = ipv6.NewPacketConn(s.conn)
	} else {
		s.p4 = ipv4.NewPacketConn(s.conn)
	}
	return s, nil
}

// onlyLoopback tells whether every named interface is a loopback one.
func onlyLoopback(names []string, host []hostInterface) bool {
	loop := func(name string) bool {
		return slices.ContainsFunc(host, func(h hostInterface) bool { return h.Name == name && h.Loopback })
	}
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !loop(name) })
}

// joinErrors makes one error of the problems; each stays visible to errors.As.
func joinErrors(problems []*InterfaceError) error {
	if len(problems) == 1 {
		return problems[0]
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// Close closes both sockets. Receive methods that wait then return net.ErrClosed, as do later ones. Further calls
// do nothing.
func (c *Conn) Close() (err error) {
	c.close.Do(func() {
		err = errors.Join(c.shared.conn.Close(), c.own.conn.Close())
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watch.stop()
	})
	return err
}

// Interfaces gives the interfaces in use, with their state as of the last Refresh.
func (c *Conn) Interfaces() []Interface {
	list := slices.Clone(c.links.Load().joined)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range list {
		list[i].KernelTx = c.ledger.on && !c.ledger.givenUp(list[i].Index)
	}
	return list
}

// LocalAddr gives the unicast socket's address: the port to be answered at, and the wildcard address, or 127.0.0.1
// where only loopback is in use.
func (c *Conn) LocalAddr() netip.AddrPort {
	ap := c.own.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// PortTaken tells whether the wanted unicast port was in use by another socket, so that the system chose one.
func (c *Conn) PortTaken() bool { return c.taken }

// ReceiveBuffer gives the size in bytes of each socket's receive buffer as the system counts it, 0 where it does not say.
func (c *Conn) ReceiveBuffer() (size int) {
	_ = c.own.raw.Control(func(fd uintptr) {
		if n, err := bufferOf(fd); err == nil {
			size = n
		}
	})
	return size
}

// Holds tells how many small datagrams wait in each socket's receive buffer before more are dropped, 0 where the system does not say.
func (c *Conn) Holds() int { return c.ReceiveBuffer() / charged }

// KernelStamps tells whether the kernel stamps received packets, and sent ones on at least one interface in use.
func (c *Conn) KernelStamps() (rx, tx bool) {
	tx = slices.ContainsFunc(c.Interfaces(), func(i Interface) bool { return i.KernelTx })
	return c.shared.stamps && c.own.stamps, tx
}

// OnLink tells whether addr is a neighbour on the interface with that index: an address within one of its networks, a
// link-local one, or one of this host's own. Loopback addresses are neighbours on loopback only. Answers should
// go to nobody else, else the node would serve spoofers to attack others.
func (c *Conn) OnLink(addr netip.Addr, iface int) bool { return c.links.Load().onLink(addr, iface) }
