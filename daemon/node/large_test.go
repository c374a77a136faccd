package node

import (
	"math"
	"testing"
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

// PROTOCOL.md 8.37: a slave has its turn where slot + seq is divisible by turns. Out of it it replies once, whether or not it hears an Ack; in
// it, it expects one.
func TestASlaveOutOfTurnRepliesOnce(t *testing.T) {
	for turns, seldom := range map[uint16]bool{0: false, 1: false, 4: true} {
		b := known(t)
		for seq := uint32(2); seq < 12; seq++ {
			effects := b.packet(masterAddr, pollOf(seq, func(_ *netproto.Header, p *netproto.Poll) { p.Slots, p.Turns = 8, turns }))
			_, rs := replies(t, append(effects, b.after(300*time.Millisecond)...))
			want := 1
			if !seldom || seq > 2 && (3+seq)%4 == 0 || seq == 2 && (0+seq)%4 == 0 { // the first Adjust gave slot 0, the others 3
				want = maxTries
			}
			if len(rs) != want {
				t.Errorf("%d turns, round %d: %d replies without an Ack, want %d", turns, seq, len(rs), want)
			}
			b.packet(masterAddr, adjustOf(seq, rs[0].Nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Slot = 3 }))
			b.after(time.Second)
		}
		if s := b.node.Status(); s.State != StateFollowing || s.Traffic.Adjusts != 11 {
			t.Errorf("%d turns: %+v", turns, s)
		}
	}
}

// A slave that has no slot has its turn in each round: it cannot know when else.
func TestWithoutASlotEveryRoundIsATurn(t *testing.T) {
	for seq := range uint32(9) {
		if !netproto.Turn(5, netproto.NoSlot, seq) || !netproto.Turn(1, 3, seq) || netproto.Turn(5, 3, seq) != ((3+seq)%5 == 0) {
			t.Errorf("round %d", seq)
		}
	}
	if netproto.Turn(7, 3, math.MaxUint32) != ((uint64(math.MaxUint32)+3)%7 == 0) {
		t.Error("slot + seq does not end at 32 bits")
	}
}

// obeys is what a slave says that follows the master under test.
func obeys(_ *fake, _ *netproto.Header, r *netproto.Reply) { r.Master = 1 }

// PROTOCOL.md 8.6, 8.37: of seven members two at most have their turn in a round, and each once in four; everybody has an entry in every round.
func TestAMasterAcksInTurns(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.FullRoundsTo = 2 })
	f := following(2, 3, 4, 5, 6, 7, 8)
	b.founded(f...)
	served := make([]int, len(f))
	for round := range 8 {
		poll, body := b.polled()
		if body.Turns != 4 || b.node.Status().Turns != 4 {
			t.Fatalf("%d turns polled, %d told; want 4", body.Turns, b.node.Status().Turns)
		}
		polled, full := b.now, 0
		for i, m := range f {
			hs, as := acks(t, b.answer(m, poll.Seq, body.Nonce, polled, obeys))
			turn := netproto.Turn(body.Turns, m.slot, poll.Seq)
			if len(as) > 0 != turn || turn && hs[0].Flags&netproto.FlagAgain == 0 {
				t.Errorf("round %d, member %d of slot %d: %d Acks", round, i, m.slot, len(as))
			}
			if turn {
				full++
				served[i]++
			}
		}
		_, out := adjusts(t, b.after(b.node.lead.closeAt-b.now))
		if full > 2 || len(out) != 1 || len(out[0].Entries) != len(f) {
			t.Errorf("round %d: %d served, Adjusts %+v", round, full, out)
		}
		for _, m := range f {
			m.take(out[0], b.node.Status().Lineage)
		}
	}
	b.round(f[0], f[1], f[6])
	for i, m := range f {
		if int(m.slot) != i {
			t.Errorf("member %d has slot %d after a round in which others were not heard", i, m.slot)
		}
	}
	for i, n := range served {
		if n != 2 {
			t.Errorf("member %d had %d turns in eight rounds, want 2", i, n)
		}
	}
}

