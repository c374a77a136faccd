package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"meantime/sysclock"
)

// dear is a clock that costs much to read: the driver reads its oscillator alone where that will do.
type dear struct {
	sysclock.Clock
	whole, alone int
}

func (d *dear) Read() (sysclock.Reading, error) {
	d.whole++
	r, err := d.Clock.Read()
	r.Width = 200_000
	return r, err
}

func (d *dear) ReadRaw() (int64, error) {
	d.alone++
	r, err := d.Clock.Read()
	return r.Raw, err
}

// dearLAN starts four members, the first of which, the master, has a dear clock.
func dearLAN(ctx context.Context, t *testing.T) (all []*member, clock *dear) {
	t.Helper()
	lan := newMemoryLAN()
	for range fourClocks {
		lan.link(stampsAtOnce)
	}
	for i := range fourClocks {
		all = append(all, memberOf(t, lan.links[i], fourClocks[i], nil))
	}
	clock = &dear{Clock: all[0].virtual}
	all[0].clock, all[0].sharp.Width = clock, 200_000
	for _, m := range all {
		m.start(ctx)
	}
	return all, clock
}

// Where reading the clock is dear, most packets are handled by the oscillator alone, and the LAN agrees no worse.
func TestADearClockIsReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all, clock := dearLAN(ctx, t)
		time.Sleep(2 * time.Minute)
		if spread, _ := apart(ctx, t, all); spread > 50*time.Microsecond {
			t.Errorf("%v apart", spread)
		}
		all[0].ask(ctx, func() {
			if clock.alone < clock.whole {
				t.Errorf("the oscillator alone was read %d times, the clock %d times", clock.alone, clock.whole)
			}
		})
		endLAN(t, cancel, all)
	})
}

// A clock that is set between two such readings, at whatever instant of a round, moves nobody else: what was measured before and after is
// not mixed.
func TestADearClockThatIsSetMovesNobody(t *testing.T) {
	for _, by := range []time.Duration{100 * time.Millisecond, -10 * time.Second} {
		for after := time.Duration(0); after < 1000; after += 25 { // wherever its rounds lie
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				all, clock := dearLAN(ctx, t)
				time.Sleep(90*time.Second + after*time.Millisecond)
				_, before := apart(ctx, t, all[1:])
				all[0].ask(ctx, func() {
					if err := clock.Step(int64(by)); err != nil {
						t.Error(err)
					}
				})
				for range 20 {
					time.Sleep(200 * time.Millisecond)
					if _, s := all[1].look(ctx, t); s.Voters < 3 { // whoever was measured when it was set may have to sit a round out
						t.Fatalf("set by %v %v after the second: a round had the readings of %d", by, after*time.Millisecond, s.Voters)
					}
				}
				spread, now := apart(ctx, t, all[1:])
				if moved := now - before; moved.Abs() > time.Millisecond || spread > 200*time.Microsecond {
					t.Errorf("the master's clock was set by %v %v after the second: the others moved by %v, %v apart", by, after*time.Millisecond, moved, spread)
				}
				endLAN(t, cancel, all)
			})
		}
	}
}
