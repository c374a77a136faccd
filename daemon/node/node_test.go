package node

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

const group = 7

// bench drives one node by hand: its clock is perfect, and time passes only when told.
type bench struct {
	t    *testing.T
	node *Node
	now  time.Duration
	out  []Effect

	shift time.Duration // by how much somebody moved the clock

	ring *netproto.Ring // seals what the node is given,
	key  uint32         // under this key
}

// wallStart is what the bench's clock shows at the start, ns since the Unix epoch.
const wallStart = int64(1_800_000_000_000_000_000)

var (
	masterAddr = netip.MustParseAddrPort("192.0.2.1:10526")
	slaveAddr  = netip.MustParseAddrPort("192.0.2.2:10526")
)

func newBench(t *testing.T, role Role, change func(*Config)) *bench {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	cfg := Config{
		ID: 2, Start: 20, Group: group, Role: role, Priority: 100, Interval: time.Second, MaxSkew: time.Hour,
		FoundWait: 10 * time.Second, MayStep: true, MaxSlew: 500e-6, Random: rng.Uint64,
	}
	if role == RoleMaster {
		cfg.ID, cfg.Start = 1, 10
	}
	if change != nil {
		change(&cfg)
	}
	b := &bench{t: t}
	n, err := New(cfg, b.moment())
	if err != nil {
		t.Fatal(err)
	}
	b.node = n
	return b
}

func (b *bench) moment() Moment {
	return Moment{Now: b.now, Raw: int64(b.now), Wall: wallStart + int64(b.now+b.shift), Width: 100}
}

// give hands the node an input now and keeps the effects.
func (b *bench) give(in Input) []Effect {
	b.out = kept(b.node.Handle(b.moment(), in))
	return b.out
}

// kept copies effects that are the node's.
func kept(effects []Effect) []Effect {
	effects = slices.Clone(effects)
	for i, e := range effects {
		switch e := e.(type) {
		case *Send:
			s := *e
			s.Data = bytes.Clone(s.Data)
			effects[i] = &s
		case *Steer:
			s := *e
			effects[i] = &s
		}
	}
	return effects
}

// after lets time pass and ticks the node at each of its deadlines on the way. It returns all effects.
func (b *bench) after(d time.Duration) []Effect {
	var all []Effect
	for end := b.now + d; ; {
		next := b.node.Deadline()
		if next > end {
			b.now = end
			b.out = all
			return all
		}
		b.now = max(b.now, next)
		all = append(all, b.give(Tick{})...)
	}
}

func (b *bench) packet(from netip.AddrPort, data []byte) []Effect {
	b.ring.Seal(data, b.key)
	return b.give(&Packet{Data: data, From: from, Iface: 1, Stamp: wallStart + int64(b.now), Kernel: true})
}

// sends lists the packets among effects, opened.
func sends[T any](t *testing.T, effects []Effect, parse func(netproto.Header, []byte) (T, error), kind netproto.Kind) (hs []netproto.Header, ts []T) {
	t.Helper()
	for _, e := range effects {
		s, ok := e.(*Send)
		if !ok {
			continue
		}
		h, body, err := netproto.Inspect(s.Data)
		if err != nil {
			t.Fatalf("the node sent what it would not open: %v", err)
		}
		if h.Kind != kind {
			continue
		}
		p, err := parse(h, body)
		if err != nil {
			t.Fatalf("the node sent a %v that it would not parse: %v", kind, err)
		}
		hs, ts = append(hs, h), append(ts, p)
	}
	return hs, ts
}

func replies(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Reply) {
	return sends(t, effects, netproto.ParseReply, netproto.KindReply)
}

func polls(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Poll) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Poll, error) { return netproto.ParsePoll(b) }, netproto.KindPoll)
}

func acks(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Ack) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Ack, error) { return netproto.ParseAck(b) }, netproto.KindAck)
}

func adjusts(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Adjust) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Adjust, error) { return netproto.ParseAdjust(b, nil) }, netproto.KindAdjust)
}

func count[T Effect](effects []Effect) int { return len(of[T](effects)) }

func said(effects []Effect, text string) bool {
	for _, e := range effects {
		if n, ok := e.(Note); ok && strings.Contains(n.Text, text) {
			return true
		}
	}
	return false
}

