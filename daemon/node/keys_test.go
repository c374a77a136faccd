package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

// Keys of these tests: what was there first, what takes its place, and somebody else's.
const (
	older   = 1
	newer   = 2
	foreign = 3
)

func keyID(t testing.TB, which byte) uint32 { return ringOf(t, group, which).Newest() }

// keyed is a bench whose node holds some keys, and whose test seals under the last of them.
func keyed(t *testing.T, role Role, which ...byte) *bench {
	t.Helper()
	b := newBench(t, role, func(c *Config) { c.Ring = ringOf(t, group, which...) })
	b.ring = ringOf(t, group, older, newer, foreign)
	b.key = keyID(t, which[len(which)-1])
	return b
}

// under lists the kinds and keys of what was sent, each checked against the ring that holds all keys.
func (b *bench) under(effects []Effect) (sent []string) {
	b.t.Helper()
	names := map[uint32]string{keyID(b.t, older): "older", keyID(b.t, newer): "newer", keyID(b.t, foreign): "foreign"}
	for _, s := range of[*Send](effects) {
		h, _, err := b.ring.Open(s.Data)
		if err != nil {
			b.t.Errorf("sent what nobody opens: %v", err)
		}
		sent = append(sent, fmt.Sprintf("%v %s", h.Kind, names[h.KeyID]))
	}
	return sent
}

func (b *bench) wantUnder(effects []Effect, want string) {
	b.t.Helper()
	if got := strings.Join(b.under(effects), ", "); got != want {
		b.t.Errorf("sent %q, want %q", got, want)
	}
}

// holding makes fakes answer under a key and list what they hold.
func holding(r *netproto.Ring) words {
	return func(_ *fake, _ *netproto.Header, reply *netproto.Reply) { copy(reply.Held[:], r.IDs()) }
}

// keyedRound is a round in which each fake holds keys of its own and answers the poll that comes under its newest.
func (b *bench) keyedRound(fakes []*fake, rings ...*netproto.Ring) []Effect {
	b.t.Helper()
	_, all := b.upTo(netproto.KindPoll, time.Minute)
	polled := b.now
	for _, s := range of[*Send](all) {
		b.give(&Sent{Token: s.Token, Iface: 1, Stamp: wallStart + int64(b.now), Kernel: true})
	}
	for i, f := range fakes {
		heard := false
		for _, s := range of[*Send](all) {
			h, body, err := rings[i].Open(s.Data)
			if err != nil || heard || h.Kind != netproto.KindPoll {
				continue
			}
			poll, err := netproto.ParsePoll(body)
			if err != nil {
				b.t.Fatal(err)
			}
			heard, b.key = true, h.KeyID
			all = append(all, b.answer(f, h.Seq, poll.Nonce, polled, holding(rings[i]))...)
			met := netproto.Stamp(wallStart + int64(b.now+f.offset)) // of its Reply and the master, which Acks at once
			all = append(all, b.answer(f, h.Seq, poll.Nonce, polled, func(f *fake, h *netproto.Header, r *netproto.Reply) {
				holding(rings[i])(f, h, r)
				h.Flags |= netproto.FlagEarlier
				r.Repeat = 1
				r.Earlier = netproto.Earlier{Seq: h.Seq, T3: met - netproto.Stamp(wire), T6: met + netproto.Stamp(wire)}
			})...)
		}
		if !heard {
			b.t.Errorf("node %v heard no poll", f.id)
		}
	}
	end := b.after(b.node.lead.closeAt - b.now)
	for i, f := range fakes {
		f.entry = nil
		for _, s := range of[*Send](end) {
			if h, body, err := rings[i].Open(s.Data); err == nil && h.Kind == netproto.KindAdjust {
				a, err := netproto.ParseAdjust(body, nil)
				if err != nil {
					b.t.Fatal(err)
				}
				if f.entry == nil {
					f.take(a, b.node.Status().Lineage)
				}
			}
		}
		if f.entry == nil && b.node.Status().State != StateGathering {
			b.t.Errorf("node %v was told nothing", f.id)
		}
	}
	return append(all, end...)
}

