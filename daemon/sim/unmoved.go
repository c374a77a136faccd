package sim

import (
	"fmt"
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// deed is something that a node did to its clock, to what it keeps over restarts, or to an office. Everything hostile aims at one.
type deed struct {
	at   int64 // ns since the start, true time
	host int
	what any // a node.Effect other than Send and Note, or a reign
}

// reign is an office: the first poll of a host under a term.
type reign struct{ term uint64 }

func (d deed) String() string {
	text := fmt.Sprintf("%+v", d.what)
	if e, ok := d.what.(node.Effect); ok {
		text = effectText(e)
	}
	return fmt.Sprintf("at %v, host %d: %s", time.Duration(d.at), d.host, text)
}

// did tells of a deed.
func (w *World) did(h *Host, what any) {
	if w.deeds != nil {
		w.deeds(deed{w.now, h.index, what})
	}
}

// Assault is what came of an attack, or of another LAN on the same wire. Whether anything hostile was obeyed is judged by a run of the same
// seed without it: all that a node does to a clock, to its state and to an office must be the same there, to the nanosecond.
type Assault struct {
	Classes [Hostilities]Tally
	Deeds   int          // of the run without it
	Obeyed  int          // deeds that the two runs do not have in common
	First   string       // the first of them
	Quiet   Disagreement // of the run without it
}

// Total counts all classes together.
func (a Assault) Total() (all Tally) {
	for _, t := range a.Classes {
		all.Sent, all.Heard = all.Sent+t.Sent, all.Heard+t.Heard
		for i, n := range t.Drops {
			all.Drops[i] += n
		}
	}
	return all
}

// runUnmoved runs a plan as it is, and each of its LANs as if it were alone in the world, and compares what the nodes do.
func runUnmoved(plan Plan, limits Limits, observe func(Point)) (Report, error) {
	plan = plan.compared()
	alone := plan.alone()
	open := map[deed]int{} // of the runs alone, not seen yet in the other
	var out Assault
	var quiet []Report
	for _, p := range alone {
		_, r, err := p.runDeeds(limits, nil, func(d deed) { open[d]++; out.Deeds++ })
		if err != nil {
			return r, fmt.Errorf("run alone: %w", err)
		}
		quiet = append(quiet, r)
	}
	if len(alone) > 1 { // the limits of one LAN are not those of two together
		limits = Limits{}
	}
	missed := out.Deeds
	w, r, err := plan.runDeeds(limits, observe, func(d deed) {
		if open[d] > 0 {
			open[d]--
			missed--
			return
		}
		if out.Obeyed++; out.First == "" {
			out.First = d.String()
		}
	})
	if err != nil {
		return r, err
	}
	if out.Obeyed = max(out.Obeyed, missed); w.attacker != nil {
		out.Classes = w.attacker.tally
	}
	if len(alone) > 1 { // what two LANs are apart means nothing
		found := r.Violations
		r = quiet[0]
		for _, q := range quiet[1:] {
			found = append(found, q.Violations...)
		}
		r.Violations = append(r.Violations, found...)
	}
	out.Quiet, r.Assault = quiet[0].Disagreement, &out
	if out.Obeyed > 0 && plan.Node.Ring != nil {
		r.Violations = append(r.Violations, Violation{
			Invariant: Unmoved, At: plan.For, Host: -1, Seed: plan.Seed,
			Detail: fmt.Sprintf("%d of %d deeds differ from those of the LAN alone, first %s", out.Obeyed, out.Deeds, out.First),
		})
	}
	return r, nil
}

// runDeeds runs a plan and tells its deeds.
func (p Plan) runDeeds(limits Limits, observe func(Point), deeds func(deed)) (*World, Report, error) {
	w, err := New(p, nil)
	if err != nil {
		return nil, Report{}, err
	}
	w.deeds = deeds
	r, err := w.record(limits, observe)
	return w, r, err
}

// alone are the LANs of a plan, one for each ring of keys, each without the others and without attackers.
func (p Plan) alone() (plans []Plan) {
	var rings []*netproto.Ring
	for _, m := range p.Members {
		if !slices.Contains(rings, m.Ring) {
			rings = append(rings, m.Ring)
		}
	}
	for _, ring := range rings {
		q := p.Unharmed()
		q.Members = slices.Clone(p.Members)
		for i := range q.Members {
			if q.Members[i].Ring != ring {
				q.Members[i].Start = p.For + time.Second // never
			}
		}
		plans = append(plans, q)
	}
	return plans
}

// strangers are the rings that an outsider has: of another group, and another key for this one.
func strangers(w *World) [2]*netproto.Ring {
	group, seed := w.plan.Node.Group, w.plan.Seed
	return [2]*netproto.Ring{drawRing(group+1, seed, streamFoe), drawRing(group, seed, streamFoe)}
}
