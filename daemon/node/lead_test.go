package node

import (
	"net/netip"
	"testing"
	"time"

	"meantime/netproto"
)

// fake is a slave played by the test against a master under test: a clock that is off by so much, and honest.
type fake struct {
	id      netproto.ID
	offset  time.Duration
	lineage uint64
	flags   netproto.Flags
	term    uint64
	bound   time.Duration
	nonce   netproto.Nonce
	entry   *netproto.Entry // of the last Adjust
	follows bool            // whether it takes its delta
	stretch time.Duration   // by how much it makes its delay look longer
	pace    uint32          // ppb
	jumped  bool            // says that its clock jumped
	rate    float64         // fractional
	slot    uint16
}

func (f *fake) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(f.id)}), 10526)
}

// wire is how long every packet of these tests is under way.
const wire = 50 * time.Microsecond

// words are what a slave says of itself in a Reply that the test changes.
type words func(f *fake, h *netproto.Header, r *netproto.Reply)

// answer gives the master a fake's Reply to a poll sent at a moment. change may be nil.
func (b *bench) answer(f *fake, seq uint32, echo netproto.Nonce, polled time.Duration, change words) []Effect {
	f.nonce = netproto.Nonce(b.node.random())
	t2 := wallStart + int64(polled+wire+f.offset)
	b.now += 2 * wire
	r := netproto.Reply{
		Echo: echo, Nonce: f.nonce, T2: netproto.Stamp(t2), T3: netproto.Stamp(t2 + int64(b.now-polled-2*wire-f.stretch)),
		Bound: int64(f.bound), Priority: 100, Pace: f.pace, Rate: netproto.RateOf(f.rate),
	}
	h := netproto.Header{
		Group: group, Sender: f.id, Start: 7, Seq: seq, Lineage: f.lineage, Term: f.term,
		Flags: f.flags | netproto.FlagKernelRX,
	}
	if f.jumped {
		h.Flags |= netproto.FlagJumped
	}
	if change != nil {
		change(f, &h, &r)
	}
	return b.packet(f.addr(), r.Append(nil, h))
}

// round plays one round of a master with fakes: they answer its next poll, it decides, they take their entries.
func (b *bench) round(fakes ...*fake) []Effect {
	b.t.Helper()
	return b.spoken(fakes, nil)
}

// spoken is a round in which the test changes what the fakes say.
func (b *bench) spoken(fakes []*fake, change words) []Effect {
	b.t.Helper()
	poll, body := b.polled()
	polled := b.now
	var all []Effect
	for _, f := range fakes {
		all = append(all, b.answer(f, poll.Seq, body.Nonce, polled, change)...)
	}
	all = append(all, b.after(b.node.lead.closeAt-b.now)...)
	_, as := adjusts(b.t, all)
	for _, f := range fakes {
		f.entry = nil
		for _, a := range as {
			f.take(a, b.node.Status().Lineage)
		}
	}
	return all
}

// take finds the fake's entry and, if it follows, moves its clock as told.
func (f *fake) take(a netproto.Adjust, lineage uint64) {
	for _, e := range a.Entries {
		if e.ID != f.id || e.Nonce != f.nonce {
			continue
		}
		f.entry, f.slot = &e, e.Slot
		if f.follows && a.Phase == netproto.PhaseKeeping {
			f.offset += time.Duration(e.Delta)
			f.lineage, f.bound = lineage, 10*time.Microsecond
		}
	}
}

func following(ids ...int) []*fake {
	var fs []*fake
	for _, id := range ids {
		fs = append(fs, &fake{id: netproto.ID(id), follows: true, bound: 100 * time.Microsecond})
	}
	return fs
}

// founded plays rounds until the founding is done and everybody votes.
func (b *bench) founded(fakes ...*fake) {
	b.t.Helper()
	for range 8 {
		b.round(fakes...)
	}
	if s := b.node.Status(); s.State != StateKeeping || s.Voters != len(fakes)+1 {
		b.t.Fatalf("after the founding: %s, %d voters of %d", s.State, s.Voters, len(fakes)+1)
	}
}

