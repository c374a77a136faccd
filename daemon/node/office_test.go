package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

func auto(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	return newBench(t, RoleAuto, change)
}

// lost brings a node of role auto onto LAN time under master 1, which then falls silent. first names it first successor.
func lost(t *testing.T, first bool) *bench {
	t.Helper()
	b := auto(t, nil)
	nonce := b.exchange(1)
	b.packet(masterAddr, adjustOf(1, nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) {
		if first {
			a.Successors[0] = 2
		}
	}))
	return b
}

func candidates(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Candidate) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Candidate, error) { return netproto.ParseCandidate(b) }, netproto.KindCandidate)
}

func claims(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Claim) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Claim, error) { return netproto.ParseClaim(b) }, netproto.KindClaim)
}

func resigns(t *testing.T, effects []Effect) ([]netproto.Header, []netproto.Resign) {
	return sends(t, effects, func(_ netproto.Header, b []byte) (netproto.Resign, error) { return netproto.ParseResign(b) }, netproto.KindResign)
}

// upTo lets time pass until a packet of a kind is sent, and says when.
func (b *bench) upTo(kind netproto.Kind, limit time.Duration) (time.Duration, []Effect) {
	b.t.Helper()
	for end := b.now + limit; b.now < end; {
		effects := b.after(max(0, b.node.Deadline()-b.now))
		for _, e := range effects {
			if s, ok := e.(*Send); ok {
				if h, _, err := netproto.Inspect(s.Data); err == nil && h.Kind == kind {
					return b.now, effects
				}
			}
		}
		if b.node.Deadline() == never {
			break
		}
	}
	b.t.Fatalf("no %v within %v", kind, limit)
	return 0, nil
}

// PROTOCOL.md 9.6, 9.10 and 9.15.
func TestFirstSuccessorPollsWithinThreeIntervals(t *testing.T) {
	b := lost(t, true)
	polled := time.Duration(0) // master 1's last poll
	stood, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
	hs, cs := candidates(t, effects)
	if hs[0].Term != 2 || cs[0].Master != 1 || hs[0].Lineage != 99 {
		t.Errorf("stands with %+v %+v: want term 2, after master 1, lineage 99", hs[0], cs[0])
	}
	led, effects := b.upTo(netproto.KindPoll, 10*time.Second)
	if led-polled > 3*time.Second || stood-polled < 2*time.Second {
		t.Errorf("stood %v and polled %v after the old master's last poll", stood-polled, led-polled)
	}
	ph, ps := polls(t, effects)
	if ph[0].Term != 2 || ph[0].Lineage != 99 || ps[0].Phase != netproto.PhaseKeeping {
		t.Errorf("first poll %+v %+v: want term 2, lineage 99, keeping", ph[0], ps[0])
	}
}

// PROTOCOL.md 9.7.
func TestOthersWaitForTheFirstSuccessor(t *testing.T) {
	stood, _ := lost(t, false).upTo(netproto.KindCandidate, 10*time.Second)
	if stood < 3*time.Second || stood > 4200*time.Millisecond {
		t.Errorf("stood after %v, want 3 to 4 intervals", stood)
	}
}

// PROTOCOL.md 9.1 and 9.2.
func TestWhoNeverStands(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"role slave": func(c *Config) { c.Role = RoleSlave },
		"priority 0": func(c *Config) { c.Priority = 0 },
		"untrusted":  func(c *Config) { c.Trusted = []netproto.ID{1, 3} },
	} {
		t.Run(name, func(t *testing.T) {
			b := auto(t, change)
			effects := b.after(time.Hour)
			if n := count[*Send](effects); n != 0 {
				t.Errorf("%d packets in an hour alone", n)
			}
		})
	}
}

// PROTOCOL.md 9.10 and 9.14.
func TestAnObjectionHoldsACandidateBack(t *testing.T) {
	b := lost(t, true)
	_, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
	_, cs := candidates(t, effects)
	h := header(1)
	h.Sender = 3
	stale := netproto.Claim{Echo: cs[0].Nonce + 1, Master: 1, Priority: 100}
	b.wantDrop(DropUnasked, stale.Append(nil, h))
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 1, Priority: 100}
	if effects := b.packet(slaveAddr, claim.Append(nil, h)); said(effects, "does not reach this node") {
		t.Error("a candidate that is a moment too early is told to look after its cables")
	}
	stood := b.now
	again, effects := b.upTo(netproto.KindCandidate, 20*time.Second)
	if again-stood < 900*time.Millisecond {
		t.Errorf("stood again after %v, want an interval of holding back", again-stood)
	}
	_, cs = candidates(t, effects)
	claim.Echo = cs[0].Nonce
	if effects := b.packet(slaveAddr, claim.Append(nil, h)); !said(effects, "does not reach this node") {
		t.Errorf("no word about a one-way link: %+v", effects)
	}
}

