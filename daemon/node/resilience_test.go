package node

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"meantime/daemon/election"
	"meantime/netproto"
)

// The tests here keep what one hostile or unlucky node once did to a LAN from coming back.

// claimed asks a node what it has, as another master would, and returns its Claim's voters.
func (b *bench) claimed() uint16 {
	b.t.Helper()
	h := header(40)
	h.Sender, h.Start, h.Term = 5, 50, 4
	c := netproto.Candidate{Nonce: 77, Master: 5, Priority: 100}
	_, cs := claims(b.t, b.packet(slaveAddr, c.Append(nil, h)))
	if len(cs) != 1 {
		b.t.Fatalf("%d claims, want 1", len(cs))
	}
	return cs[0].Voters
}

// challenged lets a master hear another's poll and answer its question with so many voters.
func (b *bench) challenged(voters uint16) {
	b.t.Helper()
	h := header(40)
	h.Sender, h.Start, h.Term, h.Lineage = 5, 50, 4, 50
	p := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
	_, asks := candidates(b.t, b.packet(slaveAddr, p.Append(nil, h)))
	if len(asks) != 1 {
		b.t.Fatalf("asked %d times, want once", len(asks))
	}
	c := netproto.Claim{Echo: asks[0].Nonce, Master: 5, Voters: voters, Priority: 100}
	b.packet(slaveAddr, c.Append(nil, h))
}

// polled plays the beginning of a master's round: its poll, of which it gets the stamp, and no answer yet.
func (b *bench) polled() (netproto.Header, netproto.Poll) {
	b.t.Helper()
	_, effects := b.upTo(netproto.KindPoll, time.Minute)
	for _, e := range effects {
		if s, ok := e.(*Send); ok {
			b.give(&Sent{Token: s.Token, Iface: 1, Stamp: wallStart + int64(b.now), Kernel: true})
		}
	}
	hs, ps := polls(b.t, effects)
	return hs[0], ps[0]
}

// untellable moves a node's timescale to where no stamp reaches, as a clock that lost its date.
func (b *bench) untellable() {
	b.node.servo.Jump(b.node.at.Raw, -wallStart-int64(time.Hour), 0)
}

// PROTOCOL.md 9.25 and 9.29. Nobody voted after a newcomer had taken office, or a founder whom no second round had confirmed:
// the new master held, as no majority agreed, for ever.
func TestALANWithoutAVoterFindsItsTime(t *testing.T) {
	for _, standing := range []netproto.Standing{netproto.StandingNewcomer, netproto.StandingFounder} {
		t.Run(standing.String(), func(t *testing.T) {
			b := auto(t, nil)
			nonce := b.exchange(1)
			b.packet(masterAddr, adjustOf(1, nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) {
				a.Successors[0] = 2
				a.Entries[0].Standing = standing
			}))
			b.upTo(netproto.KindCandidate, 10*time.Second)
			f := following(3, 4)
			f[0].offset, f[0].lineage, f[1].lineage = time.Second, 99, 99
			for range resumeRounds {
				if b.round(f...); b.node.Status().Voters != 0 {
					t.Fatal("a master without a vote did not wait for those who may have one")
				}
			}
			spoke := false
			for range 2 * probation {
				spoke = said(b.round(f...), "nobody votes") || spoke
			}
			if s := b.node.Status(); s.State != StateKeeping || s.Voters != 3 || s.Lineage != 99 || !spoke {
				t.Errorf("%s with %d voters in lineage %d, said so: %v; want keeping with 3 in 99, and said", s.State, s.Voters, s.Lineage, spoke)
			}
		})
	}
}