// Whether members wait for their turns is logged when it changes.
func TestTurnsAreAnnounced(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.FullRoundsTo = 3 })
	b.firstPoll()
	for _, step := range []struct {
		members int
		says    string
	}{{3, ""}, {4, "in its turn"}, {9, ""}, {3, "in each round again"}, {2, ""}} {
		b.node.lead.peers = nil
		for i := range step.members {
			b.node.lead.peers = append(b.node.lead.peers, &peer{id: netproto.ID(i + 2), slot: netproto.NoSlot})
		}
		_, effects := b.upTo(netproto.KindPoll, time.Minute)
		if said(effects, "all its exchanges") != (step.says != "") || !said(effects, step.says) && step.says != "" {
			t.Errorf("%d members: %+v", step.members, of[Note](effects))
		}
	}
}

// PROTOCOL.md 8.6: who obeys another or nobody, who repeats its reply and whose reply gave no sample is Acked out of turn.
func TestWhoseTurnItIsNotAndIsAckedNevertheless(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.FullRoundsTo = 1 })
	f := following(2, 3, 4, 5, 6, 7, 8)
	b.founded(f...)
	b.round(f...)
	poll, body := b.polled()
	polled, tried := b.now, 0
	for i, m := range f {
		if netproto.Turn(body.Turns, m.slot, poll.Seq) {
			continue
		}
		tried++
		if _, as := acks(t, b.answer(m, poll.Seq, body.Nonce, polled, obeys)); len(as) != 0 {
			t.Errorf("member %d: Acked out of turn", i)
		}
		hs, as := acks(t, b.answer(m, poll.Seq, body.Nonce, polled, func(_ *fake, _ *netproto.Header, r *netproto.Reply) { r.Master, r.Repeat = 1, 1 }))
		if len(as) != 1 || hs[0].Flags&netproto.FlagAgain != 0 {
			t.Errorf("member %d repeats: %d Acks, %+v", i, len(as), hs)
		}
	}
	if tried != 6 {
		t.Errorf("%d members out of turn, want 6", tried)
	}
	b.after(b.node.lead.closeAt - b.now)
	poll, body = b.polled()
	for i, m := range f {
		if _, as := acks(t, b.answer(m, poll.Seq, body.Nonce, b.now, nil)); len(as) != 1 {
			t.Errorf("member %d obeys nobody: %d Acks", i, len(as))
		}
	}
	b.after(b.node.lead.closeAt - b.now)
	poll, body = b.polled()
	b.node.lead.departed = nil // as where it left through another interface than the replies come in by, or they answer a copy
	for i, m := range f {
		hs, as := acks(t, b.answer(m, poll.Seq, body.Nonce, b.now, obeys))
		if len(as) != 1 || hs[0].Flags&netproto.FlagAgain == 0 {
			t.Errorf("member %d gave no sample: %d Acks, %+v", i, len(as), hs)
		}
	}
}

// Where many come at once, each is proved the master by one Ack, and no more of them than full_rounds_to are asked for more.
func TestACrowdOfNewcomersIsNotAskedForMore(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.FullRoundsTo = 3 })
	poll, body := b.polled()
	again := 0
	for i := range 20 {
		hs, as := acks(t, b.answer(&fake{id: netproto.ID(10 + i)}, poll.Seq, body.Nonce, b.now, nil))
		if len(as) != 1 {
			t.Fatalf("newcomer %d: %d Acks", i, len(as))
		}
		if hs[0].Flags&netproto.FlagAgain != 0 {
			again++
		}
	}
	if again != 3 {
		t.Errorf("%d of 20 were asked for more, want 3", again)
	}
}

// Seen from a slave whose oscillator is 50 ppm slow and whose reply waits half a second for its slot: the offset that Poll and Reply give is that
// of the middle. Taken for the one of the Reply, it bent the first fits by more than 1 ppm.
func TestALongHoldCostsNoRate(t *testing.T) {
	const skew = 50e-6
	b := known(t)
	agreed := b.node.follow.master.measured()
	for seq := uint32(2); seq < 2+16; seq++ {
		effects := b.packet(masterAddr, pollOf(seq, func(_ *netproto.Header, p *netproto.Poll) { p.Window, p.Slots, p.Turns = 800_000, 8, 1000 }))
		_, rs := replies(t, append(effects, b.after(900*time.Millisecond)...))
		if len(rs) == 0 {
			t.Fatal("no reply")
		}
		r := rs[0]
		truth := func(at netproto.Stamp) int64 {
			raw := b.rawAt(at)
			return wallStart + raw + int64(skew*float64(raw-agreed))
		}
		offset := (int64(r.T2) - truth(r.T2) + int64(r.T3) - truth(r.T3)) / 2
		b.packet(masterAddr, adjustOf(seq, rs[len(rs)-1].Nonce, time.Duration(-offset), func(_ *netproto.Header, a *netproto.Adjust) {
			a.Entries[0].Slot = uint16(5)
		}))
		b.after(100 * time.Millisecond)
	}
	if err := b.node.servo.Line().Rate - skew; math.Abs(err) > 0.05e-6 {
		t.Errorf("the fit is %.3f ppm off", err*1e6)
	}
}

