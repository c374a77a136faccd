package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/configs"
)

// demoOptions is what the demo was asked to show.
type demoOptions struct {
	Preset string        // "seed": the example of record, three clocks; "drift": clocks minutes apart that run apart
	Nodes  int           // 2 to 64, the master among them; with the preset seed always 3
	For    time.Duration // 1 s to 1 h
	Seed   uint64        // of clocks and losses; 0 = a new one, printed
	Loss   float64       // share of packets lost, 0 to 0.9
	Kill   time.Duration // when the master is killed; 0 = never
	JSON   bool          // one JSON object at the end and nothing else
	Plain  bool          // lines instead of a table that redraws itself
}

// What a demo is when nothing is said. A founding takes four seconds, a fit eight rounds more; then the table is to be seen
// at rest for a while.
const (
	driftNodes, driftFor = 5, 25 * time.Second
	seedNodes, seedFor   = 3, 10 * time.Second
)

func newDemoCommand() *cobra.Command {
	var options demoOptions
	var duration, loss, kill string
	command := &cobra.Command{
		Use:   "demo",
		Short: "Show a LAN of virtual clocks on this host; no clock is touched",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := options.complete(duration, loss, kill, c.Flags().Changed("nodes")); err != nil {
				return usageError{err, c.CommandPath()}
			}
			return runDemo(c.Context(), options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Preset, "preset", "drift",
		"`what` to show: drift (clocks minutes apart that run apart) or seed (3:00, 3:25 and 2:50 become 3:05)")
	flags.IntVar(&options.Nodes, "nodes", driftNodes, "`number` of nodes, 2 to 64")
	flags.StringVar(&duration, "for", "", "`time` to run, 1s to 1h (default: 25s; with the preset seed 10s)")
	flags.Uint64Var(&options.Seed, "seed", 0, "`number` that clocks and losses are drawn from (default: a new one)")
	flags.StringVar(&loss, "loss", "0", "`share` of packets to lose, such as 0.1 or 10%, up to 90%")
	flags.StringVar(&kill, "kill", "", "kill `whom@when`, such as master@10s: whoever is master then ends without a word")
	flags.BoolVar(&options.JSON, "json", false, "print JSON")
	flags.BoolVar(&options.Plain, "plain", false, "print lines instead of a table that redraws itself")
	return command
}

// complete reads the values that carry units and checks them all.
func (o *demoOptions) complete(duration, loss, kill string, nodes bool) error {
	var err error
	o.For = driftFor
	if o.Preset == "seed" {
		if nodes && o.Nodes != seedNodes {
			return fmt.Errorf("--nodes: the preset seed is about %d clocks; leave --nodes out", seedNodes)
		}
		o.Nodes, o.For = seedNodes, seedFor
	}
	if duration != "" {
		if o.For, err = configs.ParseDuration(duration); err != nil {
			return fmt.Errorf("--for: %w", err)
		}
	}
	if o.Loss, err = parseShare(loss); err != nil {
		return fmt.Errorf("--loss: %w", err)
	}
	if kill != "" {
		if o.Kill, err = parseKill(kill, o.For); err != nil {
			return fmt.Errorf("--kill: %w", err)
		}
	}
	switch {
	case o.Preset != "seed" && o.Preset != "drift":
		return fmt.Errorf("--preset: %q is not known; write seed or drift", o.Preset)
	case o.Nodes < 2 || o.Nodes > 64:
		return fmt.Errorf("--nodes: %d is out of range; write a number from 2 to 64", o.Nodes)
	case o.For < time.Second || o.For > time.Hour:
		return fmt.Errorf("--for: %s is out of range; write a time from 1s to 1h", duration)
	case o.JSON && o.Plain:
		return fmt.Errorf("--json and --plain exclude each other; write one of them")
	}
	return nil
}

// parseKill reads when the master is to be killed: "master@10s". The run must last longer.
func parseKill(text string, run time.Duration) (time.Duration, error) {
	when, ok := strings.CutPrefix(text, "master@")
	if !ok {
		return 0, fmt.Errorf("%q names nobody who can be killed; write master@ and a time, such as master@10s", text)
	}
	at, err := configs.ParseDuration(when)
	switch {
	case err != nil:
		return 0, err
	case at <= 0 || at >= run:
		return 0, fmt.Errorf("%s is not within the run; write a time between 0s and %v, or a longer --for", when, run)
	}
	return at, nil
}

// parseShare reads a part of a whole, as a fraction ("0.1") or in percent ("10%"), up to 90 %.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 0.9) { // NaN fails both
		return 0, fmt.Errorf("%q is not a share; write a number from 0 to 0.9 or from 0%% to 90%%", text)
	}
	return share, nil
}
