package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// Options describe a LAN to be tried: the questions that a planner asks. Everything random is drawn from Seed.
type Options struct {
	Nodes int // hosts on the LAN, MinNodes to MaxNodes

	Drift       float64       // ppm: each oscillator's error is drawn evenly from ±Drift
	Wander      float64       // ppm per square root of a second: random walk of each oscillator's error
	Temperature float64       // ppm: amplitude of a daily or room-conditioning swing; 0 = none
	Period      time.Duration // of that swing
	Apart       time.Duration // each wall clock's error at the start is drawn evenly from ±Apart

	Delay     time.Duration // least one-way delay
	Jitter    time.Duration // mean of the delay on top (standard deviation for Shape normal)
	Shape     Shape         // how the delay on top is distributed
	Asymmetry time.Duration // added to every packet from a host with a lower number to one with a higher
	Loss      float64       // fraction of datagrams lost, each receiver's copy on its own
	Duplicate float64       // fraction that comes twice
	Reorder   float64       // fraction held back, so that later packets overtake it

	UserStamps bool          // no kernel stamps packets: user space does, late
	Keyed      bool          // packets are sealed and opened with a key, as on a real LAN
	Latency    time.Duration // from an input to the packet that it causes: a scheduler and a system call

	Poll       time.Duration // from poll to poll
	PollMax    time.Duration // the same where the LAN has been calm for long; 0 = Poll
	FullRounds int           // members up to which each has all its exchanges in every round; 0 = as many as by default
	MaxSlew    float64       // ppm: largest extra rate while a clock is slewed
	For        time.Duration // how long the run is
	Faults     []Fault
	Seed       uint64
}

// Bounds of Options.
const (
	MinNodes   = 1
	MaxNodes   = 16_384           // as many members as a master takes by default
	minPoll    = time.Second / 16 // the product's own bounds of poll
	maxPoll    = 64 * time.Second //
	maxFor     = 366 * 24 * time.Hour
	maxDrift   = 450.0            // ppm: beyond ±500 together no clock can be steered onto the mean
	maxDelay   = 10 * time.Second // beyond any LAN
	mostLoss   = 0.95             // fractions of all packets
	maxMaxSlew = 100_000.0        // ppm: the product's own bound
)

// Default is an ordinary office LAN: five hosts with ordinary crystals, a switch, kernel stamps.
func Default() Options {
	return Options{
		Nodes: 5, Drift: 50, Wander: 0.001, Period: time.Hour, Apart: time.Minute,
		Delay: 40 * time.Microsecond, Jitter: 10 * time.Microsecond, Shape: Exponential, Latency: 30 * time.Microsecond,
		Poll: time.Second, MaxSlew: 500, For: 10 * time.Minute, Seed: 1,
	}
}

// Check names every option that no run can have, by its flag, with what to write instead. It returns nil if there is none.
func (o Options) Check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if o.Nodes < MinNodes || o.Nodes > MaxNodes {
		bad("--nodes %d: write a number from %d to %d", o.Nodes, MinNodes, MaxNodes)
	}
	number := func(flag string, v, least, most float64, unit string) {
		if !(v >= least && v <= most) { // not a number included
			bad("--%s %v: write a number from %v to %v%s", flag, v, least, most, unit)
		}
	}
	number("drift", o.Drift, 0, maxDrift, " (ppm)")
	number("wander", o.Wander, 0, 1, " (ppm per square root of a second)")
	number("temperature", o.Temperature, 0, maxDrift, " (ppm)")
	number("loss", o.Loss, 0, mostLoss, "")
	number("duplicate", o.Duplicate, 0, mostLoss, "")
	number("reorder", o.Reorder, 0, mostLoss, "")
	number("max-slew", o.MaxSlew, 1, maxMaxSlew, " (ppm)")
	span := func(flag string, v, least, most time.Duration) {
		if v < least || v > most {
			bad("--%s %v: write a duration from %v to %v", flag, v, least, most)
		}
	}
	span("apart", o.Apart, 0, 100*365*24*time.Hour)
	span("delay", o.Delay, 0, maxDelay)
	span("jitter", o.Jitter, 0, maxDelay)
	span("asymmetry", o.Asymmetry, 0, maxDelay)
	span("latency", o.Latency, 0, time.Second)
	span("poll", o.Poll, minPoll, maxPoll)
	if o.PollMax != 0 {
		span("poll-max", o.PollMax, o.Poll, maxPoll)
	}
	if o.FullRounds < 0 || o.FullRounds > MaxNodes {
		bad("--full-rounds-to %d: write a number from 1 to %d", o.FullRounds, MaxNodes)
	}
	span("for", o.For, time.Second, maxFor)
	if o.Temperature > 0 {
		span("period", o.Period, time.Second, maxFor)
	}
	if o.Shape > Normal {
		bad("--shape %d: write constant, exponential or normal", o.Shape)
	}
	for i, f := range o.Faults {
		if err := f.check(o.Nodes, o.For); err != nil {
			bad("--faults: number %d (%v): %w", i+1, f, err)
		}
	}
	return errors.Join(problems...)
}

