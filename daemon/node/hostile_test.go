package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// twoMasters is a master with a LAN of three, and the header and Poll of another one.
func twoMasters(t *testing.T) (*bench, netproto.Header, netproto.Poll) {
	t.Helper()
	b := newBench(t, RoleMaster, nil)
	b.founded(following(2, 3)...)
	h := header(40)
	h.Sender, h.Start, h.Term = 5, 50, 4
	return b, h, netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
}

// PROTOCOL.md 9.16: a Claim that somebody held back tells how many obeyed long ago.
func TestLateClaimDecidesNothing(t *testing.T) {
	b, h, p := twoMasters(t)
	_, cs := candidates(t, b.packet(slaveAddr, p.Append(nil, h)))
	if len(cs) != 1 {
		t.Fatalf("asked %d times, want once", len(cs))
	}
	b.now += time.Second + time.Millisecond
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 5, Voters: 1000, Priority: 255}
	stale := b.node.Dropped()[DropStale]
	if b.packet(slaveAddr, claim.Append(nil, h)); b.node.lead == nil || b.node.Dropped()[DropStale] != stale+1 {
		t.Error("a Claim of more than an interval after the question was believed")
	}
}

// A Poll that anybody may have recorded, answered in between, does not keep the master from hearing that this clock jumped.
func TestStrangersPollKeepsTheWordOfAJump(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.exchange(1)
	b.node.startled()
	jumped := func(data []byte) bool {
		b.packet(masterAddr, data)
		hs, _ := replies(t, b.after(time.Second))
		if len(hs) == 0 {
			t.Fatal("no reply")
		}
		return hs[0].Flags&netproto.FlagJumped != 0
	}
	stranger := jumped(pollOf(7, func(h *netproto.Header, _ *netproto.Poll) { h.Sender, h.Start = 9, 90 }))
	if master := jumped(pollOf(2, nil)); !stranger || !master {
		t.Errorf("told the stranger: %v, told the master: %v; want both", stranger, master)
	}
	if jumped(pollOf(3, nil)) {
		t.Error("told the master twice")
	}
}

// PROTOCOL.md 9.16: old Polls that come from anywhere do not keep two masters from meeting: who is not answered asks all.
func TestUnansweredQuestionGoesToAll(t *testing.T) {
	b, h, p := twoMasters(t)
	asks := func() (groups []bool) {
		for _, e := range b.packet(slaveAddr, p.Append(nil, h)) {
			if s, is := e.(*Send); is {
				groups = append(groups, s.Group)
			}
		}
		return groups
	}
	if first := asks(); len(first) != 1 || first[0] {
		t.Fatalf("first asked %v, want once, by unicast", first)
	}
	b.now += 600 * time.Millisecond
	if second := asks(); len(second) != 1 || !second[0] {
		t.Errorf("then asked %v, want once, all", second)
	}
}

// What is old, or gets no answer anyhow, leaves the answers to who needs one.
func TestOldPacketsUseNoAnswersUp(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	of := func(id netproto.ID) []byte {
		return pollOf(5, func(h *netproto.Header, _ *netproto.Poll) { h.Sender, h.Start = id, 90 })
	}
	h := header(1)
	h.Sender, h.Start = 8, 80
	c := netproto.Candidate{Nonce: 77, Priority: 1}
	b.packet(masterAddr, of(9))
	for range 2 * budgetBurst {
		b.packet(masterAddr, of(9))
		b.packet(masterAddr, c.Append(nil, h)) // this node knows no master, and does not stand
	}
	b.packet(masterAddr, of(10))
	if _, rs := replies(t, b.after(time.Second)); len(rs) != 2 || b.node.Dropped()[DropBusy] != 0 {
		t.Errorf("%d of 2 masters answered, %d packets too many", len(rs), b.node.Dropped()[DropBusy])
	}
}

// BenchmarkHostile is what a node pays for a hostile packet of 88 to 256 bytes, once it is out of the socket.
func BenchmarkHostile(b *testing.B) {
	key, err := netproto.NewKey(make([]byte, netproto.SecretLen))
	if err != nil {
		b.Fatal(err)
	}
	ring, err := netproto.NewRing(group, key)
	if err != nil {
		b.Fatal(err)
	}
	sealed := func(data []byte) []byte {
		ring.Seal(data, 0)
		return data
	}
	poll := sealed(pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Sender = 9 }))
	forged := append([]byte(nil), poll...)
	forged[len(forged)-1] ^= 1
	for name, data := range map[string][]byte{
		"forged": forged, "keyless": pollOf(1, nil), "replayed": poll, "empty": nil, "oversized": make([]byte, 9000),
	} {
		b.Run(name, func(b *testing.B) {
			n := newBench(&testing.T{}, RoleSlave, func(c *Config) { c.Ring = ring.Clone() })
			n.packet(masterAddr, poll)
			n.after(time.Second)
			b.ReportAllocs()
			for b.Loop() {
				n.packet(masterAddr, data)
			}
		})
	}
}
