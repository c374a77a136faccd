package node

import (
	"testing"
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

// member finds one of the node's members.
func (b *bench) member(id netproto.ID) Member {
	b.t.Helper()
	for _, m := range b.node.Members() {
		if m.ID == id {
			return m
		}
	}
	b.t.Fatalf("no member %v among %+v", id, b.node.Members())
	return Member{}
}

// Everybody's voice is told with its reason, as the round judged it.
func TestVoices(t *testing.T) {
	plain := words(func(*fake, *netproto.Header, *netproto.Reply) {})
	for _, c := range []struct {
		voice  Voice
		change func(f *fake)
		say    words
		silent bool
	}{
		{VoiceCounted, func(*fake) {}, plain, false},
		{VoiceOff, func(f *fake) { f.follows, f.offset = false, f.offset+10*time.Millisecond }, plain, false},
		{VoiceSlow, func(f *fake) { f.stretch = 100 * time.Millisecond }, plain, false},
		{VoiceDry, func(f *fake) { f.flags |= netproto.FlagDry }, plain, false},
		{VoiceSilent, func(*fake) {}, plain, true},
		{VoiceDisloyal, func(*fake) {}, func(f *fake, _ *netproto.Header, r *netproto.Reply) {
			if f.id == 3 {
				r.Master = 77
			}
		}, false},
		{VoiceAbroad, func(f *fake) { f.lineage++ }, plain, false},
	} {
		t.Run(string(c.voice), func(t *testing.T) {
			b := newBench(t, RoleMaster, nil)
			f := following(2, 3, 4, 5)
			b.founded(f...)
			c.change(f[1])
			speak := f
			if c.silent {
				speak = []*fake{f[0], f[2], f[3]}
			}
			b.spoken(speak, c.say)
			m := b.member(3)
			if m.Voice != c.voice || m.Self || m.Master || !m.Measured || m.Addr != f[1].addr() {
				t.Errorf("%+v, want a voice %q", m, c.voice)
			}
			if others := b.member(4); others.Voice != VoiceCounted {
				t.Errorf("another one: %+v", others)
			}
			if c.silent != (m.Missed == 1) {
				t.Errorf("missed %d rounds", m.Missed)
			}
			if off := m.Offset; c.voice == VoiceOff && (off < 9900*time.Microsecond || off > 10100*time.Microsecond) {
				t.Errorf("10 ms off, but told %v", off)
			}
		})
	}
}

// A master is the first of its members, whoever has the lower id. What a clock has still to be slewed counts as its error.
func TestMembersOfAMaster(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	late := append(f, following(9)...)
	b.spoken(late, func(f *fake, _ *netproto.Header, r *netproto.Reply) {
		if f.id == 2 {
			r.Residual = int64(3 * time.Millisecond)
		}
	})
	all := b.node.Members()
	if len(all) != 4 || !all[0].Self || !all[0].Master || all[0].Voice != VoiceCounted || all[0].Delay != 0 {
		t.Fatalf("%+v", all)
	}
	if m := b.member(9); m.Voice != VoiceNewcomer || m.Standing != netproto.StandingNewcomer || m.Rounds != 1 {
		t.Errorf("a newcomer: %+v", m)
	}
	if m := b.member(2); m.Offset > -2900*time.Microsecond || m.Offset < -3100*time.Microsecond || m.Delay != 2*wire {
		t.Errorf("3 ms still to go, 100 µs there and back: %+v", m)
	}
	if apart := b.node.Status().Spread; apart < 2900*time.Microsecond || apart > 3100*time.Microsecond {
		t.Errorf("a clock has 3 ms still to go, and they are said to be %v apart", apart)
	}
	for i := range f {
		f[i].follows, f[i].offset = false, f[i].offset+10*time.Duration(i+1)*time.Second
	}
	b.round(f...)
	for _, id := range []netproto.ID{all[0].ID, 2, 3} {
		if m := b.member(id); m.Voice != VoiceHeld {
			t.Errorf("without a majority: %+v", m)
		}
	}
}

// A slave knows itself and its master.
func TestMembersOfASlave(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	if all := b.node.Members(); len(all) != 1 || !all[0].Self || all[0].Word != -1 {
		t.Errorf("alone: %+v", all)
	}
	b = follows(t, nil)
	all := b.node.Members()
	if len(all) != 2 || all[0].Master || !all[1].Master || all[1].Addr != masterAddr || all[0].Voice != "" || all[0].Measured {
		t.Errorf("%+v", all)
	}
}

func TestJitter(t *testing.T) {
	var r reading
	for i := range int64(40) {
		r.take(berkeley.Sample{Offset: 1000 * (i % 2)}, 0, VoiceCounted)
	}
	if m := r.fill(Member{}); m.Jitter < 999 || m.Jitter > 1000 {
		t.Errorf("offsets that change by 1 µs: a jitter of %v", m.Jitter)
	}
}