// TestAnswersAreUnderTheKeyOfWhatTheyAnswer: PROTOCOL.md 1.15.
func TestAnswersAreUnderTheKeyOfWhatTheyAnswer(t *testing.T) {
	for which, name := range map[byte]string{older: "older", newer: "newer"} {
		b := keyed(t, RoleAuto, newer, older)
		b.key = keyID(t, which)
		b.wantUnder(append(b.packet(masterAddr, pollOf(1, nil)), b.after(200*time.Millisecond)...), "reply "+name)

		b = keyed(t, RoleAuto, newer, older)
		r := first()
		r.leads(b, nil)
		b.key = keyID(t, which)
		b.wantUnder(candidacy(b, slaveAddr, nil), "claim "+name)

		b = keyed(t, RoleMaster, newer, older)
		f := following(2)[0]
		poll, body := b.polled()
		b.key = keyID(t, which)
		b.wantUnder(b.answer(f, poll.Seq, body.Nonce, b.now, nil), "ack "+name)
		b.wantUnder(b.packet(slaveAddr, pollOf(1, func(h *netproto.Header, _ *netproto.Poll) { h.Sender = 5 })), "candidate "+name)
	}
}

// TestWhichKeyAMasterSendsUnder: PROTOCOL.md 1.16 and 1.17.
func TestWhichKeyAMasterSendsUnder(t *testing.T) {
	old, both, fresh := ringOf(t, group, older), ringOf(t, group, newer, older), ringOf(t, group, newer)
	b := keyed(t, RoleMaster, older)
	fs := following(2, 3)
	firstPolls := func(effects []Effect) string {
		return strings.Join(b.under(effects)[:len(b.node.cfg.Ring.IDs())], ", ")
	}
	want := func(effects []Effect, polls string, holders int) {
		t.Helper()
		if got := firstPolls(effects); got != polls {
			t.Errorf("polled %q, want %q", got, polls)
		}
		if got := b.node.Status().Holders; got != holders {
			t.Errorf("%d members hold the newest key, want %d", got, holders)
		}
	}
	want(b.keyedRound(fs, old, old), "poll older", 3)
	b.give(Keys{both.Clone()})
	want(b.keyedRound(fs, old, old), "poll older, poll newer", 1)
	want(b.keyedRound(fs, both, old), "poll older, poll newer", 2)
	want(b.keyedRound(fs, fresh, old), "poll older, poll newer", 2) // none that all hold: the one before
	if all := b.keyedRound(fs, both, both); said(all, "all members hold") {
		t.Error("told before the next poll")
	}
	all := b.keyedRound(fs, both, both)
	want(all, "poll newer, poll older", 3)
	if !said(all, "all members hold the newest key") {
		t.Errorf("nobody was told: %v", of[Note](all))
	}
	want(b.keyedRound(fs, fresh, both), "poll newer, poll older", 3)
	b.give(Keys{fresh.Clone()})
	want(b.keyedRound(fs, fresh, fresh), "poll newer", 3)
	if key := b.node.Status().Key; key != keyID(t, newer) {
		t.Errorf("status shows key %08x", key)
	}
}

// TestANewMasterBeginsWithTheOldOnesKey: PROTOCOL.md 1.16.
func TestANewMasterBeginsWithTheOldOnesKey(t *testing.T) {
	b := keyed(t, RoleAuto, newer, older)
	r := first()
	r.leads(b, func(a *netproto.Adjust) { a.Successors[0] = 2 })
	if got := b.node.Status().Key; got != keyID(t, older) {
		t.Errorf("follows a master that sends under %08x", got)
	}
	_, effects := b.upTo(netproto.KindPoll, 5*time.Second)
	b.wantUnder(effects, "poll older, poll newer")
	for range resumeRounds - 1 {
		_, effects = b.upTo(netproto.KindPoll, 5*time.Second)
		b.wantUnder(effects, "poll older, poll newer")
	}
	_, effects = b.upTo(netproto.KindPoll, 5*time.Second)
	b.wantUnder(effects, "poll newer, poll older") // nobody is there that lacks it
}

