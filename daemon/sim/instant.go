package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Two runs are compared to the nanosecond where one of them has inputs that the other lacks: hostile packets. What such an input does
// not cause must not differ, so in a run that is compared (Plan.Compared) nothing depends on how often something else happened
// before:
//
//   - random numbers depend on the instant at which they are drawn, not on how many were drawn before it;
//   - an alarm goes off at the first nanosecond at which it is due, whenever it was last set.

// instant is a source whose numbers are a function of the seed, its stream and the instant.
type instant struct {
	world  *World
	stream uint64
	at     int64
	pcg    seeded
}

// seeded is a source that can be begun anew.
type seeded interface {
	rand.Source
	Seed(uint64, uint64)
}

// spreadInstants is odd, so that no two instants have one product; 2^64 divided by the golden ratio spreads neighbours widest.
const spreadInstants = 0x9E3779B97F4A7C15

// Uint64 implements rand.Source.
func (s *instant) Uint64() uint64 {
	if s.at != s.world.now {
		s.at = s.world.now
		s.pcg.Seed(s.world.plan.Seed^uint64(s.at)*spreadInstants, s.stream)
	}
	return s.pcg.Uint64()
}

func (w *World) instant(stream uint64) *instant {
	return &instant{world: w, stream: stream, at: -1, pcg: rand.NewPCG(0, 0)}
}

// stream is a source of random numbers of its own.
func (w *World) stream(number uint64) *rand.Rand {
	if w.plan.Compared {
		return rand.New(w.instant(number))
	}
	return rand.New(rand.NewPCG(w.plan.Seed, number))
}

// again begins the source anew for another stream.
func (s *instant) again(stream uint64) {
	s.at, s.stream = -1, stream
}

// shortOf is how long (ns, true time) to wait for a raw span to pass, so that the wait ends before it or at its very end.
func (h *Host) shortOf(span int64) int64 {
	stray := h.world.plan.fastest(h.index) - math.Abs(h.member.Frequency)
	wait := float64(span) / (1 + h.member.Frequency) * (1 - 2*stray)
	return max(1, int64(wait)-2) // whole nanoseconds round at both ends
}

// compared makes a plan one whose runs are compared.
func (p Plan) compared() Plan {
	p.Compared = true
	return p
}

// rounds is how long so many rounds of the plan last at most.
func (p *Plan) rounds(n int) time.Duration {
	return time.Duration(n) * max(p.Node.Interval, p.Node.Longest)
}
