package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// Epoch is the true wall time at the start of every run, ns since the Unix epoch: 2026-01-01 00:00 UTC.
const Epoch = int64(1_767_225_600_000_000_000)

// Plan describes a run. Everything random is drawn from Seed.
//
// Addresses are always IPv4: the node sees an address only as something to answer to, so another family would change nothing.
type Plan struct {
	Seed       uint64
	For        time.Duration
	Members    []Member
	Link       Link          // every packet's way, where no Route says otherwise
	Routes     []Route       // the last that fits a pair of hosts counts
	Asymmetry  time.Duration // added to every packet from a host with a lower number to one with a higher
	UserStamps bool          // no kernel stamps packets: user space does, later by up to some UserLateness
	Latency    Delay         // from an input to the node's sight of it, and from its effect to the packet
	Faults     []Fault
	Node       node.Config // what all nodes share; what a Member says comes on top
}

// Member is one host of the run.
type Member struct {
	Offset    time.Duration // of its wall clock from true time at the start
	Frequency float64       // fractional error of its oscillator
	Wander    float64       // its random walk, fractional per square root of a second
	Swing     Swing         // its answer to the room's temperature
	Start     time.Duration // when it comes to the LAN
	Role      node.Role
	Priority  uint8 // 0 = Plan.Node's
	Lie       Lie
	Ring      *netproto.Ring // the keys in its key file; nil = Plan.Node's

	// Mangle, where set, changes every packet that the member sends. It must not change the slice, which others may hold.
	Mangle func(data []byte) []byte
	// Hear does the same to every packet that it hears.
	Hear func(data []byte) []byte
	// Meddle changes what its node wants done, before it is done: for faults planted in a node.
	Meddle func(effects []node.Effect) []node.Effect
}

// Swing is a sinusoidal error of an oscillator on top of its own: heating that goes on and off, day and night.
type Swing struct {
	Amplitude float64 // fractional
	Period    time.Duration
	Phase     float64 // in turns, 0 to 1
}

// Shape is how a Delay's random part is distributed.
type Shape uint8

// The shapes.
const (
	Constant    Shape = iota // no random part
	Exponential              // Spread is its mean: queues
	Normal                   // Spread is its standard deviation; what would be early is not: below Least it is cut off
)

// String names the shape as --shape does.
func (s Shape) String() string {
	switch s {
	case Constant:
		return "constant"
	case Exponential:
		return "exponential"
	case Normal:
		return "normal"
	}
	return "unknown"
}

// ParseShape reads a shape's name.
func ParseShape(name string) (Shape, bool) {
	for s := Constant; s <= Normal; s++ {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// Delay is a distribution of delays.
type Delay struct {
	Shape  Shape
	Least  time.Duration
	Spread time.Duration
}

// draw takes a delay in ns. Normal delays lie about Least + 3·Spread, so that hardly any is cut off.
func (d Delay) draw(rng *rand.Rand) int64 {
	switch d.Shape {
	case Exponential:
		return int64(d.Least) + int64(rng.ExpFloat64()*float64(d.Spread))
	case Normal:
		return int64(d.Least) + max(0, int64((3+rng.NormFloat64())*float64(d.Spread)))
	}
	return int64(d.Least)
}

// Link is how packets travel in one direction between two hosts.
type Link struct {
	Delay     Delay
	Loss      float64 // fraction of datagrams lost, each receiver's copy on its own
	Duplicate float64 // fraction that comes twice
	Copies    int     // further copies of every packet, as from a switch gone mad; 0 = none
	Reorder   float64 // fraction held back for a while, so that later packets overtake it
}

// Route gives the packets between some hosts a Link of their own.
type Route struct {
	From, To int // indices of members; All for any
	Link     Link
}

// link is the Link that a packet between two members takes.
func (p *Plan) link(from, to int) Link {
	link := p.Link
	for _, r := range p.Routes {
		if (r.From == All || r.From == from) && (r.To == All || r.To == to) {
			link = r.Link
		}
	}
	if from < to {
		link.Delay.Least += p.Asymmetry
	}
	return link
}

// Calm is when the last fault is over and the last member has come.
func (p *Plan) Calm() time.Duration {
	var calm time.Duration
	for _, f := range p.Faults {
		calm = max(calm, f.At+f.For)
	}
	for _, m := range p.Members {
		calm = max(calm, m.Start)
	}
	return calm
}

// Honest is the same plan without its liars' lies.
func (p Plan) Honest() Plan {
	p.Members = slices.Clone(p.Members)
	for i := range p.Members {
		p.Members[i].Lie = Lie{}
	}
	return p
}

// liars counts the members that lie.
func (p *Plan) liars() (n int) {
	for _, m := range p.Members {
		if m.Lie.Kind != Truth {
			n++
		}
	}
	return n
}

// fastest is the largest rate error (fractional) that member i's oscillator may show in the run: eight standard deviations of
// its walk, which no seed sees, are added to what is certain, and the rounding of a second's ns.
func (p *Plan) fastest(i int) float64 {
	m := p.Members[i]
	return math.Abs(m.Frequency) + math.Abs(m.Swing.Amplitude) + 8*m.Wander*math.Sqrt(p.For.Seconds()) + 1e-8
}
