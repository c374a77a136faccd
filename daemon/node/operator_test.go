package node

import (
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

// answered is what became of a wish, in words and deeds.
func (b *bench) answered(in Input, done bool, text string, about netproto.ID) []Effect {
	b.t.Helper()
	effects := b.give(in)
	all := of[Answer](effects)
	if len(all) != 1 || all[0].Done != done || !strings.Contains(all[0].Text, text) || all[0].Node != about {
		b.t.Errorf("%T: %+v, want %v, %q about %v", in, all, done, text, about)
	}
	if !done && len(effects) != 1 {
		b.t.Errorf("%T is refused, and yet: %+v", in, effects)
	}
	return effects
}

// A master that steps down hands over as at a clean stop, keeps its vote, and does not stand again before its rest is over.
func TestStepDown(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	b.round(f...)
	effects := b.answered(StepDown{By: "uid 0", Rest: time.Minute}, true, "first successor", 3)
	_, rs := resigns(t, effects)
	if len(rs) != 1 || rs[0].Successor != 3 {
		t.Errorf("resigned %+v", rs)
	}
	s := b.node.Status()
	if s.Master != 0 || s.Standing != netproto.StandingVoter {
		t.Errorf("now %+v", s)
	}
	if notes := of[Note](effects); len(notes) != 1 || len(notes[0].Attrs) != 3 || notes[0].Attrs[1].Value != "uid 0" {
		t.Errorf("the log: %+v", notes)
	}
	if h := b.node.header(1, 1); h.Flags&netproto.FlagNeverMaster == 0 {
		t.Error("others may make it their successor at once")
	}
	b.answered(StepDown{}, false, "knows of none", 0)
	if n := count[*Send](b.after(time.Minute - 1)); n != 0 {
		t.Errorf("%d packets while it rests", n)
	}
	stood, _ := b.upTo(netproto.KindCandidate, 10*time.Second)
	if stood < time.Minute || b.node.header(1, 1).Flags&netproto.FlagNeverMaster != 0 {
		t.Errorf("stood %v after all", stood)
	}
}

// What cannot be is refused with the reason, and nothing is done.
func TestWishesRefused(t *testing.T) {
	gathering := newBench(t, RoleMaster, nil)
	gathering.after(time.Second)
	gathering.answered(StepDown{}, false, "not been founded", 0)
	gathering.answered(Elect{}, false, "not been founded", 0)

	alone := newBench(t, RoleMaster, nil)
	alone.founded()
	alone.answered(StepDown{}, false, "nobody would keep", 0)

	slave := lost(t, false)
	slave.answered(StepDown{}, false, "not the master", 1)
	slave.answered(Elect{}, false, "living master", 1)

	never := auto(t, func(c *Config) { c.Role = RoleSlave })
	never.answered(Elect{}, false, "does not stand", 0)
}

// The office goes to whoever ranks first, which may be who holds it.
func TestElect(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	b.founded(f...)
	b.round(f...)
	if effects := b.answered(Elect{By: "uid 0"}, true, "stays", 1); len(effects) != 1 || b.node.lead == nil {
		t.Errorf("a master that ranks first did %+v", effects)
	}
	b.spoken(f, func(f *fake, _ *netproto.Header, r *netproto.Reply) {
		if r.Priority = 100; f.id == 2 {
			r.Priority = 200
		}
	})
	effects := b.answered(Elect{By: "uid 0"}, true, "ranks first", 2)
	if _, rs := resigns(t, effects); len(rs) != 1 || rs[0].Successor != 2 || b.node.lead != nil || b.node.resting() {
		t.Errorf("resigned %+v", rs)
	}
	orphan := auto(t, nil)
	orphan.answered(Elect{By: "uid 0"}, true, "stands now", 2)
	if at, _ := orphan.upTo(netproto.KindCandidate, time.Second); at > 100*time.Millisecond {
		t.Errorf("stood after %v", at)
	}
}
