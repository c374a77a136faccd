package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The programs the lab knows.
const (
	programMeantime = "meantime"
	programNone     = "none"
	programSysclock = "sysclock-test"
	programExec     = "exec"
)

const (
	defaultFor    = 90 * time.Second
	defaultSettle = 30 * time.Second

	// maxNodes is what a small machine boots in reasonable time; the address plan would hold 250.
	maxNodes = 16
	// maxPPM is far beyond any quartz and still within what the bend of the clock keeps exact.
	maxPPM = 10_000
	// maxFor bounds a run: nothing of the lab outlives a day.
	maxFor = 24 * time.Hour
	// judged is the agreement whose time is reported when no other is asked for.
	judged = time.Millisecond
	// offsetStep is what lies between the starting offsets of two neighbours by default.
	offsetStep = 200 * time.Millisecond
)

// defaultPPM are the oscillators that all published figures were measured with.
var defaultPPM = []float64{40, -35, 15, -20}

// Plan is one run as it was asked for.
type Plan struct {
	Program  string        `json:"program"`
	Command  []string      `json:"command,omitempty"`
	Count    int           `json:"nodes"`
	Nodes    []NodePlan    `json:"node_plans"`
	For      time.Duration `json:"for_ns"`
	Settle   time.Duration `json:"settle_ns"`
	Within   time.Duration `json:"expect_within_ns,omitempty"`
	By       time.Duration `json:"expect_by_ns,omitempty"`
	Rate     float64       `json:"expect_rate_ppm,omitempty"`
	Keep     string        `json:"-"`
	Straight bool          `json:"straight,omitempty"`
	Realtime bool          `json:"realtime,omitempty"`
}

// NodePlan is what one kernel starts with.
type NodePlan struct {
	PPM    float64       `json:"ppm"`
	Offset time.Duration `json:"offset_ns"`
}

// untilExit says that the program ends by itself and that its exit code is the answer.
func (p *Plan) untilExit() bool { return p.Program == programSysclock }

// runFlags are the flags of `lab run` that a plan does not hold as they are written.
type runFlags struct {
	ppm     []float64
	offsets []time.Duration
	rate    ppmValue
}

// register adds the flags of a plan.
func (r *runFlags) register(f *pflag.FlagSet, plan *Plan) {
	f.StringVar(&plan.Program, "program", programMeantime, "what to run: meantime, none, sysclock-test, exec")
	f.IntVar(&plan.Count, "nodes", 4, "number of kernels (sysclock-test: 1)")
	f.Float64SliceVar(&r.ppm, "ppm", nil, "oscillator error of each kernel (default 40,-35,15,-20 and again)")
	f.DurationSliceVar(&r.offsets, "offset", nil, "starting offset of each kernel (default 0s,200ms,400ms and so on)")
	f.DurationVar(&plan.For, "for", defaultFor, "how long the program runs")
	f.DurationVar(&plan.Settle, "settle", defaultSettle, "what is left out of the figures at the start (none, sysclock-test: 0s)")
	f.DurationVar(&plan.Within, "expect-within", 0, "fail unless all clocks come and stay this close together")
	f.DurationVar(&plan.By, "expect-by", 0, "… by this time after the start (default --settle)")
	f.Var(&r.rate, "expect-rate", "fail unless LAN time runs within this of the oscillators' mean, as in 5ppm")
	f.StringVar(&plan.Keep, "keep", "", "keep samples, logs and consoles in this directory, new or empty")
	f.BoolVar(&plan.Realtime, "realtime", false, "guests before all ordinary work of the machine, as if it were idle")
	f.BoolVar(&plan.Straight, "straight", false, "do not bend the clocks: the checks of the bed must then fail")
}

// complete fills in what was not given and checks the whole; changed tells which flags were given.
func (r *runFlags) complete(p *Plan, changed func(flag string) bool) error {
	p.Rate = float64(r.rate)
	if (p.Program == programNone || p.Program == programSysclock) && !changed("settle") {
		p.Settle = 0
	}
	if p.Program == programSysclock && !changed("nodes") {
		p.Count = 1
	}
	if !changed("expect-by") {
		p.By = p.Settle
	}
	if err := p.check(); err != nil {
		return err
	}
	if n := len(r.ppm); n != 0 && n != p.Count {
		return fmt.Errorf("--ppm names %d oscillators for %d nodes", n, p.Count)
	}
	if n := len(r.offsets); n != 0 && n != p.Count {
		return fmt.Errorf("--offset names %d offsets for %d nodes", n, p.Count)
	}
	p.Nodes = make([]NodePlan, p.Count)
	for i := range p.Nodes {
		p.Nodes[i] = NodePlan{PPM: defaultPPM[i%len(defaultPPM)], Offset: time.Duration(i) * offsetStep}
		if len(r.ppm) != 0 {
			p.Nodes[i].PPM = r.ppm[i]
		}
		if len(r.offsets) != 0 {
			p.Nodes[i].Offset = r.offsets[i]
		}
		if v := p.Nodes[i].PPM; math.IsNaN(v) || math.Abs(v) > maxPPM {
			return fmt.Errorf("--ppm %g: an oscillator may be wrong by ±%d ppm", v, maxPPM)
		}
	}
	return p.checkKeep()
}

// check refuses what no run can do.
func (p *Plan) check() error {
	switch p.Program {
	case programMeantime, programNone, programSysclock:
		if len(p.Command) != 0 {
			return fmt.Errorf("a command after -- belongs to --program %s only", programExec)
		}
	case programExec:
		if len(p.Command) == 0 {
			return fmt.Errorf("--program %s needs a command after --", programExec)
		}
	default:
		return fmt.Errorf("--program %q: want %s, %s, %s or %s", p.Program, programMeantime, programNone, programSysclock, programExec)
	}
	switch {
	case p.Count < 1 || p.Count > maxNodes:
		return fmt.Errorf("--nodes %d: want 1 to %d", p.Count, maxNodes)
	case p.For <= 0 || p.For > maxFor:
		return fmt.Errorf("--for %v: want more than 0 and at most %v", p.For, maxFor)
	case p.Settle < 0 || p.Settle >= p.For:
		return fmt.Errorf("--settle %v leaves nothing of --for %v to judge", p.Settle, p.For)
	case p.Within < 0 || p.By < 0 || p.Rate < 0:
		return errors.New("--expect-… values cannot be negative")
	case p.Within > 0 && p.By > p.For:
		return fmt.Errorf("--expect-by %v is after the end of --for %v", p.By, p.For)
	}
	return nil
}

// checkKeep makes sure that a run cannot overwrite another one's evidence, before it costs a run to find out.
func (p *Plan) checkKeep() error {
	if p.Keep == "" {
		return nil
	}
	dir, err := filepath.Abs(p.Keep)
	if err != nil {
		return err
	}
	p.Keep = dir
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) != 0:
		return fmt.Errorf("--keep %s: not empty", dir)
	}
	return nil
}

// within is the agreement whose time is reported.
func (p *Plan) within() time.Duration {
	if p.Within > 0 {
		return p.Within
	}
	return judged
}

// ppmValue is a rate in parts per million, with or without the unit.
type ppmValue float64

func (v *ppmValue) Set(s string) error {
	f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(s, "ppm")), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%q is not a rate: want for example 5ppm", s)
	}
	*v = ppmValue(f)
	return nil
}

func (v *ppmValue) String() string { return strconv.FormatFloat(float64(*v), 'g', -1, 64) + "ppm" }

func (v *ppmValue) Type() string { return "ppm" }
