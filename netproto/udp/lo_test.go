package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests need no privilege: they talk on loopback only, with a multicast hop limit of 0.

// warmUp is how long after opening the kernel surely stamps; 10 ms were enough in all trials.
const warmUp = 50 * time.Millisecond

// loopbackName is the loopback interface's name here.
var loopbackName = map[string]string{"linux": "lo", "darwin": "lo0", "freebsd": "lo0", "windows": "Loopback Pseudo-Interface 1"}[runtime.GOOS]

// required tells whether the environment says that this kind of test must not be skipped.
func required(kind string) bool {
	for _, k := range strings.Split(os.Getenv("MEANTIME_REQUIRE"), ",") {
		if k == kind {
			return true
		}
	}
	return false
}

// freePort finds a port that no socket has.
func freePort(tb testing.TB) uint16 {
	tb.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// testGroup is a group for one test: the standard address with a port of its own.
func testGroup(tb testing.TB) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("239.255.52.5"), freePort(tb))
}

// listen opens a Conn for a test and closes it at its end.
func listen(tb testing.TB, cfg Config) *Conn {
	tb.Helper()
	c, err := Listen(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// loopback opens a Conn on loopback; if warm is set, it waits until the kernel stamps what is received.
func loopback(tb testing.TB, group netip.AddrPort, warm bool) *Conn {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("multicast on loopback is certain on Linux only")
	}
	c := listen(tb, Config{Group: group, Interfaces: []string{loopbackName}})
	if warm {
		time.Sleep(warmUp)
	}
	return c
}

// within gives a socket some time, so that a test that hears nothing fails instead of hanging.
func within(tb testing.TB, s *socket, d time.Duration) {
	tb.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		tb.Fatal(err)
	}
}

// one receives a single packet into a buffer of that size.
func one(receive func([]Packet) (int, error), size int) (Packet, error) {
	batch := []Packet{{Data: make([]byte, size)}}
	_, err := receive(batch)
	return batch[0], err
}

// recvGroup receives one packet addressed to the group.
func recvGroup(tb testing.TB, c *Conn) Packet {
	tb.Helper()
	within(tb, c.shared, 2*time.Second)
	p, err := one(c.ReceiveGroup, 1500)
	if err != nil {
		tb.Fatalf("ReceiveGroup: %v (dropped %+v)", err, c.Dropped())
	}
	return p
}

// recvUnicast receives one packet addressed to the unicast socket.
func recvUnicast(tb testing.TB, c *Conn) Packet {
	tb.Helper()
	within(tb, c.own, 2*time.Second)
	p, err := one(c.ReceiveUnicast, 1500)
	if err != nil {
		tb.Fatalf("ReceiveUnicast: %v (dropped %+v)", err, c.Dropped())
	}
	return p
}

// silence fails the test if the socket delivers anything.
func silence(tb testing.TB, c *Conn, s *socket, toGroup bool) {
	tb.Helper()
	within(tb, s, 50*time.Millisecond)
	p, err := one(func(batch []Packet) (int, error) { return c.receive(s, batch, toGroup) }, 1500)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		tb.Errorf("received %+v, error %v; want nothing", p, err)
	}
}

// tokens counts what the tests send.
var tokens atomic.Uint64

// send sends one datagram, and gives its token and a user stamp from before.
func send(tb testing.TB, c *Conn, d Datagram) Sent {
	tb.Helper()
	d.Token = tokens.Add(1)
	s := Sent{Token: d.Token, Iface: d.Iface, Stamp: wallNow()}
	if err := c.Send([]Datagram{d}); err != nil {
		tb.Fatal(err)
	}
	return s
}

func sendGroup(tb testing.TB, c *Conn, text string) Sent {
	tb.Helper()
	s := send(tb, c, Datagram{Data: []byte(text), Group: true})
	s.Iface = c.Interfaces()[0].Index
	return s
}

// sendTo sends one datagram to one node.
func sendTo(tb testing.TB, c *Conn, text string, to netip.AddrPort, iface int) Sent {
	tb.Helper()
	return send(tb, c, Datagram{Data: []byte(text), To: to, Iface: iface})
}

