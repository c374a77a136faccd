package node

import (
	"math"
	"testing"
	"time"

	"meantime/netproto"
)

// asks is what fake 2 asks a master under test for, in the round that its last Poll began.
func (b *bench) asks(request uint64, by time.Duration, change func(*netproto.Header, *netproto.SetTime)) []Effect {
	l := b.node.lead
	h := netproto.Header{Group: group, Sender: 2, Start: 7, Seq: l.seq, Lineage: b.node.lineage, Term: l.term}
	p := netproto.SetTime{Request: request, Echo: l.nonce, By: int64(by)}
	if change != nil {
		change(&h, &p)
	}
	return b.packet(slaveAddr, p.Append(nil, h))
}

func answers(t *testing.T, effects []Effect) []netproto.SetTime {
	_, list := sends(t, effects, func(_ netproto.Header, b []byte) (netproto.SetTime, error) { return netproto.ParseSetTime(b) },
		netproto.KindSetTime)
	return list
}

// wantAnswer demands one answer to an order.
func (b *bench) wantAnswer(want netproto.Answer, effects []Effect) netproto.SetTime {
	b.t.Helper()
	list := answers(b.t, effects)
	if len(list) != 1 || list[0].Answer != want {
		b.t.Fatalf("answered %+v, want once %q", list, want)
	}
	return list[0]
}

// moves are fakes that keep to the move that the last Adjust told of, once LAN time shows its epoch.
func (b *bench) moves(fs []*fake, m netproto.Move) {
	for _, f := range fs {
		if f.lineage == m.From && b.node.lineage == m.Lineage {
			f.offset, f.lineage = f.offset+time.Duration(m.By), m.Lineage
		}
	}
}

// PROTOCOL.md 8.29, 8.31, 8.32, 15.2: a master announces an order for eight rounds and then carries it out, once; nobody loses its vote, and
// the clock follows at seven eighths of the slowest member's rate.
func TestMasterSetsLANTime(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	f[1].pace = 400_000
	b.founded(f...)
	const by = 90 * time.Second
	before := b.node.stamp(b.node.at.Raw) - netproto.Stamp(b.now)
	b.round(f...)
	answer := b.wantAnswer(netproto.AnswerYes, b.asks(77, by, nil))
	if answer.Left != int64(by) || answer.Pace != 350_000 || answer.Echo != b.node.lead.nonce {
		t.Errorf("answer %+v", answer)
	}
	told, first := 0, &Steer{}
	for b.node.lineage != 77 {
		_, as := adjusts(t, b.round(f...))
		if told += len(as); told > 8 || as[0].Move != b.node.order.move || as[0].Move.Epoch != answer.Begins {
			t.Fatalf("Adjust %d tells of %+v, accepted was %+v", told, as[0].Move, answer)
		}
		b.moves(f, as[0].Move)
		for _, first = range of[*Steer](b.after(b.node.lead.pollAt - b.now - 1)) { // the epoch is between two rounds
			if b.node.lineage == 77 {
				break
			}
		}
		b.moves(f, as[0].Move)
	}
	if told != 8 {
		t.Errorf("announced %d times", told)
	}
	for range 3 {
		b.round(f...)
	}
	s, moved := b.node.Status(), b.node.stamp(b.node.at.Raw)-netproto.Stamp(b.now)-before
	if s.Voters != 3 || (s.Spread-by).Abs() > 100*time.Millisecond || // the others say that they have nothing to slew
		time.Duration(moved-netproto.Stamp(by)).Abs() > time.Millisecond {
		t.Errorf("%d voters, spread %v, LAN time moved by %v", s.Voters, s.Spread, time.Duration(moved))
	}
	if first.MaxSlew < 349e-6 || first.MaxSlew > 351e-6 || first.Phase < int64(89*time.Second) {
		t.Errorf("steered by %+v", first)
	}
	again := b.wantAnswer(netproto.AnswerYes, b.asks(77, by, nil))
	if again.Begins != answer.Begins || b.node.awaited() {
		t.Errorf("asked once more: %+v, was %+v", again, answer)
	}
}

