package sim

import (
	"math"

	"meantime/sysclock"
)

// ground is what lies under a host's virtual clock: true time, bent by the swing of the room's temperature, standing still
// while the machine sleeps. Raw and wall go alike, so that sysclock maps a packet's true time onto the host's clock.
type ground struct {
	world  *World
	swing  Swing
	slept  int64 // ns asleep before
	asleep bool
	since  int64 // ns since the start, true time: beginning of this sleep
}

// readWidth (ns) is the bracket of a pair of readings: three system calls of a present-day machine, half of it off at most.
const readWidth = 100

// Read pairs the ground's time with the wall time that it stands for.
func (g *ground) Read() (sysclock.Reading, error) {
	t := g.at(g.world.now)
	return sysclock.Reading{Raw: t, Wall: Epoch + t, Width: readWidth}, nil
}

// at is the ground's time (ns) at a true time (ns since the start) of this waking or the present sleep.
func (g *ground) at(t int64) int64 {
	if g.asleep && t > g.since {
		t = g.since
	}
	if g.swing.Amplitude != 0 {
		turn := float64(t)/float64(g.swing.Period) + g.swing.Phase
		turn -= math.Floor(turn)
		height := g.swing.Amplitude * float64(g.swing.Period) / (2 * math.Pi)
		t += int64(math.Round(height * (math.Cos(2*math.Pi*g.swing.Phase) - math.Cos(2*math.Pi*turn))))
	}
	return t - g.slept
}

// sleep stops the ground.
func (g *ground) sleep() { g.asleep, g.since = true, g.world.now }

// rise starts it again where it stood and returns for how long (ns) it stood still.
func (g *ground) rise() int64 {
	stood := g.at(g.world.now)
	g.asleep = false
	g.slept += g.at(g.world.now) - stood
	return g.world.now - g.since
}