// TestACopyOfAPollGivesNoFirstSample: PROTOCOL.md 1.17. Its departure is not the poll's.
func TestACopyOfAPollGivesNoFirstSample(t *testing.T) {
	for _, copied := range []bool{false, true} {
		b := keyed(t, RoleMaster, newer, older)
		_, effects := b.upTo(netproto.KindPoll, time.Minute)
		_, ps := polls(t, effects)
		if len(ps) != 2 || ps[0].Nonce == ps[1].Nonce {
			t.Fatalf("polls %+v, want two of different nonces", ps)
		}
		for _, s := range of[*Send](effects) {
			b.give(&Sent{Token: s.Token, Iface: 1, Stamp: wallStart + int64(b.now), Kernel: true})
		}
		nonce := ps[0].Nonce
		if copied {
			nonce = ps[1].Nonce
		}
		b.wantUnder(b.answer(following(2)[0], 1, nonce, b.now, nil), "ack older")
		if _, ok := b.node.lead.peers[0].filter.Best(); ok == copied {
			t.Errorf("reply to a copy: %v; a sample: %v", copied, ok)
		}
	}
}

// TestEntriesAreUnderAKeyThatTheirNodeHolds: PROTOCOL.md 1.18.
func TestEntriesAreUnderAKeyThatTheirNodeHolds(t *testing.T) {
	b := keyed(t, RoleMaster, newer, older)
	fs := following(2, 3, 4)
	rings := []*netproto.Ring{ringOf(t, group, older), ringOf(t, group, newer), ringOf(t, group, newer, older)}
	for both := rings[2]; b.node.Status().State != StateKeeping; {
		b.keyedRound(fs, both, both, both)
	}
	for range 3 {
		all := b.keyedRound(fs, rings...) // fails where a node is told nothing
		if got := strings.Join(b.under(all), ", "); !strings.HasSuffix(got, "adjust newer, adjust older") {
			t.Errorf("sent %q", got)
		}
	}
}

// TestElectionsAreUnderEveryKey: PROTOCOL.md 1.19.
func TestElectionsAreUnderEveryKey(t *testing.T) {
	b := keyed(t, RoleAuto, newer, older)
	_, effects := b.upTo(netproto.KindCandidate, time.Minute)
	b.wantUnder(effects, "candidate newer, candidate older")
	b = keyed(t, RoleMaster, newer, older)
	b.upTo(netproto.KindPoll, time.Minute)
	b.wantUnder(b.give(Stop{}), "resign newer, resign older")
}

// TestAChangeOfKeysTouchesNothingElse: PROTOCOL.md 1.20.
func TestAChangeOfKeysTouchesNothingElse(t *testing.T) {
	b := keyed(t, RoleMaster, older)
	b.founded(following(2, 3)...)
	before, deadline := b.node.Status(), b.node.Deadline()
	effects := b.give(Keys{ringOf(t, group, newer, older)})
	after := b.node.Status()
	if len(effects) != 1 || !said(effects, "keys read") || b.node.Deadline() != deadline {
		t.Errorf("effects %+v", effects)
	}
	if after.Held != [netproto.MaxKeys]uint32{keyID(t, newer), keyID(t, older)} || after.Key != keyID(t, older) {
		t.Errorf("holds %x, sends under %08x", after.Held, after.Key)
	}
	after.Held, after.Holders = before.Held, before.Holders
	if after != before {
		t.Errorf("the node is another:\n%+v\n%+v", before, after)
	}
	for _, in := range []Keys{{nil}, {ringOf(t, 8, newer)}} { // never back to none, nor into another group
		if b.give(in); b.node.Status().Held != [netproto.MaxKeys]uint32{keyID(t, newer), keyID(t, older)} {
			t.Errorf("%v was taken", in.Ring.IDs())
		}
	}

	// A reply that is due when its key goes.
	b = keyed(t, RoleSlave, newer, older)
	b.packet(masterAddr, pollOf(1, func(_ *netproto.Header, p *netproto.Poll) { p.Slots = 0xFFFF }))
	b.node.follow.sessions[0].due = b.now + time.Millisecond
	b.give(Keys{ringOf(t, group, newer)})
	b.wantUnder(b.after(time.Second), "reply newer")
}

