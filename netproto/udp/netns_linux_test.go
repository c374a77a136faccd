package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// These tests need hosts of their own: network namespaces. The test binary runs itself again as root of a new user namespace,
// which needs no privilege, cannot touch the machine's network, and cannot set its clock. Where that is
// forbidden the tests are skipped, unless MEANTIME_REQUIRE holds "netns".

const insideEnv = "MEANTIME_TEST_INSIDE_NETNS"

func TestNetns(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		runNetns(t)
		return
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skipNetns(t, "the command ip (iproute2) is missing")
	}
	args := []string{"-test.run=^TestNetns$", "-test.count=1", "-test.timeout=120s"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if _, started := errors.AsType[*exec.ExitError](err); err != nil && !started {
		skipNetns(t, fmt.Sprintf("no user and network namespace: %v", err))
	}
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

func skipNetns(t *testing.T, why string) {
	t.Helper()
	if required("netns") {
		t.Fatalf("MEANTIME_REQUIRE holds netns, but %s", why)
	}
	t.Skip(why)
}

// runNetns runs the tests, once inside.
func runNetns(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *netns, *netns)
	}{
		{"IPv4 multicast", testMulticast4},
		{"same host", testSameHost},
		{"IPv6 multicast", testMulticast6},
		{"limited broadcast", func(t *testing.T, a, b *netns) { testBroadcast(t, a, b, "255.255.255.255:10525") }},
		{"directed broadcast", func(t *testing.T, a, b *netns) { testBroadcast(t, a, b, "10.99.0.255:10525") }},
		{"hop limits", testHopLimits},
		{"filters", testFilters},
		{"down and up", testDownUp},
		{"re-created IPv4", func(t *testing.T, a, b *netns) { testRecreated(t, a, b, group4) }},
		{"re-created IPv6", func(t *testing.T, a, b *netns) { testRecreated(t, a, b, group6) }},
		{"address change", testReaddressed},
		{"late interface", testLateInterface},
		{"unusable interfaces", testUnusable},
		{"21 interfaces", testManyInterfaces},
		{"no stamps", testNoStamps},
		{"watch", testWatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newNetns(t), newNetns(t)
			connect(t, a, b)
			test.run(t, a, b)
		})
	}
}

// netns is a host: a network namespace, held by a thread of its own.
type netns struct {
	tid  int
	jobs chan func()
}

// newNetns makes a namespace that lives as long as the test.
func newNetns(t *testing.T) *netns {
	t.Helper()
	n := &netns{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		n.tid = unix.Gettid()
		ready <- err
		for job := range n.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(n.jobs) })
	return n
}

// do runs f inside the namespace. Sockets stay in the namespace they were opened in.
func (n *netns) do(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// ip runs ip commands, one a line.
func (n *netns) ip(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var out []byte
		var err error
		n.do(func() { out, err = exec.Command("ip", strings.Fields(line)...).CombinedOutput() })
		if err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.TrimSpace(line), err, out)
		}
	}
}

func (n *netns) listen(t *testing.T, cfg Config) *Conn {
	t.Helper()
	c, err := n.tryListen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (n *netns) tryListen(cfg Config) (c *Conn, err error) {
	n.do(func() { c, err = Listen(cfg) })
	return c, err
}

// refresh calls Refresh and compares what changed.
func (n *netns) refresh(t *testing.T, c *Conn, want ...Change) {
	t.Helper()
	var got []Change
	var err error
	n.do(func() { got, err = c.Refresh() })
	if err != nil {
		t.Fatal(err)
	}
	same := func(g, w Change) bool { return g.Name == w.Name && g.Kind == w.Kind && errors.Is(g.Err, w.Err) }
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("Refresh: changes %+v, want %+v", got, want)
	}
}

var (
	group4 = netip.MustParseAddrPort("239.255.52.5:10525")
	group6 = netip.MustParseAddrPort("[ff12::8000:525]:10525")
)

// connect joins two hosts by a cable, called lan0 at both ends.
func connect(t *testing.T, a, b *netns) {
	t.Helper()
	a.ip(t, fmt.Sprintf("link set lo up\n link add lan0 type veth peer name lan0 netns %d", b.tid))
	b.ip(t, "link set lo up")
	setUp(t, a, "10.99.0.1/24", "fe80::1/64")
	setUp(t, b, "10.99.0.2/24", "fe80::2/64")
	a.carry(t, "lan0")
	b.carry(t, "lan0")
}

