package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

func TestSlaveAnswersOnceInItsSlot(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	effects := b.packet(masterAddr, pollOf(1, func(_ *netproto.Header, p *netproto.Poll) { p.Window = 500_000 }))
	if n := count[*Send](effects); n != 0 {
		t.Fatalf("%d packets before the slot", n)
	}
	hs, rs := replies(t, b.after(500*time.Millisecond))
	if len(rs) != 1 {
		t.Fatalf("%d replies within the window, want 1", len(rs))
	}
	if rs[0].Echo != 1001 || rs[0].T2 != netproto.Stamp(wallStart) || rs[0].T3 < rs[0].T2 || hs[0].Seq != 1 {
		t.Errorf("reply %+v to poll 1 received at %d", rs[0], wallStart)
	}
	if more := count[*Send](b.after(time.Second)); more != 0 {
		t.Errorf("%d packets after the reply", more)
	}
}

// PROTOCOL.md 8.7: slot s is at window·s/slots.
func TestSlaveKeepsToTheSlotItWasGiven(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	b.packet(masterAddr, adjustOf(1, nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Slot = 3 }))
	b.after(time.Second)
	polled := b.now
	b.packet(masterAddr, pollOf(2, func(_ *netproto.Header, p *netproto.Poll) { p.Window, p.Slots = 400_000, 4 }))
	for range 50 {
		if _, rs := replies(t, b.after(10*time.Millisecond)); len(rs) > 0 {
			if at := b.now - polled; at < 300*time.Millisecond || at > 310*time.Millisecond {
				t.Errorf("reply %v after the poll, want 300 ms", at)
			}
			return
		}
	}
	t.Error("no reply")
}

// PROTOCOL.md 8.8: to an Ack with `again`, the next Reply at once, with a fresh nonce and the exact stamps of the one before.
func TestSlaveRepeatsWhenAsked(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, pollOf(1, nil))
	effects := b.after(100 * time.Millisecond)
	_, rs := replies(t, effects)
	exact := wallStart + int64(b.now) + 12_345
	for _, e := range effects {
		if s, ok := e.(*Send); ok {
			b.give(&Sent{Token: s.Token, Iface: 1, Stamp: exact, Kernel: true})
		}
	}
	b.now += time.Millisecond
	hs, again := replies(t, b.packet(masterAddr, ackOf(1, rs[0].Nonce, 0, netproto.FlagAgain)))
	if len(again) != 1 {
		t.Fatalf("%d replies to an Ack that asks for one", len(again))
	}
	r := again[0]
	if r.Repeat != 1 || r.Nonce == rs[0].Nonce || r.Echo != rs[0].Echo {
		t.Errorf("second reply %+v after first %+v", r, rs[0])
	}
	want := netproto.Earlier{Seq: 1, Repeat: 0, T3: netproto.Stamp(exact), T6: netproto.Stamp(wallStart + int64(b.now))}
	if r.Earlier != want {
		t.Errorf("earlier block %+v, want %+v", r.Earlier, want)
	}
	if hs[0].Flags&netproto.FlagKernelTX == 0 {
		t.Error("a kernel transmit stamp is not shown as one")
	}
}

// However often a master asks, a slave ends the round by itself.
func TestSlaveRepeatsOnlySoOften(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, pollOf(1, nil))
	_, rs := replies(t, b.after(100*time.Millisecond))
	sent := len(rs)
	for i := range uint8(20) {
		if len(rs) == 0 {
			break
		}
		_, rs = replies(t, b.packet(masterAddr, ackOf(1, rs[0].Nonce, i, netproto.FlagAgain)))
		sent += len(rs)
	}
	if sent != maxRepeats {
		t.Errorf("%d replies in a round, want %d", sent, maxRepeats)
	}
}

