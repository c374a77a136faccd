package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meantime/daemon/sim"
)

// run is a trial and what it came to.
type run struct {
	trial
	report sim.Report
}

// listScenarios tells the scenarios that there are.
func listScenarios(out *ui, asJSON bool) error {
	type entry struct {
		Name  string `json:"name"`
		About string `json:"about"`
	}
	var entries []entry
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, s := range sim.Scenarios() {
		entries = append(entries, entry{s.Name, s.About})
		fmt.Fprintf(table, "%s\t%s\n", s.Name, s.About)
	}
	_ = table.Flush() // a strings.Builder takes everything
	if asJSON {
		return out.json(entries)
	}
	return out.print(text.String())
}

func showRuns(out *ui, o simulateOptions, runs []run, took time.Duration) error {
	if o.JSON {
		return out.json(simulateReport(o, runs, took))
	}
	text := simulateTable(runs)
	if len(runs) == 1 {
		text = simulateText(runs[0].report)
		if runs[0].report.Assault != nil {
			text += assaultCost(runs[0].report, took)
		}
	}
	return out.print(text + simulateTotal(runs, took))
}

// simulateText is the result of a single run.
func simulateText(r sim.Report) string {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "%-24s"+format+"\n", append([]any{name}, args...)...)
	}
	d := r.Disagreement
	if r.TimeToSync < 0 {
		line("in sync", "never")
	} else {
		line("in sync", "after %s", span(r.TimeToSync))
		switch {
		case r.Nodes == 1:
			line("disagreement", "not measured: one host, nothing to compare")
		case r.Compared == 0:
			line("disagreement", "not measured: the run ends before 30 polls after that")
		default:
			line("disagreement", "%s median, %s p95, %s p99, %s at most, of clocks at rest, from 30 polls after that",
				span(d.Median), span(d.P95), span(d.P99), span(d.Max))
			line("clocks from their mean", "%s rms", span(r.RMSOffset))
		}
	}
	if r.Rated > 0 {
		line("LAN rate", "%+.3f ppm, where the mean of the oscillators is %+.3f ppm", r.LANRatePPM, r.MeanOscillatorPPM)
	}
	line("masters", "%s", masters(reigns(r)))
	if len(r.Takeover) > 0 {
		line("takeover", "%s", polls(r.Takeover))
	}
	if r.Refused > 0 {
		line("no majority", "%d times: nobody was steered, and the log said why", r.Refused)
	}
	line("clocks stepped", "%d times", r.Steps)
	line("packets", "%d", r.Packets)
	if r.Assault != nil {
		text.WriteString(assaultText(r))
	}
	line("invariants", "%s", kept(r))
	line("trace", "%016x", r.TraceHash)
	return text.String()
}

func kept(r sim.Report) string {
	if len(r.Violations) == 0 {
		return "all hold"
	}
	return fmt.Sprintf("%d broken", len(r.Violations))
}

// reign is a host's time as master under one term, from its first poll to the first of who came after it.
type reign struct {
	host        int
	term        uint64
	from, until time.Duration
}

// reigns are all of a run, in the order of their beginnings. Those of masters that did not hear each other overlap.
func reigns(r sim.Report) (all []reign) {
	for i, c := range r.Masters {
		until := r.Simulated
		if i+1 < len(r.Masters) {
			until = r.Masters[i+1].At
		}
		at := slices.IndexFunc(all, func(r reign) bool { return r.host == c.Host && r.term == c.Term })
		if at < 0 {
			at, all = len(all), append(all, reign{c.Host, c.Term, c.At, 0})
		}
		all[at].until = until
	}
	return all
}

// mostMasters is how many masters are named; of more, the last are.
const mostMasters = 6

func masters(all []reign) string {
	text := "none"
	if extra := len(all) - mostMasters; extra > 0 {
		text, all = fmt.Sprintf("%d, at last ", len(all)), all[extra:]
	} else if len(all) > 0 {
		text = ""
	}
	for i, r := range all {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("host %d from %s (term %d)", r.host, span(r.from), r.term)
	}
	return text
}

