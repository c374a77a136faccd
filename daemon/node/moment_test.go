package node

import (
	"testing"
	"time"
)

func at(now time.Duration, wall, width int64) Moment {
	return Moment{Now: now, Raw: int64(now), Wall: wall, Width: width}
}

const base = int64(1e18) // of the wall clock in these tests, ns

func TestClockworkMapsBothWays(t *testing.T) {
	for _, rate := range []float64{0, 100e-6, -500e-6} {
		var c clockwork
		c.start(at(0, base, 100), rate)
		for _, raw := range []int64{-1e6, 0, 1, 250e6, 1e9} {
			stamp := base + raw + int64(float64(raw)*rate)
			if got := c.raw(stamp); got < raw-1 || got > raw+1 {
				t.Errorf("rate %v: stamp %d maps to %d, want %d", rate, stamp, got, raw)
			}
			if got := c.wall(raw); got < stamp-1 || got > stamp+1 {
				t.Errorf("rate %v: raw %d maps to %d, want %d", rate, raw, got, stamp)
			}
		}
	}
}

// A pair read while preempted does not bend the stamps; in time any pair is better than an old one.
func TestClockworkDistrustsCoarsePairs(t *testing.T) {
	var c clockwork
	c.start(at(0, base, 100), 0)
	coarse := func(now time.Duration) Moment { return at(now, base+int64(now)+150_000, 300_000) }
	for _, after := range []time.Duration{time.Second, 10 * time.Second} {
		c.read(coarse(after))
		if got := c.raw(base + int64(after)); got != int64(after) {
			t.Errorf("after %v mapped to %d: the coarse pair was used", after, got)
		}
	}
	c.read(coarse(100 * time.Second))
	if got := c.raw(base + 100e9); got == 100e9 {
		t.Error("a coarse pair was refused although the last good one is old")
	}
}

// While a phase is slewed the clock is not where its frequency says: fresh pairs count sooner.
func TestClockworkFollowsASlew(t *testing.T) {
	var c clockwork
	c.start(at(0, base, 1000), 0)
	c.steered(0, 50e-6, 1_000_000, 500e-6)
	slewed := int64(10e6 + 10e6*550/1e6)
	c.read(at(10*time.Millisecond, base+slewed, 2000))
	if got := c.raw(base + slewed); got != 10e6 {
		t.Errorf("mapped to %d, want %d", got, int64(10e6))
	}
}

func TestClockworkTellsForeignSteps(t *testing.T) {
	var c clockwork
	c.start(at(0, base, 100), 0)
	if j := c.read(at(time.Second, base+1e9+100e6, 100)); j != 0 {
		t.Errorf("a slew of 100,000 ppm passed for a step of %d ns", j)
	}
	c.start(at(time.Second, base+1e9, 100), 0)
	if j := c.read(at(2*time.Second, base+2e9+10e9, 100)); j != 10e9 {
		t.Errorf("a step of 10 s was seen as %d ns", j)
	}
	c.stepped(5e9)
	if j := c.read(at(3*time.Second, base+3e9+15e9, 100)); j != 0 {
		t.Errorf("the own step passed for a foreign one of %d ns", j)
	}
}
