package sysclock

import (
	"math"
	"math/rand/v2"
)

// VirtualConfig describes how a virtual clock differs from its host.
type VirtualConfig struct {
	Offset    int64      // ns: wall clock of the first reading, minus the host's
	Frequency float64    // fractional error of the oscillator: 50e-6 runs 50 ppm fast
	Wander    float64    // random walk of that error: fractional per square root of a second; 0 = none
	Rand      *rand.Rand // source of the walk, used by this clock alone; nil = no walk
}

// Virtual is a Clock without an operating system: its raw oscillator is the host's, bent, and its wall clock is kept
// here. It never writes a clock of the machine. Everything is a function of the host's raw time at which it was read
// and steered: how often it is read in between changes nothing.
//
// Rates are kept as a closed form since the last change, and the fraction of a nanosecond is carried over each change:
// a year of steering every second does not add up to an error.
type Virtual struct {
	host   Host
	cfg    VirtualConfig
	begun  bool
	osc    oscillator
	marks  []mark    // the last wall states, oldest first; the last one is in force
	pairs  []Reading // host pairs of the last moments, oldest first, for FromHost
	latest Reading   // of the host, by whatever look
	paired Reading   // the host's side of the last Read
	wall   int64     // and the wall clock at that instant
}

// oscillator maps the host's raw time to the bent raw time. Frequency is constant for one wanderStep at a time, counted
// from the first reading, so that the walk is the same whatever the call pattern.
type oscillator struct {
	host      int64   // ns, host raw time at which the present stretch began
	raw       int64   // ns, this oscillator there
	residue   float64 // ns, in [0, 1): what raw could not hold
	frequency float64 // fractional, in this stretch
	sigma     float64 // fractional, standard deviation of the change per stretch; 0 = one stretch for ever
	rand      *rand.Rand
}

// wanderStep (ns) is the length of a stretch of constant frequency. A second is the shortest usual poll interval; a walk
// of 1e-9 per root second, a poor crystal's, differs from a continuous one by less than a nanosecond within it.
const wanderStep = second

// mark is the state of the wall clock since the last Steer or Step, a closed form of the bent raw time.
type mark struct {
	raw       int64   // ns, bent raw time at which it began
	wall      int64   // ns since the Unix epoch there
	residue   float64 // ns, in [0, 1)
	frequency float64 // fractional
	phase     float64 // ns still to slew at raw, signed
	rate      float64 // fractional, > 0: pace of the phase
}

const (
	// marksKept and pairsKept bound the look back of FromHost: a packet is mapped milliseconds after its stamp, while
	// the wall clock is steered about once a second.
	marksKept = 4
	pairsKept = 4
	// pairSpacing (ns): host pairs closer than this are not kept as well, or a burst of packets would push out
	// the older ones that a step can be told by.
	pairSpacing = 50_000_000
	// stepFloor (ns) and stepRate (fractional): the host's wall clock may leave its raw oscillator by this much between
	// two pairs before FromHost takes it for a step. 1,000 ppm is full frequency plus full slew.
	stepFloor = 20_000
	stepRate  = 1e-3
)

var (
	_ Clock           = (*Virtual)(nil)
	_ FrequencyFinder = (*Virtual)(nil)
)

// NewVirtual makes a virtual clock on host. It starts at the host's present time plus cfg.Offset; if the host cannot
// be read just now, at the first reading that succeeds.
func NewVirtual(cfg VirtualConfig, host Host) *Virtual {
	v := &Virtual{host: host, cfg: cfg}
	_, _ = v.look() // an error comes back with the first Read
	return v
}

// Read pairs the bent oscillator with the virtual wall clock. Width is the host's.
func (v *Virtual) Read() (Reading, error) {
	h, err := v.look()
	if err != nil {
		return Reading{}, err
	}
	raw := v.osc.at(h.Raw)
	v.paired, v.wall = h, v.marks[len(v.marks)-1].at(raw)
	return Reading{Raw: raw, Wall: v.wall, Width: h.Width}, nil
}