// setUp gives lan0 addresses, at once usable, and brings it up.
func setUp(t *testing.T, n *netns, v4, v6 string) {
	t.Helper()
	n.ip(t, fmt.Sprintf("link set lan0 addrgenmode none\n addr add %s brd + dev lan0\n link set lan0 up\n addr add %s dev lan0 nodad", v4, v6))
}

// warm waits until the kernel stamps what is received.
func warm() { time.Sleep(warmUp) }

// carry waits until the cables at lan0, lan1, … carry: for some milliseconds after both ends are up packets are still
// dropped, silently.
func (n *netns) carry(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			var ifi *net.Interface
			var err error
			n.do(func() { ifi, err = net.InterfaceByName(name) })
			if err == nil && ifi.Flags&net.FlagRunning != 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not carry: %+v, %v", name, ifi, err)
			}
		}
	}
	time.Sleep(2 * time.Millisecond) // the flag is set just before the queue opens
}

// exchange sends from a to the group and back from b to a, and checks the addresses and the kernel stamps.
func exchange(t *testing.T, a, b *Conn, aAddr, bAddr string) {
	t.Helper()
	sent := sendGroup(t, a, "poll")
	tx := a.Stamps(nil, 2*time.Millisecond)
	p := recvGroup(t, b)
	if string(p.Data) != "poll" || p.From != netip.AddrPortFrom(netip.MustParseAddr(aAddr), a.LocalAddr().Port()) {
		t.Fatalf("got %+v, want poll from %s", p, aAddr)
	}
	if !b.OnLink(p.From.Addr(), p.Iface) {
		t.Errorf("sender %v is not on link", p.From)
	}
	s := sendTo(t, b, "reply", p.From, p.Iface)
	tx = b.Stamps(tx, 2*time.Millisecond)
	r := recvUnicast(t, a)
	if string(r.Data) != "reply" || r.From != netip.AddrPortFrom(netip.MustParseAddr(bAddr), b.LocalAddr().Port()) || r.Iface != sent.Iface {
		t.Fatalf("got %+v, want reply from %s", r, bAddr)
	}
	if !p.Kernel || !r.Kernel || len(tx) != 2 || tx[0].Token != sent.Token || tx[1].Token != s.Token {
		t.Fatalf("received %+v and %+v, transmit stamps %+v: not all the kernel's", p, r, tx)
	}
	order := []int64{sent.Stamp, tx[0].Stamp, p.Stamp, s.Stamp, tx[1].Stamp, r.Stamp, wallNow()}
	if aAddr == bAddr {
		order = slices.Delete(order, 1, 2) // on one host, the copy of a group packet is received before the packet is sent
	}
	if !slices.IsSorted(order) {
		t.Errorf("stamps out of order: %v", order)
	}
	t.Logf("one way, kernel to kernel: %d ns to the group, %d ns back", p.Stamp-tx[0].Stamp, r.Stamp-tx[1].Stamp)
}

func testMulticast4(t *testing.T, a, b *netns) {
	// a finds its interface by itself, b is told.
	ca, cb := a.listen(t, Config{Group: group4, Unicast: 10526}), b.listen(t, Config{Group: group4, Unicast: 10526, Interfaces: []string{"lan0"}})
	if ca.PortTaken() || ca.LocalAddr().Port() != 10526 {
		t.Errorf("address %v, port taken %v", ca.LocalAddr(), ca.PortTaken())
	}
	warm()
	for range 3 {
		exchange(t, ca, cb, "10.99.0.1", "10.99.0.2")
	}
	recvGroup(t, ca) // its own
	for addr, want := range map[string]bool{"10.99.0.7": true, "10.98.0.7": false, "169.254.3.4": true, "127.0.0.1": false,
		"10.99.0.255": false, "239.255.52.5": false, "0.0.0.0": false, "fe80::1": true, "fe80::1%lan0": true, "fe80::1%lan1": false} {
		if got := ca.OnLink(netip.MustParseAddr(addr), ca.Interfaces()[0].Index); got != want {
			t.Errorf("OnLink(%s) = %v", addr, got)
		}
	}
}

