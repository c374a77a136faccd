package node

import (
	"math"
	"time"
)

// Moment is when an input was seen: protocol time and one paired reading of the clock being kept.
type Moment struct {
	Now   time.Duration // monotonic, since the driver's start: every protocol timer counts in it
	Raw   int64         // ns on the raw oscillator
	Wall  int64         // ns since the Unix epoch on the clock being kept
	Width int64         // ns: Wall was read within this span of Raw
}

// clockwork maps wall-clock stamps to the raw oscillator, through the pairs that come with every input.
type clockwork struct {
	prev, cur Moment
	pairs     int   // how many of prev, cur are filled
	finest    int64 // ns: narrowest bracket seen
}

const (
	// coarse is how many times the narrowest bracket a pair may be wide and still replace the pair before it: a read
	// that was preempted is wrong by up to half its width, and would bend every stamp mapped through it.
	coarse = 8
	// fine is a width (ns) that is good enough however narrow others were: half of it is within the noise of stamps.
	fine = 2000
	// fresh is how long a good pair serves in place of coarse ones. At 500 ppm it is 0.5 ms wrong by then at worst; a
	// machine whose every read is preempted for a second is in worse trouble.
	fresh = time.Second
	// strayAllowance (ns) and strayRate are how far wall and raw may part between two pairs before somebody else must have
	// moved the clock: reading errors, and the fastest slew that any clock here makes.
	strayAllowance = 2_000_000
	strayRate      = 0.15
)

// read takes in a pair. It returns by how much (ns) the wall clock was moved by somebody else since the last one, 0 if it
// was not.
func (c *clockwork) read(at Moment) (jump int64) {
	if c.pairs == 0 {
		c.cur, c.pairs, c.finest = at, 1, at.Width
		return 0
	}
	c.finest = min(c.finest, at.Width)
	if at.Width > max(fine, coarse*c.finest) && at.Now-c.cur.Now < fresh {
		return 0
	}
	raw := at.Raw - c.cur.Raw
	parted := (at.Wall - c.cur.Wall) - raw
	if math.Abs(float64(parted)) > strayAllowance+strayRate*float64(raw) {
		c.cur, c.pairs = at, 1
		return parted
	}
	if raw > 0 {
		c.prev, c.cur, c.pairs = c.cur, at, 2
	}
	return 0
}

// raw maps a stamp of the wall clock (ns since the Unix epoch) to the raw oscillator (ns).
func (c *clockwork) raw(stamp int64) int64 {
	back := c.cur.Wall - stamp
	if c.pairs < 2 || c.cur.Wall <= c.prev.Wall {
		return c.cur.Raw - back
	}
	rate := float64(c.cur.Raw-c.prev.Raw) / float64(c.cur.Wall-c.prev.Wall)
	return c.cur.Raw - back - int64(math.Round(float64(back)*(rate-1)))
}

// stepped tells that the node itself moved the wall clock by delta ns: the pairs before it are of the old wall.
func (c *clockwork) stepped(delta int64) {
	c.cur.Wall += delta
	c.pairs = min(c.pairs, 1)
}
