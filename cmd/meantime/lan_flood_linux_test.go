package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"meantime/netproto"
)

// Offsets and lengths of what a raider knows of packets.
const (
	keyAt  = 12
	termAt = 40
)

// raids are the ways of one who has heard everything on the LAN and has no key.
var raids = []struct {
	name  string
	spoil func(r *rand.Rand, h heard) shot
}{
	{"forged", func(r *rand.Rand, h heard) shot { // right group and key, a later term, and a guessed tag
		h.data[termAt+7] += byte(1 + r.IntN(3))
		for i := len(h.data) - netproto.TagLen; i < len(h.data); i++ {
			h.data[i] = byte(r.Uint32())
		}
		return shot{h.from, h.to, h.data}
	}},
	{"forged without a key", func(_ *rand.Rand, h heard) shot { // as it would be in order under the null key
		copy(h.data[keyAt:], make([]byte, 4))
		copy(h.data[len(h.data)-netproto.TagLen:], make([]byte, netproto.TagLen))
		return shot{h.from, h.to, h.data}
	}},
	{"mutated", func(r *rand.Rand, h heard) shot {
		for range 1 + r.IntN(8) {
			h.data[r.IntN(len(h.data))] ^= 1 << r.IntN(8)
		}
		return shot{h.from, h.to, h.data}
	}},
	{"replayed", func(_ *rand.Rand, h heard) shot { return shot{h.from, h.to, h.data} }},
	{"reflected", func(_ *rand.Rand, h heard) shot { return shot{h.to, h.from, h.data} }},
	{"truncated", func(r *rand.Rand, h heard) shot { return shot{h.from, h.to, h.data[:r.IntN(len(h.data))]} }},
	{"foreign group", func(r *rand.Rand, h heard) shot {
		h.data[groupAt+r.IntN(4)] ^= byte(1 + r.IntN(255))
		return shot{h.from, h.to, h.data}
	}},
}

// raid gives count datagrams of all ways in turn. Half go where the packet they were made of went, the others to anybody; half come
// under the address that it came from, the others under that of another member or of nobody.
func (o *raider) raid(count int, recent func() heard, nodes []*process) func() (shot, bool) {
	to, n := targets(nodes), 0
	return func() (shot, bool) {
		if n++; n > count {
			return shot{}, false
		}
		h := recent()
		h.data = slices.Clone(h.data)
		s := raids[n%len(raids)].spoil(o.rand, h)
		if o.rand.IntN(2) == 0 || s.to.Addr().IsMulticast() && s.from.Addr().IsMulticast() {
			s.to = to[o.rand.IntN(len(to))]
		}
		if o.rand.IntN(2) == 0 || s.from.Addr().IsMulticast() || s.from.Addr() == s.to.Addr() {
			s.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, 0, byte(1 + o.rand.IntN(250))}), s.from.Port())
		}
		return s, true
	}
}

// TestLANHostile: a million packets of one who hears everything and has no key: none is obeyed, and the clocks do not notice.
func TestLANHostile(t *testing.T) {
	const hostile, rate, settle, quiet = 1_000_000, 30_000, 14 * time.Second, 8 * time.Second
	takes(t, time.Minute)
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	nodes := startLAN(b, keyed(b), "--poll", "250ms")
	rec := record(b, b.hosts...)
	o := newRaider(b)
	time.Sleep(settle)
	start, begin, before := time.Now(), rawNow(t), deeds(nodes)
	idle := cpuTime(t, nodes)
	time.Sleep(quiet)
	idle = cpuTime(t, nodes) - idle
	was := rec.since(start)
	raid := time.Now()
	attack, from, busy := time.Now(), rawNow(t), cpuTime(t, nodes)
	at := 0
	sent := o.fire(rate, 45*time.Second, o.raid(hostile, func() heard {
		if at++; at%1000 == 0 { // what is sent is seconds old at most
			was = append(was, rec.since(attack)...)
			was, attack = was[max(0, len(was)-2000):], time.Now()
		}
		return was[o.rand.IntN(len(was))]
	}, nodes))
	end, took := rawNow(t), time.Duration(rawNow(t)-from)
	c := tallyOf(t, rec.since(raid))
	t.Logf("meanwhile: %d polls, %d replies, %d acks, %d rounds of slaves served", c.polls, c.replies, c.acks, c.served)
	busy = cpuTime(t, nodes) - busy
	time.Sleep(time.Second)
	disobeyed(t, before, deeds(nodes), tallyOf(t, rec.since(start)[:1]).with(tallyOf(t, was)), tallyOf(t, rec.since(start)))
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	f, g := all.between(begin, from).figures(), all.between(from, end).figures()
	t.Logf("%d hostile packets in %.1f s (%.0f a second): before %v; during %v; ratio of medians %.2f",
		sent, took.Seconds(), float64(sent)/took.Seconds(), f, g, float64(g.median)/float64(f.median))
	extra := busy - time.Duration(float64(idle)*took.Seconds()/quiet.Seconds())
	t.Logf("%v of processor time for %d nodes together beyond their usual, %.2f µs for a packet sent; resident at most %d KiB",
		extra, len(nodes), extra.Seconds()*1e6/float64(sent), peak(nodes))
	tell(t, nodes)
	if sent < hostile {
		t.Errorf("only %d packets in 45 s", sent)
	}
	if most := peak(nodes); most > 64<<10 {
		t.Errorf("%d KiB were resident: memory grows with what arrives", most)
	}
	if strayed := strays(all.between(begin, from), all.between(from, end), f.rate); strayed > 1e6 {
		t.Errorf("LAN time strayed by %.0f µs", strayed/1e3)
	}
}

