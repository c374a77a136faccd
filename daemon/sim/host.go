package sim

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// Host is a member with its clock and its node.
type Host struct {
	world   *World
	member  *Member
	index   int
	addr    netip.AddrPort
	ground  *ground
	Clock   *sysclock.Virtual
	Node    *node.Node // nil while no daemon runs
	Notes   []node.Note
	Steps   []Adjusted
	Answers []node.TimeSet // to orders of its operator
	dice    *rand.Rand

	// what outlives the daemon
	id        netproto.ID
	savedTerm uint64
	keys      *netproto.Ring
	synced    bool    // in this boot
	frequency float64 // in force, fractional
	drift     node.Remember

	start   int64         // ns since the start of the run: when its daemon started
	rawZero int64         // ns: raw reading then
	starts  int           // of its daemon
	boots   int           // of its machine
	life    uint32        // changes with each end of its daemon: what was planned for an older one is void
	battery time.Duration // its wall clock's error when power comes back
	alarmAt int64         // ns since the start: the earliest alarm that is planned

	frozen int     // faults that keep the process from running
	asleep int     // faults that keep the machine from running
	inbox  []event // what waits for a frozen process
	late   bool    // its daemon is to start when the machine wakes
	off    bool    // it has no power
	parted int     // faults that part it, with others or alone, from the rest
	cut    int     // faults that keep packets from going
	deaf   int     // and from coming
	behind int64   // ns: what is sent to it comes so much later

	read reading
	view view
}

// Adjusted is a step that a node ordered.
type Adjusted struct {
	At    time.Duration
	Delta int64 // ns
}

// inboxLimit is how many datagrams wait in the socket's buffer of a process that does not read: Linux' default of 212,992 bytes at
// 768 bytes of memory each.
const inboxLimit = 277

func (h *Host) drawID() netproto.ID { return netproto.ID(max(1, h.dice.Uint64())) }

// called gives the host an id.
func (h *Host) called(id netproto.ID) { h.id, h.world.who = id, nil }

// up says whether the host's daemon runs and its machine is awake.
func (h *Host) up() bool { return h.Node != nil && h.asleep == 0 }

// begin starts the host's daemon.
func (h *Host) begin() error {
	if h.Node != nil {
		return nil
	}
	if h.late = h.asleep > 0; h.late {
		return nil
	}
	h.start = h.world.now
	r, err := h.Clock.Read()
	if err != nil {
		return err
	}
	h.rawZero = r.Raw
	cfg := h.config()
	h.starts++
	at, err := h.moment()
	if err != nil {
		return err
	}
	if h.Node, err = node.New(cfg, at); err != nil {
		return err
	}
	h.inbox = h.inbox[:0]
	h.world.judge.started(h)
	h.arm()
	return nil
}

// Halt kills the host's daemon: it handles nothing more, and its clock goes on as it was last steered.
func (h *Host) Halt() {
	h.Node = nil
	h.life++
	h.alarmAt = math.MaxInt64
	h.inbox, h.frozen, h.late = h.inbox[:0], 0, false
}

// Restart starts the host's daemon again, with its state.
func (h *Host) Restart() error { return h.begin() }

