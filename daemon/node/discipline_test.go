package node

import (
	"math"
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

// of picks one kind of effect.
func of[T Effect](effects []Effect) (found []T) {
	for _, e := range effects {
		if t, ok := e.(T); ok {
			found = append(found, t)
		}
	}
	return found
}

// follows is a slave on LAN time, whose policy and panic limits are as the test says.
func follows(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := newBench(t, RoleSlave, change)
	for seq := range uint32(3) {
		b.packet(masterAddr, adjustOf(seq+1, b.exchange(seq+1), 0, nil))
	}
	return b
}

// TestPanic: beyond the limit of its direction the clock is left alone and called unsynchronised, once said, until an operator acts.
func TestPanic(t *testing.T) {
	limits := func(c *Config) { c.PanicForward, c.PanicBackward = 10*time.Second, time.Second }
	for name, c := range map[string]struct {
		change func(*Config)
		shift  time.Duration // somebody moved the clock
		panics bool
	}{
		"far behind":          {limits, -11 * time.Second, true},
		"behind":              {limits, -9 * time.Second, false},
		"far ahead":           {limits, 2 * time.Second, true},
		"ahead":               {limits, 900 * time.Millisecond, false},
		"no limits":           {nil, -100 * time.Hour, false},
		"the operator allows": {func(c *Config) { limits(c); c.Step = StepAlways }, -11 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := follows(t, c.change)
			b.shift = c.shift
			effects := b.packet(masterAddr, adjustOf(4, b.exchange(4), 0, nil))
			effects = append(effects, b.after(2*time.Second)...)
			said := 0
			for _, n := range of[Note](effects) {
				if strings.Contains(n.Text, "panic limit") {
					said++
				}
			}
			steers := of[*Steer](effects)
			last := steers[len(steers)-1]
			if c.panics != (said == 1) || c.panics == last.Synchronised || c.panics != (last.Phase == 0) && c.change == nil {
				t.Errorf("said so %d times, steers %+v; want panic: %v", said, last, c.panics)
			}
			if c.panics && (last.Phase != 0 || last.MaxError < int64(c.shift.Abs()) || b.node.Status().State != StatePanic) {
				t.Errorf("steers %+v in state %s: want no phase, and an error that says how far off it is", last, b.node.Status().State)
			}
			if !c.panics {
				return
			}
			b.shift = 0 // the operator set it
			effects = b.packet(masterAddr, adjustOf(5, b.exchange(5), 0, nil))
			if s := of[*Steer](effects); len(s) == 0 || !s[len(s)-1].Synchronised || b.node.Status().State != StateFollowing {
				t.Errorf("steers %+v after the operator set the clock, state %s", s, b.node.Status().State)
			}
		})
	}
}

// TestALongWayIsTold: once, with how long it will take.
func TestALongWayIsTold(t *testing.T) {
	b := follows(t, nil)
	b.shift = -100 * time.Millisecond
	var told []Note
	for seq := range uint32(3) {
		for _, n := range of[Note](b.packet(masterAddr, adjustOf(seq+4, b.exchange(seq+4), 0, nil))) {
			if strings.Contains(n.Text, "slewing") {
				told = append(told, n)
			}
		}
	}
	if len(told) != 1 || told[0].Attrs[1] != (Attr{"takes", 200 * time.Second}) {
		t.Errorf("told %+v, want once that it takes 200 s at 500 ppm", told)
	}
}

// TestSuspend: after a sleep of the machine the clock that the system set is the best guess, the vote and the history are gone, one step is
// allowed, and the others have a master already.
func TestSuspend(t *testing.T) {
	b := follows(t, nil)
	b.shift = time.Hour
	for _, e := range b.give(Suspended{For: time.Hour}) {
		if n, ok := e.(Note); ok && strings.Contains(n.Text, "another program") {
			t.Error("the system's own doing is taken for another program's")
		}
	}
	if got, want := b.node.stamp(b.node.at.Raw), netproto.Stamp(b.moment().Wall); got != want || b.node.voter() {
		t.Errorf("timescale at %d, wall clock at %d, voter: %v", got, want, b.node.voter())
	}
	if effects := b.after(time.Second / 2); len(of[*Steer](effects)) != 0 {
		t.Error("steered before it was measured again")
	}
	nonce := b.exchange(9)
	effects := b.packet(masterAddr, adjustOf(9, nonce, -20*time.Millisecond, nil))
	if s := of[Step](effects); len(s) != 1 || s[0].Delta != int64(-20*time.Millisecond) {
		t.Errorf("steps %+v, want one of -20 ms", s)
	}
	for _, step := range []StepPolicy{StepNever} {
		b := follows(t, func(c *Config) { c.Step = step })
		b.shift = time.Hour
		b.give(Suspended{For: time.Hour})
		if s := of[Step](b.packet(masterAddr, adjustOf(9, b.exchange(9), -20*time.Millisecond, nil))); len(s) != 0 {
			t.Errorf("policy never, and stepped by %+v", s)
		}
	}
	m := newBench(t, RoleMaster, nil)
	m.founded(following(2, 3)...)
	effects = m.give(Suspended{For: time.Hour})
	if _, rs := resigns(t, effects); m.node.lead != nil || len(rs) != 0 {
		t.Errorf("a master that slept is master: %v, resigns %+v", m.node.lead != nil, rs)
	}
}

// TestForeign: what another program wrote is written over at once, and said.
func TestForeign(t *testing.T) {
	b := follows(t, nil)
	effects := b.give(Foreign{What: "frequency is +100.000 ppm"})
	notes := of[Note](effects)
	if len(of[*Steer](effects)) != 1 || len(notes) != 1 || notes[0].Attrs[0].Value != "frequency is +100.000 ppm" {
		t.Errorf("effects %+v, want a word and a Steer", effects)
	}
}

