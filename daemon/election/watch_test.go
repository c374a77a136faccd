package election

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// half is a random part of one half, whenever it is drawn.
func half() float64 { return 0.5 }

// began is when the watches here begin, and proved when they first hear of a living master, which polls every second.
const (
	began  = 10 * time.Second
	proved = 20 * time.Second
	ms     = time.Millisecond
)

func watch(change func(*Watch)) *Watch {
	w := NewWatch(began, time.Second, true, false, half)
	if change != nil {
		w.Heard(proved, time.Second)
		change(w)
	}
	return w
}

// PROTOCOL.md 9.6 to 9.9 and 9.14. A watch that is ticked in each millisecond stands at its time and not before.
func TestWhenAWatchStands(t *testing.T) {
	for name, c := range map[string]struct {
		watch *Watch
		at    time.Duration
	}{
		"a start, listening":       {watch(nil), began + 3500*ms},
		"a start, at once":         {NewWatch(began, time.Second, true, true, half), began},
		"first successor":          {watch(func(w *Watch) { w.Successor(true) }), proved + 2100*ms},
		"anybody else":             {watch(func(w *Watch) { w.Successor(false) }), proved + 3500*ms},
		"a successor no more":      {watch(func(w *Watch) { w.Successor(true); w.Successor(false) }), proved + 3500*ms},
		"later proof":              {watch(func(w *Watch) { w.Heard(proved+time.Second, time.Second) }), proved + 4500*ms},
		"a slower master":          {watch(func(w *Watch) { w.Heard(proved, 4*time.Second) }), proved + 14*time.Second},
		"resigned to it":           {watch(func(w *Watch) { w.Resigned(proved, true, false) }), proved + 5*ms},
		"resigned to another":      {watch(func(w *Watch) { w.Resigned(proved, false, false) }), proved + 1500*ms},
		"resigned, and proof":      {watch(func(w *Watch) { w.Resigned(proved, false, false); w.Heard(proved+100*ms, time.Second) }), proved + 3600*ms},
		"objection, long before":   {watch(func(w *Watch) { w.Objected(proved + time.Second) }), proved + 3500*ms},
		"objection, just before":   {watch(func(w *Watch) { w.Objected(proved + 3*time.Second) }), proved + 4*time.Second},
		"objection to a successor": {watch(func(w *Watch) { w.Successor(true); w.Objected(proved + 2225*ms) }), proved + 3225*ms},
		"objection to a handover":  {watch(func(w *Watch) { w.Resigned(proved, false, false); w.Objected(proved + time.Second) }), proved + 3500*ms},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.watch.Deadline(); got != c.at {
				t.Fatalf("deadline %v, want %v", got, c.at)
			}
			for now := c.at - 2*ms; now < c.at; now += ms {
				if a := c.watch.Tick(now); a != Nothing {
					t.Fatalf("action %d at %v, want none before %v", a, now, c.at)
				}
			}
			if a := c.watch.Tick(c.at); a != Stand || !c.watch.Candidate() {
				t.Errorf("action %d at %v, candidate %v; want it to stand", a, c.at, c.watch.Candidate())
			}
		})
	}
}

// PROTOCOL.md 9.7. The random part is drawn anew with each proof, and is less than an interval: they do not all stand at once, nor
// always in the same order.
func TestTheRandomPartOfAWatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var part float64
		w := NewWatch(began, time.Second, true, false, func() float64 { return part })
		for range 3 {
			part = rapid.Float64Range(0, 0.999999).Draw(t, "part")
			w.Heard(proved, time.Second)
			if got, want := w.Deadline()-proved-3*time.Second, time.Duration(part*float64(time.Second)); got != want {
				t.Fatalf("stands %v after three intervals, want %v", got, want)
			}
		}
	})
}

// PROTOCOL.md 9.1. Who never stands has no deadline, whatever it hears.
func TestAWatchThatNeverStands(t *testing.T) {
	w := NewWatch(began, time.Second, false, true, half)
	for name, hear := range map[string]func(){
		"at once":   func() {},
		"proof":     func() { w.Heard(proved, time.Second) },
		"successor": func() { w.Successor(true) },
		"resigned":  func() { w.Resigned(proved, true, false) },
		"objection": func() { w.Objected(proved) },
	} {
		hear()
		if a := w.Tick(365 * 24 * time.Hour); a != Nothing || w.Deadline() != math.MaxInt64 || w.Candidate() {
			t.Errorf("%s: action %d, deadline %v, candidate %v", name, a, w.Deadline(), w.Candidate())
		}
	}
}

