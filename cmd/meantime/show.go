package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"meantime/daemon"
)

// errApart says that a demo's clocks did not come together.
var errApart = errors.New("the clocks did not agree in time")

// runDemo shows a LAN of virtual clocks on this host. Tests put their own here, so that none opens a socket.
var runDemo = func(ctx context.Context, o demoOptions) error {
	out := standardUI()
	if o.Seed == 0 {
		o.Seed = uint64(rand.Uint32()) // short enough to be typed again
	}
	now := time.Now()
	options := daemon.DemoOptions{Began: now, Seed: o.Seed, For: o.For, Loss: o.Loss, Kill: o.Kill}
	if o.Preset == "seed" {
		options.Clock = daemon.RecordClocks(now)
	} else {
		options.Clock, options.Elect = daemon.DriftClocks(o.Nodes, o.Seed), true
	}
	result, err := daemon.Demo(ctx, options, slog.New(slog.DiscardHandler), reporter(out, o, options.Clock))
	if err != nil {
		return err
	}
	if err := showResult(out, o, result); err != nil {
		return err
	}
	if !result.Converged && ctx.Err() == nil { // who breaks a demo off asks for no verdict
		return hinted{errApart, apartHint(o)}
	}
	return nil
}

// usuallyAgrees is how long a demo takes until its clocks agree where nothing is lost and nobody killed: an election and a founding.
const usuallyAgrees = 7 * time.Second

// apartHint says what to do about clocks that did not agree.
func apartHint(o demoOptions) string {
	if o.For <= usuallyAgrees {
		return fmt.Sprintf("it takes about %v until clocks agree: leave --for out, or write a longer time", usuallyAgrees)
	}
	return fmt.Sprintf("give it longer with --for, or look at it again with --seed %d", o.Seed)
}

// reporter shows the demo as it goes on: a table that redraws itself on a terminal, a line a second elsewhere, nothing
// with --json.
func reporter(out *ui, o demoOptions, clocks []daemon.DemoClock) func(daemon.DemoView) {
	var past []time.Duration
	var next time.Duration
	live := !o.Plain && out.terminal()
	return func(v daemon.DemoView) {
		past = append(past, v.Apart)
		switch {
		case o.JSON:
		case live:
			out.redraw(demoTable(v, clocks, past))
		case v.At >= next:
			next += time.Second
			out.line(demoLine(v))
		}
	}
}

func showResult(out *ui, o demoOptions, r daemon.DemoResult) error {
	if o.JSON {
		return out.json(demoReport(o, r))
	}
	text := "\n"
	if o.Preset == "seed" {
		text += recordTable(r.Last) + "\n"
	}
	return out.print(text + demoSummary(r, o.Seed))
}

// demoJSON is what --json prints; durations are in seconds.
type demoJSON struct {
	Seed      uint64         `json:"seed"`
	Before    float64        `json:"disagreement_before_s"`
	After     float64        `json:"disagreement_after_s"`
	Converged bool           `json:"converged"`
	Within    float64        `json:"below_1ms_after_s"`
	Killed    int            `json:"killed_node,omitempty"`
	Takeover  float64        `json:"takeover_polls,omitempty"` // negative: nobody followed
	Sent      uint64         `json:"packets_sent"`
	Dropped   uint64         `json:"packets_dropped"`
	Nodes     []demoNodeJSON `json:"nodes"`
}

type demoNodeJSON struct {
	Role      string  `json:"role"`
	State     string  `json:"state"`
	Started   string  `json:"clock_at_start"`
	Delta     float64 `json:"founding_delta_s"`
	Offset    float64 `json:"true_offset_s"`
	Frequency float64 `json:"corrects_by_ppm"`
	Kernel    bool    `json:"kernel_stamps"`
}

func demoReport(o demoOptions, r daemon.DemoResult) demoJSON {
	report := demoJSON{
		Seed: o.Seed, Before: r.Before.Seconds(), After: r.After.Seconds(), Converged: r.Converged,
		Within: r.Within.Seconds(), Killed: r.Killed, Takeover: r.Takeover, Sent: r.Packets, Dropped: r.Dropped,
	}
	for _, n := range r.Last.Nodes {
		report.Nodes = append(report.Nodes, demoNodeJSON{
			Role: demoRole(n), State: demoState(n), Started: n.Started.Format(time.RFC3339Nano),
			Delta: n.Founded.Seconds(), Offset: n.Offset.Seconds(), Frequency: n.Status.Rate * 1e6, Kernel: n.Status.Kernel,
		})
	}
	return report
}