// polls tells times in poll intervals: one as it is, several by their spread.
func polls(times []float64) string {
	if len(times) == 1 {
		return fmt.Sprintf("%.2f polls", times[0])
	}
	return fmt.Sprintf("%.2f polls p50, %.2f p99, %.2f at most, of %d", quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1),
		len(times))
}

// quantile is the smallest value that so large a part of the values does not exceed.
func quantile[T float64 | time.Duration](values []T, part float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}

// simulateTable is the result of many runs: a line for each story, of all its seeds.
func simulateTable(runs []run) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "seeds\tbroken\tin sync\tapart, median\tat most\trms\trate off\ttakeover\t  scenario")
	for len(runs) > 0 {
		n := slices.IndexFunc(runs, func(r run) bool { return r.name() != runs[0].name() })
		if n < 0 {
			n = len(runs)
		}
		fmt.Fprintln(table, simulateRow(runs[:n]))
		runs = runs[n:]
	}
	_ = table.Flush() // a strings.Builder takes everything
	text.WriteString("\nOf each scenario's seeds, the median is in the middle; everything else is the worst. " +
		"Takeovers are in the polls that the master had promised.\n\n")
	return text.String()
}

func simulateRow(runs []run) string {
	var broken int
	var sync, median, most, rms []time.Duration
	var rate, takeover []float64
	inSync := true
	for _, r := range runs {
		if len(r.report.Violations) > 0 {
			broken++
		}
		inSync = inSync && r.report.TimeToSync >= 0
		sync = append(sync, r.report.TimeToSync)
		if d := r.report.Disagreement; r.report.Compared > 0 {
			median, most, rms = append(median, d.Median), append(most, d.Max), append(rms, r.report.RMSOffset)
		}
		if r.report.Rated > 0 {
			rate = append(rate, math.Abs(r.report.LANRatePPM-r.report.MeanOscillatorPPM))
		}
		takeover = append(takeover, r.report.Takeover...)
	}
	cells := []string{fmt.Sprint(len(runs)), fmt.Sprint(broken), "never", cell(median, 0.5, span), cell(most, 1, span), cell(rms, 1, span),
		cell(rate, 1, func(ppm float64) string { return fmt.Sprintf("%.3f ppm", ppm) }),
		cell(takeover, 1, func(polls float64) string { return fmt.Sprintf("%.2f", polls) }), "  " + runs[0].name()}
	if inSync {
		cells[2] = span(quantile(sync, 1))
	}
	return strings.Join(cells, "\t")
}

// cell shows a quantile, or that nothing was measured.
func cell[T float64 | time.Duration](values []T, part float64, show func(T) string) string {
	if len(values) == 0 {
		return "–"
	}
	return show(quantile(values, part))
}

// simulateTotal is what all of it came to.
func simulateTotal(runs []run, took time.Duration) string {
	var text strings.Builder
	var takeover []float64
	for _, r := range runs {
		takeover = append(takeover, r.report.Takeover...)
	}
	if len(runs) > 1 && len(takeover) > 0 {
		fmt.Fprintf(&text, "%-24s%s\n", "takeover", polls(takeover))
	}
	total := simulated(runs)
	fmt.Fprintf(&text, "%-24s%.2f cluster-hours in %s: %.0f simulated seconds a second\n", "simulated", total.Hours(), span(took),
		total.Seconds()/took.Seconds())
	return text.String()
}

func simulated(runs []run) (total time.Duration) {
	for _, r := range runs {
		total += r.report.Simulated
	}
	return total
}

// mostFailures is how many broken runs are told.
const mostFailures = 20

// failures is an error that tells of each broken run what was broken first and how to see it again; nil if none is.
func failures(runs []run) error {
	var lines []string
	broken := 0
	for _, r := range runs {
		if len(r.report.Violations) == 0 {
			continue
		}
		if broken++; broken > mostFailures {
			continue
		}
		line := r.report.Err().Error()
		if r.scenario != nil {
			line = r.name() + ": " + line
		}
		lines = append(lines, line, "  replay: "+r.replay())
	}
	switch {
	case broken == 0:
		return nil
	case broken > mostFailures:
		lines = append(lines, fmt.Sprintf("and %d more", broken-mostFailures))
	}
	return hinted{errors.New(strings.Join(lines, "\n")), "a replay with --plot out.svg draws what happened"}
}

