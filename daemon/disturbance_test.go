package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/node"
	"meantime/sysclock"
)

// disturbed is a virtual clock at which others are at work, as its system would tell.
type disturbed struct {
	sysclock.Clock
	what    string // Foreign, until the next Steer
	slept   atomic.Int64
	err     error // of Foreign and Slept
	refusal error // of Notice
	notices chan struct{}
	closed  chan struct{}
	steps   atomic.Int32
}

func disturb(c sysclock.Clock) *disturbed {
	return &disturbed{Clock: c, notices: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (c *disturbed) Foreign() (string, error)         { return c.what, c.err }
func (c *disturbed) Slept() (int64, error)            { return c.slept.Load(), c.err }
func (c *disturbed) Notice() (sysclock.Notice, error) { return c, c.refusal }

func (c *disturbed) Steer(s sysclock.Steering) error {
	c.what = "" // rewritten
	return c.Clock.Steer(s)
}

// Step tells whoever waits, as a kernel does.
func (c *disturbed) Step(delta int64) error {
	c.steps.Add(1)
	select {
	case c.notices <- struct{}{}:
	default:
	}
	return c.Clock.Step(delta)
}

func (c *disturbed) Wait() error {
	select {
	case <-c.notices:
		return nil
	case <-c.closed:
		return fmt.Errorf("waiting: %w", os.ErrClosed)
	}
}

// Close closes the notice; the clock itself, a virtual one, has nothing to close.
func (c *disturbed) Close() error {
	close(c.closed)
	return nil
}

// disturbedLAN is a LAN of two whose slave has a disturbed clock; inputs are all that its node was told but packets and stamps.
func disturbedLAN(ctx context.Context, t *testing.T) (all []*member, clock *disturbed, inputs *[]string) {
	t.Helper()
	lan := newMemoryLAN()
	lan.link(stampsAtOnce)
	lan.link(stampsAtOnce)
	inputs = &[]string{}
	for i := range 2 {
		all = append(all, memberOf(t, lan.links[i], fourClocks[i], nil))
	}
	slave := all[1]
	clock = disturb(slave.virtual)
	slave.clock = clock
	slave.heed = func(in node.Input) {
		switch in := in.(type) {
		case node.Suspended, node.Foreign:
			*inputs = append(*inputs, fmt.Sprintf("%T%v", in, in))
		case node.Tick:
			*inputs = append(*inputs, "tick")
		}
	}
	for _, m := range all {
		m.start(ctx)
	}
	return all, clock, inputs
}

// told are the disturbances among the inputs so far, which it forgets.
func told(ctx context.Context, t *testing.T, m *member, inputs *[]string) (list []string) {
	t.Helper()
	m.ask(ctx, func() {
		list = slices.DeleteFunc(slices.Clone(*inputs), func(s string) bool { return s == "tick" })
		*inputs = nil
	})
	return list
}

// What another program wrote is told to the node once before the next steering covers it up; again when it is
// something else, and when it comes back after a time of peace.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock, inputs := disturbedLAN(ctx, t)
		slave := all[1]
		time.Sleep(30 * time.Second)
		write := func(what string) { slave.ask(ctx, func() { clock.what = what }) }
		check := func(when string, want ...string) {
			t.Helper()
			if got := told(ctx, t, slave, inputs); !slices.Equal(got, want) {
				t.Errorf("%s: told %q, want %q", when, got, want)
			}
		}
		check("in peace")
		write("tick is 1")
		time.Sleep(4 * time.Second)
		check("written once", "node.Foreign{tick is 1}")
		for range 20 { // a program that fights
			write("tick is 1")
			time.Sleep(2 * time.Second)
		}
		check("the same again and again")
		write("tick is 2")
		time.Sleep(2 * time.Second)
		check("something else", "node.Foreign{tick is 2}")
		write("tick is 3")
		time.Sleep(2 * time.Second)
		check("something else too soon")
		time.Sleep(10 * time.Second)
		write("tick is 3")
		time.Sleep(2 * time.Second)
		check("it stays", "node.Foreign{tick is 3}")
		time.Sleep(2 * time.Minute)
		write("tick is 3")
		time.Sleep(2 * time.Second)
		check("the same after two minutes of peace", "node.Foreign{tick is 3}")
		endLAN(t, cancel, all)
	})
}