func TestSlaveFollowsAnAdjustWithItsNonce(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	effects := b.packet(masterAddr, adjustOf(1, nonce, 5*time.Minute, nil))
	var stepped time.Duration
	for _, e := range effects {
		if s, ok := e.(Step); ok {
			stepped = time.Duration(s.Delta)
		}
	}
	if stepped != 5*time.Minute {
		t.Errorf("stepped by %v, want 5m", stepped)
	}
	if count[Synchronised](effects) != 1 || count[*Steer](effects) != 1 {
		t.Errorf("effects %+v: want one Synchronised and one Steer", effects)
	}
	if s := b.node.Status(); s.State != StateFollowing || s.Lineage != 99 || s.Standing != netproto.StandingVoter {
		t.Errorf("status %+v", s)
	}
}

// Whatever is not fresh, not for this node or not from its master moves nothing.
func TestSlaveObeysNothingElse(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	foreign := func(h *netproto.Header, _ *netproto.Adjust) { h.Sender = 77 }
	b.wantDrop(DropUnasked, adjustOf(1, nonce, time.Hour, foreign))
	b.wantDrop(DropUnasked, adjustOf(1, nonce+1, time.Hour, nil))
	b.wantDrop(DropStale, adjustOf(2, nonce, time.Hour, nil))
	b.wantDrop(DropUnasked, ackOf(1, nonce+1, 0, netproto.FlagAgain))
	b.wantDrop(DropDuplicate, ackOf(1, nonce, 0, netproto.FlagAgain))
	b.wantDrop(DropDuplicate, pollOf(1, nil))
	good := adjustOf(1, nonce, time.Millisecond/4, nil)
	b.packet(masterAddr, good)
	b.wantDrop(DropDuplicate, good)
	b.after(time.Second)
	next := b.exchange(2)
	b.wantDrop(DropStale, good)
	b.wantDrop(DropStale, pollOf(1, nil))
	b.wantDrop(DropStale, adjustOf(2, next, time.Hour, func(h *netproto.Header, _ *netproto.Adjust) { h.Term = 0 }))
}

// PROTOCOL.md 8.11: a Poll alone, however often, makes nobody master and renews nothing.
func TestPollsAloneAreHearsay(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	for seq := uint32(1); seq <= 20; seq++ {
		b.packet(masterAddr, pollOf(seq, nil))
		b.after(time.Second)
	}
	if s := b.node.Status(); s.State != StateListening || s.Master != 0 {
		t.Errorf("after 20 polls and no Ack: %s, master %v", s.State, s.Master)
	}
	b.exchange(21)
	effects := []Effect{}
	for seq := uint32(22); seq <= 30; seq++ { // polls go on, Acks do not: as a recording played back
		b.packet(masterAddr, pollOf(seq, nil))
		effects = append(effects, b.after(time.Second)...)
	}
	if !said(effects, "master is silent") || b.node.Status().State != StateHoldover {
		t.Errorf("polls without proof kept the master alive: %s", b.node.Status().State)
	}
}

func TestSlaveWithoutAMasterSaysSo(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	if !said(b.after(listenFor+time.Second), "no master heard") {
		t.Error("ten seconds of silence and not a word")
	}
	if effects := b.after(time.Hour); len(effects) != 0 {
		t.Errorf("said it more than once: %+v", effects)
	}
}

// A node that never adopted LAN time leaves its clock alone.
func TestNothingIsMovedBeforeTheFounding(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	effects := b.packet(masterAddr, adjustOf(1, nonce, time.Hour, func(_ *netproto.Header, a *netproto.Adjust) {
		a.Phase = netproto.PhaseHolding
	}))
	effects = append(effects, b.after(time.Minute)...)
	if n := count[*Steer](effects) + count[Step](effects); n != 0 {
		t.Errorf("the clock was touched %d times", n)
	}
}

func TestDryAndRealNodes(t *testing.T) {
	dryPoll := pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Flags = netproto.FlagDry })
	newBench(t, RoleSlave, nil).wantDrop(DropDry, dryPoll)
	b := newBench(t, RoleSlave, func(c *Config) { c.Dry = true })
	b.packet(masterAddr, dryPoll)
	hs, rs := replies(t, b.after(time.Second))
	if len(rs) != 1 || hs[0].Flags&netproto.FlagDry == 0 {
		t.Errorf("a dry slave answers a dry master with %d replies, flags %v", len(rs), hs)
	}
}