// testSameHost: two nodes on one host talk by the real interface, loopback not being in use.
func testSameHost(t *testing.T, a, _ *netns) {
	ca, cb := a.listen(t, Config{Group: group4, Unicast: 10526}), a.listen(t, Config{Group: group4, Unicast: 10526})
	warm()
	exchange(t, ca, cb, "10.99.0.1", "10.99.0.1")
}

func testMulticast6(t *testing.T, a, b *netns) {
	ca, cb := a.listen(t, Config{Group: group6, Unicast: 10526}), b.listen(t, Config{Group: group6, Interfaces: []string{"lan0"}})
	warm()
	for range 3 {
		exchange(t, ca, cb, "fe80::1%lan0", "fe80::2%lan0")
	}
	// The zone alone is enough to choose the interface.
	sendTo(t, ca, "zone", netip.AddrPortFrom(netip.MustParseAddr("fe80::2%lan0"), cb.LocalAddr().Port()), 0)
	recvUnicast(t, cb)
}

func testBroadcast(t *testing.T, a, b *netns, group string) {
	cfg := Config{Group: netip.MustParseAddrPort(group), Unicast: 10526}
	ca, cb := a.listen(t, cfg), b.listen(t, cfg)
	warm()
	exchange(t, ca, cb, "10.99.0.1", "10.99.0.2")
	// The unicast socket does not take what is broadcast to its port.
	sendTo(t, ca, "stray", netip.MustParseAddrPort("10.99.0.255:10526"), ca.Interfaces()[0].Index)
	silence(t, cb, cb.own, false)
	if got := cb.Dropped(); got.Destination != 1 {
		t.Errorf("dropped %+v, want one for its destination", got)
	}
}

// testHopLimits: nothing can cross a router, group packets on loopback not even leave the host; and on loopback the source is
// 127.0.0.1 also when other interfaces are in use.
func testHopLimits(t *testing.T, a, b *netns) {
	ca := a.listen(t, Config{Group: group4, Interfaces: []string{"lan0", "lo"}})
	cb := b.listen(t, Config{Group: group4, Interfaces: []string{"lan0"}})
	read := func(s *socket, from string, ttl int) {
		t.Helper()
		within(t, s, time.Second)
		oob := make([]byte, controlSize)
		_, n, _, addr, err := s.conn.ReadMsgUDPAddrPort(make([]byte, 100), oob)
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		for m, rest, ok := hostLayout.next(oob[:n]); ok; m, rest, ok = hostLayout.next(rest) {
			if m.level == unix.IPPROTO_IP && m.typ == unix.IP_TTL {
				got = int(binary.NativeEndian.Uint32(m.data))
			}
		}
		if got != ttl || addr.Addr().String() != from {
			t.Errorf("hop limit %d from %v, want %d from %s", got, addr, ttl, from)
		}
	}
	for _, s := range []*socket{ca.shared, cb.shared, cb.own} {
		if err := s.p4.SetControlMessage(ipv4.FlagTTL, true); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		sendGroup(t, ca, "poll")
		read(ca.shared, "10.99.0.1", 1)
		read(ca.shared, "127.0.0.1", 0)
		read(cb.shared, "10.99.0.1", 1)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("10.99.0.2"), cb.LocalAddr().Port())
	sendTo(t, ca, "reply", to, ca.Interfaces()[0].Index)
	read(cb.own, "10.99.0.1", 1)
}