// Pair returns the host's reading behind the last Read and the virtual wall clock at that instant: the truth for a
// test's oracle or a trace.
func (v *Virtual) Pair() (host Reading, wall int64) { return v.paired, v.wall }

// FromHost maps a stamp of the host's wall clock (ns since the Unix epoch), taken within the last moments, onto this
// wall clock as it ran then. A step of the host's clock since is recognised if it is larger than the stamp is old. A stamp from just
// before the last look is mapped by that: a look for each packet was half of what one cost a busy master.
func (v *Virtual) FromHost(stamp int64) int64 {
	now := v.latest
	if stamp > now.Wall || stamp < now.Wall-pairSpacing {
		var err error
		if now, err = v.look(); err != nil {
			if len(v.pairs) == 0 {
				return stamp
			}
			now = v.pairs[len(v.pairs)-1]
		}
	}
	raw := v.osc.at(hostRaw(stamp, v.pairs, now))
	for i := len(v.marks) - 1; i > 0; i-- {
		if raw >= v.marks[i].raw {
			return v.marks[i].at(raw)
		}
	}
	return v.marks[0].at(raw)
}

// Steer sets frequency and phase from this instant on. The phase is paid at a steady rate that would finish in one
// second, but at most MaxSlew, and then ends by itself. MaxError, EstError and Synchronised are ignored: there is no
// kernel to tell.
func (v *Virtual) Steer(s Steering) error {
	s, err := checked(s, v.Limits())
	if err != nil {
		return err
	}
	m, err := v.turn()
	if err != nil {
		return err
	}
	m.frequency = s.Frequency
	m.phase = float64(s.Phase)
	m.rate = min(s.MaxSlew, math.Abs(m.phase)/second)
	v.push(m)
	return nil
}

// Step moves the wall clock by delta ns at once. The frequency stays, the rest of a slew is dropped.
func (v *Virtual) Step(delta int64) error {
	m, err := v.turn()
	if err != nil {
		return err
	}
	m.wall += delta
	m.phase, m.rate = 0, 0
	v.push(m)
	return nil
}

// Limits are those of the Linux clock, so that a dry run behaves like the real one.
func (v *Virtual) Limits() Limits {
	l, _ := LimitsOf("virtual")
	return l
}

// FrequencyFound is 0: a virtual clock begins uncorrected.
func (v *Virtual) FrequencyFound() float64 { return 0 }

// Close does nothing: no clock outside this process was touched.
func (v *Virtual) Close() error { return nil }

// look reads the host and keeps the pair if it is worth keeping. The first look starts the clock.
func (v *Virtual) look() (Reading, error) {
	h, err := v.host.Read()
	if err != nil {
		return h, err
	}
	if !v.begun {
		v.begin(h)
	}
	v.latest = h
	if n := len(v.pairs); n == 0 || h.Raw-v.pairs[n-1].Raw >= pairSpacing {
		v.pairs = keep(v.pairs, h, pairsKept)
	}
	return h, nil
}

// begin starts both scales at the host's reading h.
func (v *Virtual) begin(h Reading) {
	v.begun = true
	v.osc = oscillator{host: h.Raw, raw: h.Raw, frequency: v.cfg.Frequency, rand: v.cfg.Rand}
	if v.cfg.Rand != nil {
		v.osc.sigma = v.cfg.Wander * math.Sqrt(float64(wanderStep)/second)
	}
	v.marks = []mark{{raw: h.Raw, wall: h.Wall + v.cfg.Offset}}
	v.paired, v.wall = h, h.Wall+v.cfg.Offset
}

// turn returns the mark in force, carried forward to this instant.
func (v *Virtual) turn() (mark, error) {
	h, err := v.look()
	if err != nil {
		return mark{}, err
	}
	m := v.marks[len(v.marks)-1]
	return m.moved(v.osc.at(h.Raw)), nil
}

