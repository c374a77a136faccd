package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meantime/daemon/sim"
)

// The programs the lab knows.
const (
	programMeantime = "meantime"
	programPhase    = "phase-only"
	programChrony   = "chrony"
	programOrphan   = "chrony-orphan"
	programNone     = "none"
	programSysclock = "sysclock-test"
	programExec     = "exec"
	programDebian   = "debian"
)

var programs = []string{
	programMeantime, programPhase, programChrony, programOrphan, programNone, programSysclock, programExec, programDebian,
}

const (
	defaultFor    = 90 * time.Second
	defaultSettle = 30 * time.Second
	defaultPoll   = time.Second

	// maxNodes is what a small machine boots in reasonable time; the address plan would hold 250.
	maxNodes = 16
	// maxPPM is far beyond any quartz and still within what the bend of the clock keeps exact.
	maxPPM = 10_000
	// maxWander is a hundred times what a bad quartz strays by.
	maxWander = 1
	// minPoll and maxPoll are what the daemon's own configuration allows.
	minPoll, maxPoll = 250 * time.Millisecond, 64 * time.Second
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
	Poll     time.Duration `json:"poll_ns"`
	Wander   float64       `json:"wander_ppm,omitempty"` // per square root of a second
	Seed     uint64        `json:"seed,omitempty"`       // that the wander is drawn from
	Faults   string        `json:"faults,omitempty"`     // in the simulator's spelling, in the order of time
	Set      []string      `json:"set,omitempty"`        // further lines of configuration, behind whose they are and a colon
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

// lines are the further lines of the program's own configuration on a node.
func (p *Plan) lines(node int) (list []string) {
	for _, text := range p.Set {
		whose, line, _ := strings.Cut(text, ":")
		if program, only, one := strings.Cut(whose, "."); program == p.Program && (!one || only == strconv.Itoa(node)) {
			list = append(list, line)
		}
	}
	return list
}

// checkSet refuses a line that no program has on any node.
func (p *Plan) checkSet(text string) error {
	whose, _, ok := strings.Cut(text, ":")
	program, only, one := strings.Cut(whose, ".")
	if !ok || !isMeantime(program) && !isChrony(program) {
		return fmt.Errorf("--set %q: write a program that has a configuration, a colon, and the line", text)
	}
	if node, err := strconv.Atoi(only); one && (err != nil || node < 1 || node > p.Count) {
		return fmt.Errorf("--set %q: the nodes are 1 to %d", text, p.Count)
	}
	return nil
}

// untilExit says that the program ends by itself and that its exit code is the answer.
func (p *Plan) untilExit() bool { return p.Program == programSysclock }

// runFlags are the flags of `lab run` that a plan does not hold as they are written.
type runFlags struct {
	ppm     []float64
	offsets []time.Duration
	rate    ppmValue
	wander  ppmValue
	faults  string
	kills   []string
}

// register adds the flags of a plan.
func (r *runFlags) register(f *pflag.FlagSet, plan *Plan) {
	f.StringVar(&plan.Program, "program", programMeantime, "what to run: "+strings.Join(programs, ", "))
	r.registerBed(f, plan)
}

// registerBed adds the flags that say under which conditions a program runs.
func (r *runFlags) registerBed(f *pflag.FlagSet, plan *Plan) {
	f.IntVar(&plan.Count, "nodes", 4, "number of kernels (sysclock-test: 1)")
	f.Float64SliceVar(&r.ppm, "ppm", nil, "oscillator error of each kernel (default 40,-35,15,-20 and again)")
	f.DurationSliceVar(&r.offsets, "offset", nil, "starting offset of each kernel (default 0s,200ms,400ms and so on)")
	f.DurationVar(&plan.For, "for", defaultFor, "how long the program runs")
	f.DurationVar(&plan.Poll, "poll", defaultPoll, "time between two polls, of every program that polls")
	f.Var(&r.wander, "wander", "how far each oscillator strays, per square root of a second, as in 0.001ppm")
	f.Uint64Var(&plan.Seed, "seed", 1, "number that the wander is drawn from")
	f.StringVar(&r.faults, "faults", "", "what happens to whom, as meantime simulate spells it: kill:2@60s+10s,step:master@90s~10s")
	f.StringArrayVar(&r.kills, "kill", nil, "the same for kill, in short: master@60s, 2@60s+10s; may be repeated")
	f.StringArrayVar(&plan.Set, "set", nil, "a further line of a program's configuration, as in 'meantime:step: always', or of one node's, "+
		"as in 'meantime.2:step: always'; may be repeated")
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
	p.Rate, p.Wander = float64(r.rate), float64(r.wander)
	if p.Wander == 0 {
		p.Seed = 0 // nothing is drawn
	}
	list, err := parseFaults(r.faults, r.kills)
	if err != nil {
		return fmt.Errorf("--faults: %w", err)
	}
	p.Faults = list.String()
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
	for _, f := range list {
		if err := checkFault(f, p); err != nil {
			return fmt.Errorf("--faults: %w", err)
		}
	}
	if err := r.oscillators(p); err != nil {
		return err
	}
	return p.checkKeep()
}

// oscillators gives each node of a plan its own.
func (r *runFlags) oscillators(p *Plan) error {
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
	return nil
}

// check refuses what no run can do.
func (p *Plan) check() error {
	switch {
	case !slices.Contains(programs, p.Program):
		return fmt.Errorf("--program %q: want one of %s", p.Program, strings.Join(programs, ", "))
	case p.Program != programExec && len(p.Command) != 0:
		return fmt.Errorf("a command after -- belongs to --program %s only", programExec)
	case p.Program == programExec && len(p.Command) == 0:
		return fmt.Errorf("--program %s needs a command after --", programExec)
	case p.Faults != "" && (p.Program == programNone || p.untilExit()):
		return fmt.Errorf("--faults: --program %s has no daemon that they could befall", p.Program)
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
	case p.Poll < minPoll || p.Poll > maxPoll:
		return fmt.Errorf("--poll %v: want %v to %v", p.Poll, minPoll, maxPoll)
	case p.Wander < 0 || p.Wander > maxWander:
		return fmt.Errorf("--wander %g: want 0 to %d ppm", p.Wander, maxWander)
	}
	for _, text := range p.Set {
		if err := p.checkSet(text); err != nil {
			return err
		}
	}
	return checkPoll(p.Program, p.Poll)
}

// faults are those of the plan. Its text was parsed before and is taken at its word.
func (p *Plan) faults() sim.Faults {
	list, _ := parseFaults(p.Faults, nil)
	return list
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