// PROTOCOL.md 8.29, 8.30, 15.1, 15.5: what is refused, and what is not even answered.
func TestOrdersThatAreRefused(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.Trusted = []netproto.ID{1, 2} })
	b.round()
	b.wantAnswer(netproto.AnswerNoTime, b.asks(1, time.Second, nil))
	f := following(2, 3)
	b.founded(f...)
	b.round(f...)
	for by, want := range map[time.Duration]netproto.Answer{
		math.MaxInt64 / 2: netproto.AnswerRange, time.Duration(-wallStart - 1e15): netproto.AnswerRange,
		time.Duration(netproto.MaxStamp) - time.Duration(wallStart) - 24*time.Hour: netproto.AnswerRange,
	} {
		b.wantAnswer(want, b.asks(2, by, nil))
	}
	b.wantAnswer(netproto.AnswerUntrusted, b.asks(3, time.Hour, func(h *netproto.Header, _ *netproto.SetTime) { h.Sender = 3 }))
	for what, change := range map[string]func(*netproto.Header, *netproto.SetTime){
		"another round":          func(h *netproto.Header, _ *netproto.SetTime) { h.Seq-- },
		"a nonce that was not":   func(_ *netproto.Header, p *netproto.SetTime) { p.Echo++ },
		"dry, to a real master":  func(h *netproto.Header, _ *netproto.SetTime) { h.Flags |= netproto.FlagDry },
		"an answer, to a master": func(_ *netproto.Header, p *netproto.SetTime) { p.Answer = netproto.AnswerYes },
	} {
		if list := answers(t, b.asks(4, time.Second, change)); len(list) != 0 || b.node.order.known {
			t.Errorf("%s: answered %+v, order %+v", what, list, b.node.order)
		}
	}
	b.wantAnswer(netproto.AnswerYes, b.asks(5, time.Second, nil))
	b.wantAnswer(netproto.AnswerBusy, b.asks(6, time.Minute, nil))
	b.wantAnswer(netproto.AnswerYes, b.asks(5, time.Second, nil))
	list := of[TimeSet](b.give(SetTime{By: time.Hour}))
	if len(list) != 1 || list[0].Answer != netproto.AnswerBusy {
		t.Errorf("the master's own operator hears %+v", list)
	}
}

// PROTOCOL.md 15.2, 15.3: a slave asks its master until it answers, and nobody else's answer counts.
func TestSlaveAsksUntilAnswered(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	nonce := b.exchange(1)
	b.packet(masterAddr, adjustOf(1, nonce, 0, nil))
	asked := answers(t, append(b.give(SetTime{By: -time.Minute}), b.after(600*time.Millisecond)...))
	if len(asked) != 3 || asked[0] != asked[2] || asked[0].Echo != 1001 || asked[0].By != int64(-time.Minute) {
		t.Fatalf("asked %+v", asked)
	}
	answer := asked[0]
	answer.Answer, answer.Left, answer.Begins, answer.Pace = netproto.AnswerYes, answer.By, netproto.Stamp(wallStart)+8e9, 437_500
	give := func(change func(*netproto.Header, *netproto.SetTime)) []TimeSet {
		h, p := header(1), answer
		change(&h, &p)
		return of[TimeSet](b.packet(masterAddr, p.Append(nil, h)))
	}
	if n := len(give(func(h *netproto.Header, _ *netproto.SetTime) { h.Sender = 5 })); n != 0 {
		t.Error("another node's answer counts")
	}
	if n := len(give(func(_ *netproto.Header, p *netproto.SetTime) { p.Request++ })); n != 0 {
		t.Error("an answer to another request counts")
	}
	if more := of[TimeSet](b.give(SetTime{By: 1})); len(more) != 1 || more[0].Answer != netproto.AnswerBusy {
		t.Errorf("while an order is out: %+v", more)
	}
	set := give(func(*netproto.Header, *netproto.SetTime) {})
	if len(set) != 1 || set[0].Answer != netproto.AnswerYes || set[0].By != -time.Minute || set[0].Takes < 38*time.Hour || set[0].Begins < 7*time.Second {
		t.Errorf("answered %+v", set)
	}
	if more := answers(t, b.after(time.Second)); len(more) != 0 {
		t.Errorf("asked again: %+v", more)
	}
	b.give(SetTime{By: time.Second})
	if set := of[TimeSet](b.after(askFor + time.Second)); len(set) != 1 || set[0].Answer != netproto.AnswerNone {
		t.Errorf("nobody answers: %+v", set)
	}
}

