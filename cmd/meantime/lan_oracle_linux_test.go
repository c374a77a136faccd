package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The oracle reads what the virtual clocks truly showed. Every trace is written against the host's one raw oscillator, so
// the clocks can be compared at the same instants, to the nanosecond, whatever the nodes believe.

// traceStep is the distance of two instants at which the clocks are compared, ns of the host's raw oscillator.
const traceStep = int64(100 * time.Millisecond)

// traceGap (ns) is the longest gap in a trace that is interpolated. A process that a busy machine does not let run neither writes
// its trace nor steers, so its clock runs straight on meanwhile, but for the end of a slew.
const traceGap = int64(2 * time.Second)

// lanTrace is what one virtual clock showed: at raw, the clock was ahead of the raw oscillator by base + ahead.
type lanTrace struct {
	raw   []int64
	ahead []int64
}

// readTrace reads a trace as far as it is written. base is subtracted from every difference of clock and oscillator.
func readTrace(text string) (tr lanTrace, err error) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "host_raw_ns,") || !strings.HasSuffix(line, "\n") {
			continue
		}
		var raw, wall, virtual int64
		if _, err := fmt.Sscanf(line, "%d,%d,%d\n", &raw, &wall, &virtual); err != nil {
			return tr, fmt.Errorf("line %q: %w", line, err)
		}
		if n := len(tr.raw); n > 0 && raw <= tr.raw[n-1] {
			return tr, fmt.Errorf("line %q: the raw oscillator goes back", line)
		}
		tr.raw, tr.ahead = append(tr.raw, raw), append(tr.ahead, virtual-raw)
	}
	return tr, nil
}

// at interpolates how far the clock was ahead of the raw oscillator; false outside the trace and in a gap of it.
func (tr lanTrace) at(raw int64) (int64, bool) {
	i, exact := slices.BinarySearch(tr.raw, raw)
	if exact {
		return tr.ahead[i], true
	}
	if i == 0 || i == len(tr.raw) || tr.raw[i]-tr.raw[i-1] > traceGap {
		return 0, false
	}
	part := float64(raw-tr.raw[i-1]) / float64(tr.raw[i]-tr.raw[i-1])
	return tr.ahead[i-1] + int64(math.Round(part*float64(tr.ahead[i]-tr.ahead[i-1]))), true
}

// course is how a clock ran.
type course struct {
	lines int
	back  int     // between so many lines it did not go forward
	steps int     // between so many lines it was off the raw oscillator's rate by more than limit
	worst float64 // fractional, the largest such rate below limit
}

// course tells how the clock ran from a reading of the host's raw oscillator on. No slew has a rate beyond limit (fractional).
func (tr lanTrace) course(from int64, limit float64) (c course) {
	for i := range tr.raw {
		if tr.raw[i] < from {
			continue
		}
		if c.lines++; c.lines == 1 {
			continue
		}
		span, gained := tr.raw[i]-tr.raw[i-1], tr.ahead[i]-tr.ahead[i-1]
		if span+gained <= 0 {
			c.back++
		}
		// A short span's rate is mostly rounding.
		if off := max(0, math.Abs(float64(gained))-2) / float64(span); off > limit {
			c.steps++
		} else {
			c.worst = max(c.worst, off)
		}
	}
	return c
}

// moments are in order of time.
type moments []moment

// moment is one comparison of all clocks.
type moment struct {
	raw   int64
	apart int64   // ns, largest minus smallest
	mean  float64 // ns ahead of the raw oscillator, less the first moment's
}

// compare lists the moments at which all traces tell something.
func compare(traces []lanTrace) (list moments) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	for _, tr := range traces {
		if len(tr.raw) == 0 {
			return nil
		}
		from, to = max(from, tr.raw[0]), min(to, tr.raw[len(tr.raw)-1])
	}
	var base int64
	for raw := from - from%traceStep + traceStep; raw <= to; raw += traceStep {
		var all []int64
		for _, tr := range traces {
			if ahead, ok := tr.at(raw); ok {
				all = append(all, ahead)
			}
		}
		if len(all) < len(traces) {
			continue
		}
		if list == nil {
			base = all[0]
		}
		m := moment{raw: raw, apart: slices.Max(all) - slices.Min(all)}
		for _, ahead := range all {
			m.mean += float64(ahead-base) / float64(len(all))
		}
		list = append(list, m)
	}
	return list
}

// figures sums up how well clocks agreed over a span.
type figures struct {
	instants              int
	median, p95, p99, max time.Duration
	rate                  float64 // fractional, of the clocks' mean against the host's raw oscillator
}

// figures sums the moments up.
func (list moments) figures() figures {
	if len(list) == 0 {
		return figures{}
	}
	var apart []int64
	for _, m := range list {
		apart = append(apart, m.apart)
	}
	slices.Sort(apart)
	share := func(p float64) time.Duration {
		return time.Duration(apart[min(int(p*float64(len(apart))), len(apart)-1)])
	}
	first, last := list[0], list[len(list)-1]
	f := figures{instants: len(list), median: share(0.5), p95: share(0.95), p99: share(0.99), max: share(1)}
	if last.raw > first.raw {
		f.rate = (last.mean - first.mean) / float64(last.raw-first.raw)
	}
	return f
}

func (f figures) String() string {
	micros := func(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }
	return fmt.Sprintf("disagreement median %s, p95 %s, p99 %s, max %s over %d instants",
		micros(f.median), micros(f.p95), micros(f.p99), micros(f.max), f.instants)
}