// PROTOCOL.md 9.17. Rounds, which grow while one looks, were part of what two masters hold against each other: each saw its own
// newest count against the other's of a moment ago, and both stayed.
func TestOfTwoClaimsExactlyOnePrevails(t *testing.T) {
	claim := rapid.Custom(func(t *rapid.T) election.Claim {
		return election.Claim{
			Candidate: election.Candidate{
				ID: rapid.Uint64Range(1, 4).Draw(t, "id"), Priority: rapid.Uint8Range(0, 2).Draw(t, "priority"),
				Voter: rapid.Bool().Draw(t, "voter"), Rounds: rapid.IntRange(0, 3).Draw(t, "rounds"),
			},
			Voters: rapid.IntRange(0, 2).Draw(t, "voters"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := claim.Draw(t, "a"), claim.Draw(t, "b")
		laterA, laterB := a, b
		laterA.Rounds, laterB.Rounds = rapid.Int().Draw(t, "rounds of a later"), rapid.Int().Draw(t, "rounds of b later")
		laterA.Voter, laterB.Voter = rapid.Bool().Draw(t, "a votes later"), rapid.Bool().Draw(t, "b votes later")
		if a.ID != b.ID && a.Prevails(b) == laterB.Prevails(laterA) {
			t.Fatalf("%+v and %+v: %v for both", a, b, a.Prevails(b))
		}
	})
}

// PROTOCOL.md 9.16 to 9.19. Two masters half an interval apart, each of a LAN of its own, once stayed both: one had a round more.
func TestTwoMastersMergeWhateverTheirRounds(t *testing.T) {
	for _, rounds := range [][2]uint32{{100, 101}, {101, 100}, {100, 100}} {
		alone := func(id netproto.ID, begins time.Duration, rounds uint32) *bench {
			b := newBench(t, RoleMaster, func(c *Config) { c.ID, c.Start = id, uint32(id) })
			b.now = begins
			for range 8 {
				b.round()
			}
			b.node.rounds = rounds
			return b
		}
		x, y := alone(9, 0, rounds[0]), alone(5, time.Second/2, rounds[1])
		x.now = max(x.now, y.now)
		var carry func(from, to *bench, addr, back netip.AddrPort, effects []Effect)
		carry = func(from, to *bench, addr, back netip.AddrPort, effects []Effect) {
			for _, e := range effects {
				if s, ok := e.(*Send); ok {
					carry(to, from, back, addr, to.packet(addr, s.Data))
				}
			}
		}
		for x.now < time.Minute {
			next := max(min(x.node.Deadline(), y.node.Deadline()), x.now)
			x.now, y.now = next, next
			if next >= x.node.Deadline() {
				carry(x, y, masterAddr, slaveAddr, x.give(Tick{}))
			}
			if next >= y.node.Deadline() {
				carry(y, x, slaveAddr, masterAddr, y.give(Tick{}))
			}
		}
		if x.node.lead == nil || y.node.lead != nil || y.node.Status().Master != 9 {
			t.Errorf("rounds %v: in office 9 %v, 5 %v; want 9, the higher id, alone", rounds, x.node.lead != nil, y.node.lead != nil)
		}
	}
}

// PROTOCOL.md 9.22 and 9.23. One Reply with a term near the largest raised the master's above what any node reads: it fell silent to all of
// them, and so did everybody after it.
func TestALeapingTermInAReplyIsNotBelieved(t *testing.T) {
	for _, term := range []uint64{1 << 62, 1<<62 - 1, maxTermJump + 2} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3, 4)
		b.founded(f...)
		before := b.node.Status()
		f[0].term = term
		b.round(f...)
		f[0].term = 1
		h, _ := b.polled()
		if after := b.node.Status(); h.Term != before.Term || after.Term != before.Term || after.Drops[DropValue] == before.Drops[DropValue] {
			t.Errorf("term %d in a Reply: polls in %d, obeys %d; want %d, and the Reply dropped", term, h.Term, after.Term, before.Term)
		}
	}
}

// PROTOCOL.md 9.20, 9.21 and 9.23. The same from an Adjust: no master after that one could have been obeyed, restarts included.
func TestALeapingTermInAnAdjustIsNotBelieved(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, nil))
	b.after(time.Second)
	nonce := b.exchange(2)
	for _, term := range []uint64{1 << 62, 1<<62 - 1, maxTermJump + 2} {
		b.wantDrop(DropValue, adjustOf(2, nonce, 0, func(h *netproto.Header, _ *netproto.Adjust) { h.Term = term }))
	}
	b.packet(masterAddr, adjustOf(2, nonce, 0, func(h *netproto.Header, _ *netproto.Adjust) { h.Term = 2 }))
	if s := b.node.Status(); s.Term != 2 {
		t.Errorf("term %d after an honest 2", s.Term)
	}
}

