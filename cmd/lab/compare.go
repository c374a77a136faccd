package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultPairs = 5
	// maxPairs and maxPrograms bound what one command asks of a machine.
	maxPairs, maxPrograms = 100, 5
)

// Comparison is what several programs have shown under the same conditions, in turns.
type Comparison struct {
	Programs []string  `json:"programs"`
	Rows     []Row     `json:"rows"`    // in the order of the runs
	Medians  []Row     `json:"medians"` // of each program, over its runs
	Ratios   []Ratio   `json:"ratios"`  // to the first rival
	Results  []*Result `json:"-"`
}

// Row is the figures of one run, or their medians. Nothing stands where a run had no such figure.
type Row struct {
	Pair    int      `json:"pair,omitempty"` // 1 …; 0: medians
	Program string   `json:"program"`
	Median  *float64 `json:"median_us"` // disagreement after settling
	P95     *float64 `json:"p95_us"`
	P99     *float64 `json:"p99_us"`
	Max     *float64 `json:"max_us"`
	Settled *float64 `json:"converged_s"` // from the start of the daemons
	Reached *float64 `json:"reached_s"`   // from their first poll
	Rate    *float64 `json:"lan_rate_ppm"`
	RateOff *float64 `json:"lan_rate_off_ppm"` // from the mean of the oscillators
	Takes   *float64 `json:"takeover_s"`
	After   *float64 `json:"p99_after_to_before"` // of the first fault
	CPU     *float64 `json:"cpu_percent"`
	RSS     *float64 `json:"rss_mb"`
	Packets *float64 `json:"packets_per_slave_round"`
	Others  *float64 `json:"others_load_percent"` // of the machine, by work that is not the lab's
	Passed  bool     `json:"passed"`              // all checks of the run
}

// Ratio compares a program with the first rival.
type Ratio struct {
	Program string    `json:"program"`
	Rival   string    `json:"rival"`
	Pairs   []float64 `json:"pairs"` // median disagreement of one over that of the other, pair by pair
	Median  *float64  `json:"median"`
}

// rowOf takes the row out of a run.
func rowOf(pair int, r *Result) Row {
	row := Row{Pair: pair, Program: r.Plan.Program, Settled: r.Converged, Reached: r.Reached, Rate: r.LANRate, Passed: r.passed()}
	if s := r.Spread; s != nil {
		row.Median, row.P95, row.P99, row.Max = &s.Median, &s.P95, &s.P99, &s.Max
	}
	if r.LANRate != nil {
		row.RateOff = new(*r.LANRate - r.Oscillator)
	}
	if d := r.Daemons; d != nil {
		row.CPU, row.RSS, row.Packets = d.CPU, d.RSS, &d.Packets
	}
	if len(r.Aftermaths) > 0 {
		a := r.Aftermaths[0]
		row.Takes = a.Takes
		if a.P99Before != nil && a.P99After != nil {
			row.After = known(*a.P99After / *a.P99Before)
		}
	}
	row.Others = new(r.Bed.Others * 100)
	return row
}

// columns are the figures of a row, in the order of the table.
func (r *Row) columns() []**float64 {
	return []**float64{
		&r.Median, &r.P95, &r.P99, &r.Max, &r.Settled, &r.Reached, &r.Rate, &r.RateOff, &r.Takes, &r.After, &r.CPU, &r.RSS, &r.Packets, &r.Others,
	}
}

// medianRow is the medians of all runs of a program, each over the runs that have the figure.
func medianRow(program string, rows []Row) Row {
	m := Row{Program: program, Passed: true}
	for c, to := range m.columns() {
		var list []float64
		for _, row := range rows {
			if from := *row.columns()[c]; row.Program == program && from != nil {
				list = append(list, *from)
			}
		}
		*to = known(median(list))
	}
	for _, row := range rows {
		m.Passed = m.Passed && (row.Program != program || row.Passed)
	}
	return m
}

// median is the middle of a list, or the mean of the two in the middle; NaN of nothing.
func median(list []float64) float64 {
	return (quantile(list, 0.5) + -quantile(negated(list), 0.5)) / 2
}

