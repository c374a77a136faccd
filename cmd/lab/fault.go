package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"meantime/daemon/sim"
)

// Verbs are what is done to a guest. A fault is one of them, or two: what it does and what ends it.
const (
	verbKill   = "kill"   // SIGKILL to the daemon
	verbStop   = "stop"   // SIGTERM to the daemon
	verbWipe   = "wipe"   // SIGKILL, and its state directory is removed
	verbPower  = "power"  // SIGKILL; the kernel's clock forgets all discipline, is off by the amount, and counts as newly booted
	verbStart  = "start"  // the daemon is started again
	verbFreeze = "freeze" // SIGSTOP to the daemon
	verbThaw   = "thaw"   // SIGCONT to the daemon
	verbStep   = "step"   // another program sets the clock off by the amount
	verbCut    = "cut"    // the guest's cable is pulled
	verbMend   = "mend"   // and put back
	verbSet    = "set"    // an operator on the guest has the LAN's time moved by the amount
)

// phases are the verbs that a kind of fault begins and ends with. What the simulator can do beyond them makes no sense here, or
// is not built.
var phases = map[sim.FaultKind]struct{ begin, end string }{
	sim.Kill:    {verbKill, verbStart},
	sim.Stop:    {verbStop, verbStart},
	sim.Wipe:    {verbWipe, verbStart},
	sim.Power:   {verbPower, verbStart},
	sim.Freeze:  {verbFreeze, verbThaw},
	sim.Step:    {verbStep, ""},
	sim.Cut:     {verbCut, verbMend},
	sim.SetTime: {verbSet, ""},
}

// Deed is one verb done to one guest.
type Deed struct {
	Fault  int           `json:"fault"` // index in the plan's list
	Node   int           `json:"node"`  // 1 …
	Verb   string        `json:"verb"`
	Amount time.Duration `json:"amount_ns,omitempty"`
	TSC    int64         `json:"tsc,omitempty"`     // counter when it was done
	Told   time.Duration `json:"told_ns,omitempty"` // how long it takes, as who did it was told
	Error  string        `json:"error,omitempty"`
}

// parseFaults reads --faults and --kill as one list in the order of time. The spelling is the simulator's, but hosts are numbered
// from 1, as all that the lab prints.
func parseFaults(faults string, kills []string) (list sim.Faults, err error) {
	text := []string{faults}
	for _, k := range kills {
		text = append(text, sim.Kill.String()+":"+k)
	}
	parsed, err := sim.ParseFaults(strings.Join(text, ","))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(parsed, func(a, b sim.Fault) int { return int(a.At - b.At) })
	return parsed, nil
}

// checkFault refuses what cannot happen in a run.
func checkFault(f sim.Fault, p *Plan) error {
	_, known := phases[f.Kind]
	switch {
	case !known:
		return fmt.Errorf("%v: real kernels know kill, stop, wipe, power, freeze, step, cut and set-time", f)
	case len(f.Hosts) == 0:
		return fmt.Errorf("%v: whom? write master, all or node numbers after a colon", f)
	case f.At <= 0 || f.At >= p.For:
		return fmt.Errorf("%v: the run lasts from 0s to %v", f, p.For)
	case f.For < 0:
		return fmt.Errorf("%v: a duration cannot be negative", f)
	case (f.Kind == sim.Step || f.Kind == sim.SetTime) && (f.Amount == 0 || f.For != 0):
		return fmt.Errorf("%v: write by how much, and no duration: %v:2@60s~10s", f, f.Kind)
	case f.Kind == sim.SetTime && (len(f.Hosts) != 1 || f.Hosts[0] == sim.All):
		return fmt.Errorf("%v: one operator sets the time: write master or the number of one node", f)
	case f.Kind == sim.SetTime && !isMeantime(p.Program):
		return fmt.Errorf("%v: only meantime's operators can set the time of the LAN", f)
	case f.For == 0 && (f.Kind == sim.Freeze || f.Kind == sim.Power || f.Kind == sim.Cut):
		return fmt.Errorf("%v: how long? write +duration", f)
	case f.Amount != 0 && f.Kind != sim.Step && f.Kind != sim.Power && f.Kind != sim.SetTime:
		return fmt.Errorf("%v: only step, power and set-time have an amount", f)
	}
	for _, h := range f.Hosts {
		if h == 0 || h > p.Count {
			return fmt.Errorf("%v: node %d: the nodes are 1 to %d", f, h, p.Count)
		}
	}
	return nil
}

// agenda is what is still to be done to whom.
type agenda struct {
	count  int
	faults sim.Faults
	next   int // of the faults
	ends   []ending
}

// ending is a deed that ends a fault.
type ending struct {
	at   time.Duration
	deed Deed
}

// due returns the deeds whose time has come by now, a time since the start. Who is master is asked only when it matters.
func (a *agenda) due(now time.Duration, master func() int) (deeds []Deed) {
	for ; a.next < len(a.faults) && a.faults[a.next].At <= now; a.next++ {
		f := a.faults[a.next]
		verbs := phases[f.Kind]
		for _, node := range a.nodes(f, master) {
			deeds = append(deeds, Deed{Fault: a.next, Node: node, Verb: verbs.begin, Amount: f.Amount})
			if f.For > 0 {
				a.ends = append(a.ends, ending{f.At + f.For, Deed{Fault: a.next, Node: node, Verb: verbs.end}})
			}
		}
	}
	slices.SortStableFunc(a.ends, func(a, b ending) int { return int(a.at - b.at) })
	for len(a.ends) > 0 && a.ends[0].at <= now {
		deeds = append(deeds, a.ends[0].deed)
		a.ends = a.ends[1:]
	}
	return deeds
}

// nodes are the numbers of the nodes that a fault befalls.
func (a *agenda) nodes(f sim.Fault, master func() int) (list []int) {
	for _, h := range f.Hosts {
		switch h {
		case sim.Master:
			list = append(list, master())
		case sim.All:
			for n := range a.count {
				list = append(list, n+1)
			}
		default:
			list = append(list, h)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