// Forming, test of record: 3:00 (master), 3:25, 2:50 → 3:05, deltas +0:05, −0:20, +0:15.
func TestFoundingOfRecord(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	f[0].offset, f[1].offset = 25*time.Minute, -10*time.Minute
	var own time.Duration
	for range 8 {
		for _, e := range b.round(f...) {
			if s, ok := e.(Step); ok {
				own = time.Duration(s.Delta)
			}
		}
		if f[0].entry != nil {
			break
		}
	}
	if f[0].entry == nil {
		t.Fatal("no founding within eight rounds")
	}
	for name, c := range map[string]struct{ got, want time.Duration }{
		"master":  {own, 5 * time.Minute},
		"slave 1": {time.Duration(f[0].entry.Delta), -20 * time.Minute},
		"slave 2": {time.Duration(f[1].entry.Delta), 15 * time.Minute},
	} {
		if (c.got - c.want).Abs() > time.Microsecond {
			t.Errorf("%s: delta %v, want %v", name, c.got, c.want)
		}
	}
	if f[0].entry.Standing != netproto.StandingFounder {
		t.Errorf("standing %v, want founder", f[0].entry.Standing)
	}
}

// Gathering lasts three rounds without a new face, and FoundWait at most; nothing is moved meanwhile.
func TestGathering(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	var f []*fake
	for id := range 30 {
		f = append(f, following(2+id)...)
	}
	for i := range 3 {
		if effects := b.round(f[:i+1]...); count[Step](effects)+count[*Steer](effects) != 0 {
			t.Fatalf("round %d of the gathering moved the clock", i+1)
		}
		if s := b.node.Status(); s.State != StateGathering {
			t.Fatalf("%s in round %d, with a new face in each", s.State, i+1)
		}
	}
	for i := 3; b.now < 10*time.Second && i < len(f); i++ { // a new face in each round for ever
		b.round(f[:i+1]...)
	}
	b.round(f...)
	if s := b.node.Status(); s.State != StateKeeping {
		t.Errorf("%s after %v, want keeping: gathering ends after 10 s", s.State, b.now)
	}
}

// A small LAN that gathers polls each half interval and tells the whole one (PROTOCOL.md 8.28); one whose window leaves no room for that
// does not.
func TestGatheringPollsTwiceAsOften(t *testing.T) {
	for members, want := range map[int]time.Duration{2: time.Second / 2, 40: time.Second} {
		b := newBench(t, RoleMaster, nil)
		var f []*fake
		for id := range members {
			f = append(f, following(2+id)...)
		}
		b.round(f...)
		b.polled()
		before := b.now
		_, next := b.polled()
		if got := b.now - before; next.Phase != netproto.PhaseGathering || (got-want).Abs() > time.Millisecond {
			t.Errorf("%d members: %v from poll to poll in phase %v, want %v", members, got, next.Phase, want)
		}
		if next.Interval != 1_000_000 {
			t.Errorf("%d members: an interval of %d µs is told", members, next.Interval)
		}
	}
}

// A founder's delta is repeated until its Reply shows the lineage (PROTOCOL.md 8.18).
func TestFoundersDeltaIsRepeated(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	deaf := &fake{id: 2, offset: time.Minute, bound: time.Millisecond}
	for range 10 {
		b.round(deaf)
	}
	if deaf.entry == nil || deaf.entry.Standing != netproto.StandingFounder {
		t.Fatalf("entry %+v, want a founder's", deaf.entry)
	}
	if d := time.Duration(deaf.entry.Delta); (d + 30*time.Second).Abs() > time.Millisecond {
		t.Errorf("delta %v, want -30s as at the founding", d)
	}
	if s := b.node.Status(); s.Voters != 1 {
		t.Errorf("%d voters: a founder that never showed the lineage votes", s.Voters)
	}
}

// Keeping: a newcomer gets its delta and no vote, until it has been on LAN time for eight rounds.
func TestNewcomer(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	late := &fake{id: 4, offset: time.Hour, follows: true, bound: time.Millisecond}
	all := append(f, late)
	b.round(all...)
	if late.entry == nil || late.entry.Standing != netproto.StandingNewcomer {
		t.Fatalf("entry %+v, want a newcomer's", late.entry)
	}
	if d := time.Duration(late.entry.Delta); (d + time.Hour).Abs() > 10*time.Microsecond {
		t.Errorf("the newcomer gets %v, want -1h: LAN time is not brought to it", d)
	}
	for i := range probation {
		if s := b.node.Status(); s.Voters != 3 {
			t.Fatalf("%d voters in round %d of the probation", s.Voters, i+1)
		}
		b.round(all...)
	}
	b.round(all...)
	if s := b.node.Status(); s.Voters != 4 {
		t.Errorf("%d voters after the probation, want 4", s.Voters)
	}
}