// wantDrop demands that exactly one more datagram was dropped, for this reason, and that nothing else came of it.
func (b *bench) wantDrop(d Drop, data []byte) {
	b.t.Helper()
	before := b.node.Status()
	effects := b.packet(masterAddr, data)
	after := b.node.Status()
	if got := after.Drops[d] - before.Drops[d]; got != 1 || after.Drops.Total()-before.Drops.Total() != 1 {
		b.t.Errorf("%v counted %d times, of %d drops in all; want once", d, got, after.Drops.Total()-before.Drops.Total())
	}
	if len(effects) != 0 {
		b.t.Errorf("a dropped datagram had effects: %+v", effects)
	}
	before.Drops = after.Drops
	if before != after {
		b.t.Errorf("a dropped datagram changed the node:\n%+v\n%+v", before, after)
	}
}

func header(seq uint32) netproto.Header {
	return netproto.Header{Group: group, Sender: 1, Start: 10, Seq: seq, Lineage: 99, Term: 1}
}

func pollOf(seq uint32, change func(*netproto.Header, *netproto.Poll)) []byte {
	h := header(seq)
	p := netproto.Poll{
		Nonce: netproto.Nonce(1000 + seq), Interval: 1_000_000, Window: 100_000, Slots: 1, Members: 2, Priority: 100,
		Phase: netproto.PhaseKeeping,
	}
	if change != nil {
		change(&h, &p)
	}
	return p.Append(nil, h)
}

// exchange plays a whole round with a slave: Poll, its Reply, the Ack. It returns the Reply's nonce.
func (b *bench) exchange(seq uint32) netproto.Nonce {
	b.t.Helper()
	return b.exchangeIn(seq, netproto.PhaseKeeping)
}

// exchangeIn is exchange in a phase of the master's.
func (b *bench) exchangeIn(seq uint32, phase netproto.Phase) netproto.Nonce {
	b.t.Helper()
	end := b.now + 100*time.Millisecond
	poll := pollOf(seq, func(_ *netproto.Header, p *netproto.Poll) { p.Phase = phase })
	_, rs := replies(b.t, b.packet(masterAddr, poll)) // a slot of 0 is at once
	for len(rs) == 0 && b.now < end {
		_, rs = replies(b.t, b.after(5*time.Millisecond))
	}
	if len(rs) != 1 {
		b.t.Fatalf("round %d: %d replies, want 1", seq, len(rs))
	}
	b.packet(masterAddr, ackOf(seq, rs[0].Nonce, 0, 0))
	b.after(end - b.now)
	b.give(Tick{})
	return rs[0].Nonce
}

func ackOf(seq uint32, nonce netproto.Nonce, repeat uint8, flags netproto.Flags) []byte {
	h := header(seq)
	h.Flags = flags
	a := netproto.Ack{Echo: nonce, Repeat: repeat}
	return a.Append(nil, h)
}

func adjustOf(seq uint32, nonce netproto.Nonce, delta time.Duration, change func(*netproto.Header, *netproto.Adjust)) []byte {
	h := header(seq)
	a := netproto.Adjust{
		Voters: 2, Members: 2, Parts: 1, Phase: netproto.PhaseKeeping,
		Rotation: netproto.Rotation{Epoch: netproto.Stamp(wallStart)},
		Entries:  []netproto.Entry{{ID: 2, Nonce: nonce, Delta: int64(delta), Bound: 1000, Standing: netproto.StandingVoter}},
	}
	if change != nil {
		change(&h, &a)
	}
	return a.Append(nil, h)
}

// ringOf makes a ring of keys that are told apart by a number, the newest first.
func ringOf(t testing.TB, group uint32, which ...byte) *netproto.Ring {
	t.Helper()
	var keys []netproto.Key
	for _, w := range which {
		k, err := netproto.NewKey(bytes.Repeat([]byte{w}, netproto.SecretLen))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	r, err := netproto.NewRing(group, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealed seals a packet under the newest key of a ring.
func sealed(r *netproto.Ring, data []byte) []byte {
	r.Seal(data, r.Newest())
	return data
}