// simulateJSON is what --json prints; durations are in seconds.
type simulateJSON struct {
	Command   string    `json:"command"`
	Runs      []runJSON `json:"runs"`
	Broken    int       `json:"broken_runs"`
	Hours     float64   `json:"cluster_hours"`
	Took      float64   `json:"took_s"`
	Simulated float64   `json:"simulated_seconds_a_second"`
}

type runJSON struct {
	Scenario     string            `json:"scenario,omitempty"`
	Seed         uint64            `json:"seed"`
	Replay       string            `json:"replay"`
	Nodes        int               `json:"nodes"`
	Simulated    float64           `json:"simulated_s"`
	Sync         *float64          `json:"in_sync_after_s"` // null: never
	Disagreement *disagreementJSON `json:"disagreement_s"`  // this and the next three are null where they were not measured
	RMS          *float64          `json:"rms_offset_s"`
	Rate         *float64          `json:"lan_rate_ppm"`
	Oscillators  *float64          `json:"mean_oscillator_ppm"`
	Turn         float64           `json:"largest_change_of_rate_ppm"`
	Masters      []changeJSON      `json:"masters"`
	Takeover     []float64         `json:"takeover_polls"`
	Refused      int               `json:"no_majority"`
	Steps        int               `json:"steps"`
	Packets      uint64            `json:"packets"`
	Assault      *assaultJSON      `json:"hostile,omitempty"`
	Broken       []brokenJSON      `json:"broken"`
	Trace        string            `json:"trace"`
}

type disagreementJSON struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

type changeJSON struct {
	At   float64 `json:"at_s"`
	Host int     `json:"host"`
	Term uint64  `json:"term"`
}

type brokenJSON struct {
	Invariant string  `json:"invariant"`
	At        float64 `json:"at_s"`
	Host      int     `json:"host"` // -1: the whole LAN
	Detail    string  `json:"detail"`
}

func simulateReport(o simulateOptions, runs []run, took time.Duration) simulateJSON {
	total := simulated(runs)
	report := simulateJSON{Command: o.command(), Hours: total.Hours(), Took: took.Seconds(), Simulated: total.Seconds() / took.Seconds()}
	for _, r := range runs {
		if len(r.report.Violations) > 0 {
			report.Broken++
		}
		report.Runs = append(report.Runs, runReport(r))
	}
	return report
}

func runReport(r run) runJSON {
	s, d := r.report, r.report.Disagreement
	report := runJSON{
		Seed: r.lan.Seed, Replay: r.replay(), Nodes: s.Nodes, Simulated: s.Simulated.Seconds(),
		Turn: s.TurnPPM, Refused: s.Refused, Steps: s.Steps,
		Packets: s.Packets, Trace: fmt.Sprintf("%016x", s.TraceHash),
		Takeover: append([]float64{}, s.Takeover...), Masters: []changeJSON{}, Broken: []brokenJSON{},
	}
	if r.scenario != nil {
		report.Scenario = r.scenario.Name
	}
	if s.Assault != nil {
		report.Assault = assaultReport(s)
	}
	if s.TimeToSync >= 0 {
		report.Sync = new(s.TimeToSync.Seconds())
	}
	if s.Compared > 0 {
		report.Disagreement = &disagreementJSON{d.Median.Seconds(), d.P95.Seconds(), d.P99.Seconds(), d.Max.Seconds()}
		report.RMS = new(s.RMSOffset.Seconds())
	}
	if s.Rated > 0 {
		report.Rate, report.Oscillators = &s.LANRatePPM, &s.MeanOscillatorPPM
	}
	for _, c := range s.Masters {
		report.Masters = append(report.Masters, changeJSON{c.At.Seconds(), c.Host, c.Term})
	}
	for _, v := range s.Violations {
		report.Broken = append(report.Broken, brokenJSON{v.Invariant, v.At.Seconds(), v.Host, v.Detail})
	}
	return report
}
