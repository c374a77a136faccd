package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// Streams of random numbers: each consumer has its own, so that in two runs of one seed one more draw here changes nothing there.
const (
	streamPlan    = 1
	streamFaults  = 2
	streamSwarm   = 3
	streamFoe     = 4
	streamKey     = 100
	streamClock   = 1000
	streamNode    = 2000
	streamHost    = 3000
	streamLink    = 1 << 32
	streamSpacing = 1 << 16
)

// ofMember is the stream of a member's own: of a thousand, and of each further thousand.
func ofMember(stream uint64, i int) uint64 { return stream + uint64(i%1000) + uint64(i/1000)<<24 }

// World is a run under way.
type World struct {
	plan  Plan
	now   int64 // ns since the start, true time
	queue queue
	hosts []*Host
	links links
	walls []wall
	dice  *rand.Rand
	lossy float64 // fraction of all packets that a fault loses, now
	hash  hash
	trace func(line string)
	told  func(*Host, node.Effect) // sees every effect, for the tests' transcripts; nil = nobody looks
	judge *judge
	err   error

	attacker *attacker  // nil on a LAN without one
	deeds    func(deed) // sees every deed; nil = nobody looks

	sparing bool                    // parts of an Adjust go to those whom they concern
	who     map[netproto.ID][]*Host // by id; nil = to be made anew
	meant   []*Host                 // by the packet at hand
	packet  node.Packet             // the input at hand, if it is one
	sent    node.Sent               // or one of these
	entries []netproto.Entry

	lastPoll int // the host that polled last, −1 before
	packets  uint64
	inputs   uint64
	onLook   func() error
}

// New builds the world of a plan. trace, which may be nil, gets a line for each input and effect.
func New(plan Plan, trace func(string)) (*World, error) {
	plan.Faults = slices.Clone(plan.Faults) // the run writes in it
	w := &World{plan: plan, trace: trace, lastPoll: -1, hash: newHash(), sparing: plan.large()}
	w.dice = rand.New(rand.NewPCG(plan.Seed, streamFaults))
	w.judge = newJudge(w)
	if plan.attacked() {
		w.attacker = newAttacker(w)
	}
	for i := range plan.Members {
		h, err := w.newHost(i)
		if err != nil {
			return nil, err
		}
		w.hosts = append(w.hosts, h)
		w.plans(h.start, comes, i)
	}
	w.links = newLinks(w, w.sparing)
	for i, f := range plan.Faults {
		if err := f.check(len(plan.Members), math.MaxInt64); err != nil {
			return nil, fmt.Errorf("fault %v: %w", f, err)
		}
		w.queue.push(int64(f.At)).mishap(strikes, i)
	}
	return w, nil
}

func (e *event) mishap(what happening, fault int) { e.what, e.from = what, int32(fault) }

// plans puts down that something without further particulars happens to a host.
func (w *World) plans(at int64, what happening, host int) *event {
	e := w.queue.push(at)
	e.what, e.host, e.life = what, int32(host), w.hosts[host].life
	return e
}

// Members have the addresses of documentation (RFC 5737) as far as they reach, and those of benchmarks (RFC 2544) beyond.
const documented = 250

func address(i int) netip.AddrPort {
	a := [4]byte{192, 0, 2, byte(i + 1)}
	if i >= documented {
		a = [4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)}
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a), 10526)
}

// index is the member that has an address, −1 where none has.
func (w *World) index(addr netip.AddrPort) int {
	a := addr.Addr().As4()
	i := int(a[1]-18)<<16 | int(a[2])<<8 | int(a[3])
	if a[0] == 192 {
		i = int(a[3]) - 1
	}
	if i >= len(w.hosts) || address(i) != addr {
		return -1
	}
	return i
}

// source is the address of a member, or the attacker's.
func (w *World) source(from int32) netip.AddrPort {
	if from < 0 {
		return outsider
	}
	return w.hosts[from].addr
}

// Hosts lists the members in the plan's order.
func (w *World) Hosts() []*Host { return w.hosts }