func TestASecondMasterIsNotObeyed(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	b.packet(masterAddr, adjustOf(1, nonce, 0, nil))
	other := func(h *netproto.Header, _ *netproto.Poll) { h.Sender, h.Start = 5, 50 }
	b.packet(slaveAddr, pollOf(1, other))
	_, rs := replies(t, b.after(100*time.Millisecond))
	if len(rs) != 1 || rs[0].Master != 1 {
		t.Fatalf("replies %+v: want one that names master 1", rs)
	}
	h := header(1)
	h.Sender, h.Start = 5, 50
	a := netproto.Ack{Echo: rs[0].Nonce}
	if effects := b.packet(slaveAddr, a.Append(nil, h)); !said(effects, "a second master") {
		t.Errorf("no word about the second master: %+v", effects)
	}
	if b.node.Status().Master != 1 {
		t.Errorf("the slave went over to %v", b.node.Status().Master)
	}
}

// Sessions are bounded, and hearsay cannot push the own master out.
func TestHearsayCannotPushTheMasterOut(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.exchange(1)
	for i := range 100 {
		b.packet(slaveAddr, pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Sender = netproto.ID(100 + i) }))
	}
	if n := len(b.node.follow.sessions); n > maxSessions {
		t.Errorf("%d sessions, want at most %d", n, maxSessions)
	}
	if b.node.follow.master == nil || b.node.follow.sessions[0] != b.node.follow.master {
		t.Error("the master's session is gone")
	}
}

func TestStepPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		delta  time.Duration
		steps  int
	}{
		"first since boot":          {nil, time.Minute, 1},
		"first, but small":          {nil, time.Millisecond / 2, 0},
		"never":                     {func(c *Config) { c.Step = StepNever }, time.Minute, 0},
		"boot, synchronised before": {func(c *Config) { c.MayStep = false }, time.Minute, 0},
		"always, beyond threshold": {func(c *Config) {
			c.Step, c.MayStep, c.StepThreshold = StepAlways, false, time.Second
		}, time.Minute, 1},
		"always, below threshold": {func(c *Config) {
			c.Step, c.MayStep, c.StepThreshold = StepAlways, false, time.Second
		}, time.Second / 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, RoleSlave, c.change)
			nonce := b.exchange(1)
			effects := b.packet(masterAddr, adjustOf(1, nonce, c.delta, nil))
			if n := count[Step](effects); n != c.steps {
				t.Errorf("%d steps for %v, want %d", n, c.delta, c.steps)
			}
			if c.steps == 0 {
				for _, e := range effects {
					if s, ok := e.(*Steer); ok && (time.Duration(s.Phase)-c.delta).Abs() > time.Microsecond {
						t.Errorf("slews %v, want %v", time.Duration(s.Phase), c.delta)
					}
				}
			}
		})
	}
}