// with joins two tallies.
func (c tally) with(other tally) tally {
	c.term = max(c.term, other.term)
	for id := range other.masters {
		c.masters[id] = true
	}
	return c
}

// TestLANReplayed: everything that a LAN ever sent, sent again after everybody has started anew, at several speeds, moves nothing.
func TestLANReplayed(t *testing.T) {
	const first, settle = 12 * time.Second, 12 * time.Second
	takes(t, time.Minute)
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	key := keyed(b)
	hosts := b.lan(len(lanPPM))
	states := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	start := func() (nodes []*process) {
		for i, h := range hosts {
			role := "auto"
			if i == 0 {
				role = "master"
			}
			nodes = append(nodes, h.run(key+fmt.Sprintf("state_dir: %s\n", filepath.Join(states[i], "state")), "--poll", "250ms", "--role", role,
				"--virtual-frequency", fmt.Sprintf("%gppm", lanPPM[i])))
		}
		return nodes
	}
	rec := record(b, hosts...)
	o := newRaider(b)
	earlier := start()
	time.Sleep(first)
	stopAll(t, earlier...)
	tape := rec.since(time.Time{})
	c := tallyOf(t, tape)
	t.Logf("recorded %d packets in %v, term %d: %d polls, %d replies, %d acks, %d entries", len(tape), first, c.term, c.polls, c.replies, c.acks, c.served)
	again := time.Now()
	nodes := start()
	time.Sleep(settle)
	begin, before, was := rawNow(t), deeds(nodes), tallyOf(t, rec.since(again))
	settled := time.Now()
	replays := 0
	for _, speed := range []int{1, 10, 100} {
		from := time.Now()
		for _, h := range tape {
			time.Sleep(time.Until(from.Add(h.at.Sub(tape[0].at) / time.Duration(speed))))
			replays += o.fire(1_000_000, time.Second, once(shot{h.from, h.to, h.data}))
		}
	}
	to, n := targets(nodes), 0
	replays += o.fire(2_000, 20*time.Second, func() (shot, bool) { // each to everybody; floods of them are TestLANFlood's matter
		h := tape[n%len(tape)]
		s := shot{h.from, to[n/len(tape)%len(to)], h.data}
		n++
		return s, n <= 3*len(to)*len(tape)
	})
	end := rawNow(t)
	is := tallyOf(t, rec.since(settled))
	disobeyed(t, before, deeds(nodes), tally{term: was.term, masters: is.masters}, is)
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	g := all.between(begin, end).figures()
	t.Logf("%d packets replayed: %v", replays, g)
	tell(t, nodes)
	for _, wrong := range g.disagree(time.Duration(end-begin), time.Millisecond, time.Millisecond) {
		t.Error(wrong)
	}
}

// once gives one shot.
func once(s shot) func() (shot, bool) {
	left := 2
	return func() (shot, bool) { left--; return s, left > 0 }
}

// TestLANFlood: how much a LAN stands of one who sends as fast as it can: blindly, so that the kernel's filter refuses it, and with the
// group and key id that it has heard, so that the tag has to be computed, and with what it has recorded, which the node alone can tell from
// the living. What is lost costs samples, never time.
func TestLANFlood(t *testing.T) {
	const settle, span, kept = 14 * time.Second, 3 * time.Second, 0.99
	takes(t, time.Minute)
	b := enter(t, 3*time.Minute) // a busy machine takes half as long again
	if b == nil {
		return
	}
	nodes := startLAN(b, keyed(b), "--poll", "250ms")
	rec := record(b, b.hosts...)
	o := newRaider(b)
	time.Sleep(settle)
	begin, start := rawNow(t), time.Now()
	time.Sleep(span)
	was := rec.since(start)
	flooded := rawNow(t)
	to := targets(nodes[:1]) // the group and the master, to whom everybody replies
	for _, kind := range []string{"blind", "informed", "recorded"} {
		best := 0.0
		for _, rate := range []int{3_000, 10_000, 30_000, 100_000} {
			data, n := slices.Clone(was[0].data), 0
			switch kind {
			case "blind":
				data[groupAt] ^= 1
			case "informed":
				data[len(data)-1] ^= 1
			}
			at := time.Now()
			sent := o.fire(rate, span, func() (shot, bool) {
				n++
				return shot{netip.AddrPortFrom(o.host.addr, 999), to[n%len(to)], data}, true
			})
			took := time.Since(at).Seconds()
			c := tallyOf(t, rec.since(at))
			share := float64(c.acks) / float64(max(1, c.replies))
			t.Logf("%s flood of %6.0f a second: %3d of %3d replies kept (%.1f %%), %d of %d rounds of slaves served", kind,
				float64(sent)/took, c.acks, c.replies, 100*share, c.served, c.polls*(len(nodes)-1))
			if share >= kept && c.served > 0 {
				best = float64(sent) / took
			}
		}
		t.Logf("%s: 99 %% of the replies are kept up to %.0f packets a second", kind, best)
	}
	end := rawNow(t)
	time.Sleep(2 * time.Second)
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	f, g := all.between(begin, flooded).figures(), all.between(flooded, end).figures()
	strayed := strays(all.between(begin, flooded), all.between(flooded, end), f.rate)
	t.Logf("before: %v; during: %v; LAN time strayed %.1f µs", f, g, strayed/1e3)
	if strayed > 1e6 || g.max > time.Millisecond {
		t.Errorf("a flood moved the clocks: %v, LAN time by %.1f µs", g, strayed/1e3)
	}
	tell(t, nodes)
}
