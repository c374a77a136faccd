package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

const (
	// oscillatorTolerance is how well the bed must show the oscillators it was given, in ppm. It is what the
	// brackets leave open over ten seconds, and a tenth of what any claim about rates asks for.
	oscillatorTolerance = 0.5
	// offsetTolerance is the same for starting offsets: what passes in a guest between looking at the counter and
	// setting its clock, on a busy machine.
	offsetTolerance = 5 * time.Millisecond
	// wantedCoverage is the share of the run in which all clocks must be known.
	wantedCoverage = 0.9
)

// Result is what a run has shown.
type Result struct {
	Plan       Plan          `json:"plan"`
	Bed        BedRecord     `json:"bed"`
	CounterHz  float64       `json:"tsc_hz"`
	Guests     []GuestResult `json:"guests"`
	Coverage   float64       `json:"coverage"` // share of the instants at which all clocks were known
	Within     time.Duration `json:"within_ns"`
	Together   *float64      `json:"together_s"` // from when on all stayed within that; null: they did not
	Spread     *Spread       `json:"spread"`     // after settling
	LANRate    *float64      `json:"lan_rate_ppm"`
	Oscillator float64       `json:"oscillators_mean_ppm"` // mean of those set
	Checks     []Check       `json:"checks"`

	timeline []Instant
}

// Spread is the disagreement of the LAN, largest minus smallest clock, over the judged part of a run.
type Spread struct {
	Median float64 `json:"median_us"`
	P95    float64 `json:"p95_us"`
	Max    float64 `json:"max_us"`
}

// GuestResult is what a run has shown of one guest.
type GuestResult struct {
	Node       int         `json:"node"`
	Set        NodePlan    `json:"set"`
	Oscillator float64     `json:"oscillator_ppm"` // its raw oscillator, over the whole run
	Clock      *float64    `json:"clock_ppm"`      // its wall clock, after settling
	Started    *float64    `json:"started_ms"`     // its wall clock from the machine's, at the start
	Ended      *float64    `json:"ended_ms"`       // the same at the end
	Samples    int         `json:"samples"`
	Loose      int         `json:"loose"` // samples left out for their wide bracket
	Bracket    [3]float64  `json:"bracket_us_median_p95_max"`
	Sent       uint64      `json:"sent_packets"`
	Received   uint64      `json:"recv_packets"`
	Passed     int         `json:"tests_passed,omitempty"`
	Skipped    int         `json:"tests_skipped,omitempty"`
	Record     GuestRecord `json:"record"`
}

// Check is a claim and whether the run bears it out.
type Check struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// passed says that all checks are.
func (r *Result) passed() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// analyse concludes from the files of a run.
func analyse(dir string) (*Result, error) {
	var order Order
	r := &Result{}
	if err := readJSON(filepath.Join(dir, fileOrder), &order); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(dir, fileBed), &r.Bed); err != nil {
		return nil, err
	}
	r.Plan, r.Within = order.Plan, order.Plan.within()
	hostWall, hostRaw, err := readLines(filepath.Join(dir, fileHost))
	if err != nil {
		return nil, err
	}
	host, err := newTruth(hostRaw, hostWall, r.Bed.Start)
	if err != nil {
		return nil, err
	}
	r.CounterHz = host.hz
	var walls []Line
	for i := range order.Plan.Nodes {
		guest, wall, err := readGuest(dir, host, r, i)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		r.Guests = append(r.Guests, *guest)
		r.Oscillator += guest.Set.PPM / float64(len(order.Plan.Nodes))
		walls = append(walls, wall)
	}
	r.judge(host, walls)
	return r, nil
}

