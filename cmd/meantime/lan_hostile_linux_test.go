package main

import (
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"meantime/configs"
	"meantime/netproto"
)

// hostile is a sender of bad packets on a host of its own. It hears what everybody on the LAN hears.
type hostile struct {
	t    *testing.T
	conn *net.UDPConn
	to   []netip.AddrPort // the group and every node's own port
	rand *rand.Rand
	sent map[string]int

	mu    sync.Mutex
	heard [][]byte // the last packets to the group, oldest first
}

// heardKept is how many packets are kept: the last few rounds', so that what is sent is fresh.
const heardKept = 16

// newHostile adds a host to the LAN and listens on it until the test ends.
func newHostile(b *bed, victims []*process) *hostile {
	b.t.Helper()
	group := configs.Default().Address
	o := &hostile{t: b.t, to: []netip.AddrPort{group}, rand: rand.New(rand.NewPCG(1, 2)), sent: map[string]int{}}
	for _, v := range victims {
		o.to = append(o.to, netip.AddrPortFrom(v.host.addr, configs.Default().UnicastPort))
	}
	h := b.join()
	var ear *net.UDPConn
	h.do(func() error {
		lan0, err := net.InterfaceByName("lan0")
		if err != nil {
			return err
		}
		if ear, err = net.ListenMulticastUDP("udp4", lan0, net.UDPAddrFromAddrPort(group)); err != nil {
			return err
		}
		o.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.addr, 0)))
		return err
	})
	b.t.Cleanup(func() { _, _ = o.conn.Close(), ear.Close() })
	h.ip("route add 224.0.0.0/4 dev lan0")
	go o.listen(ear)
	return o
}

// listen records the group's packets until the socket is closed.
func (o *hostile) listen(ear *net.UDPConn) {
	for {
		buf := make([]byte, 2000)
		n, from, err := ear.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if from.Port() == o.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() {
			continue // the own ones
		}
		o.mu.Lock()
		o.heard = append(o.heard, buf[:n])
		o.heard = o.heard[max(0, len(o.heard)-heardKept):]
		o.mu.Unlock()
	}
}

// recorded copies one of the packets heard.
func (o *hostile) recorded() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.heard) == 0 {
		o.t.Fatal("the hostile host hears nothing")
	}
	return append([]byte(nil), o.heard[o.rand.IntN(len(o.heard))]...)
}

// badness is one way to spoil a real packet, and what a node calls it: the reasons under which at least a share of them
// is counted.
type badness struct {
	name    string
	spoil   func(r *rand.Rand, p []byte) []byte
	share   float64
	reasons []string
}

// Offsets of fields of the header.
const (
	versionAt = 2
	groupAt   = 8
	startAt   = 24 // start and sequence number
	startEnd  = 32
)

// badnesses are the classes of bad packets that a node must stand although nothing is authenticated. Well-formed packets of
// a later round, or of another start of the same node, are not among them: without authentication nothing tells
// them from real ones. So mutants keep the sequence number and the start.
var badnesses = []badness{
	{"truncated", func(r *rand.Rand, p []byte) []byte { return p[:r.IntN(len(p))] }, 1, []string{"truncated"}},
	{"oversized", func(r *rand.Rand, p []byte) []byte {
		return append(p, make([]byte, netproto.MaxPacket+1-len(p)+r.IntN(3000))...)
	}, 1, []string{"oversized"}},
	{"unknown version", func(r *rand.Rand, p []byte) []byte {
		p[versionAt] ^= byte(1 + r.IntN(255))
		return p
	}, 1, []string{"foreign"}},
	{"foreign group", func(r *rand.Rand, p []byte) []byte {
		p[groupAt+r.IntN(4)] ^= byte(1 + r.IntN(255))
		return p
	}, 1, []string{"group"}},
	{"mutated", mutate, 0.25, []string{"key", "kind", "value"}},
	{"duplicated", func(_ *rand.Rand, p []byte) []byte { return p }, 1, []string{"duplicate", "stale", "unasked", "own"}},
}