// A voter off the majority's time is left out, and loses its vote when that goes on.
func TestOddVoterLosesItsVote(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4)
	b.founded(f...)
	f[2].follows = false
	f[2].offset += 10 * time.Millisecond
	b.round(f...)
	if f[2].entry.Standing != netproto.StandingLeftOut {
		t.Errorf("standing %v, want left out", f[2].entry.Standing)
	}
	if d := time.Duration(f[0].entry.Delta); d.Abs() > 50*time.Microsecond {
		t.Errorf("the odd voter moved another by %v", d)
	}
	lost := false
	for range patience {
		lost = lost || said(b.round(f...), "lost its vote")
	}
	b.round(f...)
	if m := b.member(4); !lost || f[2].entry.Standing != netproto.StandingNewcomer || m.Voice != VoiceFallen {
		t.Errorf("standing %v, want newcomer; %s", f[2].entry.Standing, m.Voice)
	}
}

// No majority: nobody is steered, and the log says why, once.
func TestNoMajorityHolds(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4)
	b.founded(f...)
	for i := range f {
		f[i].follows = false
	}
	f[0].offset += 10 * time.Millisecond // two against two
	f[1].offset += 10 * time.Millisecond
	effects := b.round(f...)
	if !said(effects, "no majority") || b.node.Status().State != StateHolding {
		t.Errorf("two against two: %s", b.node.Status().State)
	}
	if f[0].entry == nil || f[0].entry.Delta != 0 {
		t.Errorf("entry %+v: somebody is steered", f[0].entry)
	}
	if said(b.round(f...), "no majority") {
		t.Error("said twice")
	}
	f[0].offset -= 10 * time.Millisecond
	f[1].offset -= 10 * time.Millisecond
	b.round(f...)
	if s := b.node.Status(); s.State != StateKeeping {
		t.Errorf("%s after the majority is back", s.State)
	}
}

// Two voters that part: the one that is not master is left out.
func TestTwoThatPart(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2)
	b.founded(f...)
	f[0].follows = false
	f[0].offset += 10 * time.Millisecond
	for range patience + 1 {
		b.round(f...)
	}
	if s := b.node.Status(); s.State != StateKeeping || s.Voters != 1 {
		t.Errorf("%s with %d voters, want keeping with 1", s.State, s.Voters)
	}
	if f[0].entry.Standing != netproto.StandingNewcomer {
		t.Errorf("standing %v, want newcomer", f[0].entry.Standing)
	}
}

// A master that starts among members who have their time takes it over: it founds nothing and has no vote at first.
func TestRestartedMasterResumes(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.MayStep = false })
	f := following(2, 3, 4)
	for i := range f {
		f[i].offset, f[i].lineage, f[i].flags, f[i].term = time.Second, 42, netproto.FlagVoter, 6
	}
	for range 6 {
		b.round(f...)
	}
	s := b.node.Status()
	if s.Lineage != 42 || s.State != StateKeeping || s.Term != 7 {
		t.Fatalf("lineage %d, %s, term %d; want 42, keeping, 7", s.Lineage, s.State, s.Term)
	}
	if s.Voters != 3 || s.Standing != netproto.StandingNewcomer {
		t.Errorf("%d voters, itself %v; want 3 and newcomer", s.Voters, s.Standing)
	}
	if (f[0].offset - time.Second).Abs() > 100*time.Microsecond {
		t.Errorf("the members were moved to %v, want where they were", f[0].offset)
	}
	if (s.Residual - time.Second).Abs() > 100*time.Microsecond {
		t.Errorf("the master has %v to slew, want a second", s.Residual)
	}
}

// It waits for a good measurement before it takes its members' time: its clock may have it already.
func TestRestartedMasterWaitsForAGoodMeasurement(t *testing.T) {
	for better, want := range map[int]int{1: 4, 6: 6, 99: patientRounds + 1} {
		b := newBench(t, RoleMaster, func(c *Config) { c.MayStep = false })
		f := following(2, 3, 4)
		for i := range f {
			f[i].lineage, f[i].flags, f[i].term = 42, netproto.FlagVoter, 6
		}
		rounds := 0
		for b.node.Status().State != StateKeeping && rounds < 30 {
			rounds++
			for i := range f {
				if f[i].stretch = 0; rounds < better {
					f[i].stretch = 40 * time.Millisecond
				}
			}
			b.round(f...)
		}
		if rounds != want {
			t.Errorf("measured well from round %d on: resumed in round %d, want %d", better, rounds, want)
		}
	}
}

// firstPoll lets a master take office, unopposed, and returns its first poll.
func (b *bench) firstPoll() ([]netproto.Header, []netproto.Poll) {
	b.t.Helper()
	hs, ps := polls(b.t, b.after(200*time.Millisecond))
	if len(ps) != 1 {
		b.t.Fatalf("%d polls from a master that has just started, want 1", len(ps))
	}
	return hs, ps
}