// PROTOCOL.md 9.19 and 9.23. And from another master's Claim.
func TestALeapingTermInAClaimIsNotBelieved(t *testing.T) {
	for _, term := range []uint64{1 << 62, 1<<62 - 1} {
		b, _ := rivalry(t, 0, term, false)
		if s := b.node.Status(); s.Term > 2 {
			t.Errorf("term %d after a Claim of term %d", s.Term, term)
		}
	}
}

// PROTOCOL.md 8.18 and 8.25. At a cold start of seven, one that said that it votes in a lineage of its own was all the majority
// there was: everybody was stepped by ten days.
func TestOneLiarDoesNotDecideAColdStart(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4, 5, 6, 7)
	liar := f[5]
	liar.follows, liar.lineage, liar.flags, liar.offset = false, 666, netproto.FlagVoter, 240*time.Hour
	for range 8 {
		if n := count[Step](b.round(f...)); n != 0 {
			t.Errorf("the master was stepped %d times", n)
		}
	}
	if s := b.node.Status(); s.State != StateKeeping || s.Lineage == liar.lineage || s.Voters != 6 {
		t.Errorf("%s in lineage %d with %d voters, want keeping in one of its own with 6", s.State, s.Lineage, s.Voters)
	}
	if f[0].offset.Abs() > time.Millisecond {
		t.Errorf("an honest clock was moved by %v", f[0].offset)
	}
}

// PROTOCOL.md 9.28. A master paused between two rounds came back and claimed the voters of before, who had long gone over to
// another: it kept office against those who really obeyed that one.
func TestMasterPausedBetweenRoundsHasNoVoters(t *testing.T) {
	paused := func() *bench {
		b := newBench(t, RoleMaster, nil)
		b.founded(following(2, 3)...)
		if b.node.lead.open {
			t.Fatal("a round is under way")
		}
		b.now += 30 * time.Second
		return b
	}
	b := paused()
	b.give(Tick{})
	if n := b.claimed(); n != 0 {
		t.Errorf("claims %d voters after a pause, want 0", n)
	}
	b.challenged(2)
	if b.node.lead != nil {
		t.Error("kept office against two voters who live")
	}
	if n := paused().claimed(); n != 0 { // what waited in the socket comes before the Tick
		t.Errorf("claims %d voters to who asked during the pause, want 0", n)
	}
}

// PROTOCOL.md 9.28. What was measured before a pause lay in the filters still, and counted in the round after it.
func TestSamplesOfAStaleRoundAreForgotten(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	h, p := b.polled()
	for _, x := range f {
		b.answer(x, h.Seq, p.Nonce, b.now-wire, nil)
	}
	if _, ok := b.node.lead.peers[0].filter.Best(); !ok {
		t.Fatal("nothing was measured")
	}
	b.now += 30 * time.Second
	b.give(Tick{})
	for _, p := range b.node.lead.peers {
		if s, ok := p.filter.Best(); ok {
			t.Errorf("node %v: sample %+v of before the pause", p.id, s)
		}
	}
}

// PROTOCOL.md 9.16 and 9.17. A master that steers nobody claimed the voters of its last good round, and kept office against a master
// with a LAN behind it.
func TestAHoldingMasterHasNoVoters(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4)
	b.founded(f...)
	for i, x := range f {
		x.follows = false
		x.offset += time.Duration(i+1) * time.Second
	}
	_, as := adjusts(t, b.round(f...)) // would not be parsed with more voters than members
	if s := b.node.Status(); s.State != StateHolding || len(as) != 1 || as[0].Voters != 0 {
		t.Fatalf("%s, adjusts %+v; want holding without a voter", s.State, as)
	}
	if n := b.claimed(); n != 0 {
		t.Errorf("claims %d voters, want 0", n)
	}
	b.challenged(1)
	if b.node.lead != nil {
		t.Error("kept office without a voter against one who has one")
	}
}