// PROTOCOL.md 9.10.
func TestObjectionWait(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		10 * time.Millisecond:  20 * time.Millisecond,
		160 * time.Millisecond: 20 * time.Millisecond,
		168 * time.Millisecond: 21 * time.Millisecond,
		time.Second:            125 * time.Millisecond,
		2 * time.Second:        250 * time.Millisecond,
		5 * time.Minute:        250 * time.Millisecond,
	} {
		if got := ObjectionWait(interval); got != want {
			t.Errorf("of an interval of %v: %v, want %v", interval, got, want)
		}
	}
}

// PROTOCOL.md 9.10, 9.14 and 9.15. A candidacy ends in office, in an objection, or in proof of a living master.
func TestHowACandidacyEnds(t *testing.T) {
	const stood, wait = proved + 2100*time.Millisecond, 125 * time.Millisecond
	candidate := func() *Watch {
		w := watch(func(w *Watch) { w.Successor(true) })
		if a := w.Tick(stood); a != Stand {
			t.Fatalf("action %d, want it to stand", a)
		}
		return w
	}
	for name, c := range map[string]struct {
		hear func(*Watch)
		next time.Duration // when it has something to do again
		does Action
	}{
		"unopposed": {func(*Watch) {}, stood + wait, Take},
		"objection": {func(w *Watch) { w.Objected(stood + wait/2) }, stood + wait/2 + time.Second, Stand},
		"proof":     {func(w *Watch) { w.Heard(stood+wait/2, time.Second) }, stood + wait/2 + 2100*time.Millisecond, Stand},
	} {
		w := candidate()
		if a := w.Tick(stood + wait/2); a != Repeat || w.Tick(stood+wait/2) != Nothing {
			t.Errorf("%s: action %d halfway, want it to ask again, once", name, a)
		}
		c.hear(w)
		if w.Candidate() != (c.does == Take) || w.Deadline() != c.next || w.Tick(c.next-1) != Nothing {
			t.Errorf("%s: candidate %v, deadline %v; want %v", name, w.Candidate(), w.Deadline(), c.next)
		}
		if a := w.Tick(c.next); a != c.does || w.Candidate() != (a == Stand) {
			t.Errorf("%s: action %d, candidate %v; want action %d", name, a, w.Candidate(), c.does)
		}
	}
	w := candidate()
	w.Tick(stood + wait/2)
	w.Tick(stood + wait)
	if got := w.Deadline(); got <= stood+wait {
		t.Errorf("in office since %v and has to stand at %v", stood+wait, got)
	}
}

// PROTOCOL.md 9.1, 9.6 and 9.8. A Resign that is undone, by proof or by an objection, leaves the order of succession as it was; so does having
// stood at once.
func TestAResignLeavesTheSuccession(t *testing.T) {
	for name, c := range map[string]struct {
		watch *Watch
		wait  time.Duration
	}{
		"first, another named":   {watch(func(w *Watch) { w.Successor(true); w.Resigned(proved, false, false) }), 2100 * time.Millisecond},
		"another, itself named":  {watch(func(w *Watch) { w.Successor(false); w.Resigned(proved, true, false) }), 3500 * time.Millisecond},
		"another, stood at once": {NewWatch(began, time.Second, true, true, half), 3500 * time.Millisecond},
	} {
		c.watch.Heard(proved+time.Second, time.Second)
		if got := c.watch.Deadline() - proved - time.Second; got != c.wait {
			t.Errorf("%s: stands %v after new proof, want %v", name, got, c.wait)
		}
	}
}

// PROTOCOL.md 9.8. Where the Resign is certain to be no recording, its successor takes office at once, and nobody else stands any sooner for it.
func TestACertainResignAsksNobody(t *testing.T) {
	w := watch(func(w *Watch) { w.Resigned(proved+700*time.Millisecond, true, true) })
	if a := w.Tick(proved + 700*time.Millisecond); a != Take || w.Candidate() {
		t.Errorf("action %d, candidate %v; want it to take office", a, w.Candidate())
	}
	w = watch(func(w *Watch) { w.Resigned(proved, false, true) })
	if got := w.Deadline(); got != proved+1500*time.Millisecond {
		t.Errorf("another successor is named: stands at %v, want after an interval and a half", got-proved)
	}
	w = watch(func(w *Watch) { w.Resigned(proved, true, true); w.Objected(proved) })
	if a := w.Tick(proved); a != Nothing {
		t.Errorf("action %d after an objection", a)
	}
}