func negated(list []float64) []float64 {
	back := make([]float64, len(list))
	for i, v := range list {
		back[i] = -v
	}
	return back
}

// conclude fills in the medians and ratios.
func (c *Comparison) conclude() {
	for _, program := range c.Programs {
		c.Medians = append(c.Medians, medianRow(program, c.Rows))
	}
	rival := c.Programs[1]
	for i, program := range c.Programs {
		if i == 1 {
			continue
		}
		ratio := Ratio{Program: program, Rival: rival}
		for pair := 1; pair <= len(c.Rows)/len(c.Programs); pair++ {
			a, b := c.of(pair, program), c.of(pair, rival)
			if a != nil && b != nil && a.Median != nil && b.Median != nil {
				ratio.Pairs = append(ratio.Pairs, *a.Median / *b.Median)
			}
		}
		ratio.Median = known(median(ratio.Pairs))
		c.Ratios = append(c.Ratios, ratio)
	}
}

// of is the row of a program in a pair.
func (c *Comparison) of(pair int, program string) *Row {
	i := slices.IndexFunc(c.Rows, func(r Row) bool { return r.Pair == pair && r.Program == program })
	if i < 0 {
		return nil
	}
	return &c.Rows[i]
}

// typical are the results, one for each program, of the pair whose ratio is nearest to the median one.
func (c *Comparison) typical() []*Result {
	best, nearest := 0, math.Inf(1)
	if ratio := c.Ratios[0]; ratio.Median != nil {
		for i, v := range ratio.Pairs {
			if d := math.Abs(v - *ratio.Median); d < nearest {
				best, nearest = i, d
			}
		}
	}
	n := len(c.Programs)
	return c.Results[best*n : (best+1)*n]
}

// table is the comparison for people.
func (c *Comparison) table() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pair\tprogram\tmedian µs\tp95\tp99\tmax\t< 1 ms s\tof poll s\tLAN ppm\toff mean\t"+
		"takeover s\tp99 after\tCPU %\tRSS MB\tpackets\tothers %\tchecks\t")
	for _, row := range slices.Concat(c.Rows, c.Medians) {
		pair, checks := fmt.Sprint(row.Pair), "ok"
		if row.Pair == 0 {
			pair = "med"
		}
		if !row.Passed {
			checks = "FAIL"
		}
		fmt.Fprintf(w, "%s\t%s\t", pair, row.Program)
		for i, v := range row.columns() {
			fmt.Fprintf(w, "%s\t", figure(*v, columnFormats[i]))
		}
		fmt.Fprintf(w, "%s\t\n", checks)
	}
	w.Flush()
	for _, r := range c.Ratios {
		fmt.Fprintf(&b, "median disagreement, %s to %s: %s", r.Program, r.Rival, figure(r.Median, "%.2f"))
		for _, v := range r.Pairs {
			fmt.Fprintf(&b, "  %.2f", v)
		}
		fmt.Fprintln(&b)
	}
	return b.Bytes()
}

// columnFormats are those of Row.columns.
var columnFormats = []string{
	"%.1f", "%.1f", "%.1f", "%.1f", "%.1f", "%.1f", "%+.2f", "%+.2f", "%.2f", "%.2f", "%.2f", "%.1f", "%.1f", "%.0f",
}

// comparing is what `lab compare` was asked for.
type comparing struct {
	programs []string
	pairs    int
	ratio    float64
	asJSON   bool
	plot     string
	flags    runFlags
	plan     Plan
}

// register adds the flags of `lab compare`.
func (c *comparing) register(f *pflag.FlagSet) {
	c.flags.registerBed(f, &c.plan)
	f.StringSliceVar(&c.programs, "programs", []string{programMeantime, programOrphan},
		"programs to run in turns; the second is the first rival")
	f.IntVar(&c.pairs, "pairs", defaultPairs, "how often each program runs")
	f.Float64Var(&c.ratio, "expect-ratio", 0, "fail unless the first program's median is at most this many times the first rival's")
	f.BoolVar(&c.asJSON, "json", false, "print JSON")
	f.StringVar(&c.plot, "plot", "", "file for a picture of the pair with the median ratio (SVG)")
}

