package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// known is a slave that has met its master: only to one that has proved itself are replies sent again.
func known(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	b.packet(masterAddr, adjustOf(1, nonce, 0, nil))
	return b
}

// PROTOCOL.md 8.8. With a fifth of all datagrams lost, a slave without this heard of its master in 51 % of the rounds, and masters changed
// 22 times in five minutes.
func TestAReplyThatNobodyAcksIsSentAgain(t *testing.T) {
	b := known(t)
	polled := b.now
	effects := b.packet(masterAddr, pollOf(2, nil))
	_, rs := replies(t, append(effects, b.after(time.Second)...))
	if len(rs) != maxTries {
		t.Fatalf("%d replies without an Ack, want %d", len(rs), maxTries)
	}
	for i, r := range rs {
		if int(r.Repeat) != i || r.Echo != rs[0].Echo || r.T2 != rs[0].T2 || i > 0 && r.Nonce == rs[i-1].Nonce {
			t.Errorf("reply %d: %+v, want the next number, a fresh nonce and the rest as before", i, r)
		}
		if at := time.Duration(int64(r.T3)-wallStart) - polled; at > 250*time.Millisecond {
			t.Errorf("reply %d after %v: the round is over by then", i, at)
		}
	}
}

// PROTOCOL.md 8.8: to a stranger it is not; who forges Polls would have its victims flooded.
func TestAStrangerGetsOneReply(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	effects := b.packet(masterAddr, pollOf(1, nil))
	if _, rs := replies(t, append(effects, b.after(time.Second)...)); len(rs) != 1 {
		t.Errorf("%d replies to a stranger, want 1", len(rs))
	}
}

// PROTOCOL.md 8.8 and 8.10. An Ack that comes after its reply was sent again proves the master and tells of its own exchange, not of the later
// reply's; and the slave waits longer from now on.
func TestALateAckBelongsToItsOwnReply(t *testing.T) {
	b := known(t)
	effects := b.packet(masterAddr, pollOf(2, nil))
	_, rs := replies(t, append(effects, b.after(leastPatience+leastPatience/2)...))
	if len(rs) != 2 {
		t.Fatalf("%d replies, want 2", len(rs))
	}
	acks := b.node.Status().Traffic.Acks
	if _, more := replies(t, b.packet(masterAddr, ackOf(2, rs[0].Nonce, 0, netproto.FlagAgain))); len(more) != 0 {
		t.Errorf("%d replies to a late Ack, want none: the later reply is out", len(more))
	}
	late := netproto.Stamp(wallStart + int64(b.now))
	_, more := replies(t, b.packet(masterAddr, ackOf(2, rs[1].Nonce, 1, netproto.FlagAgain)))
	if len(more) != 1 || more[0].Earlier.Repeat != 1 || more[0].Earlier.T6 != late || more[0].Earlier.T3 != rs[1].T3 || more[0].Repeat != 2 {
		t.Errorf("%+v to the Ack of the later reply, want repeat 2 that tells of exchange 1", more)
	}
	if got := b.node.Status().Traffic.Acks - acks; got != 2 {
		t.Errorf("%d Acks taken, want 2", got)
	}
	if got := b.node.follow.master.patience; got != 2*leastPatience-2*leastPatience/8 {
		t.Errorf("waits %v for an Ack now, want twice as long as before, less an eighth for the one in time", got)
	}
	b.wantDrop(DropDuplicate, ackOf(2, rs[0].Nonce, 0, 0))
	for seq := range uint32(10) {
		b.exchange(seq + 3)
	}
	if got := b.node.follow.master.patience; got != leastPatience {
		t.Errorf("waits %v after ten quick rounds: one busy second must not end the resending", got)
	}
}

// PROTOCOL.md 8.10. The Ack of the master's last exchange was lost: the slave tells of the one before, whose stamps here are gone. Taken for
// the last one's they would be a clock's error of as much as lay between the two.
func TestAnExchangeWhoseAckWasLostIsNotMeasured(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	hs, ps := b.firstPoll()
	reply := func(repeat uint8, told *netproto.Earlier) {
		b.now += 25 * time.Millisecond
		stamp := netproto.Stamp(wallStart + int64(b.now))
		r := netproto.Reply{Echo: ps[0].Nonce, Nonce: netproto.Nonce(50 + repeat), T2: netproto.Stamp(wallStart), T3: stamp, Repeat: repeat}
		if told != nil {
			r.Earlier = *told
		}
		h := netproto.Header{Group: group, Sender: 2, Start: 7, Seq: hs[0].Seq, Flags: netproto.FlagKernelRX | netproto.FlagKernelTX}
		b.packet(slaveAddr, r.Append(nil, h))
	}
	reply(0, nil)
	first := netproto.Stamp(wallStart + int64(b.now))
	told := &netproto.Earlier{Seq: hs[0].Seq, Repeat: 0, T3: first, T6: first + netproto.Stamp(100*time.Microsecond)}
	reply(1, told)  // whose Ack is lost
	told.T6 = first // as good as an exchange can look
	p := b.node.lead.peers[0]
	before, _ := p.filter.Best()
	reply(2, told)
	after, _ := p.filter.Best()
	if before != after || before.Delay > int64(time.Millisecond) {
		t.Errorf("sample %+v became %+v by an exchange that is not known", before, after)
	}
	if p.repeat != 2 || p.exchanges != 3 {
		t.Errorf("reply %d of %d taken: want the third nevertheless", p.repeat, p.exchanges)
	}
}

