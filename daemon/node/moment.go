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
	Width int64         // ns: Wall was read within this span of Raw; Unread: it was not
}

// Unread is the Width of a Moment without a reading of the wall clock.
const Unread = -1

// clockwork maps wall-clock stamps to the raw oscillator. It keeps the best pair of readings there is and lets it age: a pair that
// was read while preempted is wrong by up to half its width, and every stamp mapped through it is bent.
type clockwork struct {
	pair   Moment
	rate   float64 // the wall clock's frequency correction against the raw oscillator, as ordered (fractional)
	wobble float64 // what it may run off that, while a phase is slewed (fractional)
}

const (
	// restless is the rate (fractional) that a clock may be off what was ordered of it: an order takes effect within a tick, and its
	// resolution is 0.1 ppm or better where it was tried (Linux, wine). It is how soon a good pair gives way to a worse one, which matters
	// where reading is slow: in a guest of the lab pairs are 75 to 600 µs wide and up to 60 µs off. At 20 ppm each second had another one,
	// and the clock followed their errors (DESIGN.md, "Edges of the clock"). A clock that runs off by more is found out by pairs as good
	// as the kept one: at once where they are narrow.
	restless = 3e-6
	// strayAllowance (ns) and strayRate are how far wall and raw may part before somebody else must have moved the clock:
	// reading errors, and the fastest slew that any clock here makes.
	strayAllowance = 2_000_000
	strayRate      = 0.15
)

// start takes the first pair, of a clock whose frequency correction is known.
func (c *clockwork) start(at Moment, rate float64) { c.pair, c.rate = at, rate }

// read takes in a pair, and keeps it if it is better than the one kept has become. It returns by how much (ns) the wall clock was
// moved by somebody else meanwhile, 0 if it was not.
func (c *clockwork) read(at Moment) (jump int64) {
	if at.Width == Unread {
		return 0
	}
	parted := at.Wall - c.wall(at.Raw)
	if math.Abs(float64(parted)) > strayAllowance+strayRate*float64(at.Raw-c.pair.Raw) {
		c.pair = at
		return parted
	}
	if float64(at.Width)/2 <= c.doubt(at.Raw) {
		c.pair = at
	}
	return 0
}

// doubt is how far off (ns) a wall reading made of the kept pair may be.
func (c *clockwork) doubt(raw int64) float64 {
	return float64(c.pair.Width)/2 + (restless+c.wobble)*math.Abs(float64(raw-c.pair.Raw))
}

// wall maps a raw reading to the wall clock (ns since the Unix epoch).
func (c *clockwork) wall(raw int64) int64 {
	elapsed := raw - c.pair.Raw
	return c.pair.Wall + elapsed + int64(math.Round(float64(elapsed)*c.rate))
}

// raw maps a stamp of the wall clock (ns since the Unix epoch) to the raw oscillator (ns).
func (c *clockwork) raw(stamp int64) int64 {
	elapsed := stamp - c.pair.Wall
	return c.pair.Raw + elapsed - int64(math.Round(float64(elapsed)*c.rate/(1+c.rate)))
}

// steered tells what has just been ordered of the wall clock: a frequency correction, and a phase (ns) to slew at maxSlew at most.
func (c *clockwork) steered(raw int64, rate float64, phase int64, maxSlew float64) {
	wall, doubt := c.wall(raw), c.doubt(raw)
	c.pair.Raw, c.pair.Wall, c.pair.Width = raw, wall, int64(2*doubt)
	c.rate = rate
	c.wobble = min(math.Abs(float64(phase))/float64(steerEvery), maxSlew)
}

// stepped tells that the node itself moved the wall clock by delta ns.
func (c *clockwork) stepped(delta int64) { c.pair.Wall += delta }