func TestMasterAcksAtOnceAndAsksForMore(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	hs, ps := b.firstPoll()
	f := &fake{id: 2}
	ah, as := acks(t, b.answer(f, hs[0].Seq, ps[0].Nonce, b.now, nil))
	if len(as) != 1 || as[0].Echo != f.nonce || ah[0].Flags&netproto.FlagAgain == 0 {
		t.Errorf("acks %+v with %+v: want one, of nonce %d, asking for more", as, ah, f.nonce)
	}
}

// Replies that do not belong to the round, or come twice, are counted and measure nothing.
func TestMasterTakesEachReplyOnce(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	hs, ps := b.firstPoll()
	reply := func(seq uint32, echo netproto.Nonce, repeat uint8, stamp netproto.Stamp) []byte {
		h := netproto.Header{Group: group, Sender: 2, Start: 7, Seq: seq}
		r := netproto.Reply{Echo: echo, Nonce: 5, T2: stamp, T3: stamp, Repeat: repeat}
		return r.Append(nil, h)
	}
	b.wantDrop(DropStale, reply(hs[0].Seq+1, ps[0].Nonce, 0, 1))
	b.wantDrop(DropStale, reply(hs[0].Seq, ps[0].Nonce+1, 0, 1))
	good := reply(hs[0].Seq, ps[0].Nonce, 0, netproto.Stamp(wallStart))
	b.packet(slaveAddr, good)
	b.wantDrop(DropDuplicate, good)
	b.packet(slaveAddr, reply(hs[0].Seq, ps[0].Nonce, 2, netproto.Stamp(wallStart))) // the one between was lost
	b.wantDrop(DropDuplicate, reply(hs[0].Seq, ps[0].Nonce, 1, netproto.Stamp(wallStart)))
	other := netproto.Header{Group: group, Sender: 9, Start: 7, Seq: 1}
	b.wantDrop(DropRole, (&netproto.Ack{Echo: 5}).Append(nil, other))
	b.wantDrop(DropRole, (&netproto.Adjust{Members: 1, Parts: 1, Phase: netproto.PhaseKeeping}).Append(nil, other))
	b.after(time.Second / 2)
	b.wantDrop(DropStale, good)
}

func TestMembersThatFallSilentAreForgotten(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	left := false
	for range forget + 1 {
		left = left || said(b.round(f[0]), "member left")
	}
	if s := b.node.Status(); !left || s.Members != 2 {
		t.Errorf("%d members after the silence, want 2", s.Members)
	}
}

// The table is bounded, whoever sends: the newest are refused, with one line, and the others do not feel it.
func TestMembersAreBounded(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.MaxMembers = 7 })
	f := following(2, 3, 4)
	b.founded(f...)
	crowd := append(f, following(10, 11, 12, 13, 14, 15)...)
	lines := 0
	for range 5 {
		effects := b.round(crowd...)
		if said(effects, "max_members") {
			lines++
		}
		if _, as := adjusts(t, effects); len(as) != 1 || len(as[0].Entries) != 6 {
			t.Fatalf("%+v", as)
		}
	}
	s := b.node.Status()
	if s.Members != 7 || s.Drops[DropFull] != 5*3 || lines != 1 {
		t.Errorf("%d members, %d refused, %d lines; want 7, 15 and 1", s.Members, s.Drops[DropFull], lines)
	}
	b.round(f...)
	if b.round(f...); !said(b.round(crowd...), "max_members") {
		t.Error("nothing was said of those who came to a LAN that had been left alone for a round")
	}
}

// A large LAN's Adjust comes in parts, each within a packet.
func TestAdjustInParts(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	var f []*fake
	for i := range 2*netproto.MaxEntries + 5 {
		f = append(f, &fake{id: netproto.ID(10 + i), follows: true, bound: time.Millisecond})
	}
	for range 6 {
		b.round(f...)
	}
	_, as := adjusts(t, b.round(f...))
	if len(as) != 3 || as[2].Part != 2 || as[0].Parts != 3 || len(as[2].Entries) != 5 {
		t.Fatalf("%d parts", len(as))
	}
	for i := range f {
		if f[i].entry == nil {
			t.Errorf("no entry for slave %d", i)
		}
	}
}