// PROTOCOL.md 9.10: halfway through the wait for Claims the Candidate is multicast once more.
func TestACandidateAsksTwice(t *testing.T) {
	b := lost(t, true)
	stood, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
	_, first := candidates(t, effects)
	again, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
	_, second := candidates(t, effects)
	if first[0] != second[0] || again-stood != 62500*time.Microsecond {
		t.Errorf("asked %+v, and %v later %+v: want the same after a sixteenth of the interval", first[0], again-stood, second[0])
	}
	if led, _ := b.upTo(netproto.KindPoll, time.Second); led-stood != 125*time.Millisecond {
		t.Errorf("took office %v after standing, want an eighth of the interval", led-stood)
	}
}

// PROTOCOL.md 8.26: an Adjust states the least pace of all members.
func TestPaceIsTheSlowestMembers(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4)
	f[0].pace, f[1].pace = 1, 40_000 // a pace that nobody can be configured to is none
	b.founded(f...)
	_, as := adjusts(t, b.round(f...))
	if len(as) != 1 || as[0].Pace != 40_000 {
		t.Fatalf("%+v, want one with the pace of the slowest, 40 ppm", as)
	}
}

// PROTOCOL.md 8.26: whoever goes over to another LAN slews at its pace till it is there, and at its own one before and afterwards.
func TestWhoGoesOverKeepsThePace(t *testing.T) {
	b := newBench(t, RoleSlave, func(c *Config) { c.Step = StepNever })
	slews := func(seq uint32, delta time.Duration, lineage uint64) float64 {
		nonce := b.exchange(seq)
		effects := b.packet(masterAddr, adjustOf(seq, nonce, delta, func(h *netproto.Header, a *netproto.Adjust) {
			a.Pace, h.Lineage = 40_000, lineage
		}))
		for _, e := range effects {
			if s, ok := e.(*Steer); ok {
				return s.MaxSlew
			}
		}
		t.Fatal("not steered")
		return 0
	}
	if got := slews(1, 10*time.Millisecond, 99); got != 500e-6 {
		t.Errorf("at its first LAN it slews at %g, want its own 500 ppm", got)
	}
	if got := slews(2, 10*time.Millisecond, 100); got != 40e-6 {
		t.Errorf("on its way to another LAN it slews at %g, want that one's 40 ppm", got)
	}
	b.shift = 20 * time.Millisecond
	if got := slews(3, 0, 100); got != 500e-6 {
		t.Errorf("once it is there it slews at %g, want its own 500 ppm", got)
	}
}

// A voter that is not heard in a round counts in the mean rate by what it said last: the mean of the others is another one.
func TestRateCentringRemembersWhomItDoesNotHear(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	f[0].rate, f[1].rate = 90e-6, -90e-6
	b.founded(f...)
	before := b.node.lead.sum.Rate
	b.round(f[0]) // 3 is not heard
	if moved := (b.node.lead.sum.Rate - before).Fraction(); moved < -1e-6 || moved > 1e-6 {
		t.Errorf("LAN time's rate moved by %+.1f ppm, though the mean of all three is 0", moved*1e6)
	}
}

// PROTOCOL.md 8.10. A busy host learns when its reply left after the Ack has come: the stamp still counts.
func TestAStampThatComesAfterTheAckCounts(t *testing.T) {
	b := known(t)
	effects := b.packet(masterAddr, pollOf(2, nil))
	_, rs := replies(t, effects)
	token := of[*Send](effects)[0].Token
	exact := wallStart + int64(b.now) + 54_321
	b.now += time.Millisecond
	b.packet(masterAddr, ackOf(2, rs[0].Nonce, 0, 0))
	b.give(&Sent{Token: token, Iface: 1, Stamp: exact, Kernel: true})
	if then := b.node.follow.master.then; then.raw != int64(b.now)-1_000_000+54_321 || !then.kernel {
		t.Errorf("the exchange's stamp is %+v, want the kernel's", then)
	}
	if !b.node.Status().Kernel {
		t.Error("status does not say that kernels stamp")
	}
}

// PROTOCOL.md 8.16. A member that leaves after the LAN's rate has been centred, though within the rounds of fast centring, bends it slowly; killing
// the master of four kernels after 50 rounds moved the rate by 10 to 15 ppm within seconds.
func TestALeaverWithinTheFastCentringBendsSlowly(t *testing.T) {
	for _, c := range []struct {
		rounds int
		slow   bool
	}{{centredRounds - 15, false}, {centredRounds + 2, true}} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3)
		f[0].rate, f[1].rate = 90e-6, -90e-6
		b.founded(f...)
		for b.node.lead.founded < c.rounds {
			b.round(f...)
		}
		for range forget + 1 { // 3 has left
			b.round(f[0])
		}
		before := b.node.lead.sum.Rate
		b.round(f[0])
		if moved := (b.node.lead.sum.Rate - before).Fraction() / 1e-6; (moved > -1) != c.slow {
			t.Errorf("a member left after %d rounds: the rate moves by %+.2f ppm a round; slowly: %v", c.rounds, moved, c.slow)
		}
	}
}

// And so it is with the master that leaves: its successor does not know its rate.
func TestATakeoverWithinTheFastCentringBendsSlowly(t *testing.T) {
	for _, c := range []struct{ rounds, founded int }{{10, 10}, {centredRounds + 1, foundingRounds}} {
		b := lost(t, true)
		b.node.age = c.rounds
		b.upTo(netproto.KindPoll, 10*time.Second)
		if got := b.node.lead.founded; got != c.founded {
			t.Errorf("after %d rounds of the LAN the new master goes on as after %d, want %d", c.rounds, got, c.founded)
		}
	}
}
