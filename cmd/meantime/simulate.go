package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/configs"
	"meantime/daemon/sim"
)

// simulateOptions is what was asked to be simulated.
type simulateOptions struct {
	LAN      sim.Options // Seed is the first seed
	Scenario string      // empty: the LAN that LAN describes; "all": every scenario; "list": only tell them
	Seeds    int         // how many seeds, counted up from the first
	JSON     bool
	CSV      string // file for each host's offset in each second; one run only
	Plot     string // file for the same as a picture; one run only
}

// mostSeeds bounds --seeds, so that a slip of the finger does not ask for years.
const mostSeeds = 1_000_000

// simulateGC lets the heap of a simulation grow to five times what lives before it is swept: a run holds a few MB and allocates
// thousands of times that, so sweeping less often is worth an eighth of its time.
const simulateGC = 400

func newSimulateCommand(out *ui) *cobra.Command {
	o := simulateOptions{LAN: sim.Default()}
	o.LAN.Seed = 0
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Try a LAN in virtual time: how tight would it be, how fast does it recover?",
		Long: `Try a LAN in virtual time: how tight would it be, how fast does it recover?

The very node that runs on real hosts runs on simulated ones, thousands of times faster than they would. Everything
random is drawn from the seed: the same seed and options give the same run to the last nanosecond. The whole time,
truth is at hand, and what must always hold is checked; the first invariant that did not is told, with the command
that replays it, and the exit code is 1.

Faults are written kind:hosts@when+duration~amount, several with commas between them; hosts are master, all, or numbers
from 0 with dots between them:

  kill:master@60s+10s         ends without a word, and starts again after 10 s
  partition:0.1@60s+30s       hosts 0 and 1 hear only each other, and the others only the others
  step:2@90s~500ms            another program steps the clock of host 2
  attack@0s~1000/s            an outsider sends 1000 hostile packets a second; of nothing but recordings: replay@60s~100/s

` + faultKinds(),
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(c.Flags().Changed); err != nil {
				return usageError{err, c.CommandPath()}
			}
			if o.Scenario == "list" {
				return listScenarios(out, o.JSON)
			}
			debug.SetGCPercent(simulateGC)
			return simulate(c.Context(), out, o)
		},
	}
	o.bind(command)
	return command
}

func faultKinds() string {
	var kinds []string
	for k := sim.FaultKind(0); k.String() != "unknown"; k++ {
		kinds = append(kinds, k.String())
	}
	return "The kinds are " + strings.Join(kinds, ", ") + "."
}

// lanFlags are the flags that describe a LAN, in the order of sim.Options. A scenario brings its own LAN.
var lanFlags = []string{
	"nodes", "drift", "wander", "temperature", "period", "apart", "delay", "jitter", "shape", "asymmetry", "loss", "duplicate",
	"reorder", "latency", "user-stamps", "keyed", "poll", "poll-max", "full-rounds-to", "max-slew", "for", "faults",
}