// rawAt is the bench's raw reading at which the node's timescale shows a stamp. The bench is at the end of the round that it is of.
func (b *bench) rawAt(at netproto.Stamp) (raw int64) {
	line := b.node.servo.Line()
	raw = int64(b.now)
	for range 3 {
		raw += int64(at) - line.At(raw)
	}
	return raw
}

// A master tells a hundred parts without a burst that a socket could not take, in order, and before it polls again; each says how many there are.
func TestAdjustsArePaced(t *testing.T) {
	o := outgoing{entries: make([]netproto.Entry, 34*600+1)}
	o.cut(7, 0)
	if len(o.parts) != 601 {
		t.Fatalf("%d parts", len(o.parts))
	}
	for i, p := range o.parts {
		of := 255
		if i >= 510 {
			of = 91
		}
		if p.first != 34*i || p.end != min(34*(i+1), 34*600+1) || int(p.number) != i%255 || int(p.of) != of || p.key != 7 {
			t.Errorf("part %d: %+v", i, p)
		}
	}
	c := newCrowd(t, 1000, 0)
	c.ask()
	for i := range c.members {
		c.speak(&c.members[i])
	}
	parts, most, entries := 0, 0, 0
	var last time.Duration
	for poll := c.node.lead.pollAt; ; {
		c.now = max(c.now, c.node.Deadline())
		if c.now >= poll {
			break
		}
		at := 0
		for _, e := range c.node.Handle(c.moment(), Tick{}) {
			s, ok := e.(*Send)
			if !ok {
				continue
			}
			_, body, err := netproto.Inspect(s.Data)
			if err != nil {
				t.Fatal(err)
			}
			a, err := netproto.ParseAdjust(body, nil)
			if err != nil || int(a.Part) != parts || a.Parts != 30 {
				t.Fatalf("%v, part %d of %d, want %d", err, a.Part, a.Parts, parts)
			}
			parts, at, entries, last = parts+1, at+1, entries+len(a.Entries), c.now
		}
		most = max(most, at)
	}
	if parts != 30 || most != burst || entries != len(c.members) {
		t.Errorf("%d parts with %d entries, %d at once", parts, entries, most)
	}
	if left := c.node.lead.pollAt - last; left < 50*time.Millisecond {
		t.Errorf("the last %v before the next poll", left)
	}
}

// The master's own delta refers to what its members' do: to the middle of the hold, where it has one exchange with them.
func TestAMasterMeasuresItselfInTheMiddleToo(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.FullRoundsTo = 1 })
	f := following(2, 3, 4)
	b.founded(f...)
	poll, body := b.polled()
	polled := b.now
	b.now += 80 * time.Millisecond
	for i, m := range f {
		_, as := acks(t, b.answer(m, poll.Seq, body.Nonce, polled, obeys))
		back := b.now
		want := (polled + back) / 2
		if len(as) > 0 { // and once more, at once
			b.answer(m, poll.Seq, body.Nonce, b.now, func(_ *fake, _ *netproto.Header, r *netproto.Reply) { r.Master, r.Repeat = 1, 1 })
			want = b.now
		}
		if p := b.node.lead.peers[i]; p.epoch != int64(want) || p.t4 != int64(b.now) {
			t.Errorf("member %d: measured as of %v, want %v; last heard %v", i, time.Duration(p.epoch), want, time.Duration(p.t4))
		}
	}
	c := conclusion{}
	var sum int64
	for _, p := range b.node.lead.peers {
		s, _ := p.filter.Best()
		c.peers, c.samples, sum = append(c.peers, p), append(c.samples, s), sum+p.epoch
	}
	if raw, _ := b.node.middle(c); max(raw-sum/3, sum/3-raw) > 1 {
		t.Errorf("its own as of %v, want %v", time.Duration(raw), time.Duration(sum/3))
	}
}