// Where the node does not steer, others are seen all the same; a clock that cannot tell is complained of once.
func TestForeignUnsteered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := newMemoryLAN()
		lan.slaves = true
		lan.link(stampsAtOnce)
		m := memberOf(t, lan.link(stampsAtOnce), sysclock.VirtualConfig{}, nil) // it waits for a master
		clock := disturb(m.virtual)
		m.clock = clock
		clock.what = "status is 0"
		var got []string
		m.heed = func(in node.Input) {
			if f, ok := in.(node.Foreign); ok {
				got = append(got, f.What)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		m.start(ctx)
		time.Sleep(upkeepEvery + upkeepGrace + time.Millisecond)
		m.ask(ctx, func() {
			if len(got) != 1 || clock.what == "" {
				t.Errorf("told %q; steered: %v", got, clock.what == "")
			}
			clock.what, clock.err = "", errTest
		})
		time.Sleep(5 * time.Minute)
		endLAN(t, cancel, []*member{m})
		if w := m.journal.warnings(); len(w) != 3 { // the node's of what was found, that no master is there, and that nothing can be found any more
			t.Errorf("warned %q", w)
		}
	})
}

// A machine that slept tells the node before anything else, how long, and once; what it slept before the start is nobody's business.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock, inputs := disturbedLAN(ctx, t)
		slave := all[1]
		time.Sleep(20 * time.Second)
		if got := told(ctx, t, slave, inputs); len(got) != 0 {
			t.Errorf("before: told %q", got)
		}
		var order []string
		slave.ask(ctx, func() {
			heed := slave.heed
			slave.heed = func(in node.Input) { order = append(order, fmt.Sprintf("%T", in)); heed(in) }
			clock.slept.Add(int64(90 * time.Second))
		})
		time.Sleep(5 * time.Second)
		slave.ask(ctx, func() {
			if len(order) < 2 || order[0] != "node.Suspended" {
				t.Errorf("told in the order %q", order)
			}
		})
		if got := told(ctx, t, slave, inputs); !slices.Equal(got, []string{"node.Suspended{1m30s}"}) {
			t.Errorf("told %q", got)
		}
		for range 4 { // noise of the reading, then a trickle that adds up
			slave.ask(ctx, func() { clock.slept.Add(int64(20 * time.Millisecond)) })
			time.Sleep(3 * time.Second)
		}
		if got := told(ctx, t, slave, inputs); !slices.Equal(got, []string{"node.Suspended{60ms}"}) {
			t.Errorf("told %q", got)
		}
		endLAN(t, cancel, all)
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock, inputs := disturbedLAN(ctx, t)
		clock.slept.Store(int64(8 * time.Hour)) // before the driver's first look
		time.Sleep(5 * time.Second)
		if got := told(ctx, t, all[1], inputs); len(got) != 0 {
			t.Errorf("told %q", got)
		}
		endLAN(t, cancel, all)
	})
}

// A clock that is set wakes the node at once, which then sees the jump; its own step is none.
func TestSetClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock, _ := disturbedLAN(ctx, t)
		slave := all[1]
		const moved = "another program moved the clock"
		time.Sleep(40*time.Second + 371*time.Millisecond)
		if n := clock.steps.Load(); n != 1 || len(slave.journal.find(moved)) != 0 {
			t.Fatalf("%d steps of its own, each with a notice; the log says %v", n, slave.journal.find(moved))
		}
		began := time.Now()
		slave.ask(ctx, func() {
			if err := clock.Step(int64(10 * time.Second)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Millisecond)
		got := slave.journal.find(moved)
		if len(got) != 1 || got[0].Time.Sub(began) > time.Millisecond {
			t.Errorf("after a step the log says %v", got)
		}
		endLAN(t, cancel, all)
	})
}

// A program that sets the clock without end cannot keep the driver busy.
func TestSetPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock, inputs := disturbedLAN(ctx, t)
		time.Sleep(20 * time.Second)
		told(ctx, t, all[1], inputs)
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(100 * time.Microsecond) {
			select {
			case clock.notices <- struct{}{}:
			default:
			}
		}
		ticks := 0
		all[1].ask(ctx, func() { ticks = len(*inputs) })
		if most := int(time.Second/setPause) + 10; ticks > most || ticks < most/2 {
			t.Errorf("%d ticks in a second of settings, want at most %d", ticks, most)
		}
		endLAN(t, cancel, all)
	})
}

// A system that cannot tell is told of once, and everything else goes on.
func TestNoticeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		clock := disturb(m.virtual)
		clock.refusal = errTest
		m.clock = clock
		ctx, cancel := context.WithCancel(t.Context())
		m.start(ctx)
		time.Sleep(time.Minute)
		endLAN(t, cancel, []*member{m})
		if w := m.journal.warnings(); len(w) != 1 {
			t.Errorf("warned %q", w)
		}
	})
}
