package main

import (
	"fmt"
	"math"
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
	Together   *float64      `json:"together_s"`           // from when on all stayed within that; null: they did not
	First      *float64      `json:"first_poll_s"`         // when a daemon first asked for others' time; null: none did
	Came       *float64      `json:"all_came_s"`           // when the last of all daemons sent its first packet; null: one never did
	Converged  *float64      `json:"converged_s"`          // when all were first within that for five seconds; null: never
	Reached    *float64      `json:"reached_s"`            // from the first poll until then
	Spread     *Spread       `json:"spread"`               // after settling and converging
	LANRate    *float64      `json:"lan_rate_ppm"`         // of the guests that no fault kept off
	Oscillator float64       `json:"oscillators_mean_ppm"` // as they really ran after settling
	Daemons    *Daemons      `json:"daemons"`              // null: no program that sends packets
	Kernel     *KernelWord   `json:"kernel_word"`          // what the kernels said of their clocks; null: unknown
	Aftermaths []Aftermath   `json:"aftermaths,omitempty"`
	Checks     []Check       `json:"checks"`

	timeline []Instant
}

// Spread is the disagreement of the LAN, largest minus smallest clock, over the judged part of a run.
type Spread struct {
	Median float64 `json:"median_us"`
	P95    float64 `json:"p95_us"`
	P99    float64 `json:"p99_us"`
	Max    float64 `json:"max_us"`
}

// GuestResult is what a run has shown of one guest.
type GuestResult struct {
	Node       int         `json:"node"`
	Set        NodePlan    `json:"set"`
	Drawn      float64     `json:"drawn_ppm"`      // what its oscillator was to be, over the whole run
	Oscillator float64     `json:"oscillator_ppm"` // what it was
	CPU        *float64    `json:"cpu_percent"`    // of its processor, that the daemon used after settling
	RSS        *float64    `json:"rss_mb"`         // most memory that the daemon occupied
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
	e, err := readEvidence(dir)
	if err != nil {
		return nil, err
	}
	r := &Result{Plan: e.plan, Bed: e.bed, Within: e.plan.within(), CounterHz: e.host.hz}
	for i := range e.guests {
		guest, err := e.guest(i)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		r.Guests = append(r.Guests, *guest)
	}
	// A program that ends by itself has its own say on success; its clocks may have been set to any time on the way.
	if !r.Plan.untilExit() {
		wanted := 0
		r.timeline, wanted = e.host.timeline(e.walls(), e.bed.Ran)
		r.Coverage = float64(len(r.timeline)) / float64(max(wanted, 1))
		r.measure(e)
	}
	r.check()
	return r, nil
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
		worst = max(worst, math.Abs(g.Oscillator-g.Drawn))
	}
	r.add("oscillators", fmt.Sprintf("as set and drawn, ±%g ppm", oscillatorTolerance),
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
		rates = max(rates, math.Abs(*g.Clock-g.Drawn))
		offsets = max(offsets, math.Abs(*g.Started-float64(g.Set.Offset)/1e6))
	}
	r.add("free rates", fmt.Sprintf("as set and drawn, ±%g ppm", oscillatorTolerance),
		fmt.Sprintf("%.3f ppm off at worst", rates), rates <= oscillatorTolerance)
	r.add("free offsets", fmt.Sprintf("as set, ±%v", offsetTolerance),
		fmt.Sprintf("%.1f ms off at worst", offsets), offsets <= offsetTolerance.Seconds()*1e3)
}

// checkPrograms makes sure that the programs ran as long as they were to and ended well.
func (r *Result) checkPrograms() {
	for _, a := range r.Aftermaths {
		r.add(fmt.Sprintf("fault of node %d", a.Node), a.Fault, "done "+a.Error, a.Error == "")
	}
	r.checkSettings()
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
		if g.Record.Down {
			got = "down, as was asked"
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
