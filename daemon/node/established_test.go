package node

import (
	"slices"
	"testing"
	"time"

	"meantime/netproto"
)

// establish plays rounds until the LAN counts as established.
func (c *crowd) establish() {
	c.tb.Helper()
	for range 2 * establishedRounds {
		if c.round(); c.node.lead.established() {
			return
		}
	}
	c.tb.Fatal("the LAN is never established")
}

// most has the master poll and the members speak, all but the last packet of the last one, which is returned unheard.
func (c *crowd) most() *extra {
	c.ask()
	last := &c.members[len(c.members)-1]
	for i := range c.members[:len(c.members)-1] {
		c.speak(&c.members[i])
	}
	c.write(last, 0)
	c.hear(last)
	c.write(last, 1)
	return last
}

// An established LAN has its Adjust as soon as the last member has been heard; a young one, or one of which a member is silent, at the
// end of the window and the grace (PROTOCOL.md 8.44).
func TestARoundEndsWithItsLastReply(t *testing.T) {
	c := newCrowd(t, 3, 0)
	early := func(speakers []extra) bool {
		c.ask()
		before, end := c.node.seen.Adjusts, c.node.lead.closeAt
		for i := range speakers {
			c.speak(&speakers[i])
		}
		at, told := c.now, c.node.seen.Adjusts > before
		if c.close(); !told && c.now < end {
			t.Errorf("told at %v, before the end of the round at %v", c.now, end)
		}
		return told && at < end-grace
	}
	for round := range 8 {
		if early(c.members) {
			t.Fatalf("round %d of a young LAN ended before its time", round)
		}
	}
	c.establish()
	for round := range 8 {
		if !early(c.members) {
			t.Fatalf("round %d: no Adjust before the end of the grace", round)
		}
	}
	if early(c.members[:2]) {
		t.Error("a round ended without a member that had not been heard")
	}
	if !early(c.members) {
		t.Error("the next one, with all of them, did not end with the last")
	}
}

// A member that starts anew within a round is waited for again.
func TestARoundWaitsForWhoStartedAnew(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.establish()
	c.ask()
	c.speak(&c.members[0])
	c.speak(&c.members[1])
	p, _ := c.node.lead.peers.get(c.members[0].id, 9)
	p.start-- // what it says now is of a later start
	before := c.node.seen.Adjusts
	c.write(&c.members[0], 2)
	c.hear(&c.members[0])
	c.speak(&c.members[2])
	if c.node.seen.Adjusts != before || c.node.lead.left != 1 {
		t.Errorf("%d Adjusts, %d waited for, while its exchanges go on", c.node.seen.Adjusts-before, c.node.lead.left)
	}
	c.close()
	if c.round(); c.node.lead.left != 0 {
		t.Errorf("%d waited for after a whole round", c.node.lead.left)
	}
}

// A Reply that waited in the socket while the master was stopped ends no round: what it measured is old (PROTOCOL.md 9.28).
func TestALateReplyEndsNoRound(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.establish()
	last := c.most()
	before := c.node.seen.Adjusts
	c.now += 30 * time.Second
	c.hear(last)
	if s := c.node.Status(); c.node.seen.Adjusts != before || s.Voters != 0 {
		t.Errorf("%d Adjusts and %d voters after a pause", c.node.seen.Adjusts-before, s.Voters)
	}
}

// newcomer is a slave that the LAN does not know yet.
func (c *crowd) newcomer() *extra {
	return &extra{id: 1<<63 | 7, addr: c.members[0].addr, rate: c.members[0].rate}
}

// Whoever has no slot yet may be last in the window, when the round is over for all others: it is a member from the next round on, which
// comes soon, and what it said before that is forgotten.
func TestANewcomerIsHeardAfterTheAdjust(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.node.cfg.Longest = 64 * time.Second
	c.establish()
	c.ask()
	for i := range c.members {
		c.speak(&c.members[i])
	}
	if !c.node.lead.ended() {
		t.Fatal("the round is not over")
	}
	late, before, told := c.newcomer(), c.node.seen.Acks, c.node.seen.Adjusts
	c.now += grace
	l := c.node.lead
	l.interval, l.pollAt = c.node.cfg.Longest, c.now+c.node.cfg.Longest // it had been untroubled for long
	c.speak(late)
	if s := c.node.Status(); s.Members != 5 || c.node.seen.Acks == before || c.node.seen.Adjusts != told {
		t.Errorf("%d members, %d Acks to the newcomer, %d Adjusts", s.Members, c.node.seen.Acks-before, c.node.seen.Adjusts-told)
	}
	if wait := c.node.lead.pollAt - c.now; wait > c.node.cfg.Interval {
		t.Errorf("the next round is in %v", wait)
	}
	c.ask()
	p, _ := c.node.lead.peers.get(late.id, 9)
	if p.measured() {
		t.Error("a sample of the round before is there still")
	}
	c.members = append(c.members, *late)
	slices.SortFunc(c.members, func(a, b extra) int { return int(a.id>>1) - int(b.id>>1) })
	for i := range c.members {
		c.speak(&c.members[i])
	}
	if c.close(); c.node.lead.left != 0 || c.node.drops[DropStale] != 0 {
		t.Errorf("%d are waited for, %d packets stale", c.node.lead.left, c.node.drops[DropStale])
	}
	if p.slot == netproto.NoSlot {
		t.Error("the newcomer was told nothing")
	}
}

// A member whose last Ack and Adjust were lost repeats its Reply after the round was decided: no exchange begins then.
func TestNoExchangeBeginsAfterTheRound(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.establish()
	c.round()
	c.ask()
	for i := range c.members {
		c.speak(&c.members[i])
	}
	before := c.node.seen.Acks
	c.write(&c.members[1], 5)
	c.hear(&c.members[1])
	if c.node.seen.Acks != before || c.node.drops[DropStale] != 1 {
		t.Errorf("%d Acks, %d stale", c.node.seen.Acks-before, c.node.drops[DropStale])
	}
}