// Rekey puts other keys into the host's key file, which its daemon reads at once if it runs. The ring becomes the host's own.
func (h *Host) Rekey(ring *netproto.Ring) error {
	h.keys = ring
	if h.Node == nil || h.frozen+h.asleep > 0 {
		return nil
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	h.world.input(h, rekeyed, uint64(ring.Newest()), 0, nil)
	return h.perform(h.Node.Handle(at, node.Keys{Ring: ring}))
}

// wipe loses the state directory.
func (h *Host) wipe() {
	h.called(h.drawID())
	h.savedTerm, h.synced, h.drift = 0, false, node.Remember{}
}

// moment reads the host's clock for an input. Timers run on the raw oscillator, as a monotonic clock does.
func (h *Host) moment() (node.Moment, error) {
	r, err := h.Clock.Read()
	h.watch(r.Raw, r.Wall)
	return node.Moment{Now: time.Duration(r.Raw - h.rawZero), Raw: r.Raw, Wall: r.Wall, Width: r.Width}, err
}

// perform carries out what the node wants.
func (h *Host) perform(effects []node.Effect) error {
	w := h.world
	w.inputs++
	if h.member.Meddle != nil {
		effects = h.member.Meddle(effects)
	}
	for _, e := range effects {
		if err := h.do(e); err != nil {
			return err
		}
	}
	if h.Node != nil {
		h.arm()
	}
	return nil
}

// do carries out one effect.
func (h *Host) do(e node.Effect) error {
	w := h.world
	w.effect(h, e)
	if w.told != nil {
		w.told(h, e)
	}
	switch e := e.(type) {
	case *node.Send, node.Note:
	case *node.Steer:
		if w.deeds != nil { // what is kept of it is a copy
			w.did(h, *e)
		}
	default:
		w.did(h, e)
	}
	switch e := e.(type) {
	case *node.Send:
		return w.send(h, e)
	case *node.Steer:
		w.judge.steered(h, e)
		h.frequency = e.Frequency
		return h.Clock.Steer(sysclock.Steering{Frequency: e.Frequency, Phase: e.Phase, MaxSlew: e.MaxSlew})
	case node.Step:
		w.judge.stepped(h, e)
		h.Steps = append(h.Steps, Adjusted{time.Duration(w.now), e.Delta})
		h.forgetReading()
		return h.Clock.Step(e.Delta)
	case node.Synchronised:
		h.synced = true
	case node.Remember:
		h.drift = e
	case node.NewID:
		h.called(netproto.ID(e.ID))
	case node.NewTerm:
		h.savedTerm = e.Term
	case node.TimeSet:
		h.Answers = append(h.Answers, e)
	case node.Note:
		h.Notes = append(h.Notes, e)
	}
	return nil
}

// leastWait (ns) is the shortest sleep of a process. It keeps a node whose deadline has passed from being asked again at the
// same instant for ever.
const leastWait = 1000

// arm sees to it that there is an alarm at the node's deadline, as the clock stood at the last moment. One that is planned for
// later goes off in vain.
func (h *Host) arm() {
	d := h.Node.Deadline()
	if d == math.MaxInt64 {
		return
	}
	// The host's second is not a second; what this leaves over for wander and swing, the next alarm makes up for.
	wait := int64(d) - (h.read.raw - h.rawZero)
	switch {
	case wait <= 0:
		wait = leastWait
	case h.world.plan.Compared:
		wait = h.shortOf(wait)
	default:
		wait -= int64(math.Floor(float64(wait) * h.member.Frequency / (1 + h.member.Frequency)))
		wait = max(wait, leastWait)
	}
	at := h.world.now + wait
	if at < h.alarmAt {
		h.alarmAt = at
		h.world.plans(at, alarm, h.index)
	}
}

// ring is an alarm.
func (h *Host) ring() error {
	if h.world.now != h.alarmAt {
		return nil // an earlier one was planned since
	}
	h.alarmAt = math.MaxInt64
	if h.frozen+h.asleep > 0 {
		return nil // thaw sees to what was missed
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	if at.Now < h.Node.Deadline() {
		h.arm()
		return nil
	}
	h.world.input(h, alarm, 0, 0, nil)
	return h.perform(h.Node.Handle(at, node.Tick{}))
}

// Stop ends the host's daemon cleanly.
func (h *Host) Stop() error {
	if h.Node == nil {
		return nil
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	h.world.input(h, ceases, 0, 0, nil)
	err = h.perform(h.Node.Handle(at, node.Stop{}))
	h.Halt()
	return err
}

// wake tells the node that the machine slept, as the driver does where the operating system says so. A virtual machine that was paused is
// told nothing.
func (h *Host) wake(slept time.Duration) error {
	if h.Node == nil || h.frozen+h.asleep > 0 {
		return nil
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	h.world.judge.woke(h)
	h.world.input(h, wakes, 0, int64(slept), nil)
	return h.perform(h.Node.Handle(at, node.Suspended{For: slept}))
}

// thaw lets the process see what waited for it: packets and its alarm, in either order.
func (h *Host) thaw() error {
	if h.Node == nil || h.frozen+h.asleep > 0 {
		return nil
	}
	first := h.dice.IntN(2) == 0
	if first {
		h.alarmAt = h.world.now
		if err := h.ring(); err != nil {
			return err
		}
	}
	for _, e := range h.inbox {
		if err := h.take(&e); err != nil {
			return err
		}
	}
	h.inbox = h.inbox[:0]
	if !first {
		h.alarmAt = h.world.now
		return h.ring()
	}
	return nil
}

// sleep stops the machine, and rise starts it again; what was about to be received meanwhile is lost. They count, so that faults
// may overlap.
func (h *Host) sleep() {
	if h.asleep++; h.asleep == 1 {
		h.ground.sleep()
	}
}

// rise returns for how long (ns) the machine stood still, 0 while another fault keeps it so.
func (h *Host) rise() int64 {
	if h.asleep == 0 {
		return 0
	}
	if h.asleep--; h.asleep > 0 {
		return 0
	}
	h.forgetReading()
	return h.ground.rise()
}
