package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// LoadPlan is a load as it was asked for.
type LoadPlan struct {
	Slaves     int           `json:"slaves"`
	For        time.Duration `json:"for_ns"` // judged, once all are synchronised
	Poll       time.Duration `json:"poll_ns"`
	Coming     time.Duration `json:"coming_ns"` // within which the slaves come; 0 = all at one instant
	PerAddress int           `json:"members_per_address"`
	Seed       uint64        `json:"seed"`
	Slack      float64       `json:"slack"`         // by which what depends on the machine may exceed its limit
	Set        []string      `json:"set,omitempty"` // further lines of the master's configuration
	Realtime   bool          `json:"realtime,omitempty"`
}

const (
	// loadGroup is the group of a load, which no other LAN has.
	loadGroup = "load"
	// mostSlaves is what an id has bits for, with a few to spare.
	mostSlaves = 60_000
	// usualComing is within which the slaves come where they do not come all at once.
	usualComing = 10 * time.Second
	// settleRounds are left out of the figures once all are synchronised: by then all have their vote and their slot.
	settleRounds = 12
	// joinRounds is how long all may take to be synchronised before a load is given up.
	joinRounds = 60
)

// The limits of a load.
const (
	mostLost     = 1e-4 // share of the replies
	mostCPU      = 25.0 // percent of a processor, at ten thousand slaves and a poll a second; in proportion below
	mostMemory   = 64   // MiB
	mostJoining  = 10   // rounds until all are synchronised that came at one instant
	limitsSlaves = 10_000
)

// LoadResult is what a load came to.
type LoadResult struct {
	Plan    LoadPlan      `json:"plan"`
	Joined  int           `json:"joined_rounds"` // from the first Poll that the last slave can have heard, until all were synchronised
	Joining time.Duration `json:"joined_ns"`
	Peak    float64       `json:"joining_packets_per_s"` // in and out, in the round that had most, while they joined
	Judged  int           `json:"judged_rounds"`
	Span    time.Duration `json:"judged_ns"`
	Replies uint64        `json:"replies"` // sent
	Taken   uint64        `json:"replies_taken"`
	Lost    int64         `json:"replies_lost"`
	Missed  int           `json:"slave_rounds_missed"`
	Wrong   int           `json:"deltas_wrong"`
	Strange int           `json:"entries_strange"`
	Bound   float64       `json:"bound_us"` // median of the rounds' medians
	Off     float64       `json:"off_us"`   // largest distance of a delta's LAN time from where most of its round meet
	Apart   [3]float64    `json:"apart_us"` // medians of the rounds: half, 95 %, all
	Rate    float64       `json:"lan_rate_ppm"`

	Master Taken   `json:"master"`
	Crowd  Taken   `json:"crowd"`
	Others float64 `json:"others_percent"` // of all processors, that neither of them took

	Dropped map[string]uint64 `json:"dropped"` // by the master, judged rounds only, by reason
	Warned  map[string]int    `json:"warned"`  // what slaves warned of, the whole time
	Rounds  []Round           `json:"rounds"`
	Checks  []Check           `json:"checks"`
}

// Taken is what a process took while it was judged.
type Taken struct {
	CPU       float64 `json:"cpu_percent"` // of one processor
	PerMember float64 `json:"cpu_us_per_member_round"`
	Memory    float64 `json:"rss_mib"`                  // the most
	Switches  float64 `json:"switches_per_s,omitempty"` // that it made because it waited
	In        float64 `json:"packets_in_per_s,omitempty"`
	Out       float64 `json:"packets_out_per_s,omitempty"`
	Overflow  uint64  `json:"kernel_drops"` // datagrams that did not fit into its buffers
}