// String writes the options as the flags that give them again: the first line of every run.
func (o Options) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--nodes %d --drift %v --wander %v", o.Nodes, o.Drift, o.Wander)
	if o.Temperature > 0 {
		fmt.Fprintf(&b, " --temperature %v --period %v", o.Temperature, o.Period)
	}
	fmt.Fprintf(&b, " --apart %v --delay %v --jitter %v --shape %v", o.Apart, o.Delay, o.Jitter, o.Shape)
	fmt.Fprintf(&b, " --asymmetry %v --loss %v --duplicate %v --reorder %v", o.Asymmetry, o.Loss, o.Duplicate, o.Reorder)
	fmt.Fprintf(&b, " --latency %v", o.Latency)
	if o.UserStamps {
		b.WriteString(" --user-stamps")
	}
	if o.Keyed {
		b.WriteString(" --keyed")
	}
	fmt.Fprintf(&b, " --poll %v", o.Poll)
	if o.PollMax > 0 {
		fmt.Fprintf(&b, " --poll-max %v", o.PollMax)
	}
	if o.FullRounds > 0 {
		fmt.Fprintf(&b, " --full-rounds-to %d", o.FullRounds)
	}
	fmt.Fprintf(&b, " --max-slew %v --for %v", o.MaxSlew, o.For)
	if len(o.Faults) > 0 {
		fmt.Fprintf(&b, " --faults '%s'", Faults(o.Faults))
	}
	fmt.Fprintf(&b, " --seed %d", o.Seed)
	return b.String()
}

// Plan draws the LAN that the options describe.
func (o Options) Plan() Plan {
	rng := rand.New(rand.NewPCG(o.Seed, streamPlan))
	p := Plan{
		Seed: o.Seed, For: o.For, Faults: o.Faults, Asymmetry: o.Asymmetry, UserStamps: o.UserStamps,
		Latency: Delay{Least: o.Latency},
		Link: Link{
			Delay: Delay{Shape: o.Shape, Least: o.Delay, Spread: o.Jitter}, Loss: o.Loss, Duplicate: o.Duplicate, Reorder: o.Reorder,
		},
		Node: nodeConfig(o.Poll, o.MaxSlew*ppm),
	}
	for range o.Nodes {
		p.Members = append(p.Members, Member{
			Offset:    time.Duration(math.Round(even(rng) * float64(o.Apart))),
			Frequency: even(rng) * o.Drift * ppm,
			Wander:    o.Wander * ppm,
			Swing:     Swing{Amplitude: o.Temperature * ppm, Period: o.Period, Phase: rng.Float64()},
		})
	}
	p.Node.Longest = o.PollMax
	if o.FullRounds > 0 {
		p.Node.FullRoundsTo = o.FullRounds
	}
	if o.Keyed {
		p.Node.Ring = drawRing(p.Node.Group, o.Seed, 1)
	}
	return p
}

// drawRing draws keys of a group, one for each number given, the newest first.
func drawRing(group uint32, seed uint64, numbers ...uint64) *netproto.Ring {
	var keys []netproto.Key
	for _, number := range numbers {
		rng := rand.New(rand.NewPCG(seed, streamKey+number))
		var secret []byte
		for len(secret) < netproto.SecretLen {
			secret = binary.BigEndian.AppendUint64(secret, rng.Uint64())
		}
		key, err := netproto.NewKey(secret)
		if err != nil {
			panic(err) // the length is right
		}
		keys = append(keys, key)
	}
	ring, err := netproto.NewRing(group, keys...)
	if err != nil {
		panic(err) // a few keys, drawn apart
	}
	return ring
}

// ppm is one part in a million, as a fraction.
const ppm = 1e-6

// even draws evenly from −1 to 1.
func even(rng *rand.Rand) float64 { return 2*rng.Float64() - 1 }

// nodeConfig is what all nodes of a run share: the product's defaults.
func nodeConfig(poll time.Duration, maxSlew float64) node.Config {
	return node.Config{
		Group: netproto.GroupID("meantime"), Priority: 100, Interval: poll, MaxSkew: time.Hour, FoundWait: 10 * time.Second,
		FullRoundsTo: 1000, MaxMembers: 16384, MayStep: true, MaxSlew: maxSlew,
		Release: Epoch - int64(365*24*time.Hour),
	}
}

// Run tries the LAN that the options describe. observe, which may be nil, sees a Point each simulated second. The error is
// that of options which cannot be; what went wrong in the run stands in Report.Violations.
func Run(o Options, observe func(Point)) (Report, error) {
	if err := o.Check(); err != nil {
		return Report{}, err
	}
	return RunPlan(o.Plan(), Limits{}, observe)
}