// TestGroupAndAnswer: several nodes on one host share the group port, each hears the group, and an answer reaches the
// sender and nobody else.
func TestGroupAndAnswer(t *testing.T) {
	g := testGroup(t)
	a, b, c := loopback(t, g, false), loopback(t, g, false), loopback(t, g, true)
	sendGroup(t, a, "poll")
	for _, n := range []*Conn{a, b, c} {
		p := recvGroup(t, n)
		if string(p.Data) != "poll" || p.From != a.LocalAddr() || !p.ToGroup || p.Truncated {
			t.Errorf("got %+v, want poll from %v", p, a.LocalAddr())
		}
		if !n.OnLink(p.From.Addr(), p.Iface) {
			t.Errorf("sender %v on interface %d is not on link", p.From, p.Iface)
		}
		if n == a {
			continue
		}
		sendTo(t, n, "reply", p.From, p.Iface)
		r := recvUnicast(t, a)
		if string(r.Data) != "reply" || r.From != n.LocalAddr() || r.ToGroup || r.Iface != p.Iface {
			t.Errorf("got %+v, want reply from %v", r, n.LocalAddr())
		}
	}
	silence(t, b, b.own, false)
	silence(t, c, c.own, false)
}

// TestKernelStamps: stamps come from the kernel in both directions and in the order of events.
func TestKernelStamps(t *testing.T) {
	g := testGroup(t)
	a, b := loopback(t, g, true), loopback(t, g, true)
	if rx, tx := a.KernelStamps(); !rx || !tx {
		t.Fatalf("KernelStamps: rx %v, tx %v; want both", rx, tx)
	}
	// Bounds are for a loaded machine; order is what matters.
	const bound = int64(200 * time.Millisecond)
	check := func(what string, before Sent, p Packet, sent []Sent) {
		t.Helper()
		after := wallNow()
		if before.Kernel || !p.Kernel || len(sent) != 1 || !sent[0].Kernel || sent[0].Token != before.Token || sent[0].Iface != before.Iface {
			t.Fatalf("%s: sent %+v, received %+v, stamps %+v", what, before, p, sent)
		}
		tx := sent[0].Stamp
		if !(before.Stamp <= tx && tx <= p.Stamp && p.Stamp <= after) || after-before.Stamp > bound {
			t.Errorf("%s: user %d, sent +%d, received +%d, read +%d ns: out of order or bounds", what,
				before.Stamp, tx-before.Stamp, p.Stamp-before.Stamp, after-before.Stamp)
		}
	}
	for range 20 {
		s := sendGroup(t, a, "poll")
		stamps := a.Stamps(nil, 2*time.Millisecond)
		p := recvGroup(t, b)
		check("group", s, p, stamps)
		s = sendTo(t, b, "reply", p.From, p.Iface)
		stamps = b.Stamps(nil, 2*time.Millisecond)
		check("unicast", s, recvUnicast(t, a), stamps)
	}
}

// TestUserStamps: without kernel stamps every stamp says so, and none is waited for.
func TestUserStamps(t *testing.T) {
	g := testGroup(t)
	a := listen(t, Config{Group: g, Interfaces: []string{loopbackName}, UserStamps: true})
	time.Sleep(warmUp)
	if rx, tx := a.KernelStamps(); rx || tx {
		t.Errorf("KernelStamps: rx %v, tx %v; want none", rx, tx)
	}
	s := sendGroup(t, a, "poll")
	p := recvGroup(t, a)
	if s.Kernel || p.Kernel || p.Stamp < s.Stamp {
		t.Errorf("sent %+v, received %+v; want user stamps in order", s, p)
	}
	start := time.Now()
	got := a.Stamps(nil, time.Second)
	if len(got) != 1 || got[0].Token != s.Token || got[0].Kernel || got[0].Stamp < s.Stamp || time.Since(start) > 100*time.Millisecond {
		t.Errorf("Stamps gave %v after %v; want a user stamp, at once", got, time.Since(start))
	}
}

// TestFirstPackets: right after opening, while the kernel may not stamp yet, a packet that lies in the buffer for a while has
// either the time of its arrival or a user stamp, never the time of the read in the name of the kernel.
func TestFirstPackets(t *testing.T) {
	for range 5 {
		a := loopback(t, testGroup(t), false)
		s := sendGroup(t, a, "poll")
		sent := wallNow()
		time.Sleep(20 * time.Millisecond)
		p := recvGroup(t, a)
		if p.Kernel && (p.Stamp < s.Stamp || p.Stamp > sent+int64(10*time.Millisecond)) || !p.Kernel && p.Stamp < sent+int64(20*time.Millisecond) {
			t.Errorf("kernel %v, stamped %d ns after the send", p.Kernel, p.Stamp-s.Stamp)
		}
		_ = a.Close()
	}
}

