package sysclock

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// winAPI is what the Windows clock needs of the system: small enough for a test to play it on any machine.
type winAPI interface {
	// adjustment returns the value in force, the nominal value (a clock at its own rate) and whether the system ignores
	// the former. Value and nominal are in the system's own units; their ratio is the rate.
	adjustment() (value, nominal uint64, disabled bool, err error)
	// setAdjustment puts value in force, or with disabled hands the clock back to the system.
	setAdjustment(value uint64, disabled bool) error
	// setTime sets the wall clock to ms since the Unix epoch.
	setTime(ms int64) error
	// read pairs performance counter and wall clock.
	read() (Reading, error)
}

// adjuster steers a clock that knows only a rate, with neither phase nor end: Windows. A phase is a turn: a faster or
// slower rate for a limited time, which a timer of this process ends. If the process is killed within a turn, the rate
// stays, at most maxSlew off, until it is started again; the service manager is asked to do that.
type adjuster struct {
	mechanism string
	api       winAPI
	after     func(time.Duration, func()) (stop func() bool) // time.AfterFunc, or a test's

	mu        sync.Mutex // the timers against the caller
	nominal   uint64     // units at the oscillator's own rate
	sign      float64    // +1: more units, faster clock; assumed until known, then as measured
	sense     sense      // what measures it
	known     bool       // it was measured
	dead      int        // how often in a row no effect was measured
	found     float64    // fractional frequency in force when opened
	frequency float64    // fractional, as last steered
	wrote     bool       // something was written: Close has to hand back
	written   uint64     // the value last put in force
	first     uint64     // the one that was found
	free      bool       // the system ignored it
	later     uint64     // the one that the end of the turn will put in force
	turn      uint64     // counts the turns, so that a late timer of an old one does nothing
	stop      func() bool
	failed    error // what a timer met: told at the next call
	findings  []string
}

// The interfaces, the newer one first.
const (
	preciseName = "SetSystemTimeAdjustmentPrecise"
	coarseName  = "SetSystemTimeAdjustment"
)

const (
	// maxTurn bounds what a killed process can leave undone, and what one call can pay: as on Linux, four seconds'
	// worth of the slew rate.
	maxTurn = 4 * time.Second
	// minTurn is below what timers on Windows can end on time; a phase so small is left to the next measurement.
	minTurn = 20 * time.Millisecond
	// maxWinSlew (fractional) is our own cap: no documentation names one.
	maxWinSlew = 500e-6
	// maxPlausibleFound (fractional): an adjustment found beyond frequency plus slew was not ours and says nothing.
	maxPlausibleFound = maxFrequency + maxWinSlew
	// firstLook is how soon after a write its sense is looked at, as long as it is not known. A rate that nothing can be told of by
	// then, below 60 ppm, does no harm until the next reading.
	firstLook = 250 * time.Millisecond
	// maxDead is how often in a row nothing may be measured of what was asked for: once may be another program's doing.
	maxDead = 2
)

var (
	_ Clock           = (*adjuster)(nil)
	_ FrequencyFinder = (*adjuster)(nil)
	_ Watcher         = (*adjuster)(nil)
	_ Finder          = (*adjuster)(nil)
	_ Shifter         = (*adjuster)(nil)
)

// winSystem is what there is of Windows before there is a clock.
type winSystem interface {
	// enable turns on the privilege to set the clock. That it succeeds does not say that the privilege is on.
	enable() error
	// enabled reads the privilege back.
	enabled() (bool, error)
	// has tells whether Windows has a procedure.
	has(procedure string) bool
	// api is the interface with values of 64 bits or, coarse, the old one.
	api(coarse bool) winAPI
}

// openAdjuster proves the right to set the clock and takes the finest interface that this Windows has. It changes nothing.
func openAdjuster(s winSystem) (*adjuster, error) {
	if err := s.enable(); err != nil {
		return nil, err
	}
	on, err := s.enabled()
	if err != nil {
		return nil, err
	}
	if !on { // enabling it succeeds all the same: ERROR_NOT_ALL_ASSIGNED
		return nil, fmt.Errorf("%w: the account lacks SeSystemtimePrivilege; run as the service or from an elevated prompt, "+
			"or use --dry-run", ErrPermission)
	}
	all := func(procedures ...string) bool {
		return !slices.ContainsFunc(procedures, func(p string) bool { return !s.has(p) })
	}
	switch {
	case !all("SetSystemTime", "QueryPerformanceCounter", "QueryPerformanceFrequency"):
		return nil, fmt.Errorf("%w: SetSystemTime or QueryPerformanceCounter is missing", ErrUnsupported)
	case all(preciseName, "GetSystemTimeAdjustmentPrecise"):
		return newAdjuster(preciseName, s.api(false))
	case all(coarseName, "GetSystemTimeAdjustment"):
		a, err := newAdjuster(coarseName, s.api(true))
		if err == nil {
			a.tell("%s is missing (Windows before 10, or wine): %s moves the rate by %.1f ppm at a time, phases are turns of it",
				preciseName, coarseName, 1e6/float64(a.nominal))
		}
		return a, err
	}
	return nil, fmt.Errorf("%w: SetSystemTimeAdjustment is missing", ErrUnsupported)
}