// PROTOCOL.md 8.13 and 8.14. A slave that had missed many Adjusts, while the rotation went on, took what LAN time had moved from the
// rotation's sum, and then again from its delta.
func TestMissedRotationIsNotTakenTwice(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, nil))
	b.now += 1800 * time.Second // at 5 ppm LAN time runs 9 ms ahead
	nonce := b.exchange(1801)
	before := b.node.stamp(b.node.at.Raw)
	b.packet(masterAddr, adjustOf(1801, nonce, 9*time.Millisecond, func(_ *netproto.Header, a *netproto.Adjust) {
		a.Rotation = netproto.Rotation{Rate: netproto.RateOf(5e-6), Phase: 9_000_000, Epoch: netproto.Stamp(wallStart + int64(b.now))}
	}))
	if moved := time.Duration(b.node.stamp(b.node.at.Raw) - before); (moved - 9*time.Millisecond).Abs() > 100*time.Microsecond {
		t.Errorf("9 ms behind LAN time and moved by %v", moved)
	}
}

// PROTOCOL.md 1.7, 1.10 and 8.23. One Adjust with the largest delta, or a common move as large, put the timescale where no stamp
// reaches: the node was silent for good.
func TestHugeMovesAreRefused(t *testing.T) {
	for name, change := range map[string]func(*netproto.Header, *netproto.Adjust){
		"delta up":       func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Delta = netproto.MaxSpan },
		"delta down":     func(_ *netproto.Header, a *netproto.Adjust) { a.Entries[0].Delta = -netproto.MaxSpan },
		"another LAN's":  func(h *netproto.Header, a *netproto.Adjust) { h.Lineage, a.Entries[0].Delta = 98, netproto.MaxSpan },
		"back in time":   func(h *netproto.Header, a *netproto.Adjust) { h.Lineage, a.Entries[0].Delta = 98, -netproto.MaxSpan },
		"phase forwards": func(_ *netproto.Header, a *netproto.Adjust) { a.Rotation.Phase = netproto.MaxSpan },
		"phase back":     func(_ *netproto.Header, a *netproto.Adjust) { a.Rotation.Phase = -netproto.MaxSpan },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, RoleSlave, nil)
			b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, nil))
			b.after(time.Second)
			nonce := b.exchange(2)
			before := b.node.stamp(b.node.at.Raw)
			b.packet(masterAddr, adjustOf(2, nonce, 0, change))
			if moved := time.Duration(b.node.stamp(b.node.at.Raw) - before); moved.Abs() > time.Millisecond {
				t.Errorf("the timescale moved by %v", moved)
			}
			for seq := uint32(3); seq <= 5; seq++ { // exchange fails the test if there is no Reply
				b.after(time.Second)
				b.packet(masterAddr, adjustOf(seq, b.exchange(seq), 0, nil))
			}
			if off := int64(b.node.stamp(b.node.at.Raw)) - wallStart - int64(b.now); time.Duration(off).Abs() > time.Millisecond {
				t.Errorf("after three honest rounds the timescale is %v off", time.Duration(off))
			}
		})
	}
}

// PROTOCOL.md 8.5, 8.24 and 9.12. A poll, and a Candidate, may be anybody's, and each had its answer: ten thousand of the one were ten
// thousand Replies to whatever address they bore.
func TestAFloodGetsABoundedNumberOfAnswers(t *testing.T) {
	const span, packets = 100 * time.Millisecond, 10_000
	most := budgetBurst + int(budgetRate*span.Seconds()) + 1 // to a sender
	slave := newBench(t, RoleSlave, nil)
	master := newBench(t, RoleMaster, nil)
	master.founded(following(2, 3)...)
	var answers, answered int
	for i := range uint32(packets) {
		poll := pollOf(i+1, func(_ *netproto.Header, p *netproto.Poll) { p.Window = 1 })
		answers += count[*Send](slave.packet(masterAddr, poll)) + count[*Send](slave.after(span/packets))
		h := header(1)
		h.Sender = netproto.ID(100 + i)
		c := netproto.Candidate{Nonce: 77, Priority: 100}
		_, cs := claims(t, master.packet(slaveAddr, c.Append(nil, h)))
		answered += len(cs)
		master.now += span / packets
	}
	if answers == 0 || answers > most || slave.node.Status().Drops[DropBusy] == 0 {
		t.Errorf("%d replies to %d polls within %v, want some, and at most %d", answers, packets, span, most)
	}
	if answered == 0 || answered > budgetCells*most || master.node.Status().Drops[DropBusy] == 0 {
		t.Errorf("%d claims to %d candidates within %v, want some, and at most %d", answered, packets, span, budgetCells*most)
	}
	slave.after(2 * time.Second)
	if _, rs := replies(t, append(slave.packet(masterAddr, pollOf(packets+1, nil)), slave.after(time.Second)...)); len(rs) != 1 {
		t.Errorf("%d replies two seconds after the flood, want 1", len(rs))
	}
}