// A lost Adjust costs its round and no more: nothing is said, nobody stands, and the next one is taken as if there had been none to miss.
func TestALostAdjustCostsOneRound(t *testing.T) {
	b := known(t)
	adjusts := b.node.Status().Traffic.Adjusts
	for seq := uint32(2); seq < 40; seq++ {
		effects := b.packet(masterAddr, pollOf(seq, func(_ *netproto.Header, p *netproto.Poll) { p.Turns = 1000 }))
		effects = append(effects, b.after(300*time.Millisecond)...)
		_, rs := replies(t, effects)
		if len(rs) != 1 {
			t.Fatalf("round %d: %d replies", seq, len(rs))
		}
		if seq%10 != 0 {
			effects = append(effects, b.packet(masterAddr, adjustOf(seq, rs[0].Nonce, time.Duration(seq%3)*time.Microsecond,
				func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Slot = 5 }))...)
			adjusts++
		}
		effects = append(effects, b.after(700*time.Millisecond)...)
		s := b.node.Status()
		if count[Note](effects) != 0 || s.State != StateFollowing || s.Standing != netproto.StandingVoter || s.Traffic.Adjusts != adjusts {
			t.Errorf("round %d: %+v, %+v", seq, of[Note](effects), s)
		}
	}
	if s := b.node.Status(); !s.Fitted || s.Bound > 100*time.Microsecond {
		t.Errorf("%+v", s)
	}
}

// A crowd's window grows by what its master is late, or by what is lost, and shrinks again; one of few members stays as it is.
func TestTheWindowFollowsTheLoad(t *testing.T) {
	window := func(members int, late time.Duration, lost int, rounds int) time.Duration {
		l := newLeader(0, time.Second)
		for range members {
			l.peers = append(l.peers, &peer{heard: true})
		}
		for range rounds {
			l.plan(0, false)
			for i, p := range l.peers {
				p.heard = i >= lost
			}
			l.load.late = late
			l.settle()
		}
		l.load.late = 0
		return l.plan(0, false)
	}
	for name, c := range map[string]struct {
		members      int
		late         time.Duration
		lost, rounds int
		want         time.Duration
	}{
		"three":                 {2, 0, 0, 3, 100 * time.Millisecond},
		"eleven":                {10, 0, 0, 3, 330 * time.Millisecond},
		"twenty":                {19, 0, 0, 3, 500 * time.Millisecond},
		"twenty, late and lost": {19, 50 * time.Millisecond, 5, 3, 500 * time.Millisecond},
		"many":                  {10_000, 0, 0, 3, 500 * time.Millisecond},
		"just many, late":       {255, 100 * time.Millisecond, 0, 2, 700 * time.Millisecond},
		"many, late":            {10_000, 60 * time.Millisecond, 0, 2, 620 * time.Millisecond},
		"many, a little late":   {10_000, 49 * time.Millisecond, 0, 2, 500 * time.Millisecond},
		"many, lossy":           {10_000, 0, 11, 2, 625 * time.Millisecond},
		"many, one lost":        {10_000, 0, 1, 9, 500 * time.Millisecond},
		"many, far behind":      {10_000, time.Second, 0, 9, 775 * time.Millisecond},
	} {
		if got := window(c.members, c.late, c.lost, c.rounds); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	l := newLeader(0, time.Second)
	for range 10_000 {
		l.peers = append(l.peers, &peer{heard: true})
	}
	l.load.behind = 200 * time.Millisecond
	for range 100 {
		l.plan(0, false)
		l.settle()
	}
	if l.plan(0, false) > 510*time.Millisecond {
		t.Errorf("%v after a hundred good rounds", l.load.window)
	}
}

// A master counts the replies that it could expect, and those that did not come.
func TestLostRepliesAreCounted(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4)
	b.founded(f...)
	before := b.node.Status()
	for range 5 {
		b.round(f[:2]...) // the third is missed once, and not expected again before it comes
	}
	b.round(f...)
	b.round(f...)
	s := b.node.Status()
	if s.Expected-before.Expected != 3+4*2+2+3 || s.Lost-before.Lost != 1 || s.Turns != 1 || s.Window != 120*time.Millisecond {
		t.Errorf("%d expected, %d lost, %d turns, %v", s.Expected-before.Expected, s.Lost-before.Lost, s.Turns, s.Window)
	}
}