// mutate flips some bits anywhere but in start and sequence number.
func mutate(r *rand.Rand, p []byte) []byte {
	for range 1 + r.IntN(8) {
		at := r.IntN(len(p))
		for at >= startAt && at < startEnd {
			at = r.IntN(len(p))
		}
		p[at] ^= 1 << r.IntN(8)
	}
	return p
}

// attack sends count packets, at most 1,000 a second, of all classes in turn.
func (o *hostile) attack(count int) {
	o.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range count {
		<-tick.C
		class := badnesses[i%len(badnesses)]
		to := o.to[o.rand.IntN(len(o.to))]
		if _, err := o.conn.WriteToUDPAddrPort(class.spoil(o.rand, o.recorded()), to); err != nil {
			o.t.Fatalf("%s to %v: %v", class.name, to, err)
		}
		o.sent[class.name]++
	}
}

// dropped gives a node's last counts by reason.
func (p *process) dropped() map[string]int {
	counts := map[string]int{}
	for _, e := range p.entries("dropped") {
		counts[e.Reason] = e.Count // they only grow
	}
	return counts
}

// TestLANBadInput: bad packets of every class that needs no key to refuse move nothing, end nothing, and are counted by reason.
func TestLANBadInput(t *testing.T) {
	const packets, quiet = 5000, 10 * time.Second
	takes(t, 45*time.Second)
	b := enter(t, 90*time.Second)
	if b == nil {
		return
	}
	nodes := startLAN(b, "")
	o := newHostile(b, nodes)
	time.Sleep(25*time.Second + quiet)
	begin := rawNow(t)
	o.attack(packets)
	end := rawNow(t)
	time.Sleep(time.Second)
	stopAll(t, nodes...) // fails if one has died
	all := readMoments(t, nodes...)
	before, under := all.between(begin-int64(quiet), begin), all.between(begin, end)
	f, g := before.figures(), under.figures()
	t.Logf("before: %v; under %d bad packets in %.1f s: %v; ratio of medians %.2f", f, packets, float64(end-begin)/1e9, g,
		float64(g.median)/float64(f.median))
	strayed := strays(before, under, f.rate)
	t.Logf("LAN time under attack strayed %.1f µs from its course before", strayed/1e3)
	if strayed > 1e6 {
		t.Error("LAN time was moved")
	}
	for _, wrong := range g.disagree(time.Duration(end-begin), time.Millisecond, time.Millisecond) {
		t.Error(wrong)
	}
	o.counted(nodes)
}

// strays is how far (ns) the clocks' mean left, at most, the straight line that it ran on before.
func strays(before, under moments, rate float64) (most float64) {
	last := before[len(before)-1]
	for _, m := range under {
		most = max(most, math.Abs(m.mean-last.mean-rate*float64(m.raw-last.raw)))
	}
	return most
}

// counted checks that every node counted every class, of most of which the kernel leaves it but a few to name, and that no slave changed its
// master.
func (o *hostile) counted(nodes []*process) {
	o.t.Helper()
	for i, n := range nodes {
		counts := n.dropped()
		o.t.Logf("%s dropped %v", n.host.name, counts)
		total, expected := counts["kernel"], 0.0
		for _, class := range badnesses {
			sum := 0
			for _, reason := range class.reasons {
				sum += counts[reason]
			}
			// What goes to the group and what goes to its port comes here; a fifth less for chance.
			want := class.share * float64(o.sent[class.name]) * 2 / float64(len(o.to)) * 0.8
			if sum == 0 {
				o.t.Errorf("%s counted no packet as %s, though some were %s", n.host.name, strings.Join(class.reasons, ", "), class.name)
			}
			total, expected = total+sum, expected+want
		}
		if float64(total) < expected {
			o.t.Errorf("%s counted %d packets in all, want at least %.0f", n.host.name, total, expected)
		}
		if m := len(n.entries("following a master")); i > 0 && m != 1 {
			o.t.Errorf("%s followed %d masters", n.host.name, m)
		}
	}
	o.t.Logf("sent %v", o.sent)
}