// PROTOCOL.md 1.10 and 9.30. A node whose clock shows a date that no stamp holds stood for office, took it and objected to others: a LAN with
// a master that cannot poll.
func TestWhoCannotTellItsTimeHasNoOffice(t *testing.T) {
	b := auto(t, nil)
	b.untellable()
	effects := b.after(10 * time.Second)
	c := netproto.Candidate{Nonce: 77, Priority: 1}
	effects = append(effects, b.packet(slaveAddr, c.Append(nil, header(1)))...)
	effects = append(effects, b.packet(masterAddr, pollOf(1, nil))...)
	effects = append(effects, b.after(time.Minute)...)
	if n := count[*Send](effects); n != 0 || b.node.lead != nil {
		t.Errorf("%d packets, in office: %v", n, b.node.lead != nil)
	}
	if !said(effects, "cannot carry") || count[Note](effects) > 3 {
		t.Errorf("%d lines of log, want one that says why, and no flood", count[Note](effects))
	}
	m := newBench(t, RoleMaster, nil)
	m.founded(following(2, 3)...)
	m.untellable()
	if _, cs := claims(t, m.packet(slaveAddr, c.Append(nil, header(1)))); len(cs) != 0 {
		t.Errorf("a master that cannot poll claims office: %+v", cs)
	}
}

// A host that founded a LAN by itself, its switch still starting, had spent its one step on it: minutes off the others, it slewed
// for days.
func TestALoneFoundingKeepsTheStep(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	effects := b.after(20 * time.Second)
	if s := b.node.Status(); s.State != StateKeeping || count[Synchronised](effects)+count[Step](effects) != 0 {
		t.Fatalf("alone: %s, synchronised %d times; want keeping, and not", s.State, count[Synchronised](effects))
	}
	b.challenged(2)
	b.after(time.Second)
	as := func(h *netproto.Header) { h.Sender, h.Start, h.Term, h.Lineage = 5, 50, 9, 50 }
	sent := append(b.packet(slaveAddr, pollOf(41, func(h *netproto.Header, _ *netproto.Poll) { as(h) })), b.after(time.Second/2)...)
	_, rs := replies(t, sent)
	h := header(41)
	as(&h)
	a := netproto.Ack{Echo: rs[0].Nonce}
	b.packet(slaveAddr, a.Append(nil, h))
	effects = b.packet(slaveAddr, adjustOf(41, rs[0].Nonce, 5*time.Minute, func(h *netproto.Header, a *netproto.Adjust) {
		as(h)
		a.Entries[0].ID = 1
	}))
	if count[Step](effects) != 1 || count[Synchronised](effects) != 1 {
		t.Errorf("at the first meeting stepped %d times, synchronised %d times; want once each", count[Step](effects), count[Synchronised](effects))
	}
}

// PROTOCOL.md 8.11, 8.24, 9.5 and 9.6. One poll under the master's name, saying that the next comes in 4000 s, put off every timer by
// which its death would have been noticed.
func TestAHearsayIntervalMovesNoTimer(t *testing.T) {
	for _, interval := range []time.Duration{4000 * time.Second, mostInterval} {
		b := lost(t, true)
		m := *b.node.follow.master
		b.packet(slaveAddr, pollOf(2, func(_ *netproto.Header, p *netproto.Poll) { p.Interval = micros(interval) }))
		if now := b.node.follow.master; now.silentAt() != m.silentAt() || now.interval != m.interval {
			t.Errorf("a poll of %v: silent at %v instead of %v", interval, now.silentAt(), m.silentAt())
		}
		if stood, _ := b.upTo(netproto.KindCandidate, 10*time.Second); stood > 2500*time.Millisecond {
			t.Errorf("a poll of %v: stood after %v, want 2 intervals of 1 s", interval, stood)
		}
	}
	b := newBench(t, RoleSlave, nil)
	far := func(_ *netproto.Header, p *netproto.Poll) { p.Interval = micros(4000 * time.Second) }
	b.wantDrop(DropValue, pollOf(1, far))
	if !slices.Equal(b.node.follow.sessions, nil) {
		t.Error("a poll that is not believed opened a session")
	}
}