// PROTOCOL.md 8.30 to 8.33: a slave carries out what its master announces, however far and whatever its limits, or comes to a LAN that
// already has.
func TestSlaveCarriesOut(t *testing.T) {
	move := netproto.Move{Lineage: 100, From: 99, By: int64(1000 * time.Hour), Left: int64(1000 * time.Hour), Pace: 437_500}
	for name, test := range map[string]struct {
		policy StepPolicy
		steps  int
	}{"slewed": {StepBoot, 0}, "stepped": {StepAlways, 1}, "never": {StepNever, 0}} {
		b := newBench(t, RoleSlave, func(c *Config) { c.Step, c.PanicForward, c.StepThreshold = test.policy, time.Hour, time.Second })
		m := move
		m.Epoch = netproto.Stamp(wallStart) + 2_500_000_000
		b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Move = m }))
		b.after(time.Second)
		_, rs := replies(t, append(b.packet(masterAddr, pollOf(2, nil)), b.after(100*time.Millisecond)...))
		if len(rs) == 0 || rs[0].Move != m || b.node.Status().Lineage != 99 {
			t.Fatalf("%s: before its epoch a Reply tells of %+v", name, rs)
		}
		b.packet(masterAddr, adjustOf(2, rs[len(rs)-1].Nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Move = m }))
		effects := b.after(2 * time.Second)
		if n := count[Step](effects); n != test.steps || b.node.Status().Lineage != 100 || b.node.Status().State == StatePanic {
			t.Errorf("%s: %d steps, %+v", name, n, b.node.Status())
		}
		if s := of[*Steer](effects); s[len(s)-1].Phase < int64(999*time.Hour) && test.steps == 0 {
			t.Errorf("%s: steered by %+v", name, s[len(s)-1])
		}
	}
	b := newBench(t, RoleSlave, func(c *Config) { c.MaxSlew = 0.1 })
	m := move
	m.By, m.Left, m.Epoch, m.Pace = int64(10*time.Second), int64(10*time.Second), netproto.Stamp(wallStart)-netproto.Stamp(60*time.Second), 87_500_000
	effects := b.packet(masterAddr, adjustOf(1, b.exchange(1), 10*time.Second, func(h *netproto.Header, a *netproto.Adjust) {
		h.Lineage, a.Move = 100, m
	}))
	want := int64(10*time.Second) - b.node.course.rest(int64(b.node.stamp(b.node.at.Raw)))
	if s := of[Step](effects); len(s) != 1 || s[0].Delta != want || want < int64(3*time.Second) || want > int64(6*time.Second) {
		t.Errorf("a newcomer steps by %+v, want onto the course, %v", s, time.Duration(want))
	}
}

// PROTOCOL.md 8.31: a delta of the round in which the node moved its timescale is left alone.
func TestDeltaOfTheMovesOwnRound(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	m := netproto.Move{Lineage: 100, From: 99, By: int64(time.Minute), Left: int64(time.Minute), Epoch: netproto.Stamp(wallStart) + 1_150_000_000, Pace: 437_500}
	b.packet(masterAddr, adjustOf(1, b.exchange(1), 0, func(_ *netproto.Header, a *netproto.Adjust) { a.Move = m }))
	b.after(time.Second)
	nonce := b.exchange(2)
	b.after(100 * time.Millisecond)
	at := b.node.stamp(0)
	b.packet(masterAddr, adjustOf(2, nonce, time.Minute, func(h *netproto.Header, _ *netproto.Adjust) { h.Lineage = 100 }))
	if moved := b.node.stamp(0) - at; b.node.Status().Lineage != 100 || moved > 1000 || moved < -1000 {
		t.Errorf("the move was made twice: %v more", time.Duration(moved))
	}
}

// A master in its first rounds learns from its members of an order that it has not heard of; not from dry runs, which try out.
func TestDryRunsTellARealMasterOfNoOrder(t *testing.T) {
	for name, flags := range map[string]netproto.Flags{"dry": netproto.FlagDry, "real": 0} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3)
		b.founded(f...)
		b.node.lead.resuming = resumeRounds
		m := netproto.Move{Lineage: 77, From: b.node.lineage, By: int64(time.Hour), Left: int64(time.Hour), Pace: 400_000,
			Epoch: b.node.stamp(b.node.at.Raw) + netproto.Stamp(time.Minute)}
		b.spoken(f[:1], func(_ *fake, h *netproto.Header, r *netproto.Reply) { h.Flags |= flags; r.Move = m })
		if got := b.node.order.known; got != (flags == 0) {
			t.Errorf("%s: the order is known: %v", name, got)
		}
	}
}