// testFilters: nothing gets in by an interface that is not in use, although the kernel would let it; nor multicast by
// the unicast socket.
func testFilters(t *testing.T, a, b *netns) {
	a.ip(t, fmt.Sprintf(`link add lan1 type veth peer name lan1 netns %d
		addr add 10.98.0.1/24 dev lan1
		link set lan1 up`, b.tid))
	b.ip(t, "addr add 10.98.0.2/24 dev lan1\n link set lan1 up")
	a.carry(t, "lan1")
	b.carry(t, "lan1")
	ca := a.listen(t, Config{Group: group4, Interfaces: []string{"lan1"}})
	cb := b.listen(t, Config{Group: group4, Interfaces: []string{"lan0"}})
	var lan1 *net.Interface
	b.do(func() { lan1, _ = net.InterfaceByName("lan1") })
	for _, s := range []*socket{cb.shared, cb.own} {
		if err := s.p4.JoinGroup(lan1, &net.UDPAddr{IP: group4.Addr().AsSlice()}); err != nil {
			t.Fatal(err)
		}
	}
	sendGroup(t, ca, "stray")
	silence(t, cb, cb.shared, true)
	index := ca.Interfaces()[0].Index
	sendTo(t, ca, "stray", netip.AddrPortFrom(netip.MustParseAddr("10.98.0.2"), cb.LocalAddr().Port()), index)
	silence(t, cb, cb.own, false)
	if got := cb.Dropped(); got.Interface != 2 || got.Destination != 0 {
		t.Errorf("dropped %+v, want two for their interface", got)
	}
	b.do(func() { lan1, _ = net.InterfaceByName("lan0") })
	if err := cb.own.p4.JoinGroup(lan1, &net.UDPAddr{IP: group4.Addr().AsSlice()}); err != nil {
		t.Fatal(err)
	}
	cc := a.listen(t, Config{Group: group4, Interfaces: []string{"lan0"}})
	sendTo(t, cc, "stray", netip.AddrPortFrom(group4.Addr(), cb.LocalAddr().Port()), cc.Interfaces()[0].Index)
	silence(t, cb, cb.own, false)
	if got := cb.Dropped(); got.Destination != 1 {
		t.Errorf("dropped %+v, want one for its destination", got)
	}
}

func testDownUp(t *testing.T, a, b *netns) {
	ca, cb := a.listen(t, Config{Group: group4}), b.listen(t, Config{Group: group4, Interfaces: []string{"lan0"}})
	warm()
	exchange(t, ca, cb, "10.99.0.1", "10.99.0.2")
	b.ip(t, "link set lan0 down")
	b.refresh(t, cb, Change{Name: "lan0", Kind: Left, Err: ErrDown})
	b.refresh(t, cb)
	err := cb.Send([]Datagram{{Data: []byte("x"), Group: true, Token: 1}})
	if sent := cb.Stamps(nil, time.Millisecond); len(sent) != 0 || err != nil || len(cb.Interfaces()) != 0 {
		t.Errorf("without an interface: sent %v, error %v, interfaces %v", sent, err, cb.Interfaces())
	}
	b.ip(t, "link set lan0 up\n addr replace fe80::2/64 dev lan0 nodad")
	b.refresh(t, cb, Change{Name: "lan0", Kind: Joined})
	a.carry(t, "lan0")
	b.carry(t, "lan0")
	drainQueues(t, ca, cb)
	exchange(t, ca, cb, "10.99.0.1", "10.99.0.2")
}

// drainQueues reads away what earlier parts of a test have left.
func drainQueues(t *testing.T, conns ...*Conn) {
	t.Helper()
	for _, c := range conns {
		for _, s := range []*socket{c.shared, c.own} {
			within(t, s, time.Millisecond)
			for {
				if _, err := c.receive(s, []Packet{{Data: make([]byte, 100)}}, s == c.shared); err != nil {
					break
				}
			}
		}
	}
}

func testRecreated(t *testing.T, a, b *netns, group netip.AddrPort) {
	ca, cb := a.listen(t, Config{Group: group}), b.listen(t, Config{Group: group, Interfaces: []string{"lan0"}})
	warm()
	from, to := "10.99.0.1", "10.99.0.2"
	if group == group6 {
		from, to = "fe80::1%lan0", "fe80::2%lan0"
	}
	exchange(t, ca, cb, from, to)
	// Both ends go, and one comes back under another index.
	a.ip(t, "link del lan0")
	a.refresh(t, ca, Change{Name: "lan0", Kind: Left, Err: ErrMissing}, Change{Kind: Failed, Err: ErrMissing})
	b.refresh(t, cb, Change{Name: "lan0", Kind: Left, Err: ErrMissing})
	b.refresh(t, cb)
	a.ip(t, fmt.Sprintf("link add lan0 index 77 type veth peer name lan0 netns %d", b.tid))
	setUp(t, a, "10.99.0.1/24", "fe80::1/64")
	setUp(t, b, "10.99.0.2/24", "fe80::2/64")
	a.carry(t, "lan0")
	b.carry(t, "lan0")
	a.refresh(t, ca, Change{Name: "lan0", Kind: Joined})
	b.refresh(t, cb, Change{Name: "lan0", Kind: Joined})
	drainQueues(t, ca, cb)
	exchange(t, ca, cb, from, to)
	// Re-created between two looks: left and joined in one.
	a.ip(t, fmt.Sprintf("link del lan0\n link add lan0 index 78 type veth peer name lan0 netns %d", b.tid))
	setUp(t, a, "10.99.0.1/24", "fe80::1/64")
	setUp(t, b, "10.99.0.2/24", "fe80::2/64")
	a.carry(t, "lan0")
	b.carry(t, "lan0")
	a.refresh(t, ca, Change{Name: "lan0", Kind: Left, Err: ErrMissing}, Change{Name: "lan0", Kind: Joined})
	b.refresh(t, cb, Change{Name: "lan0", Kind: Left, Err: ErrMissing}, Change{Name: "lan0", Kind: Joined})
	drainQueues(t, ca, cb)
	exchange(t, ca, cb, from, to)
	if err := cb.Rejoin(); err != nil {
		t.Error(err)
	}
	drainQueues(t, ca, cb)
	exchange(t, ca, cb, from, to)
}

