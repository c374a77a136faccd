package node

import (
	"testing"
	"time"
)

func at(now time.Duration, wall, width int64) Moment {
	return Moment{Now: now, Raw: int64(now), Wall: wall, Width: width}
}

func TestClockworkMapsThroughASlew(t *testing.T) {
	var c clockwork
	c.read(at(0, 1e18, 100))
	c.read(at(time.Second, 1e18+1e9+500_000, 100)) // the wall clock runs 500 ppm fast
	for _, raw := range []int64{0, 1, 250e6, 1e9, 1e9 + 2e6} {
		stamp := int64(1e18) + raw + raw/2000
		if got := c.raw(stamp); got < raw-1 || got > raw+1 {
			t.Errorf("stamp %d maps to %d, want %d", stamp, got, raw)
		}
	}
}

// A pair read while preempted does not bend the stamps.
func TestClockworkDistrustsCoarsePairs(t *testing.T) {
	var c clockwork
	c.read(at(0, 1e18, 100))
	c.read(at(time.Second, 1e18+1e9, 100))
	c.read(at(time.Second+time.Millisecond, 1e18+1e9+1e6+150_000, 300_000)) // 150 µs wrong
	if got := c.raw(1e18 + 1e9 + 1e6); got != 1e9+1e6 {
		t.Errorf("mapped to %d: the coarse pair was used", got)
	}
	c.read(at(3*time.Second, 1e18+3e9, 300_000)) // but better than none for two seconds
	if c.cur.Now != 3*time.Second {
		t.Error("a coarse pair was refused although the last good one is old")
	}
}

func TestClockworkTellsForeignSteps(t *testing.T) {
	var c clockwork
	c.read(at(0, 1e18, 100))
	if j := c.read(at(time.Second, 1e18+1e9+100e6, 100)); j != 0 {
		t.Errorf("a slew of 100,000 ppm passed for a step of %d ns", j)
	}
	if j := c.read(at(2*time.Second, 1e18+2e9+100e6+10e9, 100)); j != 10e9 {
		t.Errorf("a step of 10 s was seen as %d ns", j)
	}
	c.stepped(5e9)
	if j := c.read(at(3*time.Second, 1e18+3e9+100e6+15e9, 100)); j != 0 {
		t.Errorf("the own step passed for a foreign one of %d ns", j)
	}
}
