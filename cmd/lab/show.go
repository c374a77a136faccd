package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// present prints the report; its error says which exit code the run has earned.
func present(out io.Writer, r *Result, asJSON bool) error {
	text := r.table()
	if asJSON {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		text = append(data, '\n')
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	if r.Plan.untilExit() {
		for _, g := range r.Guests {
			if g.Record.Exit != 0 {
				return exitCode(g.Record.Exit)
			}
		}
	}
	if !r.passed() {
		return exitCode(exitFailed)
	}
	return nil
}

// table is the report for people.
func (r *Result) table() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s on %d kernels (Linux %s, up in %.1f s), %.1f s\n",
		r.Plan.Program, len(r.Guests), r.Bed.Kernel, r.Bed.Boot.Seconds(), r.Bed.Ran.Seconds())
	fmt.Fprintf(&b,
		"time stamp counter %.3f MHz, between %d processors %.0f ±%.0f ns; "+
			"they were busy with this for %.0f %%, with other work for %.0f %%\n\n",
		r.CounterHz/1e6, r.Bed.CPUs, r.Bed.Skew, r.Bed.SkewBound, r.Bed.Own*100, r.Bed.Others*100)
	r.guestTable(&b)
	fmt.Fprintln(&b)
	if len(r.Guests) > 1 && !r.Plan.untilExit() {
		r.lanLines(&b)
	}
	r.aftermathLines(&b)
	for _, c := range r.Checks {
		word := "ok  "
		if !c.OK {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s %s: want %s: %s\n", word, c.Name, c.Want, c.Got)
	}
	return b.Bytes()
}

// guestTable is a row for each guest.
func (r *Result) guestTable(b *bytes.Buffer) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w,
		"node\tset ppm\tdrawn\toscillator\tclock ppm\tset offset\tat start ms\tat end ms\tsent\treceived\t"+
			"bracket µs med/p95/max\tloose\tkernel freq\tstatus\tmaxerror µs\testerror µs\tCPU %\tRSS MB\t")
	for _, g := range r.Guests {
		freq, status, most, estimate := "–", "–", "–", "–"
		if t := g.Record.During; t != nil {
			freq, status, most, estimate = fmt.Sprintf("%+.3f", t.FreqPPM), t.words(), fmt.Sprint(t.MaxError), fmt.Sprint(t.EstError)
		}
		fmt.Fprintf(w, "%d\t%+g\t%+.3f\t%+.3f\t%s\t%v\t%s\t%s\t%d\t%d\t%.1f/%.1f/%.1f\t%d/%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			g.Node, g.Set.PPM, g.Drawn, g.Oscillator, figure(g.Clock, "%+.3f"),
			g.Set.Offset, figure(g.Started, "%+.3f"), figure(g.Ended, "%+.3f"), g.Sent, g.Received,
			g.Bracket[0], g.Bracket[1], g.Bracket[2], g.Loose, g.Samples, freq, status, most, estimate,
			figure(g.CPU, "%.2f"), figure(g.RSS, "%.1f"))
	}
	w.Flush()
}

// lanLines say how the LAN as a whole did.
func (r *Result) lanLines(b *bytes.Buffer) {
	fmt.Fprintf(b, "all within %v: first %s s after the start, %s s after the first poll; to the end from %s s on\n",
		r.Within, figure(r.Converged, "%.1f"), figure(r.Reached, "%.1f"), figure(r.Together, "%.1f"))
	fmt.Fprintf(b, "first poll %s s after the start; first packet of the last daemon %s s after the start\n",
		figure(r.First, "%.1f"), figure(r.Came, "%.1f"))
	if s := r.Spread; s != nil {
		fmt.Fprintf(b, "disagreement from %v on: median %.1f µs, p95 %.1f µs, p99 %.1f µs, max %.1f µs\n",
			r.judgedFrom(), s.Median, s.P95, s.P99, s.Max)
	}
	fmt.Fprintf(b, "LAN rate: %s ppm; mean of the oscillators: %+.3f ppm\n", figure(r.LANRate, "%+.3f"), r.Oscillator)
	if d := r.Daemons; d != nil {
		fmt.Fprintf(b, "per slave and poll interval: %.1f packets, %.0f bytes; per node: %s %% of a processor, %s MB\n",
			d.Packets, d.Bytes, figure(d.CPU, "%.2f"), figure(d.RSS, "%.1f"))
	}
	if k := r.Kernel; k != nil {
		fmt.Fprintf(b, "kernels called their clocks synchronised in %.1f %% of %d looks; maxerror contained the true distance in %.1f %%; "+
			"medians %.0f µs and %.1f µs, ratio %s\n", k.Synced*100, k.Samples, k.Contained*100, k.MaxError, k.Distance, figure(k.Ratio, "%.1f"))
	}
}

// aftermathLines say what each fault did.
func (r *Result) aftermathLines(b *bytes.Buffer) {
	for _, a := range r.Aftermaths {
		fmt.Fprintf(b, "%s: node %d at %.2f s", a.Fault, a.Node, a.At)
		if a.Ended != nil {
			fmt.Fprintf(b, ", over at %.2f s, back within %v after %s s", *a.Ended, r.Within, figure(a.Back, "%.1f"))
		}
		if a.Leader {
			fmt.Fprintf(b, "; it led: node %d took over after %s s", a.Heir, figure(a.Takes, "%.2f"))
		}
		if a.Set != nil {
			fmt.Fprintf(b, "\n  %s; p99 %s → %s µs\n", a.Set.line(), figure(a.P99Before, "%.1f"), figure(a.P99After, "%.1f"))
			continue
		}
		fmt.Fprintf(b, "\n  others: p99 %s → %s µs, LAN rate moved by %s ppm, mean off its course by %s µs at most in %v\n",
			figure(a.P99Before, "%.1f"), figure(a.P99After, "%.1f"), figure(a.RateMoved, "%+.3f"), figure(a.EchoMoved, "%.1f"), echoSpan)
		if a.FreeMoved != nil {
			fmt.Fprintf(b, "  its own clock meanwhile: moved by %+.3f ms against the others, at the end at %s ppm\n",
				*a.FreeMoved, figure(a.FreeRate, "%+.3f"))
		}
		if a.FirstFreq != nil {
			fmt.Fprintf(b, "  its daemon's first frequency: %+.3f ppm; a minute later, or at the end: %s ppm\n",
				*a.FirstFreq, figure(a.MinuteFreq, "%+.3f"))
		}
	}
}

// figure formats a figure that may be missing.
func figure(v *float64, format string) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf(format, *v)
}

// csv is the timeline: seconds since the start, then each clock's offset from their mean in microseconds.
func (r *Result) csv() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "seconds,mean_us")
	for _, g := range r.Guests {
		fmt.Fprintf(&b, ",node%d_us", g.Node)
	}
	fmt.Fprintln(&b)
	for _, t := range r.timeline {
		m := t.mean()
		fmt.Fprintf(&b, "%.1f,%.3f", t.At.Seconds(), m/1e3)
		for _, o := range t.Offsets {
			fmt.Fprintf(&b, ",%.3f", (o-m)/1e3)
		}
		fmt.Fprintln(&b)
	}
	return b.Bytes()
}