// Now is the true time since the start.
func (w *World) Now() time.Duration { return time.Duration(w.now) }

// TraceHash is over every input and effect so far.
func (w *World) TraceHash() uint64 { return uint64(w.hash) }

// Violations are the invariants that did not hold so far.
func (w *World) Violations() []Violation { return w.judge.found }

// Run goes on until the given time since the start.
func (w *World) Run(until time.Duration) error {
	for len(w.queue.keys) > 0 && w.queue.keys[0].at <= int64(until) {
		at, e := w.queue.pop()
		w.now = at
		if err := w.happen(&e); err != nil {
			return fmt.Errorf("at %v: %w", time.Duration(w.now), err)
		}
		if w.err != nil {
			return w.err
		}
	}
	w.now = int64(until)
	return nil
}

// happen lets an event happen.
func (w *World) happen(e *event) error {
	switch e.what {
	case strikes:
		return w.strike(int(e.from))
	case ceases:
		return w.cease(int(e.from))
	case flaps:
		return w.flap(int(e.from))
	case looks:
		return w.onLook()
	case assails:
		w.attacker.assail(int(e.from))
		return nil
	}
	h := w.hosts[e.host]
	if e.life != h.life {
		return nil // it was for a daemon that is no more
	}
	switch e.what {
	case comes, restarts:
		return h.boot()
	case alarm:
		return h.ring()
	case arrives:
		return h.receive(e)
	default:
		return h.stamped(e)
	}
}

// Error is a member's true clock error in ns: its wall clock minus true time, now.
func (w *World) Error(i int) (int64, error) {
	r, err := w.hosts[i].Clock.Read()
	return r.Wall - (Epoch + w.now), err
}

// newHost builds a host, whose daemon does not run yet.
func (w *World) newHost(i int) (*Host, error) {
	m := w.plan.Members[i]
	h := &Host{
		world: w, member: &w.plan.Members[i], index: i, addr: address(i), start: int64(m.Start), alarmAt: math.MaxInt64,
		dice: rand.New(rand.NewPCG(w.plan.Seed, ofMember(streamHost, i))), keys: m.Ring.Clone(),
	}
	if m.Ring == nil {
		h.keys = w.plan.Node.Ring.Clone()
	}
	h.ground = &ground{world: w, swing: m.Swing}
	h.spin(m.Offset)
	h.called(h.drawID())
	_, err := h.Clock.Read()
	return h, err
}

// spin puts a fresh clock on the host's ground, as a boot does, which stands offset from true time.
func (h *Host) spin(offset time.Duration) {
	m := h.member
	ground := h.ground.at(h.world.now)
	h.Clock = sysclock.NewVirtual(sysclock.VirtualConfig{
		Offset: int64(offset) + h.world.now - ground, Frequency: m.Frequency, Wander: m.Wander,
		Rand: rand.New(rand.NewPCG(h.world.plan.Seed, ofMember(streamClock, h.index)+uint64(h.boots)<<32)),
	}, h.ground)
	h.boots++
	h.frequency = 0
	h.forgetReading()
}

// config is what the host's daemon is told at its start.
func (h *Host) config() node.Config {
	cfg := h.world.plan.Node
	cfg.ID, cfg.Role, cfg.Term = h.id, h.member.Role, h.savedTerm
	cfg.Start, cfg.Ring = max(1, h.dice.Uint32()), h.keys
	if h.keys != nil {
		cfg.Group = h.keys.Group()
	}
	if h.member.Priority > 0 {
		cfg.Priority = h.member.Priority
	}
	cfg.MayStep = cfg.MayStep && !h.synced
	cfg.Frequency = h.frequency
	if cfg.FrequencyError = h.drift.Error; h.frequency == 0 { // since the machine booted
		cfg.Frequency = h.drift.Frequency
	}
	cfg.Random = h.world.stream(ofMember(streamNode, h.index) + uint64(h.starts)<<32).Uint64
	return cfg
}