// plans are the plans of one pair, checked.
func (c *comparing) plans(changed func(string) bool) (list []Plan, err error) {
	switch {
	case len(c.programs) < 2 || len(c.programs) > maxPrograms:
		return nil, fmt.Errorf("--programs %s: name 2 to %d, the first rival second", strings.Join(c.programs, ","), maxPrograms)
	case c.pairs < 1 || c.pairs > maxPairs:
		return nil, fmt.Errorf("--pairs %d: want 1 to %d", c.pairs, maxPairs)
	case !(c.ratio >= 0):
		return nil, errors.New("--expect-ratio cannot be negative")
	}
	for i, program := range c.programs {
		if slices.Contains(c.programs[:i], program) {
			return nil, fmt.Errorf("--programs names %s twice", program)
		}
		if program == programSysclock || program == programExec {
			return nil, fmt.Errorf("--programs: %s is no rival of anybody", program)
		}
		plan := c.plan
		plan.Program = program
		if err := c.flags.complete(&plan, changed); err != nil {
			return nil, err
		}
		list = append(list, plan)
	}
	return list, nil
}

// run runs all pairs. A run whose checks fail is told in its row; one that breaks ends the comparison.
func (c *comparing) run(ctx context.Context, plans []Plan, progress io.Writer) (*Comparison, error) {
	found := &Comparison{Programs: c.programs}
	for pair := 1; pair <= c.pairs; pair++ {
		for _, plan := range plans {
			if plan.Keep != "" {
				plan.Keep = filepath.Join(plan.Keep, fmt.Sprintf("%d-%s", pair, plan.Program))
			}
			fmt.Fprintf(progress, "lab: pair %d of %d, %s for %v\n", pair, c.pairs, plan.Program, plan.For)
			r, err := run(ctx, plan, io.Discard, progress)
			if err != nil {
				return nil, fmt.Errorf("pair %d, %s: %w", pair, plan.Program, err)
			}
			found.Rows, found.Results = append(found.Rows, rowOf(pair, r)), append(found.Results, r)
			for _, check := range r.Checks {
				if !check.OK {
					fmt.Fprintf(progress, "lab: pair %d, %s: FAIL %s: want %s: %s\n", pair, plan.Program, check.Name, check.Want, check.Got)
				}
			}
		}
	}
	found.conclude()
	return found, nil
}

// present prints the comparison; its error says which exit code it has earned.
func (c *comparing) present(out io.Writer, found *Comparison) error {
	text := found.table()
	if c.asJSON {
		data, err := json.MarshalIndent(found, "", "  ")
		if err != nil {
			return err
		}
		text = append(data, '\n')
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	if c.plot != "" {
		if err := plotFile(c.plot, found.typical()); err != nil {
			return err
		}
	}
	for _, row := range found.Rows {
		if !row.Passed {
			return exitCode(exitFailed)
		}
	}
	if m := found.Ratios[0].Median; c.ratio > 0 && (m == nil || *m > c.ratio) {
		return exitCode(exitFailed)
	}
	return nil
}

// plotFile draws results into a file.
func plotFile(path string, results []*Result) error {
	var b bytes.Buffer
	if err := plot(&b, results); err != nil {
		return fmt.Errorf("--plot: %w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// newCompare builds `lab compare`.
func newCompare() *cobra.Command {
	c := &comparing{}
	cmd := &cobra.Command{
		Use:   "compare [flags]",
		Short: "Run several programs in turns under the same conditions, and print one table",
		Long: `Run several programs one after another, again and again, each on kernels with the same oscillators, starting
offsets, wander and faults, and print a row for each run, a row of medians for each program, and the ratio of the median
disagreements pair by pair. On a machine that does other work, --realtime and the ratios say more than single figures.`,
		Example: "  lab compare --programs meantime,chrony-orphan,phase-only --pairs 5 --for 120s --realtime --plot out.svg",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plans, err := c.plans(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			found, err := c.run(cmd.Context(), plans, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return c.present(cmd.OutOrStdout(), found)
		},
	}
	c.register(cmd.Flags())
	return cmd
}
