package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// Epoch is the true wall time at the start of every run, ns since the Unix epoch: 2026-01-01 00:00 UTC.
const Epoch = int64(1_767_225_600_000_000_000)

// Plan describes a run. Everything random is drawn from Seed.
type Plan struct {
	Seed    uint64
	Members []Member
	Link    Link
	Node    node.Config // what all nodes share; ID, Start, Role and Random are set for each
}

// Member is one host of the run; the first is the master.
type Member struct {
	Offset    time.Duration // of its wall clock from true time at the start
	Frequency float64       // fractional error of its oscillator
	Wander    float64       // its random walk, fractional per square root of a second
	Start     time.Duration // when it comes to the LAN

	// Mangle, where set, changes every packet that the member sends: how a liar lies. It must not keep the slice.
	Mangle func(data []byte) []byte
}

// Link is how every packet travels.
type Link struct {
	Delay  time.Duration // least one-way delay
	Jitter time.Duration // mean of an exponential delay on top
	Loss   float64       // fraction of datagrams lost, each receiver's copy on its own
}

// handling is how long a host takes from seeing an input to its packet's departure: a scheduler and a system call.
const handling = 30 * time.Microsecond

// World is a run under way.
type World struct {
	plan   Plan
	now    int64 // ns since the start, true time
	events events
	count  uint64
	hosts  []*Host
	trace  func(line string)
}

// Host is a member with its clock and its node.
type Host struct {
	world  *World
	index  int
	addr   netip.AddrPort
	Clock  *sysclock.Virtual
	Node   *node.Node
	start  int64
	starts int
	dice   []*rand.Rand // of the links to each host
	wake   uint64       // of the wake-up that counts; older ones are void
	Notes  []node.Note
	Steps  []Step
}

// Step is a step that a node ordered.
type Step struct {
	At    time.Duration
	Delta int64 // ns
}

// New builds the world of a plan. trace, which may be nil, gets a line for each input and effect.
func New(plan Plan, trace func(string)) (*World, error) {
	w := &World{plan: plan, trace: trace}
	for i, m := range plan.Members {
		h := &Host{world: w, index: i, addr: address(i), start: int64(m.Start)}
		h.Clock = sysclock.NewVirtual(sysclock.VirtualConfig{
			Offset: int64(m.Offset), Frequency: m.Frequency, Wander: m.Wander,
			Rand: rand.New(rand.NewPCG(plan.Seed, 1000+uint64(i))),
		}, truth{w})
		w.hosts = append(w.hosts, h)
		w.at(h.start, func() error { return h.begin() })
	}
	return w, nil
}

// truth is the host clock under every virtual clock: true time itself.
type truth struct{ w *World }

// Read pairs true time with true wall time.
func (t truth) Read() (sysclock.Reading, error) {
	return sysclock.Reading{Raw: t.w.now, Wall: Epoch + t.w.now, Width: 100}, nil
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 10526)
}

// Hosts lists the members in the plan's order.
func (w *World) Hosts() []*Host { return w.hosts }

// Run goes on until the given time since the start.
func (w *World) Run(until time.Duration) error {
	for len(w.events) > 0 && w.events[0].at <= int64(until) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		if err := e.do(); err != nil {
			return fmt.Errorf("at %v: %w", time.Duration(w.now), err)
		}
	}
	w.now = int64(until)
	return nil
}

// Error is a member's true clock error in ns: its wall clock minus true time, now.
func (w *World) Error(i int) (int64, error) {
	r, err := w.hosts[i].Clock.Read()
	return r.Wall - (Epoch + w.now), err
}

// Halt kills the host's daemon: it handles nothing more, and its clock goes on as it was last steered.
func (h *Host) Halt() {
	h.Node = nil
	h.wake++
}

// Restart starts the host's daemon again, with the id it had and nothing else; the clock has been synchronised since the
// OS booted, so it may not be stepped.
func (h *Host) Restart() error {
	h.starts++
	h.start = h.world.now
	return h.begin()
}

// begin creates the host's node.
func (h *Host) begin() error {
	cfg := h.world.plan.Node
	cfg.ID, cfg.Start, cfg.Role = netproto.ID(h.index+1), uint32(1000*h.starts+h.index+1), node.RoleSlave
	cfg.MayStep = cfg.MayStep && h.starts == 0
	if h.index == 0 {
		cfg.Role = node.RoleMaster
	}
	rng := rand.New(rand.NewPCG(h.world.plan.Seed, 2000+uint64(h.index)+uint64(h.starts)<<32))
	cfg.Random = rng.Uint64
	at, err := h.moment()
	if err != nil {
		return err
	}
	if h.Node, err = node.New(cfg, at); err != nil {
		return err
	}
	h.plan()
	return nil
}

// moment reads the host's clock for an input.
func (h *Host) moment() (node.Moment, error) {
	r, err := h.Clock.Read()
	return node.Moment{Now: time.Duration(h.world.now - h.start), Raw: r.Raw, Wall: r.Wall, Width: r.Width}, err
}

// handle gives the node an input and carries out what it wants.
func (h *Host) handle(in node.Input) error {
	if h.Node == nil {
		return nil // halted while the input was on its way
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	effects := h.Node.Handle(at, in)
	h.world.tell(h, in, effects)
	for _, e := range effects {
		if err := h.perform(e); err != nil {
			return err
		}
	}
	h.plan()
	return nil
}

func (h *Host) perform(e node.Effect) error {
	switch e := e.(type) {
	case node.Send:
		h.world.send(h, e)
	case node.Steer:
		return h.Clock.Steer(sysclock.Steering{Frequency: e.Frequency, Phase: e.Phase, MaxSlew: e.MaxSlew})
	case node.Step:
		h.Steps = append(h.Steps, Step{time.Duration(h.world.now), e.Delta})
		return h.Clock.Step(e.Delta)
	case node.Note:
		h.Notes = append(h.Notes, e)
	}
	return nil
}

// plan sets the host's alarm to the node's deadline.
func (h *Host) plan() {
	h.wake++
	mine := h.wake
	d := h.Node.Deadline()
	if int64(d) > 1<<62 {
		return
	}
	h.world.at(max(h.start+int64(d), h.world.now), func() error {
		if mine != h.wake {
			return nil
		}
		return h.handle(node.Tick{})
	})
}

// tell writes an input and its effects to the trace.
func (w *World) tell(h *Host, in node.Input, effects []node.Effect) {
	if w.trace == nil {
		return
	}
	w.trace(fmt.Sprintf("%d host %d <- %T", w.now, h.index, in))
	for _, e := range effects {
		w.trace(fmt.Sprintf("%d host %d -> %T %+v", w.now, h.index, e, e))
	}
}