func testReaddressed(t *testing.T, a, b *netns) {
	ca, cb := a.listen(t, Config{Group: group4}), b.listen(t, Config{Group: group4})
	warm()
	exchange(t, ca, cb, "10.99.0.1", "10.99.0.2")
	for _, n := range []*netns{a, b} {
		n.ip(t, "addr flush dev lan0 scope global")
	}
	a.ip(t, "addr add 10.97.0.1/16 brd + dev lan0")
	b.ip(t, "addr add 10.97.1.2/16 brd + dev lan0")
	a.refresh(t, ca, Change{Name: "lan0", Kind: Readdressed})
	b.refresh(t, cb, Change{Name: "lan0", Kind: Readdressed})
	drainQueues(t, ca, cb)
	exchange(t, ca, cb, "10.97.0.1", "10.97.1.2")
	if index := ca.Interfaces()[0].Index; ca.OnLink(netip.MustParseAddr("10.99.0.2"), index) || !ca.OnLink(netip.MustParseAddr("10.97.9.9"), index) {
		t.Error("OnLink goes by the old address")
	}
	b.ip(t, "addr del 10.97.1.2/16 dev lan0")
	b.refresh(t, cb, Change{Name: "lan0", Kind: Left, Err: ErrNoAddress}, Change{Kind: Failed, Err: ErrMissing})
}

// testLateInterface: one of two named interfaces comes later; the first Refresh tells of it once.
func testLateInterface(t *testing.T, a, b *netns) {
	ca, cb := a.listen(t, Config{Group: group4, Interfaces: []string{"lan0", "lan1"}}), b.listen(t, Config{Group: group4})
	warm()
	a.refresh(t, ca, Change{Name: "lan1", Kind: Failed, Err: ErrMissing})
	a.refresh(t, ca)
	a.ip(t, fmt.Sprintf("link add lan1 type veth peer name lan1 netns %d", b.tid))
	a.refresh(t, ca, Change{Name: "lan1", Kind: Failed, Err: ErrDown})
	a.ip(t, "link set lan1 up")
	a.refresh(t, ca, Change{Name: "lan1", Kind: Failed, Err: ErrNoAddress})
	a.ip(t, "addr add 10.98.0.1/24 dev lan1")
	b.ip(t, "addr add 10.98.0.2/24 dev lan1\n link set lan1 up")
	a.carry(t, "lan1")
	b.carry(t, "lan1")
	a.refresh(t, ca, Change{Name: "lan1", Kind: Joined})
	b.refresh(t, cb, Change{Name: "lan1", Kind: Joined})
	sendGroup(t, ca, "poll")
	if sent := ca.Stamps(nil, 2*time.Millisecond); len(sent) != 2 {
		t.Errorf("sent %+v, want two packets", sent)
	}
	from := []netip.Addr{recvGroup(t, cb).From.Addr(), recvGroup(t, cb).From.Addr()}
	if want := []netip.Addr{netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("10.98.0.1")}; !slices.Equal(from, want) {
		t.Errorf("received from %v, want %v", from, want)
	}
}

