package sysclock

import (
	"fmt"
	"math"
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

	mu        sync.Mutex // the timer's end of a turn against the caller
	nominal   uint64     // units at the oscillator's own rate
	sign      float64    // +1: more units, faster clock
	found     float64    // fractional frequency in force when opened
	frequency float64    // fractional, as last steered
	wrote     bool       // something was written: Close has to hand back
	written   uint64     // the value last put in force
	turn      uint64     // counts the turns, so that a late timer of an old one does nothing
	stop      func() bool
	failed    error // the end of a turn was refused: told at the next call
}

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
)

var (
	_ Clock           = (*adjuster)(nil)
	_ FrequencyFinder = (*adjuster)(nil)
	_ Watcher         = (*adjuster)(nil)
)

// newAdjuster reads the adjustment in force and changes nothing. sign is the measured sense of the interface or 0.
func newAdjuster(mechanism string, api winAPI, sign int) (*adjuster, error) {
	value, nominal, disabled, err := api.adjustment()
	if err != nil {
		return nil, err
	}
	if nominal == 0 {
		return nil, fmt.Errorf("%w: %s reports an increment of 0", ErrUnsupported, mechanism)
	}
	a := &adjuster{
		mechanism: mechanism, api: api, nominal: nominal, sign: 1,
		after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
	}
	if sign < 0 {
		a.sign = -1
	}
	if !disabled {
		a.found = rateOf(value, nominal, a.sign)
		if math.Abs(a.found) > maxPlausibleFound {
			a.found = 0
		}
		a.found = clamp(a.found, maxFrequency)
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
func (a *adjuster) Read() (Reading, error) { return a.api.read() }

// FromHost is the identity: this is the clock that packets are stamped with.
func (a *adjuster) FromHost(stamp int64) int64 { return stamp }

// FrequencyFound is the adjustment in force when the clock was opened, 0 if there was none. A process that was killed
// within a turn left its slew in it.
func (a *adjuster) FrequencyFound() float64 { return a.found }

// Steer puts frequency and slew in force and arranges the end of the slew. It also reports a refusal that the end of the
// last turn met.
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
	a.wrote = true
	if err := a.put(now); err != nil {
		return err
	}
	a.frequency = s.Frequency
	if now == later {
		return nil
	}
	mine := a.turn
	a.stop = a.after(turn, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.turn == mine {
			a.failed = a.put(later)
		}
	})
	return nil
}

// put puts a value in force. The caller holds mu.
func (a *adjuster) put(value uint64) error {
	err := a.api.setAdjustment(value, false)
	if err == nil {
		a.written = value
	}
	return err
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
	return a.api.setTime(nearestMilli(r.Wall + delta))
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
	return err
}