// Before a slave joins a LAN it waits for a measurement that is good enough, for some rounds, whether its clock is stepped or slewed to it; a
// founder for two, and not for what its founding tells it, which goes by the best that there was.
func TestJoiningWaitsForAGoodMeasurement(t *testing.T) {
	for name, c := range map[string]struct {
		good   uint32 // from this round on it is measured well
		change func(*bench)
		entry  netproto.Standing
		phase  netproto.Phase // of the first Poll
		want   uint32         // the round in which it takes LAN time
	}{
		"at once":           {good: 1, want: 1},
		"later":             {good: 4, want: 4},
		"never":             {good: 99, want: patientRounds + 1},
		"a founder":         {good: 99, entry: netproto.StandingFounder, want: founderRounds + 1},
		"at its founding":   {good: 99, entry: netproto.StandingFounder, phase: netproto.PhaseGathering, want: 1},
		"beside a founding": {good: 99, entry: netproto.StandingNewcomer, phase: netproto.PhaseGathering, want: patientRounds + 1},
		"no step":           {good: 99, change: func(b *bench) { b.node.cfg.Step = StepNever }, want: patientRounds + 1},
		"restarted":         {good: 99, change: func(b *bench) { b.node.mayStep = false }, want: patientRounds + 1},
		"here already":      {good: 99, change: func(b *bench) { b.node.together = true }, want: 1},
		"founded alone":     {good: 99, change: func(b *bench) { b.node.lineage, b.node.synced = 77, true }, want: patientRounds + 1},
		"slept":             {good: 99, change: func(b *bench) { b.node.wait.rounds = 2 * patientRounds; b.give(Suspended{For: time.Hour}) }, want: patientRounds + 1},
	} {
		b := newBench(t, RoleSlave, nil)
		if c.change != nil {
			c.change(b)
		}
		took := uint32(0)
		for seq := uint32(1); seq <= 12 && took == 0; seq++ {
			phase := netproto.PhaseKeeping
			if seq == 1 && c.phase != 0 {
				phase = c.phase
			}
			nonce := b.exchangeIn(seq, phase)
			b.packet(masterAddr, adjustOf(seq, nonce, time.Second, func(_ *netproto.Header, a *netproto.Adjust) {
				if c.entry != 0 {
					a.Entries[0].Standing = c.entry
				}
				if seq < c.good {
					a.Entries[0].Bound = 20_000_000
				}
			}))
			if b.node.rounds > 0 {
				took = seq
			} else if s := b.node.Status().State; s != StateJoining {
				t.Errorf("%s: %s while it waits", name, s)
			}
			b.after(time.Second - 100*time.Millisecond)
		}
		if took != c.want {
			t.Errorf("%s: takes LAN time in round %d, want %d", name, took, c.want)
		}
	}
}

// Where no measurement is good the wait ends with one that is as good as the others were, and not with the next one, however bad.
func TestJoiningGoesByAnOrdinaryMeasurement(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	for seq := uint32(1); seq <= patientRounds+3; seq++ {
		nonce := b.exchange(seq)
		b.packet(masterAddr, adjustOf(seq, nonce, time.Second, func(_ *netproto.Header, a *netproto.Adjust) {
			a.Entries[0].Standing = netproto.StandingNewcomer
			if a.Entries[0].Bound = 2_000_000; seq > patientRounds && seq < patientRounds+3 {
				a.Entries[0].Bound = 40_000_000
			}
		}))
		if b.node.together != (seq == patientRounds+3) {
			t.Errorf("round %d: took LAN time: %v", seq, b.node.together)
		}
		b.after(time.Second - 100*time.Millisecond)
	}
}

// A joining is measured, and that counts; a jump may be the measurement's fault, and leaves nothing behind.
func TestAJoiningLeavesAPointAndAJumpNone(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, adjustOf(1, b.exchange(1), time.Millisecond/2, nil))
	if n := b.node.servo.Points(); n != 1 {
		t.Errorf("%d points after joining", n)
	}
	b.after(time.Second)
	b.packet(masterAddr, adjustOf(2, b.exchange(2), time.Second, nil))
	if n := b.node.servo.Points(); n != 0 {
		t.Errorf("%d points after a jump", n)
	}
}

// After the first synchronisation nothing steps the clock again, whatever the master asks.
func TestSecondAdjustNeverSteps(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, nil))
	b.after(time.Second)
	effects := b.packet(masterAddr, adjustOf(2, b.exchange(2), time.Hour, nil))
	if n := count[Step](effects); n != 0 {
		t.Errorf("%d steps", n)
	}
}