// TestARunningNodeGetsItsFirstKey: it was insecure, and is no longer.
func TestARunningNodeGetsItsFirstKey(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	b.exchange(1)
	b.give(Keys{ringOf(t, group, newer)})
	b.wantDrop(DropKey, pollOf(2, nil))
}

// TestALaggardIsNamedOnce: a member that lacks the newest key, and no more of them than new faces.
func TestALaggardIsNamedOnce(t *testing.T) {
	b := keyed(t, RoleMaster, newer, older)
	old := ringOf(t, group, older)
	named := 0
	for range 5 {
		for _, n := range of[Note](b.keyedRound(following(2, 3), old, old)) {
			if strings.Contains(n.Text, "lacks the newest key") {
				named++
			}
		}
	}
	if named != 2 {
		t.Errorf("two laggards were named %d times", named)
	}
	poll, body := b.polled()
	for id := 4; id < 100; id++ {
		for _, n := range of[Note](b.answer(&fake{id: netproto.ID(id)}, poll.Seq, body.Nonce, b.now, holding(old))) {
			if strings.Contains(n.Text, "lacks the newest key") {
				named++
			}
		}
	}
	if named != mostWelcomes {
		t.Errorf("of a hundred laggards %d were named, want %d", named, mostWelcomes)
	}
}

// TestStrangersAreNamed: who sends under a wrong key for long is named once, with what to do; nobody else is.
func TestStrangersAreNamed(t *testing.T) {
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 10526)
	}
	warnings := func(effects []Effect) (texts []string) {
		for _, n := range of[Note](effects) {
			if n.Level == Warn && strings.HasPrefix(n.Text, "packets ") {
				texts = append(texts, n.Text)
			}
		}
		return texts
	}
	for name, c := range map[string]struct {
		holds, key byte // 0 = none
		damaged    bool
		want       string
	}{
		"foreign":  {older, foreign, false, "compare `meantime key show-id` on both hosts"},
		"unsealed": {older, 0, false, "give that host this one's key file"},
		"keyless":  {0, foreign, false, "this node has none"},
		"damaged":  {older, older, true, "damaged or forged"},
	} {
		b := newBench(t, RoleSlave, nil)
		if c.holds != 0 {
			b = keyed(t, RoleSlave, c.holds)
		}
		var told []string
		for second := range 120 {
			data := pollOf(uint32(second+1), nil)
			if b.ring = nil; c.key != 0 {
				sealed(ringOf(t, group, c.key), data)
			}
			if c.damaged {
				data[len(data)-1] ^= 1
			}
			told = append(told, warnings(b.packet(at(9), data))...)
			b.after(time.Second)
		}
		if len(told) != 1 || !strings.Contains(told[0], c.want) {
			t.Errorf("%s: named %q, want once %q", name, told, c.want)
		}
	}

	b := keyed(t, RoleSlave, older)
	foreigners := ringOf(t, group, foreign)
	var told []string
	for second := range 3700 { // of a hundred addresses eight are named an hour
		b.ring = nil
		told = append(told, warnings(b.packet(at(10+second%100), sealed(foreigners, pollOf(1, nil))))...)
		b.ring = ringOf(t, group, older)
		b.packet(masterAddr, pollOf(uint32(second+1), nil))
		b.ring = nil // a master that sends under a key that is gone here, beside one that is not
		told = append(told, warnings(b.packet(masterAddr, sealed(foreigners, pollOf(1, nil))))...)
		b.after(time.Second)
	}
	if len(told) != mostStrangers-1 { // the master is watched, too
		t.Errorf("%d lines, want %d", len(told), mostStrangers-1)
	}

	b = keyed(t, RoleSlave, older)
	refused := Refused{Drop: DropKey, Count: 1000, From: at(9), Key: keyID(t, foreign)}
	b.give(refused)
	b.after(strangeFor)
	if got := warnings(b.give(refused)); len(got) != 1 || b.node.Status().Drops[DropKey] != 2000 {
		t.Errorf("told %q of %d refused", got, b.node.Status().Drops[DropKey])
	}
}