// newAdjuster reads the adjustment in force and changes nothing.
func newAdjuster(mechanism string, api winAPI) (*adjuster, error) {
	value, nominal, disabled, err := api.adjustment()
	if err != nil {
		return nil, err
	}
	if nominal == 0 {
		return nil, fmt.Errorf("%w: %s reports an increment of 0", ErrUnsupported, mechanism)
	}
	r, err := api.read()
	if err != nil {
		return nil, err
	}
	a := &adjuster{
		mechanism: mechanism, api: api, nominal: nominal, written: value, first: value, free: disabled, sign: 1,
		after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
	}
	if disabled {
		value = nominal
	}
	found := rateOf(value, nominal, a.sign)
	a.sense.begin(r, found)
	if math.Abs(found) <= maxPlausibleFound {
		a.found = clamp(found, maxFrequency)
	}
	return a, nil
}

// unitsFor is the value for a fractional rate, rounded to nearest.
func unitsFor(rate float64, nominal uint64, sign float64) uint64 {
	return nominal + uint64(int64(math.RoundToEven(sign*rate*float64(nominal))))
}

// rateOf is the fractional rate that a value means.
func rateOf(value, nominal uint64, sign float64) float64 {
	return sign * float64(int64(value-nominal)) / float64(nominal)
}

// plan turns a steering into a value for now, one for later and the time between: as many units beside the frequency
// as maxSlew allows, at least one, for just as long as the rounded rate needs for the phase.
func plan(s Steering, nominal uint64, sign float64) (now, later uint64, turn time.Duration) {
	later = unitsFor(s.Frequency, nominal, sign)
	if s.Phase == 0 {
		return later, later, 0
	}
	want := math.Min(s.MaxSlew, math.Abs(float64(s.Phase))/second)
	units := math.Floor(want * float64(nominal))
	if units < 1 {
		if 1/float64(nominal) > s.MaxSlew {
			return later, later, 0 // even one unit is faster than allowed
		}
		units = 1
	}
	ns := math.Abs(float64(s.Phase)) / (units / float64(nominal))
	turn = time.Duration(math.Min(ns, float64(maxTurn)))
	if turn < minTurn {
		return later, later, 0
	}
	return later + uint64(int64(math.Copysign(units, sign*float64(s.Phase)))), later, turn
}

// Read pairs the performance counter, which nothing steers, with the wall clock.
func (a *adjuster) Read() (Reading, error) {
	r, err := a.api.read()
	if err != nil {
		return r, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sense.look(r)
	return r, a.judge()
}

// judge draws the conclusion once it is clear what becomes of what was asked for. The caller holds mu.
func (a *adjuster) judge() error {
	slope, clear := a.sense.slope()
	if !clear {
		return nil
	}
	a.sense.forget()
	if ours, err := a.ours(); err != nil || !ours {
		return err // somebody else's rate was measured
	}
	if math.Abs(slope) < 0.5 {
		a.dead++
		return nil
	}
	a.dead = 0
	right, sense := math.Copysign(1, slope), "faster"
	if right < 0 {
		sense = "slower"
	}
	if !a.known || right != a.sign {
		a.tell("the sense of %s was measured: a larger value makes this clock %s", a.mechanism, sense)
	}
	a.known = true
	if right == a.sign {
		return nil
	}
	a.sign, a.later = right, 2*a.nominal-a.later
	return a.put(2*a.nominal - a.written)
}

// ours tells whether what was written last, or found, is still in force. The caller holds mu.
func (a *adjuster) ours() (bool, error) {
	value, _, disabled, err := a.api.adjustment()
	return value == a.written && !(a.wrote && disabled), err
}

// tell keeps a finding for the log. The caller holds mu, or is alone.
func (a *adjuster) tell(format string, args ...any) {
	a.findings = append(a.findings, fmt.Sprintf(format, args...))
}

// Findings are which interface had to do, in which sense it works, and that it was handed back.
func (a *adjuster) Findings() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.findings
	a.findings = nil
	return all
}

// FromHost is the identity: this is the clock that packets are stamped with.
func (a *adjuster) FromHost(stamp int64) int64 { return stamp }

// FrequencyFound is the adjustment in force when the clock was opened, 0 if there was none. A process that was killed
// within a turn left its slew in it.
func (a *adjuster) FrequencyFound() float64 { return a.found }

