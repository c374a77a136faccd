package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"meantime/daemon/sim"
)

// assaultText tells what came of hostile packets, class by class.
func assaultText(r sim.Report) string {
	a := r.Assault
	var text strings.Builder
	for class, t := range a.Classes {
		if t.Sent > 0 {
			name := fmt.Sprint("  ", sim.Hostility(class))
			fmt.Fprintf(&text, "%-24s%d sent, %d heard by nodes: %s\n", name, t.Sent, t.Heard, fates(t))
		}
	}
	const verdict = "%-24s%d obeyed: of %d deeds (steerings, steps, terms, offices) so many differ from those of the LAN alone\n"
	fmt.Fprintf(&text, verdict, "from outside", a.Obeyed, a.Deeds)
	if total := a.Total(); total.Sent > 0 {
		compared := "not measured"
		if by := ratio(r); by != nil {
			compared = fmt.Sprintf("%.3f of what it is without them, in the median", *by)
		}
		fmt.Fprintf(&text, "%-24s%d sent, %d heard; disagreement %s\n", "hostile packets", total.Sent, total.Heard, compared)
	}
	return text.String()
}

// ratio is the median disagreement against that of the LAN alone; nil where either was not measured.
func ratio(r sim.Report) *float64 {
	if r.Compared == 0 || r.Assault.Quiet.Median == 0 {
		return nil
	}
	return new(float64(r.Disagreement.Median) / float64(r.Assault.Quiet.Median))
}

// fates tells what became of the datagrams that nodes heard.
func fates(t sim.Tally) string {
	var parts []string
	for _, f := range t.Fates() {
		parts = append(parts, fmt.Sprintf("%s %d", f.What, f.Count))
	}
	return strings.Join(parts, ", ")
}

// assaultCost tells what the hostile packets of a run cost this machine, the simulator's own work included.
func assaultCost(r sim.Report, took time.Duration) string {
	heard := r.Assault.Total().Heard
	if heard == 0 {
		return ""
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprintf("%-24s%s each that was heard, the whole simulation included; %.0f MB of heap at most\n", "hostile packets cost",
		took/time.Duration(heard), float64(m.HeapSys)/(1<<20))
}

type assaultJSON struct {
	Classes []hostilityJSON `json:"classes"`
	Deeds   int             `json:"deeds"`
	Obeyed  int             `json:"obeyed"`
	First   string          `json:"first_obeyed,omitempty"`
	Ratio   *float64        `json:"disagreement_ratio"`
}

type hostilityJSON struct {
	Class string            `json:"class"`
	Sent  uint64            `json:"sent"`
	Heard uint64            `json:"heard"`
	Fates map[string]uint64 `json:"fates"`
}

func assaultReport(r sim.Report) *assaultJSON {
	a := r.Assault
	report := &assaultJSON{Classes: []hostilityJSON{}, Deeds: a.Deeds, Obeyed: a.Obeyed, First: a.First, Ratio: ratio(r)}
	for class, t := range a.Classes {
		c := hostilityJSON{sim.Hostility(class).String(), t.Sent, t.Heard, map[string]uint64{}}
		for _, f := range t.Fates() {
			c.Fates[f.What] = f.Count
		}
		report.Classes = append(report.Classes, c)
	}
	return report
}