// Slots are twice as long as exchanges take, never shorter than a millisecond, and never longer than in a young LAN (PROTOCOL.md 8.44).
func TestSlotsFollowTheExchanges(t *testing.T) {
	c := newCrowd(t, 3, 0)
	slot := func() time.Duration {
		c.ask()
		defer c.close()
		return time.Duration(c.body.Window) * time.Microsecond / time.Duration(c.body.Slots)
	}
	if got := slot(); got < slotTime {
		t.Errorf("slots of %v in a young LAN", got)
	}
	c.establish()
	for _, e := range []struct{ reply, least, most time.Duration }{
		{0, leastSlot, leastSlot * 3 / 2},
		{4 * time.Millisecond, 8 * time.Millisecond, slotTime},
		{15 * time.Millisecond, slotTime, slotTime * 5 / 4},
	} {
		for range 64 {
			c.ask()
			for i := range c.members {
				c.talk(&c.members[i], e.reply)
			}
			c.close()
		}
		if got := slot(); got < e.least || got > e.most {
			t.Errorf("slots of %v where a reply takes %v, want %v to %v", got, e.reply, e.least, e.most)
		}
	}
}

// One round in a hundred that takes long, as on a machine with other work, makes no slots long.
func TestSlotsBearARareDelay(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.establish()
	for range 2 {
		for range 99 {
			c.round()
		}
		c.ask()
		for i := range c.members {
			c.talk(&c.members[i], 15*time.Millisecond)
		}
		c.close()
	}
	c.ask()
	if got := time.Duration(c.body.Window) * time.Microsecond / time.Duration(c.body.Slots); got > 2*leastSlot {
		t.Errorf("slots of %v", got)
	}
}

// Polls of an established LAN follow the turn of the second, from either side (PROTOCOL.md 8.45).
func TestPollsFollowTheTurnOfTheSecond(t *testing.T) {
	for _, from := range []time.Duration{300 * time.Millisecond, 700 * time.Millisecond} {
		c := newCrowd(t, 2, 0)
		c.node.lead.pollAt += from
		last := time.Duration(0)
		for range establishedRounds + 32 {
			c.round()
			if apart := c.polled - last; last != 0 && (apart < time.Second*31/32 || apart > time.Second*33/32+time.Millisecond) {
				t.Fatalf("%v from one poll to the next", apart)
			}
			last = c.polled
		}
		at := (wallStart + int64(c.polled)) % int64(time.Second)
		if off := time.Duration(at) - beatAt; off.Abs() > time.Millisecond {
			t.Errorf("polls come %v after the turn of the second, want %v", time.Duration(at), beatAt)
		}
	}
}

// An announced order counts on polls to come when they were to: they are not moved before it was carried out. Nor are those of an interval that
// is not of whole seconds.
func TestPollsKeepTheirBeat(t *testing.T) {
	c := newCrowd(t, 2, 0)
	c.establish()
	c.round()
	off := c.node.lead.pollAt + 300*time.Millisecond
	if c.node.toBeat(off, time.Second) == 0 {
		t.Fatal("a poll off the beat is not moved")
	}
	if by := c.node.toBeat(off, 1500*time.Millisecond); by != 0 {
		t.Errorf("polls each 1.5 s are moved by %v", by)
	}
	c.node.order.known, c.node.order.move.From = true, c.node.lineage
	c.node.order.at = never
	if !c.node.awaited() {
		t.Fatal("no order is awaited")
	}
	if by := c.node.toBeat(off, time.Second); by != 0 {
		t.Errorf("with an order announced polls are moved by %v", by)
	}
}

// One poll that is lost makes nobody stand, although proof comes right after a poll there and the next one may be a bit late (PROTOCOL.md 9.6).
func TestOneLostPollIsNoDeath(t *testing.T) {
	b := newBench(t, RoleAuto, nil)
	first := func(_ *netproto.Header, a *netproto.Adjust) { a.Successors[0] = 2 }
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, first))
	b.after(900 * time.Millisecond)
	polled := b.now
	_, rs := replies(t, b.packet(masterAddr, pollOf(2, nil)))
	if len(rs) != 1 {
		t.Fatalf("%d replies at once", len(rs))
	}
	b.packet(masterAddr, adjustOf(2, rs[0].Nonce, 0, first))
	if _, cs := candidates(t, b.after(2*time.Second*33/32+10*time.Millisecond-(b.now-polled))); len(cs) != 0 {
		t.Error("stands before the poll after the lost one can be there")
	}
	if _, cs := candidates(t, b.after(200*time.Millisecond)); len(cs) == 0 {
		t.Error("does not stand after two")
	}
}

// Holding is a break, and so is a pause of the master; a master that is alone establishes nothing.
func TestWhatEstablishesALAN(t *testing.T) {
	c := newCrowd(t, 2, 0)
	c.establish()
	c.node.hold(nil, nil, 2)
	c.node.lead.phase = netproto.PhaseKeeping
	if c.node.lead.established() {
		t.Error("established although it was held")
	}
	c.establish()
	c.ask()
	c.now += 30 * time.Second
	c.close()
	if c.node.lead.established() {
		t.Error("established after a pause")
	}
	alone := newBench(t, RoleMaster, nil)
	alone.after((establishedRounds + 30) * time.Second)
	if s := alone.node.Status(); s.State != StateKeeping || alone.node.lead.kept != 0 {
		t.Errorf("%s, %d rounds kept with others by a master alone", s.State, alone.node.lead.kept)
	}
}
