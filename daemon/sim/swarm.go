package sim

import (
	"math/rand/v2"
	"time"
)

// Bounds limit what Draw draws; 0 stands for the default.
type Bounds struct {
	Nodes  int           // most hosts; default 12
	Faults int           // most faults; default 8
	For    time.Duration // length of the run; default 6 minutes: faults in the third and fourth, then calm
}

// Draw makes a plan at random: some kinds of trouble off, others extreme, so that seeds differ in kind and not only in degree.
// Faults end after two thirds of the run; the rest is calm, in which everything has to come right again.
func Draw(seed uint64, b Bounds) Plan {
	rng := rand.New(rand.NewPCG(seed, streamSwarm))
	b.Nodes, b.Faults = orDefault(b.Nodes, 12), orDefault(b.Faults, 8)
	if b.For == 0 {
		b.For = 6 * time.Minute
	}
	o := Default()
	o.Seed, o.For, o.Nodes = seed, b.For, 2+rng.IntN(max(1, b.Nodes-1))
	o.Drift = pick(rng, 0, 10, 50, 100.0)
	o.Wander = pick(rng, 0, 0.001, 0.01)
	o.Temperature = pick(rng, 0, 0, 1.0)
	o.Apart = pick(rng, 0, time.Millisecond, time.Second, 10*time.Minute)
	o.Delay = pick(rng, 5*time.Microsecond, 40*time.Microsecond, time.Millisecond)
	o.Jitter = pick(rng, 0, 10*time.Microsecond, 100*time.Microsecond, time.Millisecond)
	o.Shape = pick(rng, Constant, Exponential, Normal)
	o.Asymmetry = pick(rng, 0, 0, 100*time.Microsecond)
	o.Loss = pick(rng, 0, 0, 0.01, 0.1)
	o.Duplicate = pick(rng, 0, 0, 0.1, 0.5)
	o.Reorder = pick(rng, 0, 0, 0.1)
	o.UserStamps = rng.IntN(4) == 0
	o.Poll = pick(rng, time.Second, time.Second, 500*time.Millisecond, 2*time.Second)
	o.Faults = drawFaults(rng, o.Nodes, b)
	p := o.Plan()
	for i := range p.Members {
		if rng.IntN(4) == 0 {
			p.Members[i].Start = time.Duration(rng.Int64N(int64(b.For / 3)))
		}
		p.Members[i].Priority = pick[uint8](rng, 0, 0, 0, 50, 150)
	}
	return p
}

// drawFaults draws a schedule between the first third and the second of a run. Each run knows only some kinds.
func drawFaults(rng *rand.Rand, nodes int, b Bounds) []Fault {
	known := make([]FaultKind, 0, drawn)
	for k := range drawn {
		if rng.IntN(3) == 0 {
			known = append(known, k)
		}
	}
	var faults []Fault
	if len(known) == 0 {
		return nil
	}
	for range rng.IntN(b.Faults + 1) {
		faults = append(faults, drawFault(rng, known[rng.IntN(len(known))], nodes, b.For))
	}
	return faults
}

// drawFault draws one fault of a kind. A daemon that is ended starts again: a LAN that loses all of its hosts proves nothing.
func drawFault(rng *rand.Rand, kind FaultKind, nodes int, length time.Duration) Fault {
	third := int64(length / 3)
	f := Fault{Kind: kind, At: time.Duration(third + rng.Int64N(third*3/4))}
	f.For = time.Duration(rng.Int64N(2*third-int64(f.At))) + time.Millisecond
	if rng.IntN(2) == 0 {
		f.For = min(f.For, time.Duration(rng.Int64N(int64(5*time.Second)))+time.Millisecond)
	}
	f.Hosts = drawHosts(rng, nodes)
	switch kind {
	case Power:
		f.Amount = 30 * time.Second
	case VMPause:
		f.For = min(f.For, 10*time.Millisecond) // more than a minute's slew could not be put right before the end
	case Suspend, Step:
		f.Amount = time.Duration(1 + rng.Int64N(int64(10*time.Millisecond)))
	case Flap:
		f.Amount = time.Duration(100+rng.IntN(5000)) * time.Millisecond
	case Lossy:
		f.Fraction = 0.1 + 0.8*rng.Float64()
	}
	if kind == Step {
		f.For = 0
	}
	return f
}

func drawHosts(rng *rand.Rand, nodes int) []int {
	switch rng.IntN(6) {
	case 0:
		return []int{All}
	case 1, 2:
		return []int{Master}
	}
	var hosts []int
	for i := range nodes {
		if rng.IntN(3) == 0 {
			hosts = append(hosts, i)
		}
	}
	if len(hosts) == 0 {
		return []int{rng.IntN(nodes)}
	}
	return hosts
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func orDefault(v, standard int) int {
	if v == 0 {
		return standard
	}
	return v
}
