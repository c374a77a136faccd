package sim

import (
	"math"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// dates are scenarios in which an operator sets the LAN's time. Clocks that are slewed have a tenth to do it with, or a minute and a half
// would take two days.
func dates() []Scenario {
	const quick = 25 * time.Minute
	return []Scenario{
		{
			Name: "set-time-forward", About: "an operator sets the LAN's time 90 s forward; all clocks are slewed together", Limits: dated(),
			Build: set(quick, "set-time:1@2m~90s", node.StepBoot),
		},
		{
			Name: "set-time-backward", About: "90 s backward, with every clock going on forward", Limits: dated(),
			Build: set(quick, "set-time:master@2m~-90s", node.StepBoot),
		},
		{
			Name: "set-time-step", About: "90 s where policy is to step, and twenty years back", Limits: dated(),
			Build: set(short, "set-time:2@2m~90s,set-time:3@3m~-175200h", node.StepAlways),
		},
		{
			Name: "set-time-twice", About: "10 s forward, and in the middle of it 20 s back", Limits: dated(),
			Build: set(10*time.Minute, "set-time:1@2m~10s,set-time:3@3m~-20s", node.StepBoot),
		},
		{
			Name: "set-time-takeover", About: "the master dies before 15 s are begun, the next one while they go on; a third hands over",
			Limits: dated().but(func(l *Limits) { l.Settle = 5 * time.Minute }),
			Build:  set(12*time.Minute, "set-time:1@2m~15s,kill:master@123s,kill:master@3m+40s,stop:master@4m+5s", node.StepBoot),
		},
		{
			Name: "set-time-missed", About: "15 s, of which a host hears only when all others have set out", Limits: dated(),
			Build: func(seed uint64) Plan {
				p := set(8*time.Minute, "set-time:1@2m~15s,cut:3@119900ms+11s", node.StepBoot)(seed)
				p.Members[0].Role = node.RoleMaster
				return p
			},
		},
		{
			Name: "set-time-lossy", About: "15 s while a tenth of all datagrams is lost; a host comes in the middle",
			Limits: dated().but(func(l *Limits) { l.Settle, l.Sync = 2*time.Minute, 5*time.Minute }),
			Build: func(seed uint64) Plan {
				p := set(10*time.Minute, "set-time:0@2m~15s", node.StepBoot)(seed)
				p.Link.Loss = 0.1
				p.Members[4].Start = 3 * time.Minute
				return p
			},
		},
	}
}

// dated are the limits of a LAN whose time is set: clocks are within a millisecond of each other all the way.
func dated() Limits {
	return Limits{Sync: 20 * time.Second, Max: time.Millisecond, Polls: 20, Settle: time.Minute}
}

// set is an ordinary LAN whose clocks may be slewed by a tenth, and what befalls it.
func set(length time.Duration, faults string, policy node.StepPolicy) func(uint64) Plan {
	build := with(5, length, faults)
	return func(seed uint64) Plan {
		p := build(seed)
		p.Node.MaxSlew, p.Node.Step, p.Node.StepThreshold = 0.1, policy, 128*time.Millisecond
		p.Node.PanicForward, p.Node.PanicBackward = 5*time.Second, time.Second // an operator's word goes beyond
		return p
	}
}

// ordered is by how much operators set LAN time in a plan, and when the first does.
func (p *Plan) ordered() (sum, first time.Duration) {
	first = math.MaxInt64
	for _, f := range p.Faults {
		if f.Kind == SetTime {
			sum, first = sum+f.Amount, min(first, f.At)
		}
	}
	return sum, first
}

// SetTime is an order of the host's operator.
func (h *Host) SetTime(by time.Duration) error {
	if !h.up() || h.frozen > 0 {
		return nil
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	h.world.input(h, orders, 0, int64(by), nil)
	return h.perform(h.Node.Handle(at, node.SetTime{By: by}))
}

// oscillators (fractional) is how far LAN time may run off true time while it is set.
const oscillators = 200e-6

// arrive holds a run to what operators have ordered: LAN time has gone as far, and nobody has been refused.
func (r *recorder) arrive() {
	w := r.world
	sum, first := w.plan.ordered()
	if first > w.plan.For {
		return
	}
	for _, h := range w.hosts {
		if h.Said("lost its vote") {
			w.judge.fail(Dated, h.index, "as master it took a vote away")
		}
		for _, a := range h.Answers {
			if a.Answer != netproto.AnswerYes {
				w.judge.fail(Dated, h.index, "its operator's order was not carried out: %v", a.Answer)
			}
		}
		if left := h.view.status.Residual; r.there[h.index] && max(left, -left) > settledWithin {
			w.judge.fail(Dated, h.index, "its clock still has to go %v", left)
		}
	}
	off := time.Duration(r.set) - sum
	if limit := settledWithin + time.Duration(oscillators*float64(w.plan.For-first)); max(off, -off) > limit {
		w.judge.fail(Dated, -1, "LAN time has moved by %v, %v was ordered", time.Duration(r.set), sum)
	}
}