// A Candidate, and a Resign, are hearsay: they move nothing, and a living master is spoken for (PROTOCOL.md 9.4, 9.11 and 9.12).
func TestSlaveSpeaksForItsMaster(t *testing.T) {
	b := lost(t, false)
	b.after(500 * time.Millisecond)
	h := header(1)
	h.Sender, h.Term = 5, 9
	c := netproto.Candidate{Nonce: 77, Master: 1, Priority: 200}
	before := b.node.Status()
	hs, cs := claims(t, b.packet(slaveAddr, c.Append(nil, h)))
	if len(cs) != 1 || cs[0].Echo != 77 || cs[0].Master != 1 || hs[0].Term != 1 {
		t.Fatalf("claims %+v %+v: want one that names master 1 in term 1", hs, cs)
	}
	if after := b.node.Status(); after.Term != before.Term || after.Master != before.Master {
		t.Errorf("a Candidate changed the node: %+v", after)
	}
	b.after(1200 * time.Millisecond)
	if _, cs := claims(t, b.packet(slaveAddr, c.Append(nil, h))); len(cs) != 0 {
		t.Error("spoke for a master that may be dead")
	}
}

// PROTOCOL.md 9.8.
func TestResignHandsOver(t *testing.T) {
	b := lost(t, false)
	h := header(1)
	r := netproto.Resign{Successor: 2}
	stranger := h
	stranger.Sender = 9
	b.wantDrop(DropStale, r.Append(nil, stranger))
	b.after(300 * time.Millisecond)
	resigned := b.now
	b.packet(masterAddr, r.Append(nil, h))
	led, _ := b.upTo(netproto.KindPoll, 5*time.Second)
	if led-resigned > time.Second {
		t.Errorf("the successor polled %v after the Resign, want at most an interval", led-resigned)
	}
}

// An old Resign played back makes nobody master: the living master objects (PROTOCOL.md 9.12 and 12.1).
func TestReplayedResignIsObjectedTo(t *testing.T) {
	b := lost(t, false)
	b.exchange(2) // the Resign is of the round before
	r := netproto.Resign{Successor: 2}
	_, cs := candidates(t, append(b.packet(masterAddr, r.Append(nil, header(1))), b.after(5*time.Millisecond)...))
	if len(cs) != 1 {
		t.Fatalf("the successor named stood %d times, want at once", len(cs))
	}
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 1, Voters: 2, Priority: 100}
	b.packet(masterAddr, claim.Append(nil, header(1)))
	if effects := b.after(900 * time.Millisecond); count[*Send](effects) != 0 || b.node.lead != nil {
		t.Errorf("master in spite of the living one's claim: %+v", effects)
	}
}

// PROTOCOL.md 9.27.
func TestStopOfAMasterNamesItsSuccessor(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	_, rs := resigns(t, b.give(Stop{}))
	if len(rs) != 1 || rs[0].Successor != 3 { // all else being equal, the higher id
		t.Errorf("resigns %+v, want one naming node 3", rs)
	}
	if effects := auto(t, nil).give(Stop{}); len(effects) != 0 {
		t.Errorf("a node without office stops with %+v", effects)
	}
}

// rivalry (PROTOCOL.md 9.16) founds a LAN of 3 under the master tested, lets it hear another master's poll and answer its question with so many voters.
func rivalry(t *testing.T, voters uint16, term uint64, dry bool) (b *bench, effects []Effect) {
	t.Helper()
	b = newBench(t, RoleMaster, nil)
	b.founded(following(2, 3)...)
	h := header(40)
	h.Sender, h.Start, h.Term = 5, 50, term
	if dry {
		h.Flags = netproto.FlagDry
	}
	p := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
	asked := b.packet(slaveAddr, p.Append(nil, h))
	_, cs := candidates(t, asked)
	if dry {
		if len(cs) != 0 {
			t.Error("a real master asks a dry one")
		}
		return b, asked
	}
	if len(cs) != 1 {
		t.Fatalf("asked %d times, want once", len(cs))
	}
	if _, again := candidates(t, b.packet(slaveAddr, p.Append(nil, h))); len(again) != 0 {
		t.Error("asked twice within a round")
	}
	wrong := netproto.Claim{Echo: cs[0].Nonce + 1, Master: 5, Voters: 1000, Priority: 255}
	b.wantDrop(DropUnasked, wrong.Append(nil, h))
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 5, Voters: voters, Priority: 100}
	return b, b.packet(slaveAddr, claim.Append(nil, h))
}

