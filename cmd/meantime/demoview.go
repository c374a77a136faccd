package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meantime/daemon"
)

// sparks are the levels of a sparkline, lowest first.
var sparks = []rune("▁▂▃▄▅▆▇█")

const (
	// sparkWidth is how many looks a sparkline shows: at four a second, the last ten seconds.
	sparkWidth = 40
	// sparkFloor and sparkCeiling are the disagreements at the ends of its logarithmic scale.
	sparkFloor   = 100 * time.Nanosecond
	sparkCeiling = time.Hour
)

// sparkline draws disagreements on a logarithmic scale from 100 ns to an hour.
func sparkline(values []time.Duration) string {
	if len(values) > sparkWidth {
		values = values[len(values)-sparkWidth:]
	}
	var line strings.Builder
	for _, v := range values {
		whole := math.Log(float64(sparkCeiling) / float64(sparkFloor))
		part := math.Log(float64(max(v, sparkFloor))/float64(sparkFloor)) / whole
		line.WriteRune(sparks[min(int(part*float64(len(sparks))), len(sparks)-1)])
	}
	return line.String()
}

// span writes a duration as people read it: three digits are enough.
func span(d time.Duration) string {
	for _, unit := range []time.Duration{time.Minute, time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit || d <= -unit {
			return d.Round(unit / 1000).String()
		}
	}
	return d.String()
}

// signed is span with a sign always.
func signed(d time.Duration) string {
	if d >= 0 {
		return "+" + span(d)
	}
	return span(d)
}

// demoTable is the table of a live demo.
func demoTable(v daemon.DemoView, clocks []daemon.DemoClock, past []time.Duration) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "node\trole\tstate\toscillator\toff the middle\tcorrects by\tstamps\t")
	middle := middleOffset(v)
	for i, n := range v.Nodes {
		fmt.Fprintf(table, "%d\t%s\t%s\t%+.1f ppm\t%s\t%+.1f ppm\t%s\t\n", i+1, demoRole(n), demoState(n),
			clocks[i].Frequency*1e6, signed(n.Offset-middle), n.Status.Rate*1e6, stampName(n.Status.Kernel))
	}
	_ = table.Flush() // a strings.Builder takes everything
	fmt.Fprintf(&text, "\n%6.1f s   the clocks are %s apart\n%s\n", v.At.Seconds(), span(v.Apart), sparkline(past))
	return text.String()
}

// middleOffset is the median of the clocks' true offsets: what they are off from the host's clock together is of no interest.
func middleOffset(v daemon.DemoView) time.Duration {
	var offsets []time.Duration
	for _, n := range v.Nodes {
		offsets = append(offsets, n.Offset)
	}
	slices.Sort(offsets)
	return offsets[len(offsets)/2]
}

// demoRole is the part a node plays at the moment, whatever it may play.
func demoRole(n daemon.DemoNode) string {
	switch {
	case n.Killed:
		return "—"
	case n.Master:
		return "master"
	}
	return "slave"
}

func demoState(n daemon.DemoNode) string {
	if n.Killed {
		return "killed"
	}
	return string(n.Status.State)
}

func stampName(kernel bool) string {
	if kernel {
		return "kernel"
	}
	return "user"
}

// demoLine is a demo at an instant, for what is not a terminal.
func demoLine(v daemon.DemoView) string {
	text := fmt.Sprintf("%5.1f s  apart %-12s ", v.At.Seconds(), span(v.Apart))
	m := v.Master()
	if m < 0 {
		return text + "no master"
	}
	s := v.Nodes[m].Status
	return text + fmt.Sprintf("node %d is master and %s, %d of %d nodes vote", m+1, s.State, s.Voters, len(v.Nodes))
}

// recordTable shows what the founding did to each clock, put back to the instant at which the demo began.
func recordTable(v daemon.DemoView) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "node\tclock showed\tdelta\tso it showed\t")
	for i, n := range v.Nodes {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t\n", i+1, clock(n.Started), minutes(n.Founded), clock(n.Started.Add(n.Founded)))
	}
	_ = table.Flush() // a strings.Builder takes everything
	return text.String()
}

// clock shows a time of day, to the second nearest.
func clock(t time.Time) string { return t.Round(time.Second).Format("3:04:05") }

// minutes shows a delta as the example of record does: +0:05 is five minutes. What is left of a second is shown behind it.
func minutes(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	whole := d.Round(time.Second)
	text := fmt.Sprintf("%s%d:%02d:%02d", sign, int(whole.Hours()), int(whole.Minutes())%60, int(whole.Seconds())%60)
	if rest := (d - whole).Round(time.Microsecond); rest >= time.Millisecond || rest <= -time.Millisecond {
		text += fmt.Sprintf(" (%s)", signed(rest))
	}
	return text
}

// demoSummary is the end of a demo.
func demoSummary(r daemon.DemoResult, seed uint64) string {
	var text strings.Builder
	fmt.Fprintf(&text, "disagreement before  %s\n", span(r.Before))
	fmt.Fprintf(&text, "disagreement after   %s (median of the last %.3g s)\n", span(r.After), r.Over.Seconds())
	if r.Converged {
		fmt.Fprintf(&text, "%-21safter %.1f s, and since\n", "below "+span(daemon.DemoLimit), r.Within.Seconds())
	} else {
		fmt.Fprintf(&text, "%-21snever for good\n", "below "+span(daemon.DemoLimit))
	}
	switch {
	case r.Killed > 0 && r.Takeover > 0:
		fmt.Fprintf(&text, "takeover             %.2f polls from the last of node %d, which was killed, to the first of node %d\n",
			r.Takeover, r.Killed, r.Last.Master()+1)
	case r.Killed > 0:
		fmt.Fprintf(&text, "takeover             none: node %d was killed and nobody followed\n", r.Killed)
	}
	fmt.Fprintf(&text, "packets              %d sent, %d not used (late, doubled or of others)\n", r.Packets, r.Dropped)
	if r.Unicast {
		text.WriteString("transport            unicast: this system refuses multicast on loopback\n")
	}
	fmt.Fprintf(&text, "seed                 %d\n", seed)
	return text.String()
}