// TestDrainLeavesNoResidue: after 1,000 stamped packets the unicast socket's receive buffer still takes packets, and
// every packet got its own stamp.
func TestDrainLeavesNoResidue(t *testing.T) {
	g := testGroup(t)
	a, b := loopback(t, g, true), loopback(t, g, true)
	to := b.LocalAddr()
	lo := a.Interfaces()[0].Index
	var stamps []Sent
	for i := range 1000 {
		s := sendTo(t, a, "x", to, lo)
		stamps = a.Stamps(stamps[:0], 2*time.Millisecond)
		if len(stamps) != 1 || stamps[0].Token != s.Token || stamps[0].Stamp < s.Stamp {
			t.Fatalf("packet %d: sent %+v, stamps %+v", i, s, stamps)
		}
		recvUnicast(t, b)
	}
	for range 100 {
		sendTo(t, b, "y", a.LocalAddr(), lo)
	}
	for range 100 {
		recvUnicast(t, a)
	}
}

// TestStampsAfterFailedSend: neither a send that fails nor one that the kernel counts and we do not know of shifts the
// stamps of later ones, and a burst is matched packet by packet.
func TestStampsAfterFailedSend(t *testing.T) {
	g := testGroup(t)
	a, b := loopback(t, g, true), loopback(t, g, true)
	lo := a.Interfaces()[0].Index
	huge := make([]byte, 70000) // more than a datagram holds
	for round := range 20 {
		if err := a.Send([]Datagram{{Data: huge, To: b.LocalAddr(), Iface: lo, Token: tokens.Add(1)}}); err == nil {
			t.Fatal("a datagram of 70,000 bytes was sent")
		}
		if round%4 == 3 {
			countUnknown(t, a, b.LocalAddr())
		}
		var sent []Sent
		for range 10 {
			sent = append(sent, sendTo(t, a, "x", b.LocalAddr(), lo))
		}
		stamps := a.Stamps(nil, 2*time.Millisecond)
		if len(stamps) != len(sent) {
			t.Fatalf("round %d: %d stamps for %d packets", round, len(stamps), len(sent))
		}
		for i, s := range stamps {
			last := i == len(sent)-1
			if s.Token != sent[i].Token || s.Stamp < sent[i].Stamp || !last && s.Stamp > sent[i+1].Stamp {
				t.Errorf("round %d: stamp %+v for packet %+v", round, s, sent[i])
			}
		}
	}
}

// countUnknown sends a stamped packet behind the ledger's back, as a retry within the standard library might, and lets
// the next packet find out.
func countUnknown(t *testing.T, a *Conn, to netip.AddrPort) {
	t.Helper()
	lo := a.Interfaces()[0].Index
	oob := appendSendControl(nil, false, lo, netip.Addr{}, askSent)
	if _, _, err := a.own.conn.WriteMsgUDPAddrPort([]byte("z"), oob, to); err != nil {
		t.Fatal(err)
	}
	sendTo(t, a, "x", to, lo)
	if got := a.Stamps(nil, 2*time.Millisecond); len(got) != 1 || got[0].Kernel {
		t.Errorf("stamps %+v: want the user's, as ids do not fit", got)
	}
}

// TestTruncated: a datagram longer than the buffer is marked, and the next one is whole.
func TestTruncated(t *testing.T) {
	a := loopback(t, testGroup(t), false)
	sendGroup(t, a, "longer than the buffer")
	sendGroup(t, a, "short")
	for _, want := range []Packet{{Data: []byte("longer"), Truncated: true}, {Data: []byte("short")}} {
		within(t, a.shared, 2*time.Second)
		p, err := one(a.ReceiveGroup, 6)
		if err != nil {
			t.Fatal(err)
		}
		if string(p.Data) != string(want.Data) || p.Truncated != want.Truncated {
			t.Errorf("got %q, truncated %v; want %q, %v", p.Data, p.Truncated, want.Data, want.Truncated)
		}
	}
}

// TestForeignDestination: the group socket takes nothing but the group's packets, although its port is open to others, and the
// unicast socket none that are addressed to a group.
func TestForeignDestination(t *testing.T) {
	g := testGroup(t)
	a := loopback(t, g, false)
	port := g.Port()
	other := netip.AddrPortFrom(netip.MustParseAddr("239.255.52.6"), port)
	lo := a.Interfaces()[0].Index
	// Another process on the host joins another group on the same port.
	b := loopback(t, other, false)
	for _, to := range []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), other} {
		sendTo(t, b, "stray", to, lo)
	}
	if p := recvGroup(t, b); string(p.Data) != "stray" || p.From != b.LocalAddr() {
		t.Errorf("got %+v, want the packet to %v", p, other)
	}
	silence(t, a, a.shared, true)
	silence(t, b, b.shared, true)
	if n := a.Dropped().Destination + b.Dropped().Destination; n != 1 {
		t.Errorf("%d packets dropped for their destination, want the unicast one", n)
	}
}