// readLines reads a sample file.
func readLines(path string) (wall, raw Line, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	wall, raw, err = readSamples(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return wall, raw, nil
}

// readGuest reads what guest i left and measures its oscillator.
func readGuest(dir string, host *truth, r *Result, i int) (*GuestResult, Line, error) {
	home := guestDir(dir, i+1)
	g := &GuestResult{Node: i + 1, Set: r.Plan.Nodes[i]}
	if err := readJSON(filepath.Join(home, fileRecord), &g.Record); err != nil {
		return nil, nil, err
	}
	all, raw, err := readLines(filepath.Join(home, fileSamples))
	if err != nil {
		return nil, nil, err
	}
	wall := all.tight()
	widths := all.widths(host.hz)
	g.Samples, g.Loose = len(all), len(all)-len(wall)
	for k, q := range []float64{0.5, 0.95, 1} {
		g.Bracket[k] = quantile(widths, q) / 1e3
	}
	if i < len(r.Bed.Sent) && i < len(r.Bed.Received) {
		g.Sent, g.Received = r.Bed.Sent[i], r.Bed.Received[i]
	}
	if r.Plan.untilExit() {
		log, err := os.ReadFile(filepath.Join(home, fileLog))
		g.Passed, g.Skipped = bytes.Count(log, []byte("--- PASS: ")), bytes.Count(log, []byte("--- SKIP: "))
		if err != nil || len(all) < minSamples {
			return g, wall, err // perhaps over before there was anything to measure
		}
	}
	g.Oscillator, err = host.ppm(raw.tight())
	return g, wall, err
}

// judge compares the clocks at common instants and checks what was to be shown.
func (r *Result) judge(host *truth, walls []Line) {
	wanted := 0
	// A program that ends by itself has its own say on success; its clocks may have been set to any time on the way.
	if !r.Plan.untilExit() {
		r.timeline, wanted = host.timeline(walls, r.Bed.Ran)
		r.Coverage = float64(len(r.timeline)) / float64(max(wanted, 1))
	}
	if n := len(r.timeline); n > 0 {
		r.measure(n)
	}
	if at, ok := together(r.timeline, r.Within); ok {
		r.Together = new(at.Seconds())
	}
	r.check()
}

// measure takes the figures from a timeline of n instants.
func (r *Result) measure(n int) {
	first, last := r.timeline[0], r.timeline[n-1]
	from := 0
	for from < n && r.timeline[from].At < r.Plan.Settle {
		from++
	}
	judged := r.timeline[from:]
	for i := range r.Guests {
		g := &r.Guests[i]
		g.Started, g.Ended = new(first.Offsets[i]/1e6), new(last.Offsets[i]/1e6)
		if len(judged) >= minSamples {
			g.Clock = new(rate(judged, func(t Instant) float64 { return t.Offsets[i] }))
		}
	}
	if len(judged) < minSamples {
		return
	}
	spreads := make([]float64, len(judged))
	for k, t := range judged {
		spreads[k] = t.spread() / 1e3
	}
	r.Spread = &Spread{Median: quantile(spreads, 0.5), P95: quantile(spreads, 0.95), Max: quantile(spreads, 1)}
	r.LANRate = new(rate(judged, Instant.mean))
}

// check fills in the checks: of the bed, always; of the program; of what the plan asks for.
func (r *Result) check() {
	r.checkBed()
	if r.Plan.Program == programNone {
		r.checkFree()
	} else {
		r.checkPrograms()
	}
	if want := r.Plan.Within; want > 0 {
		got := "never, or not to the end"
		if r.Together != nil {
			got = fmt.Sprintf("from %.1f s on", *r.Together)
		}
		r.add("agreement", fmt.Sprintf("within %v by %v and to the end", want, r.Plan.By), got,
			r.Together != nil && *r.Together <= r.Plan.By.Seconds())
	}
	if want := r.Plan.Rate; want > 0 {
		if r.LANRate == nil {
			r.add("LAN rate", fmt.Sprintf("within %g ppm of %+.2f", want, r.Oscillator), "unknown", false)
			return
		}
		r.add("LAN rate", fmt.Sprintf("within %g ppm of %+.2f", want, r.Oscillator), fmt.Sprintf("%+.2f ppm", *r.LANRate),
			math.Abs(*r.LANRate-r.Oscillator) <= want)
	}
}

// checkBed makes sure that the bed was what it was to be: else no figure means anything.
func (r *Result) checkBed() {
	if r.Bed.Interrupted != "" || len(r.Bed.CutShort) != 0 {
		r.add("bed", "an undisturbed run", fmt.Sprintf("%s; guests cut short: %v", r.Bed.Interrupted, r.Bed.CutShort), false)
	}
	for _, g := range r.Guests {
		if g.Record.Error != "" {
			r.add(fmt.Sprintf("guest %d", g.Node), "no trouble", g.Record.Error, false)
		}
	}
	if r.Plan.untilExit() {
		return
	}
	worst := 0.0
	for _, g := range r.Guests {
		worst = max(worst, math.Abs(g.Oscillator-g.Set.PPM))
	}
	r.add("oscillators", fmt.Sprintf("as set, ±%g ppm", oscillatorTolerance),
		fmt.Sprintf("%.3f ppm off at worst", worst), worst <= oscillatorTolerance)
	r.add("coverage", fmt.Sprintf("%.0f %% of the run", wantedCoverage*100),
		fmt.Sprintf("%.1f %%", r.Coverage*100), r.Coverage >= wantedCoverage)
}

// checkFree makes sure that clocks nobody steers run as they were set.
func (r *Result) checkFree() {
	rates, offsets := 0.0, 0.0
	for _, g := range r.Guests {
		if g.Clock == nil || g.Started == nil {
			r.add("free clocks", "known", "unknown", false)
			return
		}
		rates = max(rates, math.Abs(*g.Clock-g.Set.PPM))
		offsets = max(offsets, math.Abs(*g.Started-float64(g.Set.Offset)/1e6))
	}
	r.add("free rates", fmt.Sprintf("as set, ±%g ppm", oscillatorTolerance),
		fmt.Sprintf("%.3f ppm off at worst", rates), rates <= oscillatorTolerance)
	r.add("free offsets", fmt.Sprintf("as set, ±%v", offsetTolerance),
		fmt.Sprintf("%.1f ms off at worst", offsets), offsets <= offsetTolerance.Seconds()*1e3)
}

// checkPrograms makes sure that the programs ran as long as they were to and ended well.
func (r *Result) checkPrograms() {
	for _, g := range r.Guests {
		name := fmt.Sprintf("program %d", g.Node)
		got := fmt.Sprintf("exit code %d", g.Record.Exit)
		want, ok := "exit code 0 when told to stop", !g.Record.Early && g.Record.Exit == 0 && !g.Record.Killed
		if r.Plan.Program == programExec && g.Record.Exit == exitTerminated {
			ok = !g.Record.Early // a program with no mind of its own about being stopped
		}
		if r.Plan.untilExit() {
			want, ok = "exit code 0", g.Record.Early && g.Record.Exit == 0
		} else if g.Record.Early {
			got += " before it was told to stop"
		}
		if g.Record.Killed {
			got += " by force"
		}
		r.add(name, want, got, ok)
		if r.Plan.untilExit() {
			// Tests that find nothing to do end well too.
			r.add("tests", "some passed, none skipped", fmt.Sprintf("%d passed, %d skipped", g.Passed, g.Skipped), g.Passed > 0 && g.Skipped == 0)
		}
	}
}

// add adds a check.
func (r *Result) add(name, want, got string, ok bool) {
	r.Checks = append(r.Checks, Check{Name: name, Want: want, Got: got, OK: ok})
}

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
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w,
		"node\tset ppm\toscillator\tclock ppm\tset offset\tat start ms\tat end ms\tsent\treceived\t"+
			"bracket µs med/p95/max\tloose\tkernel freq\tstatus\testerror µs\t")
	for _, g := range r.Guests {
		freq, status, estimate := "–", "–", "–"
		if t := g.Record.During; t != nil {
			freq, status, estimate = fmt.Sprintf("%+.3f", t.FreqPPM), t.words(), fmt.Sprint(t.EstError)
		}
		fmt.Fprintf(w, "%d\t%+g\t%+.3f\t%s\t%v\t%s\t%s\t%d\t%d\t%.1f/%.1f/%.1f\t%d/%d\t%s\t%s\t%s\t\n",
			g.Node, g.Set.PPM, g.Oscillator, figure(g.Clock, "%+.3f"), g.Set.Offset, figure(g.Started, "%+.3f"), figure(g.Ended, "%+.3f"),
			g.Sent, g.Received, g.Bracket[0], g.Bracket[1], g.Bracket[2], g.Loose, g.Samples, freq, status, estimate)
	}
	w.Flush()
	fmt.Fprintln(&b)
	if len(r.Guests) > 1 && !r.Plan.untilExit() {
		fmt.Fprintf(&b, "all within %v from: %s s after the start, to the end\n", r.Within, figure(r.Together, "%.1f"))
		if r.Spread != nil {
			fmt.Fprintf(&b, "disagreement after %v: median %.1f µs, p95 %.1f µs, max %.1f µs\n",
				r.Plan.Settle, r.Spread.Median, r.Spread.P95, r.Spread.Max)
		}
		fmt.Fprintf(&b, "LAN rate: %s ppm; mean of the oscillators: %+.3f ppm\n", figure(r.LANRate, "%+.3f"), r.Oscillator)
	}
	for _, c := range r.Checks {
		word := "ok  "
		if !c.OK {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s %s: want %s: %s\n", word, c.Name, c.Want, c.Got)
	}
	return b.Bytes()
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