// Steer puts frequency and slew in force and arranges the end of the slew. It also reports what the end of the last turn met.
func (a *adjuster) Steer(s Steering) error {
	s, err := checked(s, a.Limits())
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.endTurn(); err != nil {
		return err
	}
	now, later, turn := plan(s, a.nominal, a.sign)
	a.later = later
	if err := a.put(now); err != nil {
		return err
	}
	a.frequency = s.Frequency
	mine := a.turn
	within := func(do func() error) func() {
		return func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.turn == mine {
				a.failed = do()
			}
		}
	}
	if !a.known {
		a.after(firstLook, within(a.lookAgain))
	}
	if now != later {
		a.stop = a.after(turn, within(func() error { return a.put(a.later) }))
	}
	return nil
}

// Shift writes a value that should be faster if larger is, whatever the sense turns out to be: that is for the trial to see.
func (a *adjuster) Shift(by float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if by == 0 {
		return a.api.setAdjustment(a.first, a.free)
	}
	from := a.first
	if a.free {
		from = a.nominal
	}
	return a.api.setAdjustment(from+unitsFor(by, a.nominal, 1)-a.nominal, false)
}

// lookAgain reads the clock for its sense. The caller holds mu.
func (a *adjuster) lookAgain() error {
	r, err := a.api.read()
	if err != nil {
		return err
	}
	a.sense.look(r)
	return a.judge()
}

// put puts a value in force and reads it back: a system may report success and do nothing. The caller holds mu.
func (a *adjuster) put(value uint64) error {
	if a.dead >= maxDead {
		return noEffect(a.mechanism)
	}
	ours, err := a.ours()
	if err != nil {
		return err
	}
	if err := a.api.setAdjustment(value, false); err != nil {
		return err
	}
	taken, _, disabled, err := a.api.adjustment()
	if err != nil {
		return err
	}
	a.wrote = true
	if disabled {
		return noEffect(a.mechanism)
	}
	r, err := a.api.read()
	if err != nil {
		return err
	}
	if !ours { // what went before says nothing
		a.sense.set(r)
	}
	a.written = taken
	a.sense.begin(r, rateOf(value, a.nominal, 1))
	return a.judge()
}

// noEffect says what to do about a clock that takes values and does not follow them.
func noEffect(mechanism string) error {
	return fmt.Errorf("%w: the adjustment has no effect: %s reports success, but the clock's rate stays as it is (on wine always); "+
		"end what else sets the rate (`sc stop W32Time`, a hypervisor's time synchronisation), or use --dry-run", ErrUnsupported, mechanism)
}

// Foreign compares the adjustment in force with the one last written, by Steer or by the end of its turn.
func (a *adjuster) Foreign() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.wrote {
		return "", nil
	}
	value, _, disabled, err := a.api.adjustment()
	switch {
	case err != nil:
		return "", err
	case disabled:
		return "the adjustment of the clock's rate was switched off", nil
	case value != a.written:
		return fmt.Sprintf("the clock's rate is adjusted by %+.3f ppm, was set to %+.3f ppm",
			rateOf(value, a.nominal, a.sign)*1e6, rateOf(a.written, a.nominal, a.sign)*1e6), nil
	}
	return "", nil
}

// endTurn forgets the timer of the last turn and returns what went wrong in it. The caller holds mu and writes the
// adjustment next.
func (a *adjuster) endTurn() error {
	a.turn++
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	err := a.failed
	a.failed = nil
	return err
}

// Step sets the clock to the millisecond nearest to its present time plus delta; the rest, up to half a millisecond,
// is for the next measurement to find and slew.
func (a *adjuster) Step(delta int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.endTurn()
	if err != nil {
		return err
	}
	if a.wrote {
		if err := a.put(unitsFor(a.frequency, a.nominal, a.sign)); err != nil {
			return err
		}
	}
	r, err := a.api.read()
	if err != nil {
		return err
	}
	if err := a.api.setTime(nearestMilli(r.Wall + delta)); err != nil {
		return err
	}
	if r, err = a.api.read(); err == nil {
		a.sense.set(r)
	}
	return err
}

// nearestMilli rounds ns to ms.
func nearestMilli(ns int64) int64 {
	sec, nsec := splitNs(ns)
	return sec*1000 + (nsec+500_000)/1_000_000
}

// Limits of an adjustment by rate alone.
func (a *adjuster) Limits() Limits {
	l, _ := LimitsOf("windows")
	l.Name = a.mechanism
	l.Phase = int64(math.Ceil(float64(minTurn) / float64(a.nominal)))
	return l
}

// Close ends the turn and hands the clock back to Windows, which then runs it at the oscillator's own rate: with the
// adjustment kept, Windows' own time service would find it occupied. A clock that was only read is left alone.
func (a *adjuster) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.endTurn()
	if !a.wrote {
		return err
	}
	if e := a.api.setAdjustment(a.nominal, true); e != nil {
		return e
	}
	a.wrote = false
	a.tell("the clock's rate was handed back to Windows")
	return err
}