// newLoad builds `lab load`.
func newLoad() *cobra.Command {
	plan, asJSON, picture := LoadPlan{}, false, ""
	var sweep []int
	var burst bool
	cmd := &cobra.Command{
		Use:   "load [flags]",
		Short: "Put one master under the load of thousands of slaves, and check every delta it gives",
		Long: `Start the real daemon as a master in a network namespace of its own, as a dry run with a key, and in another one
thousands of slaves, each a node with a clock of its own, with real packets and the kernel's stamps. Every delta is held against the
truth, which is known. Needs Linux, root and Debian's iproute2; nothing leaves the two namespaces, which end with the run.

Many slaves share an address: Linux keeps 1024 neighbours at most by default, in all namespaces together
(net.ipv4.neigh.default.gc_thresh3), so ten thousand of them have 200 addresses, 50 each.`,
		Example: "  lab load --slaves 10000 --for 60s\n" +
			"  lab load --slaves 10000 --for 10s --burst\n" +
			"  lab load --sweep 10,100,1000,10000 --for 20s --plot out.svg",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if plan.Coming = usualComing; burst {
				plan.Coming = 0
			}
			if len(sweep) == 0 {
				sweep = []int{plan.Slaves}
			}
			return loadAll(cmd, plan, sweep, picture, asJSON)
		},
	}
	plan.register(cmd.Flags())
	cmd.Flags().BoolVar(&burst, "burst", false, "all slaves come at one instant, as when power is back, instead of within ten seconds")
	cmd.Flags().IntSliceVar(&sweep, "sweep", nil, "one run for each of these numbers of slaves, in place of --slaves")
	cmd.Flags().StringVar(&picture, "plot", "", "file for a picture of the cost against the number of slaves (SVG)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

func (p *LoadPlan) register(f *pflag.FlagSet) {
	f.IntVar(&p.Slaves, "slaves", limitsSlaves, "number of slaves")
	f.DurationVar(&p.For, "for", time.Minute, "how long is judged, once all are synchronised")
	f.DurationVar(&p.Poll, "poll", defaultPoll, "time between two polls")
	f.IntVar(&p.PerAddress, "members-per-address", 50, "slaves that share an address")
	f.Uint64Var(&p.Seed, "seed", 1, "number that the clocks are drawn from")
	f.Float64Var(&p.Slack, "slack", 1, "by which processor time, loss and joining may exceed their limits, on a machine that does other work")
	f.StringArrayVar(&p.Set, "set", nil, "a further line of the master's configuration; may be repeated")
	f.BoolVar(&p.Realtime, "realtime", false, "master and slaves before all ordinary work of the machine, as if it were idle")
}

// check refuses what no load can do.
func (p *LoadPlan) check() error {
	switch {
	case p.Slaves < 1 || p.Slaves > mostSlaves:
		return fmt.Errorf("--slaves %d: want 1 to %d", p.Slaves, mostSlaves)
	case p.For < 2*p.Poll || p.For > time.Hour:
		return fmt.Errorf("--for %v: want two polls at least, and at most an hour", p.For)
	case p.Poll < minPoll || p.Poll > maxPoll:
		return fmt.Errorf("--poll %v: want %v to %v", p.Poll, minPoll, maxPoll)
	case p.PerAddress < 1 || p.Slaves/p.PerAddress >= mostAddresses:
		return fmt.Errorf("--members-per-address %d: want 1 at least, and no more than %d addresses", p.PerAddress, mostAddresses)
	case p.Slack < 1:
		return fmt.Errorf("--slack %g: want 1 at least", p.Slack)
	}
	return nil
}

// mostAddresses is what the address plan of a load holds: 10.77.0.1 to 10.77.127.250.
const mostAddresses = 128 * 250

// loadAll runs a load for each number of slaves and reports on all.
func loadAll(cmd *cobra.Command, plan LoadPlan, sweep []int, picture string, asJSON bool) error {
	var results []*LoadResult
	for _, plan.Slaves = range sweep {
		if err := plan.check(); err != nil {
			return err
		}
	}
	for _, plan.Slaves = range sweep {
		r, err := load(cmd.Context(), plan, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		r.check()
		results = append(results, r)
		if !asJSON {
			if err := r.table(cmd.OutOrStdout()); err != nil {
				return err
			}
		}
	}
	if asJSON {
		if err := printJSON(cmd.OutOrStdout(), results); err != nil {
			return err
		}
	}
	if picture != "" {
		if err := plotLoads(picture, results); err != nil {
			return err
		}
	}
	for _, r := range results {
		if !passed(r.Checks) {
			return exitCode(exitFailed)
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

func passed(checks []Check) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// conclude takes the figures from the rounds. all, joined and judged are the first ones when all slaves had come, when all were
// synchronised, and that is judged.
func (r *LoadResult) conclude(all, joined, judged int) {
	for _, round := range r.Rounds[:joined+1] {
		r.Peak = max(r.Peak, float64(round.In+round.Out)/r.Plan.Poll.Seconds())
	}
	r.Joined = joined - all + 1
	var bounds, half, most, whole, rates []float64
	for _, round := range r.Rounds[judged:] {
		r.Judged++
		r.Replies += round.Replies
		r.Missed += r.Plan.Slaves - round.Served
		r.Wrong += round.Wrong
		r.Strange += round.Strange
		r.Off = max(r.Off, round.Off)
		bounds, rates = append(bounds, round.Bound), append(rates, round.Rate)
		half, most, whole = append(half, round.Apart[0]), append(most, round.Apart[1]), append(whole, round.Apart[2])
	}
	r.Bound, r.Rate = quantile(bounds, 0.5), quantile(rates, 0.5)
	r.Apart = [3]float64{quantile(half, 0.5), quantile(most, 0.5), quantile(whole, 0.5)}
	r.Lost = int64(r.Replies) - int64(r.Taken) - int64(r.Dropped["duplicate"])
}

// check holds the figures against the limits.
func (r *LoadResult) check() {
	add := func(name, want, got string, ok bool) { r.Checks = append(r.Checks, Check{name, want, got, ok}) }
	p, share := &r.Plan, float64(r.Lost)/float64(max(r.Replies, 1))
	add("replies lost", fmt.Sprintf("at most %g %%", 100*mostLost*p.Slack), fmt.Sprintf("%d of %d, %.4f %%", r.Lost, r.Replies, 100*share),
		share <= mostLost*p.Slack)
	rounds := p.Slaves * r.Judged
	add("every slave served", "in every round", fmt.Sprintf("all but %d of %d", r.Missed, rounds),
		float64(r.Missed) <= mostLost*p.Slack*float64(rounds))
	add("deltas", "every one names LAN time within its bound", fmt.Sprintf("%d wrong, %d strange of %d", r.Wrong, r.Strange, rounds-r.Missed),
		r.Wrong == 0 && r.Strange == 0 && r.Missed < rounds)
	if p.Coming == 0 {
		most := mostJoining * p.Slack
		add("power back", fmt.Sprintf("all synchronised within %.0f rounds", most), fmt.Sprintf("%d rounds", r.Joined), float64(r.Joined) <= most)
	}
	if p.Slaves <= limitsSlaves {
		cpu := mostCPU * p.Slack * float64(time.Second) / float64(p.Poll)
		add("master's processor", fmt.Sprintf("at most %g %% of one", cpu), fmt.Sprintf("%.1f %%", r.Master.CPU), r.Master.CPU <= cpu)
		add("master's memory", fmt.Sprintf("at most %d MiB", mostMemory), fmt.Sprintf("%.1f MiB", r.Master.Memory), r.Master.Memory <= mostMemory)
	}
}

// table is the report for people.
func (r *LoadResult) table(w io.Writer) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-22s"+format+"\n", append([]any{name}, args...)...)
	}
	line("slaves", "%d, poll %v, %d to an address", r.Plan.Slaves, r.Plan.Poll, r.Plan.PerAddress)
	line("joined", "all synchronised after %d rounds, %.1f s, with up to %.0f datagrams/s", r.Joined, r.Joining.Seconds(), r.Peak)
	line("judged", "%d rounds, %.1f s", r.Judged, r.Span.Seconds())
	line("replies", "%d sent, %d taken, %d lost (%.2f a slave and round)", r.Replies, r.Taken, r.Lost,
		float64(r.Replies)/float64(max(1, r.Judged*r.Plan.Slaves)))
	line("bound of a delta", "median %.1f µs; the furthest delta named LAN time %.1f µs from where most meet", r.Bound, r.Off)
	line("clocks", "half within %.1f µs of their median, 95 %% within %.1f, all within %.1f; LAN rate %+.2f ppm", r.Apart[0], r.Apart[1],
		r.Apart[2], r.Rate)
	line("master", "%.1f %% of a processor, %.2f µs a member and round, %.1f MiB, %.0f switches/s", r.Master.CPU, r.Master.PerMember,
		r.Master.Memory, r.Master.Switches)
	line("", "%.0f datagrams/s in, %.0f out, %d lost in the kernel; dropped %v", r.Master.In, r.Master.Out, r.Master.Overflow, r.Dropped)
	line("slaves' process", "%.1f %% of a processor, %.2f µs a member and round, %.1f MiB", r.Crowd.CPU, r.Crowd.PerMember, r.Crowd.Memory)
	line("others", "%.1f %% of all processors; slaves warned %v", r.Others, r.Warned)
	for _, c := range r.Checks {
		verdict := "ok"
		if !c.OK {
			verdict = "FAILED"
		}
		fmt.Fprintf(&b, "%-6s %s: %s; want %s\n", verdict, c.Name, c.Got, c.Want)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
