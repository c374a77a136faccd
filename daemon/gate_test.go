package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

const gateGroup = 0xA0A1A2A3

// ringOf is a ring of keys that are told apart by a byte each.
func ringOf(t testing.TB, group uint32, keys ...byte) *netproto.Ring {
	t.Helper()
	var all []netproto.Key
	for _, b := range keys {
		secret := make([]byte, netproto.SecretLen)
		secret[0] = b
		k, err := netproto.NewKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	r, err := netproto.NewRing(group, all...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealed is a Poll under the newest key of a ring.
func sealed(r *netproto.Ring, group uint32) []byte {
	poll := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 1, Phase: netproto.PhaseKeeping}
	p := poll.Append(nil, netproto.Header{Group: group, Sender: 9, Seq: 1})
	r.Seal(p, r.Newest())
	return p
}

// from is a datagram of the n-th neighbour.
func from(n int, data []byte) udp.Packet {
	return udp.Packet{Data: data, From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 10526)}
}

// refusal is a datagram that nobody with the key has sent, and what it is counted as.
type refusal struct {
	as   node.Drop
	data []byte
}

func refusals(t testing.TB, ours *netproto.Ring) []refusal {
	t.Helper()
	good := sealed(ours, ours.Group())
	forged := slices.Clone(good)
	forged[len(forged)-1] ^= 1
	magic := slices.Clone(good)
	magic[0]++
	return []refusal{
		{node.DropKey, forged}, {node.DropForeign, magic}, {node.DropTruncated, good[:40]}, {node.DropOversized, make([]byte, 1400)},
		{node.DropGroup, sealed(ringOf(t, ours.Group()+1, 1), ours.Group()+1)},
	}
}

// TestGate: what nobody with a key has sent gets no place in the queue, is counted by its reason and costs no memory.
func TestGate(t *testing.T) {
	g, ours := newGate(), ringOf(t, gateGroup, 1)
	g.hold(ours)
	r := g.reader(nil)
	good := from(1, sealed(ours, gateGroup))
	if drop, ok := r.check(&good); !ok {
		t.Errorf("a member's packet is refused as %v", drop)
	}
	bad := append(refusals(t, ours), refusal{node.DropKey, sealed(ringOf(t, gateGroup, 2), gateGroup)}, // another key
		refusal{node.DropKey, sealed(nil, gateGroup)}) // the null key
	shown := 0
	for range 100 { // of each; the first under a wrong key are shown to the node
		for _, b := range bad {
			p := from(2, b.data)
			drop, ok := r.check(&p)
			if drop != b.as || ok && drop != node.DropKey {
				t.Errorf("%v: let in %v, as %v", b.as, ok, drop)
			}
			if ok {
				shown++
			}
		}
	}
	if shown < shownBurst || shown > shownBurst+shownRate { // the test takes far less than a second
		t.Errorf("%d under a wrong key were shown to the node", shown)
	}
	const runs = 1000
	n, letIn := 0, 0
	r.receive = func(room []udp.Packet) (int, error) {
		if n == runs*len(bad) {
			return 0, net.ErrClosed
		}
		got := min(len(room), runs*len(bad)-n)
		for i := range got {
			fill(&room[i], from(n, bad[n%len(bad)].data))
			n++
		}
		return got, nil
	}
	allocs := testing.AllocsPerRun(1, func() {
		n = 0
		if err := r.read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	for len(g.queue) > 0 {
		letIn += (<-g.queue).n
	}
	var drops node.Drops
	if g.count(&drops); letIn > shownRate || drops.Total()+uint64(letIn) != uint64(2*runs*len(bad)) {
		t.Errorf("%d queued, %d counted", letIn, drops.Total())
	}
	if allocs > 2+shownRate { // the buffers
		t.Errorf("%v allocations for %d datagrams", allocs, runs*len(bad))
	}
}

// fill puts a datagram into a buffer of a batch.
func fill(room *udp.Packet, p udp.Packet) {
	p.Data = append(room.Data[:0], p.Data...)
	*room = p
}

// TestGateBuffers: once the queue has been as long as it gets, what is let in costs no memory either; and among what is not, nothing
// is lost or mixed up.
func TestGateBuffers(t *testing.T) {
	g, ours := newGate(), ringOf(t, gateGroup, 1)
	g.hold(ours)
	good, bad := sealed(ours, gateGroup), sealed(ours, gateGroup+1)
	n := 0
	r := g.reader(func(room []udp.Packet) (int, error) {
		if n == backlog*batchSize/2 {
			return 0, net.ErrClosed
		}
		for i := range room {
			data := good
			if (n+i)%3 == 0 {
				data = bad
			}
			fill(&room[i], from(n+i, data))
		}
		n += len(room)
		return len(room), nil
	})
	r.room = batchSize
	allocs := testing.AllocsPerRun(20, func() {
		n = 0
		if err := r.read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		for at := 0; len(g.queue) > 0; {
			b := <-g.queue
			for _, p := range b.packets() {
				for at%3 == 0 {
					at++
				}
				if p.From != from(at, nil).From || len(p.Data) != len(good) {
					t.Fatalf("packet %d is from %v", at, p.From)
				}
				at++
			}
			g.release(b)
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations for %d datagrams", allocs, n)
	}
}

// TestGateRoom: a reader that is given as many datagrams as it has room for makes room for twice as many, also where none is let in, and one
// that is not, not.
func TestGateRoom(t *testing.T) {
	g, ours := newGate(), ringOf(t, gateGroup, 1)
	g.hold(ours)
	packets := [][]byte{sealed(ours, gateGroup), sealed(ours, gateGroup+1)}
	var rooms []int
	r := g.reader(func(room []udp.Packet) (int, error) {
		rooms = append(rooms, len(room))
		if len(rooms) > 10 {
			return 0, net.ErrClosed
		}
		got := len(room)
		if len(rooms) > 3 && len(rooms) < 6 {
			got--
		}
		for i := range got {
			fill(&room[i], from(i, packets[len(rooms)%2]))
		}
		return got, nil
	})
	if err := r.read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if want := []int{1, 2, 4, 8, 8, 8, 16, 32, 32, 32, 32}; !slices.Equal(rooms, want) {
		t.Errorf("room for %v, want %v", rooms, want)
	}
}

// TestGateKeys: a change of keys counts from the next datagram on, for either reader.
func TestGateKeys(t *testing.T) {
	g := newGate()
	one, two := sealed(ringOf(t, gateGroup, 1), gateGroup), sealed(ringOf(t, gateGroup, 2), gateGroup)
	readers := []*reader{g.reader(nil), g.reader(nil)}
	for _, step := range []struct {
		ring     *netproto.Ring
		one, two bool
	}{
		{nil, false, false}, {ringOf(t, gateGroup, 1), true, false}, {ringOf(t, gateGroup, 2, 1), true, true},
		{ringOf(t, gateGroup, 2), false, true},
	} {
		g.hold(step.ring)
		for i, r := range readers {
			a, b := from(1, one), from(1, two)
			first, _ := r.check(&a)
			second, _ := r.check(&b)
			if (first != node.DropKey) != step.one || (second != node.DropKey) != step.two {
				t.Errorf("reader %d, keys %v: refused as %v, %v", i, step.ring.IDs(), first, second)
			}
		}
	}
}

// TestSources: in virtual time, a source that has gone mad gets its budget and no more; nobody else notices, unless it shares a
// cell; and the largest LAN is not hurt.
func TestSources(t *testing.T) {
	r := newGate().reader(nil)
	s := &r.sources
	addr := func(n int) netip.Addr { return from(n, nil).From.Addr() }
	const span = 10 * time.Second
	mad, hurt := 0, 0
	for now := time.Duration(0); now < span; now += 10 * time.Microsecond { // 100,000 a second
		if s.take(addr(0), now) {
			mad++
		}
		if now%(100*time.Millisecond) == 0 {
			for n := 1; n <= 100; n++ {
				if !s.take(addr(n), now) {
					hurt++
				}
			}
		}
	}
	const mates = 2 * 100 // what two in its cell may take: more share one once in 200 runs, and then no fault
	if want := sourceBurst + sourceRate*int(span.Seconds()); mad < want-1-mates || mad > want {
		t.Errorf("a mad source got %d, want %d", mad, want)
	}
	if hurt > mates {
		t.Errorf("100 others were refused %d times", hurt)
	}
	*s = sources{seed: s.seed}
	const members, replies = 16384, 8 // at most: one in a cell with 127 others is refused once in 10^40 runs
	for round := range 20 {
		for n := range members * replies { // all at once
			if !s.take(addr(n%members), time.Duration(round)*250*time.Millisecond) {
				t.Fatalf("round %d: member %d is refused", round, n%members)
			}
		}
	}
	master := addr(members)
	for round := range 20 { // at the shortest interval, under four keys
		for n := range 4 + (members+netproto.MaxEntries-1)/netproto.MaxEntries {
			if !s.take(master, time.Minute+time.Duration(round)*250*time.Millisecond) {
				t.Fatalf("round %d: packet %d of the master is refused", round, n)
			}
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { s.take(master, time.Hour) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestCrowding: where the queue is half full those over their budget get no place in it, and others do; where it is not, all do.
func TestCrowding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		g, ours := newGate(), ringOf(t, gateGroup, 1)
		g.hold(ours)
		r, data := g.reader(nil), sealed(ours, gateGroup)
		one, two := from(1, data), from(2, data)
		for range 10 * sourceBurst {
			if drop, ok := r.check(&one); !ok {
				t.Fatalf("refused as %v though nobody is crowded out", drop)
			}
		}
		for range backlog / 2 {
			g.queue <- &batch{}
		}
		if drop, ok := r.check(&one); ok || drop != node.DropCrowding {
			t.Errorf("one that crowds: let in %v, as %v", ok, drop)
		}
		if drop, ok := r.check(&two); !ok {
			t.Errorf("another one is refused as %v", drop)
		}
	})
}

// TestFlood: a keyed LAN comes together under a flood of what nobody with the key has sent; its status counts each of them once.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		group := netproto.GroupID(configs.Default().Group)
		lan.ring = ringOf(t, group, 1)
		all := startLAN(ctx, t, lan, stampsAtOnce, fourClocks[:2])
		bad := refusals(t, lan.ring)
		const each = 5000
		for n := range each {
			for _, b := range bad {
				lan.links[n%2].group <- from(n, b.data)
				lan.links[n%2].unicast <- from(n, b.data)
			}
			time.Sleep(4 * time.Millisecond)
		}
		for i, m := range all {
			if spread, _ := apart(ctx, t, all); spread >= time.Millisecond {
				t.Errorf("%v apart", spread)
			}
			var s node.Status
			m.ask(ctx, func() { s = m.status() })
			for _, b := range bad {
				if s.Drops[b.as] != each {
					t.Errorf("driver %d counted %d as %v, want %d", i, s.Drops[b.as], b.as, each)
				}
			}
			if s.Drops[node.DropKernel] != 5 || s.Drops[node.DropAstray] != 3 {
				t.Errorf("driver %d: of the kernel %d, astray %d", i, s.Drops[node.DropKernel], s.Drops[node.DropAstray])
			}
		}
		endLAN(t, cancel, all)
	})
}

// TestShield: the kernel is told the group; that it takes no filter is worth a warning, that the system has none is not.
func TestShield(t *testing.T) {
	for want, err := range map[int]error{0: nil, 1: errTest, -1: fmt.Errorf("no: %w", errors.ErrUnsupported)} {
		synctest.Test(t, func(t *testing.T) {
			m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
			m.link.exposed = err
			m.shield()
			if warned := len(m.journal.warnings()); warned != max(want, 0) {
				t.Errorf("%v: warned %d times", err, warned)
			}
			if f := m.link.frames[0].Fields; len(f) != 3 || f[2].Any[0] != m.group {
				t.Errorf("the kernel lets in %+v", f)
			}
		})
	}
}

// BenchmarkGate is what a datagram costs a reader after it has been read.
func BenchmarkGate(b *testing.B) {
	g, ours := newGate(), ringOf(b, gateGroup, 1)
	g.hold(ours)
	r := g.reader(nil)
	forged := sealed(ours, gateGroup)
	forged[len(forged)-1] ^= 1
	for name, data := range map[string][]byte{
		"group": sealed(ringOf(b, gateGroup+1, 1), gateGroup+1), "tag": forged, "member": sealed(ours, gateGroup),
	} {
		b.Run(name, func(b *testing.B) {
			p := from(1, data)
			b.ReportAllocs()
			for b.Loop() {
				r.check(&p)
			}
		})
	}
}

// Replies of a thousand slaves are handed over as they come; those of ten thousand are let gather.
func TestThickReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate().reader(nil)
		for range 1000 { // three exchanges with a slave each half millisecond
			if time.Sleep(500 * time.Microsecond); r.thick(3) {
				t.Fatal("the replies of a thousand slaves are thick")
			}
		}
		after := 0
		for ; after < 1000 && !r.thick(1); after++ {
			time.Sleep(40 * time.Microsecond)
		}
		if after < thinBurst || after > 2*thinBurst {
			t.Errorf("those of ten thousand are thick after %d of them", after)
		}
		if time.Sleep(time.Second); r.thick(1) {
			t.Error("one is thick after a second without")
		}
	})
}