func TestDryVotesAreIgnoredByARealMaster(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	dry := &fake{id: 4, flags: netproto.FlagDry, follows: true, bound: time.Millisecond}
	for range 2 * probation {
		b.round(append(f, dry)...)
	}
	if s := b.node.Status(); s.Voters != 3 || s.Members != 4 {
		t.Errorf("%d voters of %d members, want 3 of 4", s.Voters, s.Members)
	}
	if dry.entry == nil || dry.entry.Standing != netproto.StandingNewcomer {
		t.Errorf("entry %+v, want a newcomer's", dry.entry)
	}
}

// A slave that makes its delay look long, so that its interval holds everybody, moves nobody: two outvote one.
func TestAWideLiarOfThree(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	f[1].follows, f[1].stretch = false, 2*time.Second
	f[1].offset += 2*time.Second - time.Millisecond // half of the stretch goes into the offset, half into the bound
	for i := range 20 {                             // longer than a filter remembers what was usual
		b.round(f...)
		if d := time.Duration(f[0].entry.Delta); d.Abs() > 100*time.Microsecond {
			t.Fatalf("round %d: a liar with a delay of 2 s moved the honest slave by %v", i+1, d)
		}
	}
}

// A founding waits for a round in which everybody known was measured: one lost reply must not leave a clock out.
func TestFoundingWaitsForWhoWasNotHeard(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	for range 3 {
		b.round(f...)
	}
	b.round(f[0]) // three quiet rounds, but 3 is not heard in the last
	if s := b.node.Status(); s.State != StateGathering {
		t.Fatalf("%s in a round without node 3", s.State)
	}
	b.round(f...)
	if s := b.node.Status(); s.State != StateKeeping || f[1].entry == nil || f[1].entry.Standing != netproto.StandingFounder {
		t.Errorf("%s, entry of node 3 %+v: want it a founder", s.State, f[1].entry)
	}
}

// It goes by the best measurement of each member that the gathering has, not by the last: by as much as that is wrong the clock would be set
// wrong.
func TestFoundingGoesByTheBestMeasurement(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	for range 3 {
		b.round(f...)
	}
	f[1].stretch = 40 * time.Millisecond
	b.round(f...)
	e := f[1].entry
	if s := b.node.Status(); s.State != StateKeeping || e == nil {
		t.Fatalf("%s in a round in which node 3, well measured before, was measured to 20 ms only", s.State)
	}
	if d := time.Duration(e.Delta).Abs(); d > time.Millisecond {
		t.Errorf("node 3 is set wrong by %v", d)
	}
	if time.Duration(e.Bound) < 200*time.Microsecond {
		t.Errorf("a bound of %v, of a measurement of half a second ago", time.Duration(e.Bound))
	}
}

// It waits for a better measurement than one of 20 ms, for a while; who is never measured better is founded with after eight quiet rounds.
func TestFoundingWaitsForABetterMeasurement(t *testing.T) {
	for better, want := range map[int]int{1: 4, 6: 6, 99: patientRounds + 1} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3)
		rounds := 0
		for b.node.Status().State != StateKeeping && rounds < 30 {
			rounds++
			if f[1].stretch = 0; rounds < better {
				f[1].stretch = 40 * time.Millisecond
			}
			b.round(f...)
		}
		if rounds != want {
			t.Errorf("measured well from round %d on: founded in round %d, want %d", better, rounds, want)
		}
	}
}

// A clock that is moved within the gathering is measured anew.
func TestAMovedClockIsMeasuredAnew(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	for range 3 {
		b.round(f...)
	}
	f[1].offset, f[1].jumped = time.Second, true
	f[1].stretch = 40 * time.Millisecond
	b.round(f...)
	if s := b.node.Status(); s.State != StateGathering {
		t.Fatalf("%s by what was measured before node 3's clock was moved", s.State)
	}
	f[1].jumped, f[1].stretch = false, 0
	first := 0 * time.Second
	for range 2*patience + 2 {
		if b.round(f...); f[1].entry != nil && first == 0 {
			first = time.Duration(f[1].entry.Delta)
		}
	}
	if s := b.node.Status(); s.State != StateKeeping || first > -time.Second/2 {
		t.Errorf("%s, node 3 told %v: want it brought back by what its clock was moved by, less the mean", s.State, first)
	}

	own := newBench(t, RoleMaster, nil)
	f = following(2, 3)
	for range 3 {
		own.round(f...)
	}
	own.node.lead.jumped = patience // this host's own clock was moved
	f[1].stretch = 40 * time.Millisecond
	own.round(f...)
	if s := own.node.Status(); s.State != StateGathering || own.node.lead.jumped != patience-1 {
		t.Errorf("%s, the jump held against it for %d rounds more", s.State, own.node.lead.jumped)
	}
}