// bind makes the flags. The usage of each begins with what its value is, because a wrong value is answered by "write the …".
func (o *simulateOptions) bind(command *cobra.Command) {
	flags, l := command.Flags(), &o.LAN
	flags.SortFlags = false
	value := func(name, usage, shown string, set func(string) error) {
		flags.Var(&parsed{shown, set}, name, usage)
	}
	ppm := func(name string, target *float64, usage string) {
		value(name, usage, fmt.Sprint(*target), into(target, parsePPM))
	}
	span := func(name string, target *time.Duration, usage string) {
		value(name, usage, target.String(), into(target, configs.ParseDuration))
	}
	share := func(name string, target *float64, usage string) {
		value(name, usage, fmt.Sprint(*target), into(target, parsePart))
	}
	flags.IntVar(&l.Nodes, "nodes", l.Nodes, "`number` of hosts")
	ppm("drift", &l.Drift, "`ppm` that an oscillator is off by at most, such as 50")
	ppm("wander", &l.Wander, "`ppm` per square root of a second that an oscillator strays by")
	ppm("temperature", &l.Temperature, "`ppm` that an oscillator swings by with the room's temperature")
	span("period", &l.Period, "`time` of a swing of temperature")
	span("apart", &l.Apart, "`time` that a clock is off by at most at the start")
	span("delay", &l.Delay, "`time` that every packet takes at least, such as 40us")
	span("jitter", &l.Jitter, "`time` that a packet takes on top, in the mean (shape normal: standard deviation)")
	value("shape", "`form` of the jitter: constant, exponential or normal", l.Shape.String(), into(&l.Shape, parseShape))
	span("asymmetry", &l.Asymmetry, "`time` that packets take longer in one direction of each pair of hosts")
	share("loss", &l.Loss, "`share` of packets lost, such as 0.1 or 10%")
	share("duplicate", &l.Duplicate, "`share` of packets that come twice")
	share("reorder", &l.Reorder, "`share` of packets overtaken by later ones")
	span("latency", &l.Latency, "`time` from a packet to the answer that it causes")
	flags.BoolVar(&l.UserStamps, "user-stamps", false, "no kernel stamps packets: user space does, late")
	flags.BoolVar(&l.Keyed, "keyed", false, "seal every packet with a key, and open it, as real hosts do")
	span("poll", &l.Poll, "`time` from poll to poll")
	span("poll-max", &l.PollMax, "`time` from poll to poll once the LAN has been calm for long (default: as --poll)")
	flags.IntVar(&l.FullRounds, "full-rounds-to", 0,
		"`number` of members up to which each has all its exchanges in every round (default: as the configuration's)")
	ppm("max-slew", &l.MaxSlew, "`ppm` that a clock runs off by at most while it is slewed")
	span("for", &l.For, "`time` that is simulated")
	value("faults", "`list` of what happens to whom when, such as kill:master@60s+10s", "", func(text string) error {
		more, err := sim.ParseFaults(text)
		l.Faults = append(l.Faults, more...) // the flag may be repeated
		return err
	})
	flags.StringVar(&o.Scenario, "scenario", "", "`name` of a story with a LAN and limits of its own; all: every one; list: tell their names")
	flags.Uint64Var(&l.Seed, "seed", 0, "`number` that everything is drawn from (default: a new one, printed)")
	flags.IntVar(&o.Seeds, "seeds", 1, "`number` of seeds to try, counted up from the first")
	flags.BoolVar(&o.JSON, "json", false, "print JSON")
	flags.StringVar(&o.CSV, "csv", "", "`file` for each host's true offset in each second")
	flags.StringVar(&o.Plot, "plot", "", "`file` for a picture of the same (SVG)")
}

// complete checks what was asked for and fills in the seed.
func (o *simulateOptions) complete(changed func(flag string) bool) error {
	for _, flag := range lanFlags {
		if o.Scenario != "" && changed(flag) {
			return fmt.Errorf("--%s: a scenario has a LAN of its own; leave out --%[1]s or --scenario", flag)
		}
	}
	known := func(s sim.Scenario) bool { return s.Name == o.Scenario }
	many := o.Seeds > 1 || o.Scenario == "all" || o.Scenario == "list"
	switch {
	case o.Scenario != "" && o.Scenario != "all" && o.Scenario != "list" && !slices.ContainsFunc(sim.Scenarios(), known):
		return fmt.Errorf("--scenario: %q is not known; write all, or a name that `meantime simulate --scenario list` tells", o.Scenario)
	case o.Seeds < 1 || o.Seeds > mostSeeds:
		return fmt.Errorf("--seeds: %d is out of range; write a number from 1 to %d", o.Seeds, mostSeeds)
	case many && o.CSV != "":
		return errors.New("--csv shows one run; leave out --csv, or name one scenario and one seed")
	case many && o.Plot != "":
		return errors.New("--plot shows one run; leave out --plot, or name one scenario and one seed")
	case o.CSV != "" && o.CSV == o.Plot:
		return errors.New("--csv and --plot name the same file; write two names")
	}
	if o.LAN.Seed == 0 {
		o.LAN.Seed = uint64(rand.Uint32()) | 1 // short enough to be typed again, and never 0
	}
	return o.LAN.Check()
}