// PROTOCOL.md 9.18. Who yielded followed whichever master proved itself first. Where three met, that could be another loser: both
// spent their one step on each other's time, and slewed for hours towards the winner's.
func TestWhoYieldsFollowsTheWinner(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	b.founded(following(2, 3)...)
	b.challenged(7)
	meet := func(id netproto.ID) {
		as := func(h *netproto.Header) { h.Sender, h.Start, h.Term, h.Lineage = id, uint32(id), 9, uint64(id) }
		sent := b.packet(slaveAddr, pollOf(41, func(h *netproto.Header, _ *netproto.Poll) { as(h) }))
		_, rs := replies(t, append(sent, b.after(200*time.Millisecond)...))
		if len(rs) != 1 {
			t.Fatalf("%d replies to master %v, want 1", len(rs), id)
		}
		h := header(41)
		as(&h)
		a := netproto.Ack{Echo: rs[0].Nonce}
		b.packet(slaveAddr, a.Append(nil, h))
	}
	meet(6)
	meet(5)
	if got := b.node.Status().Master; got != 5 {
		t.Errorf("yielded to master 5 and follows %v", got)
	}
}

// PROTOCOL.md 9.2.
func TestWhatOnlyTrustedNodesMaySend(t *testing.T) {
	b := auto(t, func(c *Config) { c.Trusted = []netproto.ID{2, 3} })
	h := header(1) // of node 1
	b.wantDrop(DropUntrusted, pollOf(1, nil))
	b.wantDrop(DropUntrusted, adjustOf(1, 5, 0, nil))
	b.wantDrop(DropUntrusted, (&netproto.Candidate{Nonce: 77, Priority: 100}).Append(nil, h))
	b.wantDrop(DropUntrusted, (&netproto.Resign{}).Append(nil, h))
}

// PROTOCOL.md 9.1 and 9.9.
func TestWhoListensBeforeItStands(t *testing.T) {
	if stood, _ := auto(t, nil).upTo(netproto.KindCandidate, time.Minute); stood < 3*time.Second || stood > 4*time.Second {
		t.Errorf("role auto stood after %v, want 3 to 4 intervals", stood)
	}
	if stood, _ := newBench(t, RoleMaster, nil).upTo(netproto.KindCandidate, time.Minute); stood != 0 {
		t.Errorf("role master stood after %v, want at once", stood)
	}
}

// PROTOCOL.md 9.3, 9.12 and 9.13: of two candidates the one of higher rank objects, naming nobody; a dry one does not object to a
// real one, nor a real one to a dry one.
func TestCandidatesThatMeet(t *testing.T) {
	for name, c := range map[string]struct {
		priority uint8
		flags    netproto.Flags
		dry      bool
		claims   int
	}{
		"lower":          {priority: 99, claims: 1},
		"higher":         {priority: 101},
		"a dry one":      {priority: 99, flags: netproto.FlagDry},
		"to a dry one":   {priority: 99, dry: true},
		"both of a kind": {priority: 99, flags: netproto.FlagDry, dry: true, claims: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := auto(t, func(cfg *Config) { cfg.Dry = c.dry })
			b.upTo(netproto.KindCandidate, time.Minute)
			h := header(1)
			h.Flags = c.flags
			_, cs := claims(t, b.packet(masterAddr, (&netproto.Candidate{Nonce: 77, Priority: c.priority}).Append(nil, h)))
			if len(cs) != c.claims || len(cs) == 1 && (cs[0].Master != 0 || cs[0].Voters != 0) {
				t.Errorf("claims %+v, want %d that names nobody", cs, c.claims)
			}
		})
	}
}

// PROTOCOL.md 9.22.
func TestARepliesTermIsOutbid(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	f[0].term = 8
	b.round(f...)
	if h, _ := b.polled(); h.Term != 9 {
		t.Errorf("polls in term %d after a Reply of term 8, want 9", h.Term)
	}
}