// push puts m in force.
func (v *Virtual) push(m mark) { v.marks = keep(v.marks, m, marksKept) }

// keep appends x to list and drops the oldest beyond n.
func keep[T any](list []T, x T, n int) []T {
	if len(list) >= n {
		copy(list, list[1:])
		list[len(list)-1] = x
		return list
	}
	return append(list, x)
}

// at returns the bent raw time for a host raw time, taking as many steps of the walk as lie before it. A time before
// the present stretch is taken back at the present frequency.
func (o *oscillator) at(host int64) int64 {
	if o.sigma > 0 {
		for host-o.host >= wanderStep {
			o.raw, o.residue = advance(o.raw, wanderStep, o.residue+o.frequency*wanderStep)
			o.host += wanderStep
			o.frequency += o.sigma * o.rand.NormFloat64()
		}
	}
	d := host - o.host
	raw, _ := advance(o.raw, d, o.residue+o.frequency*float64(d))
	return raw
}

// extra returns the ns, with fraction, that the mark's wall clock has gained on raw time d ns after the mark.
func (m mark) extra(d int64) float64 {
	x := m.residue + m.frequency*float64(d)
	if m.phase != 0 && d > 0 {
		x += math.Copysign(min(math.Abs(m.phase), m.rate*float64(d)), m.phase)
	}
	return x
}

// at returns the wall clock at a bent raw time.
func (m mark) at(raw int64) int64 {
	wall, _ := advance(m.wall, raw-m.raw, m.extra(raw-m.raw))
	return wall
}

// moved returns the same clock told from a later instant, without what remains of the phase.
func (m mark) moved(raw int64) mark {
	n := mark{raw: raw, frequency: m.frequency}
	n.wall, n.residue = advance(m.wall, raw-m.raw, m.extra(raw-m.raw))
	return n
}

// advance adds d whole ns and extra, and returns the integer part and what is left of it, in [0, 1).
func advance(from, d int64, extra float64) (to int64, residue float64) {
	whole := math.Floor(extra)
	return from + d + int64(whole), extra - whole
}

// hostRaw maps a stamp of the host's wall clock to the host's raw time, given the pairs of the last moments (oldest
// first) and the present pair.
//
// Between two pairs that agree, the stamp is interpolated, so that a host whose clock is being slewed is mapped along
// its slope. Two pairs that do not agree have a step between them; the stamp was then taken on either side. It cannot
// lie in the future, not before the step on the new scale and not after it on the old one; of what remains, the younger
// reading is taken.
func hostRaw(stamp int64, pairs []Reading, now Reading) int64 {
	best := now.Raw + (stamp - now.Wall)
	later := now
	for i := len(pairs) - 1; i >= 0; i-- {
		p := pairs[i]
		if p.Raw >= later.Raw {
			continue
		}
		if slack := explained(p, later); math.Abs(float64((later.Wall-p.Wall)-(later.Raw-p.Raw))) > slack {
			old := p.Raw + (stamp - p.Wall)
			slack := int64(slack)
			if old <= later.Raw+slack && (best > now.Raw+slack || best < p.Raw-slack || old > best) {
				return old
			}
			return best
		}
		if stamp >= p.Wall && stamp <= later.Wall {
			f := float64(later.Raw-p.Raw) / float64(later.Wall-p.Wall)
			return p.Raw + int64(math.RoundToEven(float64(stamp-p.Wall)*f))
		}
		if stamp < p.Wall {
			best = p.Raw + (stamp - p.Wall)
		}
		later = p
	}
	return best
}

// explained is how far (ns) the host's wall clock may leave its raw oscillator between two pairs by steering and by the
// width of the pairs; more is a step.
func explained(a, b Reading) float64 {
	return stepFloor + float64(a.Width+b.Width)/2 + stepRate*float64(b.Raw-a.Raw)
}