// TestPortTaken: the second node on a host gets a port of the system's choice, and says so.
func TestPortTaken(t *testing.T) {
	g, port := testGroup(t), freePort(t)
	cfg := Config{Group: g, Unicast: port, Interfaces: []string{loopbackName}}
	a, b := listen(t, cfg), listen(t, cfg)
	if a.PortTaken() || a.LocalAddr().Port() != port {
		t.Errorf("first: address %v, taken %v; want port %d", a.LocalAddr(), a.PortTaken(), port)
	}
	if !b.PortTaken() || b.LocalAddr().Port() == port || b.LocalAddr().Port() == 0 {
		t.Errorf("second: address %v, taken %v; want another port", b.LocalAddr(), b.PortTaken())
	}
}

// TestClose: it ends both readers, and everything afterwards says net.ErrClosed.
func TestClose(t *testing.T) {
	c := listen(t, Config{Group: testGroup(t), Interfaces: []string{loopbackName}})
	errs := make(chan error, 2)
	for _, receive := range []func([]Packet) (int, error){c.ReceiveGroup, c.ReceiveUnicast} {
		go func() {
			_, err := one(receive, 100)
			errs <- err
		}()
	}
	time.Sleep(10 * time.Millisecond) // let both wait
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		select {
		case err := <-errs:
			if err != net.ErrClosed {
				t.Errorf("reader ended with %v, want net.ErrClosed", err)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("a reader still waits after Close")
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := c.Send([]Datagram{{To: c.LocalAddr()}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v, want net.ErrClosed", err)
	}
	if got := c.Stamps(nil, time.Millisecond); len(got) != 0 {
		t.Errorf("Stamps after Close: %v", got)
	}
}

// TestReaderOutlivesErrors: what goes wrong with one packet or one moment does not end a reader.
func TestReaderOutlivesErrors(t *testing.T) {
	a := loopback(t, testGroup(t), false)
	lo := a.Interfaces()[0].Index
	// Nobody listens there: an ICMP answer comes back.
	sendTo(t, a, "x", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t)), lo)
	within(t, a.own, 20*time.Millisecond)
	if _, err := one(a.ReceiveUnicast, 10); !errors.Is(err, ErrTemporary) {
		t.Errorf("error %v, want a temporary one (here: the deadline)", err)
	}
	sendTo(t, a, "x", a.LocalAddr(), lo)
	recvUnicast(t, a)
}

// TestListenErrors: what cannot work says which interface, why, and what to do.
func TestListenErrors(t *testing.T) {
	v4, v6 := testGroup(t), netip.MustParseAddrPort("[ff12::8000:525]:10525")
	for _, test := range []struct {
		name   string
		cfg    Config
		reason error
		text   string
	}{
		{"missing", Config{Group: v4, Interfaces: []string{"nosuch0"}}, ErrMissing, "interface nosuch0: no such interface (this host has "},
		{"IPv6 on loopback", Config{Group: v6, Interfaces: []string{loopbackName}}, ErrUnsuited,
			fmt.Sprintf("interface %s: IPv6 multicast does not work on loopback (use an IPv4 group)", loopbackName)},
		{"broadcast on loopback", Config{Group: netip.MustParseAddrPort("255.255.255.255:10525"), Interfaces: []string{loopbackName}},
			ErrUnsuited, fmt.Sprintf("interface %s: it has no broadcast (use a multicast group, or name another interface)", loopbackName)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Listen(test.cfg)
			var ie *InterfaceError
			if !errors.As(err, &ie) || !errors.Is(err, test.reason) || !strings.HasPrefix(err.Error(), test.text) || c != nil {
				t.Errorf("got %v, want %q", err, test.text)
			}
		})
	}
	for _, group := range []string{"239.255.52.5:0", "127.0.0.1:10525", "0.0.0.0:10525", "[fe80::1]:10525", "[ff0e::525]:10525"} {
		if _, err := Listen(Config{Group: netip.MustParseAddrPort(group), Interfaces: []string{loopbackName}}); err == nil {
			t.Errorf("group %s was accepted", group)
		}
	}
}