// PROTOCOL.md 9.8: who is not named waits, and new proof undoes a Resign.
func TestAResignIsUndoneByProof(t *testing.T) {
	r := netproto.Resign{Successor: 3}
	b := lost(t, false)
	b.packet(masterAddr, r.Append(nil, header(1)))
	if stood, _ := b.upTo(netproto.KindCandidate, 10*time.Second); stood < time.Second || stood > 2100*time.Millisecond {
		t.Errorf("not named, stood after %v, want 1 to 2 intervals", stood)
	}
	b = lost(t, false)
	b.packet(masterAddr, r.Append(nil, header(1)))
	b.after(time.Second / 2)
	b.exchange(2)
	proved := b.now
	if stood, _ := b.upTo(netproto.KindCandidate, 10*time.Second); stood-proved < 2900*time.Millisecond {
		t.Errorf("stood %v after the master proved itself again, want 3 intervals", stood-proved)
	}
}

// Two daemons with one id, from a cloned disk or one state directory for two: the later one is the member, and the log says it once, not each time
// the other is heard.
func TestTwoNodesWithOneIDAreTold(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	came, told := 0, 0
	for round := range 10 {
		poll, body := b.polled()
		for _, start := range []uint32{7, 8} {
			h := netproto.Header{Group: group, Sender: 2, Start: start, Seq: poll.Seq}
			r := netproto.Reply{Echo: body.Nonce, Nonce: netproto.Nonce(100*round) + netproto.Nonce(start), T2: netproto.Stamp(wallStart), T3: netproto.Stamp(wallStart)}
			for _, n := range of[Note](b.packet(slaveAddr, r.Append(nil, h))) {
				switch {
				case strings.Contains(n.Text, "member came"):
					came++
				case strings.Contains(n.Text, "one id"):
					told++
				}
			}
		}
	}
	if came != 2 || told != 1 {
		t.Errorf("a member came %d times, and of the one id it was told %d times; want 2 and 1", came, told)
	}
}

// TestExcluded: PROTOCOL.md 9.32. Nothing of an excluded node counts, and one that is in its own list never stands.
func TestExcluded(t *testing.T) {
	b := newBench(t, RoleAuto, func(c *Config) { c.Excluded = []netproto.ID{1} })
	h := header(1)
	for _, data := range [][]byte{
		pollOf(1, nil), adjustOf(1, 5, 0, nil), ackOf(1, 5, 0, 0), (&netproto.Reply{Echo: 1, Nonce: 2}).Append(nil, h),
		(&netproto.Candidate{Nonce: 77, Priority: 100}).Append(nil, h), (&netproto.Claim{Echo: 77}).Append(nil, h),
		(&netproto.Resign{}).Append(nil, h),
	} {
		b.wantDrop(DropExcluded, data)
	}
	b = newBench(t, RoleAuto, func(c *Config) { c.Excluded = []netproto.ID{c.ID} })
	if b.after(time.Minute); b.node.Status().Traffic.Elections != 0 {
		t.Error("a node that is excluded stood for office")
	}
}

// TestKeyedNode: with keys a node opens what they sealed, of its own group alone, and sends nothing else.
func TestKeyedNode(t *testing.T) {
	ring, other := ringOf(t, group, 1), ringOf(t, group, 2)
	b := newBench(t, RoleSlave, func(c *Config) { c.Ring = ring })
	b.wantDrop(DropKey, pollOf(1, nil))
	b.wantDrop(DropKey, sealed(other, pollOf(1, nil)))
	damaged := sealed(ring, pollOf(1, nil))
	damaged[len(damaged)-1] ^= 1
	b.wantDrop(DropKey, damaged)
	b.wantDrop(DropGroup, sealed(ringOf(t, 8, 1), pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Group = 8 })))
	b.packet(masterAddr, sealed(ring, pollOf(1, nil)))
	for _, s := range of[*Send](b.after(time.Second)) {
		if h, _, err := ring.Open(s.Data); err != nil || h.Kind != netproto.KindReply {
			t.Errorf("sent a %v: %v", h.Kind, err)
		}
	}
	if b.node.Status().Traffic.Sent != 1 {
		t.Errorf("%d packets sent, want the reply", b.node.Status().Traffic.Sent)
	}
	if _, err := New(Config{ID: 1, Group: 8, Ring: ring, Random: func() uint64 { return 1 }, Interval: 1, MaxSlew: 1}, Moment{}); err == nil {
		t.Error("a ring of another group was taken")
	}
}