// PROTOCOL.md 8.14 and 8.15: the first rotation of a master is the base, and of later ones the difference counts, once.
func TestRotationIsASum(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	turned := func(r netproto.Rotation) func(*netproto.Header, *netproto.Adjust) {
		return func(_ *netproto.Header, a *netproto.Adjust) { a.Rotation = r }
	}
	base := netproto.Rotation{Rate: netproto.RateOf(30e-6), Phase: 500, Epoch: netproto.Stamp(wallStart)}
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, turned(base)))
	if r := b.node.Status().Rate; r != 0 {
		t.Errorf("the base moved the rate by %v", r)
	}
	next := base
	next.Rate = netproto.RateOf(25e-6)
	for seq := uint32(2); seq <= 3; seq++ { // the second brings the same sum again
		b.after(time.Second)
		b.packet(masterAddr, adjustOf(seq, b.exchange(seq), 0, turned(next)))
		if r := b.node.Status().Rate; r < -5.001e-6 || r > -4.999e-6 {
			t.Errorf("round %d: rate %v, want -5e-06", seq, r)
		}
	}
}

func TestHostileBytesAreCounted(t *testing.T) {
	good := pollOf(1, nil)
	mutate := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	b := newBench(t, RoleSlave, nil)
	b.wantDrop(DropTruncated, nil)
	b.wantDrop(DropTruncated, good[:40])
	b.wantDrop(DropTruncated, good[:len(good)-1])
	b.wantDrop(DropOversized, make([]byte, netproto.MaxPacket+1))
	b.wantDrop(DropForeign, mutate(0, 'X'))
	b.wantDrop(DropForeign, mutate(2, 9))
	b.wantDrop(DropKey, mutate(15, 1))
	b.wantDrop(DropKey, mutate(len(good)-1, 1))
	b.wantDrop(DropKind, mutate(3, 0))
	b.wantDrop(DropKind, mutate(3, 9))
	b.wantDrop(DropGroup, mutate(11, 8))
	b.wantDrop(DropValue, pollOf(1, func(_ *netproto.Header, p *netproto.Poll) { p.Window = 0 }))
	b.wantDrop(DropOwn, pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Sender, h.Start = 2, 20 }))
	r := netproto.Reply{Echo: 1, Nonce: 1}
	b.wantDrop(DropRole, r.Append(nil, header(1)))
}

// A recording of a node's own packets before its restart changes nothing, however often it comes; a host that answers under the own id does.
func TestClonedDiskTakesANewID(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	clone := pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Sender, h.Start = 2, 21 })
	var question *netproto.Candidate
	var all []Effect
	for range 10 {
		for _, e := range b.packet(masterAddr, clone) {
			if s, is := e.(*Send); is {
				_, body, err := netproto.Open(s.Data)
				if err != nil || s.To != masterAddr || s.Group {
					t.Fatalf("%+v: %v", s, err)
				}
				c, err := netproto.ParseCandidate(body)
				if err != nil || question != nil {
					t.Fatalf("a second question within an interval, or none: %v", err)
				}
				question = &c
			}
			all = append(all, e)
		}
	}
	if question == nil || count[NewID](all) > 0 {
		t.Fatalf("question %v, effects %+v: want one question and the old id", question, all)
	}
	stale := netproto.Claim{Echo: question.Nonce + 1}
	answer := netproto.Claim{Echo: question.Nonce}
	h := header(1)
	h.Sender, h.Start = 2, 21
	if all := b.packet(masterAddr, stale.Append(nil, h)); count[NewID](all) > 0 {
		t.Error("a Claim of another question made a new id")
	}
	if all := b.packet(masterAddr, answer.Append(nil, h)); count[NewID](all) != 1 || b.node.Status().ID == 2 {
		t.Errorf("effects %+v, id %v", all, b.node.Status().ID)
	}
}

// The other one of two with one id answers, so that the first has its proof.
func TestDoubleIsAnswered(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	h := header(1)
	h.Sender, h.Start = 2, 21
	c := netproto.Candidate{Nonce: 77, Priority: 1}
	var claims int
	for _, e := range b.packet(masterAddr, c.Append(nil, h)) {
		if s, is := e.(*Send); is {
			if _, body, err := netproto.Open(s.Data); err == nil {
				if c, err := netproto.ParseClaim(body); err == nil && c.Echo == 77 && s.To == masterAddr {
					claims++
				}
			}
		}
	}
	if claims != 1 {
		t.Errorf("%d Claims, want 1", claims)
	}
}