// simulate tries everything that was asked for and tells how it came out.
func simulate(ctx context.Context, out *ui, o simulateOptions) error {
	stop := context.AfterFunc(ctx, func() {
		out.progress("")
		exit(hinted{errors.New("interrupted"), "`" + o.command() + "` begins again"})
	})
	defer stop()
	if !o.JSON {
		if err := out.print(o.command() + "\n\n"); err != nil {
			return err
		}
	}
	watch, err := watchRuns(out, o)
	if err != nil {
		return err
	}
	var runs []run
	for _, t := range watch.trials {
		report, err := watch.run(t)
		if err != nil {
			return hinted{err, "`" + t.replay() + "` shows it again"}
		}
		runs = append(runs, run{t, report})
	}
	took := time.Since(watch.began)
	if err := watch.end(runs[0]); err != nil {
		return err
	}
	if err := showRuns(out, o, runs, took); err != nil {
		return err
	}
	return failures(runs)
}

// trial is one run to be made.
type trial struct {
	scenario *sim.Scenario // nil: the LAN of the options
	lan      sim.Options   // with the trial's seed
	length   time.Duration // simulated
}

// trials are all runs that were asked for: each story with every seed.
func (o simulateOptions) trials() []trial {
	var trials []trial
	add := func(s *sim.Scenario) {
		length := trial{scenario: s, lan: o.LAN}.plan().For
		for i := range o.Seeds {
			t := trial{s, o.LAN, length}
			t.lan.Seed += uint64(i)
			trials = append(trials, t)
		}
	}
	if o.Scenario == "" {
		add(nil)
	}
	for _, s := range sim.Scenarios() {
		if o.Scenario == "all" || o.Scenario == s.Name {
			add(&s)
		}
	}
	return trials
}

// plan is the LAN of the trial with all that happens to it.
func (t trial) plan() sim.Plan {
	if t.scenario != nil {
		return t.scenario.Build(t.lan.Seed)
	}
	return t.lan.Plan()
}

func (t trial) run(observe func(sim.Point)) (sim.Report, error) {
	if t.scenario != nil {
		return sim.RunScenario(t.scenario.Name, t.lan.Seed, observe)
	}
	return sim.Run(t.lan, observe)
}

// name is the scenario's, or what stands for it in a table.
func (t trial) name() string {
	if t.scenario != nil {
		return t.scenario.Name
	}
	return "as given"
}

// replay is the command that makes this very run again.
func (t trial) replay() string {
	if t.scenario != nil {
		return fmt.Sprintf("meantime simulate --scenario %s --seed %d", t.scenario.Name, t.lan.Seed)
	}
	return "meantime simulate " + t.lan.String()
}

// command is the one that does all of it again.
func (o simulateOptions) command() string {
	text := "meantime simulate " + o.LAN.String()
	if o.Scenario != "" {
		text = fmt.Sprintf("meantime simulate --scenario %s --seed %d", o.Scenario, o.LAN.Seed)
	}
	if o.Seeds > 1 {
		text += fmt.Sprintf(" --seeds %d", o.Seeds)
	}
	return text
}

// parsed is a flag whose text is read by a function.
type parsed struct {
	shown string
	set   func(string) error
}

func (p *parsed) String() string { return p.shown }
func (p *parsed) Type() string   { return "value" }

func (p *parsed) Set(text string) error {
	p.shown = text
	return p.set(text)
}

// into stores what parse reads.
func into[T any](target *T, parse func(string) (T, error)) func(string) error {
	return func(text string) (err error) {
		value, err := parse(text)
		if err == nil {
			*target = value
		}
		return err
	}
}

// parsePPM reads "50" or "50ppm". Whether there can be so much is for the simulator to say, here and below.
func parsePPM(text string) (float64, error) {
	number, err := strconv.ParseFloat(strings.TrimSuffix(text, "ppm"), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of ppm; write one such as 50", text)
	}
	return number, nil
}

// parsePart reads "0.1" or "10%".
func parsePart(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	part, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a share; write one such as 0.1 or 10%%", text)
	}
	if percent {
		part /= 100
	}
	return part, nil
}

func parseShape(text string) (sim.Shape, error) {
	shape, ok := sim.ParseShape(text)
	if !ok {
		return 0, fmt.Errorf("%q is not known; write constant, exponential or normal", text)
	}
	return shape, nil
}