// TestRemember: the rate is kept once many rounds stand behind it, once an hour, and when the daemon stops.
func TestRemember(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	kept := func(seconds int) (r []Remember) {
		for range seconds {
			seq := uint32(b.now/time.Second) + 1
			r = append(r, of[Remember](b.packet(masterAddr, adjustOf(seq, b.exchange(seq), 0, nil)))...)
			b.after(900 * time.Millisecond)
		}
		return r
	}
	if r := kept(rememberPoints - 1); len(r) != 0 {
		t.Errorf("kept %+v after %d rounds", r, rememberPoints-1)
	}
	if r := kept(1000); len(r) != 1 || r[0].Error <= 0 || r[0].Error > 1e-6 || math.Abs(r[0].Frequency) > 1e-6 {
		t.Errorf("kept %+v in a quarter of an hour, want one rate of 0 known to well below 1 ppm", r)
	}
	if r := kept(3600); len(r) != 1 {
		t.Errorf("kept %d times in an hour", len(r))
	}
	if r := of[Remember](b.give(Stop{})); len(r) != 1 {
		t.Errorf("kept %d times at the stop", len(r))
	}
}

// TestPhaseOnly: each delta is slewed off and nothing is learned from it.
func TestPhaseOnly(t *testing.T) {
	b := newBench(t, RoleSlave, func(c *Config) { c.PhaseOnly = true })
	for seq := range uint32(20) {
		b.packet(masterAddr, adjustOf(seq+1, b.exchange(seq+1), 40*time.Microsecond, nil))
	}
	if s := b.node.Status(); s.Rate != 0 || s.Fitted {
		t.Errorf("rate %v, fitted %v after 20 rounds of 40 µs each", s.Rate, s.Fitted)
	}
}

// TestPanicNeedsNoMaster: while nobody is heard a clock that somebody sets far off is left alone, too, and taken up again when it is set right.
func TestPanicNeedsNoMaster(t *testing.T) {
	b := follows(t, func(c *Config) { c.PanicForward, c.PanicBackward = 10*time.Second, 10*time.Second })
	b.after(time.Minute) // holdover
	last := func() *Steer {
		s := of[*Steer](b.after(2 * time.Second))
		return s[len(s)-1]
	}
	b.shift = time.Hour
	if s := last(); s.Phase != 0 || s.Synchronised {
		t.Errorf("an hour off, and steers %+v", s)
	}
	b.shift = 0
	if s := last(); !s.Synchronised {
		t.Errorf("set right, and steers %+v", s)
	}
}

// TestAfterASleepAnyTimeIsTaken: a machine that wakes with its clock further off than max_skew has no past that says otherwise; and until it is
// measured the system is told that its clock is not kept.
func TestAfterASleepAnyTimeIsTaken(t *testing.T) {
	b := follows(t, nil)
	b.shift = 2 * time.Hour
	s := of[*Steer](b.give(Suspended{For: time.Hour}))
	if len(s) != 1 || s[0].Synchronised || s[0].MaxError < int64(time.Hour) {
		t.Errorf("after the sleep the system is told %+v, want that nothing is known", s)
	}
	if s := of[*Steer](b.give(Foreign{What: "frequency"})); len(s) != 0 {
		t.Errorf("a foreign hand sets off %+v", s)
	}
	if s := of[Step](b.packet(masterAddr, adjustOf(9, b.exchange(9), -2*time.Hour, nil))); len(s) != 1 || s[0].Delta != int64(-2*time.Hour) {
		t.Errorf("steps %+v, want one of -2 h", s)
	}
	b = follows(t, nil) // without a sleep it is refused, and said once
	said := 0
	for seq := range uint32(3) {
		for _, n := range of[Note](b.packet(masterAddr, adjustOf(seq+4, b.exchange(seq+4), 2*time.Hour, nil))) {
			if strings.Contains(n.Text, "max_skew") {
				said++
			}
		}
	}
	if said != 1 {
		t.Errorf("said %d times that deltas are refused, want once", said)
	}
}

// TestALoneFounderIsLANTime: nobody else is there to disagree, and the system is told so rather than that the clock may be anything.
func TestALoneFounderIsLANTime(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	s := of[*Steer](b.after(time.Minute))
	if len(s) == 0 || !s[len(s)-1].Synchronised || s[len(s)-1].MaxError > 1000 {
		t.Errorf("tells %+v", s[len(s)-1:])
	}
}

// TestSteersAfterTheTurn: each second just after the clock's second has turned, when the kernel has made its own addition to the
// largest error; wherever in the second the rounds are.
func TestSteersAfterTheTurn(t *testing.T) {
	for _, late := range []time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond, 999 * time.Millisecond} {
		b := newBench(t, RoleSlave, nil)
		b.after(late)
		for seq := range uint32(3) {
			b.packet(masterAddr, adjustOf(seq+1, b.exchange(seq+1), 0, nil))
		}
		steers := 0
		for end := b.now + 10*time.Second; b.now < end; {
			b.now = b.node.Deadline()
			if count[*Steer](b.give(Tick{})) == 0 {
				continue
			}
			steers++
			if after := b.now % time.Second; after < turnLag || after > turnLag+turnSpread*time.Millisecond {
				t.Errorf("rounds %v late: steered %v after the turn", late, after)
			}
		}
		if steers < 9 || steers > 11 {
			t.Errorf("rounds %v late: steered %d times in 10 s", late, steers)
		}
	}
}