// PROTOCOL.md 9.17 and 9.18.
func TestTheSmallerGroupsMasterYields(t *testing.T) {
	b, effects := rivalry(t, 7, 4, false)
	_, rs := resigns(t, effects)
	if len(rs) != 1 || rs[0].Successor != 5 || b.node.lead != nil {
		t.Errorf("effects %+v: want a Resign that names master 5", effects)
	}
	if b.node.Status().Standing != netproto.StandingNewcomer {
		t.Errorf("standing %v, want newcomer", b.node.Status().Standing)
	}
}

// PROTOCOL.md 9.17 and 9.19.
func TestTheLargerGroupsMasterOutbids(t *testing.T) {
	b, effects := rivalry(t, 2, 4, false)
	if b.node.lead == nil || count[*Send](effects) != 0 {
		t.Fatalf("effects %+v: want none, and office kept", effects)
	}
	hs, _ := polls(t, b.after(2*time.Second))
	if hs[0].Term != 5 {
		t.Errorf("polls in term %d, want one above the other's 4", hs[0].Term)
	}
}

// PROTOCOL.md 9.17.
func TestRealMasterIgnoresADryOne(t *testing.T) {
	b, _ := rivalry(t, 100, 9, true)
	if b.node.lead == nil {
		t.Error("yielded to a dry master")
	}
}

// Term fencing: of two masters in one term a slave obeys one (PROTOCOL.md 9.20).
func TestOneMasterATerm(t *testing.T) {
	b := newBench(t, RoleSlave, nil) // else it would take office itself
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, nil))
	b.after(5 * time.Second) // silent: another may come
	as := func(h *netproto.Header) { h.Sender, h.Start = 5, 50 }
	effects := b.packet(slaveAddr, pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { as(h) }))
	_, rs := replies(t, append(effects, b.after(100*time.Millisecond)...))
	h := header(1)
	as(&h)
	a := netproto.Ack{Echo: rs[0].Nonce}
	b.packet(slaveAddr, a.Append(nil, h))
	b.wantDrop(DropStale, adjustOf(1, rs[0].Nonce, time.Hour, func(h *netproto.Header, _ *netproto.Adjust) { as(h) }))
	b.packet(slaveAddr, adjustOf(1, rs[0].Nonce, 0, func(h *netproto.Header, _ *netproto.Adjust) { as(h); h.Term = 2 }))
	if s := b.node.Status(); s.Term != 2 || s.Master != 5 {
		t.Errorf("term %d under %v, want 2 under 5", s.Term, s.Master)
	}
}

// A master that was paused comes back: what it measured before counts for nothing (PROTOCOL.md 9.28).
func TestPausedMasterDecidesNothing(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	_, effects := b.upTo(netproto.KindPoll, 2*time.Second)
	hs, ps := polls(t, effects)
	b.answer(f[0], hs[0].Seq, ps[0].Nonce, b.now, nil)
	b.now += 30 * time.Second
	effects = b.give(Tick{})
	if _, as := adjusts(t, effects); len(as) != 0 || b.node.Status().Voters != 0 {
		t.Errorf("after a pause: %d adjusts, %d voters", len(as), b.node.Status().Voters)
	}
}

// A node that was held up, as on an overloaded machine, has not listened: it does not take its master for dead, and a candidate reads the
// objection that waits for it before it takes office.
func TestWhoWasHeldUpListensFirst(t *testing.T) {
	b := lost(t, true)
	b.now += 9 * time.Second
	if _, cs := candidates(t, b.give(Tick{})); len(cs) != 0 {
		t.Errorf("stands at once after 9 s in which it did not run")
	}
	stood, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
	if stood < 10*time.Second || stood > 11*time.Second {
		t.Errorf("stands at %v: want 2 s of silence in which it ran", stood)
	}
	_, cs := candidates(t, effects)
	b.now += 5 * time.Second
	b.give(Tick{})
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 1, Priority: 1}
	if b.packet(masterAddr, claim.Append(nil, header(1))); b.node.lead != nil {
		t.Errorf("took office before it had read the objection")
	}
}