func testUnusable(t *testing.T, a, _ *netns) {
	a.ip(t, `link add deaf0 type veth peer name bare0
		link set deaf0 multicast off up
		addr add 10.96.0.1/24 dev deaf0
		link set bare0 addrgenmode none up
		link add down0 type veth peer name veth7
		link set veth7 up
		addr add 10.95.0.1/24 dev veth7`)
	for _, test := range []struct {
		iface  string
		group  netip.AddrPort
		reason error
	}{
		{"deaf0", group4, ErrUnsuited},
		{"bare0", group4, ErrNoAddress},
		{"bare0", group6, ErrNoAddress},
		{"down0", group4, ErrDown},
		{"lan0", netip.MustParseAddrPort("10.1.1.255:10525"), ErrNoAddress},
	} {
		_, err := a.tryListen(Config{Group: test.group, Interfaces: []string{test.iface}})
		var ie *InterfaceError
		if !errors.As(err, &ie) || ie.Name != test.iface || ie.Hint == "" || !errors.Is(err, test.reason) {
			t.Errorf("%s with group %v: error %v, want %v", test.iface, test.group, err, test.reason)
		}
	}
	used := func(names ...string) (got []string) {
		for _, i := range a.listen(t, Config{Group: group4, Interfaces: names}).Interfaces() {
			got = append(got, i.Name)
		}
		return got
	}
	if got := used(); !slices.Equal(got, []string{"lan0"}) {
		t.Errorf("by default %v is used, want lan0 alone", got)
	}
	if got := used("veth7", "lo"); !slices.Equal(got, []string{"veth7", "lo"}) {
		t.Errorf("of the named, %v are used", got)
	}
	a.ip(t, "link del lan0")
	if _, err := a.tryListen(Config{Group: group4}); !errors.Is(err, ErrMissing) {
		t.Errorf("without any usable interface: error %v", err)
	}
}

// testManyInterfaces: the kernel lets a socket join 20 groups; the next is an error that names the interface.
func testManyInterfaces(t *testing.T, a, _ *netns) {
	for k := range 20 {
		a.ip(t, fmt.Sprintf("link add d%d type veth peer name p%d\n link set d%d up\n addr add 10.90.%d.1/24 dev d%d", k, k, k, k, k))
	}
	c := a.listen(t, Config{Group: group4})
	if n := len(c.Interfaces()); n != 20 {
		t.Errorf("%d interfaces joined, want 20", n)
	}
	a.refresh(t, c, Change{Name: "d19", Kind: Failed, Err: unix.ENOBUFS})
	a.refresh(t, c)
	a.ip(t, "link del d3")
	a.refresh(t, c, Change{Name: "d3", Kind: Left, Err: ErrMissing}, Change{Name: "d19", Kind: Joined})
}

// testNoStamps: packets that never leave (nobody answers ARP) have no stamps. After eight and eight they are waited for no
// longer; the first stamp that comes restores the trust.
func testNoStamps(t *testing.T, a, _ *netns) {
	c := a.listen(t, Config{Group: group4})
	index := c.Interfaces()[0].Index
	lose := func() {
		for range missesToGiveUp {
			sendTo(t, c, "x", netip.MustParseAddrPort("10.99.0.99:9"), index)
		}
	}
	lose()
	timed := func() time.Duration {
		start := time.Now()
		if got := c.Stamps(nil, time.Second); slices.ContainsFunc(got, func(s Sent) bool { return s.Kernel }) {
			t.Errorf("stamps %+v of packets that never left", got)
		}
		return time.Since(start)
	}
	if d := timed(); d < time.Millisecond || d > 100*time.Millisecond {
		t.Errorf("waited %v for stamps, want about %v", d, stampPatience)
	}
	time.Sleep(stampExpiry)
	timed()
	lose() // of the queue's as well: the neighbour is looked for before a packet comes there
	timed()
	time.Sleep(stampExpiry)
	timed()
	if _, tx := c.KernelStamps(); tx || c.Interfaces()[0].KernelTx {
		t.Error("still said to have transmit stamps")
	}
	sendTo(t, c, "x", netip.MustParseAddrPort("10.99.0.98:9"), index)
	if c.ledger.patience(time.Now()) > 0 {
		t.Error("still waiting for stamps after giving up")
	}
	var got []Sent
	for range askAgain { // one of them asks
		sendGroup(t, c, "x")
		time.Sleep(time.Millisecond)
		got = append(got, slices.DeleteFunc(c.Stamps(nil, 0), func(s Sent) bool { return !s.Kernel })...)
	}
	if _, tx := c.KernelStamps(); !tx || len(got) == 0 {
		t.Errorf("stamps %+v came, but transmit stamps: %v", got, tx)
	}
}