// settled is when the clocks came below limit for good, counted from the first moment; false if they never did.
func (list moments) settled(limit time.Duration) (time.Duration, bool) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].apart >= int64(limit) {
			if i == len(list)-1 {
				return 0, false
			}
			return time.Duration(list[i+1].raw - list[0].raw), true
		}
	}
	return 0, len(list) > 0
}

// last gives the moments of the last span.
func (list moments) last(span time.Duration) moments {
	for i, m := range list {
		if m.raw > list[len(list)-1].raw-int64(span) {
			return list[i:]
		}
	}
	return nil
}

// between gives the moments from a reading of the host's raw oscillator to another.
func (list moments) between(from, to int64) (part moments) {
	for _, m := range list {
		if m.raw >= from && m.raw < to {
			part = append(part, m)
		}
	}
	return part
}

// shown reads the node's trace.
func (p *process) shown() lanTrace {
	t := p.host.bed.t
	t.Helper()
	text, err := os.ReadFile(p.trace)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := readTrace(string(text))
	if err != nil {
		t.Fatalf("%s: trace: %v", p.host.name, err)
	}
	return tr
}

// readMoments reads the traces of nodes.
func readMoments(t *testing.T, nodes ...*process) moments {
	t.Helper()
	var traces []lanTrace
	for _, n := range nodes {
		traces = append(traces, n.shown())
	}
	return compare(traces)
}

// disagree tells what is wrong with a span's figures: too little seen, or clocks too far apart.
func (f figures) disagree(span, median, most time.Duration) (wrong []string) {
	if want := int(span/time.Duration(traceStep)) * 3 / 4; f.instants < want {
		wrong = append(wrong, fmt.Sprintf("only %d instants of %v were traced", f.instants, span))
	}
	if f.median >= median {
		wrong = append(wrong, fmt.Sprintf("the clocks are %v apart, median; at most %v is good", f.median, median))
	}
	if f.max >= most {
		wrong = append(wrong, fmt.Sprintf("the clocks are up to %v apart; at most %v is good", f.max, most))
	}
	return wrong
}

// unstamped lists the nodes that never said that their exchanges are stamped by kernels. A single line may be written
// between a round's first exchange and its second and say so wrongly.
func unstamped(nodes ...*process) (wrong []string) {
	for _, n := range nodes {
		status := n.entries("status")
		if !slices.ContainsFunc(status, func(e logEntry) bool { return e.KernelStamps }) {
			wrong = append(wrong, fmt.Sprintf("%s: kernel stamps in none of %d status lines", n.host.name, len(status)))
		}
	}
	return wrong
}

// TestLANOracle: the oracle sees what is in made-up traces.
func TestLANOracle(t *testing.T) {
	// Three clocks, sampled at different instants: 40 ppm, 40 ppm and 3 µs ahead, 41 ppm.
	traces := make([]lanTrace, 3)
	for i := range int64(100) {
		for c, raw := range []int64{i * traceStep, i*traceStep + 12_345, i*traceStep + 20_000_000} {
			ppm, ahead := 40.0, int64(0)
			switch c {
			case 1:
				ahead = 3000
			case 2:
				ppm = 41
			}
			traces[c].raw = append(traces[c].raw, raw)
			traces[c].ahead = append(traces[c].ahead, 1e18+ahead+int64(math.Round(float64(raw)*ppm*1e-6)))
		}
	}
	list := compare(traces)
	f := list.figures()
	// The third clock passes the second after 3 s and is 9.9 µs ahead of the first after 9.9 s.
	if f.instants != 99 || f.max != 9900 || f.median != 5000 || f.p95 != 9500 {
		t.Errorf("%v", f)
	}
	if math.Abs(f.rate*1e6-40-1.0/3) > 0.001 {
		t.Errorf("rate %g ppm", f.rate*1e6)
	}
	if at, ok := list.settled(9750 * time.Nanosecond); ok {
		t.Errorf("settled after %v", at)
	}
	slices.Reverse(list)
	for i := range list {
		list[i].raw = int64(i) * traceStep
	}
	if at, ok := list.settled(5 * time.Microsecond); !ok || at != 5*time.Second {
		t.Errorf("settled after %v, %v", at, ok)
	}
	if n := len(list.last(time.Second)); n != 10 {
		t.Errorf("%d moments in the last second", n)
	}
	gap := lanTrace{raw: []int64{0, traceGap + 1}, ahead: []int64{0, 0}}
	if _, ok := gap.at(traceStep); ok || len(compare([]lanTrace{gap, traces[0]})) > 1 {
		t.Error("a gap in a trace is interpolated")
	}
	if wrong := (figures{instants: 10, median: 2, max: 3}).disagree(2*time.Second, 2, 3); len(wrong) != 3 {
		t.Errorf("complaints %q, want three", wrong)
	}
}

// TestLANOracleCourse: it sees a clock that is stepped ahead, stands and is stepped back.
func TestLANOracleCourse(t *testing.T) {
	run := lanTrace{raw: []int64{0, 1e8, 2e8, 3e8, 4e8}, ahead: []int64{7e9, 7e9 + 5e4, 9e9, 9e9, 8e9}}
	if c := run.course(0, 1e-3); c.lines != 5 || c.back != 1 || c.steps != 2 || math.Abs(c.worst-5e-4) > 1e-6 {
		t.Errorf("a clock that is stepped ahead and back: %+v", c)
	}
	if c := run.course(2e8, 1e-3); c.lines != 3 || c.back != 1 || c.steps != 1 || c.worst != 0 {
		t.Errorf("its end: %+v", c)
	}
}