// PROTOCOL.md 8.38: t3 is written before the Reply leaves. What replies usually take from there, by the kernel's stamps, is counted in; what one
// took that was held up is not, nor what user space says.
func TestARepliesT3IsWhenItUsuallyLeaves(t *testing.T) {
	b := known(t)
	told := func(seq uint32, took time.Duration, kernel bool) time.Duration {
		effects := b.packet(masterAddr, pollOf(seq, func(_ *netproto.Header, p *netproto.Poll) { p.Window, p.Slots, p.Turns = 80_000, 8, 1000 }))
		var sent *Send
		var at time.Duration
		for end := b.now + 300*time.Millisecond; b.now < end; effects = append(effects, b.after(time.Millisecond)...) {
			for _, s := range of[*Send](effects) {
				if sent == nil {
					sent, at = s, b.now
					b.give(&Sent{Token: s.Token, Iface: 1, Stamp: wallStart + int64(b.now+took), Kernel: kernel})
				}
			}
			if sent != nil {
				break
			}
		}
		_, rs := replies(t, effects)
		b.packet(masterAddr, adjustOf(seq, rs[0].Nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Slot = 5 }))
		b.after(at + time.Second - b.now)
		return time.Duration(int64(rs[0].T3)-wallStart) - at
	}
	told(2, 0, false) // without a slot yet
	for seq := uint32(3); seq < 60; seq++ {
		told(seq, 30*time.Microsecond, true)
	}
	near := func(got time.Duration, what string) {
		t.Helper()
		if got < 29*time.Microsecond || got > 31*time.Microsecond {
			t.Errorf("t3 is %v after the reply was written, want 30µs: %s", got, what)
		}
	}
	near(told(60, 5*time.Second, false), "as the kernel said")
	near(told(61, 30*time.Microsecond, true), "whatever user space said")
	told(62, 5*time.Millisecond, true)
	if got := told(63, 30*time.Microsecond, true); got > 40*time.Microsecond {
		t.Errorf("one reply that was held up for 5 ms moves t3 to %v", got)
	}
	told(64, -time.Second, true) // a clock that was set in between
	if got := told(65, 30*time.Microsecond, true); got < 20*time.Microsecond {
		t.Errorf("a stamp of before moves t3 to %v", got)
	}
}

// PROTOCOL.md 9.12: of a large LAN not everybody objects to a candidate; of a small one everybody does.
func TestFewObjectToACandidate(t *testing.T) {
	for members, want := range map[uint16][2]int{5: {990, 1000}, 32: {990, 1000}, 64: {400, 600}, 10_000: {1, 8}} {
		b := newBench(t, RoleAuto, nil)
		nonce := b.exchange(1)
		b.packet(masterAddr, adjustOf(1, nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Members = members }))
		claims := 0
		for i := range 1000 {
			h := netproto.Header{Group: group, Sender: netproto.ID(100 + i), Start: 5, Seq: 1, Lineage: 99, Term: 2}
			c := netproto.Candidate{Nonce: 9, Priority: 200}
			claims += count[*Send](b.packet(slaveAddr, c.Append(nil, h)))
		}
		if claims < want[0] || claims > want[1] {
			t.Errorf("a member of %d objected to %d of 1000 candidates, want %v", members, claims, want)
		}
	}
}

// PROTOCOL.md 8.42: a founding waits for each of a few members, not for one of many.
func TestAFoundingWaitsForFew(t *testing.T) {
	silent := newLeader(0, time.Second)
	if silent.peers = append(silent.peers, &peer{heard: true}); !silent.missing() {
		t.Error("who was heard and not measured is not missed")
	}
	for members, absent := range map[int]int{3: 1, 99: 1, 100: 2, 1000: 11} {
		l := newLeader(0, time.Second)
		for i := range members {
			p := &peer{heard: i >= absent}
			p.filter.Add(berkeley.Sample{})
			l.peers = append(l.peers, p)
		}
		if !l.missing() {
			t.Errorf("%d of %d are not missed", absent, members)
		}
		l.peers[0].heard = true
		if members >= 99 && l.missing() {
			t.Errorf("%d of %d are missed", absent-1, members)
		}
	}
}
