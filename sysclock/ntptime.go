package sysclock

import (
	"fmt"
	"strings"
)

// bsdAPI is what the clock of macOS and FreeBSD needs of the system: small enough for a test to play it on any machine.
type bsdAPI interface {
	// ntpAdjtime is ntp_adjtime(2); what names the call in an error.
	ntpAdjtime(what string, tx *bsdTimex) error
	// adjtime is adjtime(2): us (µs) to be slewed replaces the rest of the last call.
	adjtime(us int64) error
	// pending is the rest that adjtime(2) has still to pay, µs. Only FreeBSD tells it without replacing it.
	pending() (us int64, err error)
	// setTime is settimeofday(2), µs since the Unix epoch.
	setTime(us int64) error
	// read pairs the system's nearest thing to a raw oscillator with the wall clock.
	read() (Reading, error)
}

// bsdKind is what the two systems differ in.
type bsdKind struct {
	goos string
	// steered: what read pairs with the wall clock is steered with it. The oscillator is rebuilt, for which pending is asked.
	steered bool
	// pause (ns) is how long a write is left alone, until the kernel has taken it in.
	pause int64
}

var (
	darwinKind = bsdKind{goos: "darwin", pause: darwinPause}
	// freebsdKind: the monotonic clock is steered together with the wall clock (tc_windup in kern_tc.c adjusts the one timehand
	// that both come from); there is no other in clock_gettime(2).
	freebsdKind = bsdKind{goos: "freebsd", steered: true}
)

// darwinPause: the macOS kernel takes a new frequency and a new slew in a second after the last write, whatever it was (start_ntp_loop
// in kern_ntptime.c arms its timer anew each time). One who writes each second, as the daemon does, or more often, puts it off for
// ever. So what comes sooner is left out; it is a quarter of a second more than a second, as timers come late.
const darwinPause = second + second/4

// bsdClock steers the wall clock of macOS and FreeBSD: ntp_adjtime(2) for the frequency, adjtime(2) for the phase,
// settimeofday(2) for a step. adjtime pays out what it was given from the next second on, 500 µs a second (5 ms while more than a
// second is left), spread evenly, and ends by itself (ntp_update_second in kern_ntptime.c of both kernels).
//
// The phase loop is on, without influence on the frequency and with an offset of 0, as on Linux: the kernels pay the rest of an
// offset that another program left also when the loop is off.
type bsdClock struct {
	api    bsdAPI
	kind   bsdKind
	found  bsdTimex   // state when opened
	wrote  bool       // something was written: Close has to put back
	last   int64      // ns on the raw oscillator: when something was written
	raw    rawRebuild // the oscillator, where it cannot be read
	primed bool       // raw has a beginning

	lastFreq int64 // timex units, as last written
	lastSlew int64 // µs, as last handed to adjtime
	steered  bool  // both are valid
}

var (
	_ Clock           = (*bsdClock)(nil)
	_ FrequencyFinder = (*bsdClock)(nil)
	_ Survivor        = (*bsdClock)(nil)
	_ Watcher         = (*bsdClock)(nil)
	_ Shifter         = (*bsdClock)(nil)
)

// bsdTimex is struct timex of sys/timex.h, the same in both systems; C's long is Go's int on all of their machines.
type bsdTimex struct {
	modes     uint32
	offset    int
	freq      int // 2^-16 ppm
	maxerror  int // µs
	esterror  int // µs
	status    int32
	constant  int
	precision int
	tolerance int
	ppsfreq   int
	jitter    int
	shift     int32
	stabil    int
	jitcnt    int
	calcnt    int
	errcnt    int
	stbcnt    int
}

// From sys/timex.h.
const (
	modOffset    = 0x1
	modFrequency = 0x2
	modMaxerror  = 0x4
	modEsterror  = 0x8
	modStatus    = 0x10
	modMicro     = 0x1000
	modNano      = 0x2000

	staPLL      = 0x1
	staPPSFreq  = 0x2
	staPPSTime  = 0x4
	staFLL      = 0x8
	staIns      = 0x10
	staDel      = 0x20
	staUnsync   = 0x40
	staFreqhold = 0x80
	staNano     = 0x2000

	// bsdOurs are the flags of a clock that Steer keeps, bsdWatched those that nobody else has a reason to change and that Close
	// puts back.
	bsdOurs    = staPLL | staFreqhold
	bsdWatched = staPLL | staFreqhold | staFLL | staPPSFreq | staPPSTime
)

// openBSD proves the right to set the clock by writing the unit flag that is in force already, which changes nothing.
func openBSD(api bsdAPI, kind bsdKind) (Clock, error) {
	c := &bsdClock{api: api, kind: kind}
	if err := api.ntpAdjtime("read", &c.found); err != nil {
		return nil, err
	}
	probe := bsdTimex{modes: c.found.unit()}
	if err := api.ntpAdjtime("probe", &probe); err != nil {
		return nil, err
	}
	c.raw.frequency = c.FrequencyFound()
	if _, err := c.Read(); err != nil {
		return nil, err
	}
	return c, nil
}

// unit is the mode that puts the kernel into the units that its status reports.
func (t *bsdTimex) unit() uint32 {
	if t.status&staNano != 0 {
		return modNano
	}
	return modMicro
}

// kernelState is what the kernel says. It never calls a clock unsynchronised by itself, as Linux does once its error has grown to 16 s,
// so that is done here.
func (t *bsdTimex) kernelState() KernelState {
	s := KernelState{
		Synchronised: t.status&staUnsync == 0 && t.maxerror < maxReported, MaxError: int64(t.maxerror) * 1000,
		Frequency: fractional(int64(t.freq), 0), Rest: int64(t.offset), Leap: leapOf(t.status&staIns != 0, t.status&staDel != 0),
	}
	if t.status&staNano == 0 {
		s.Rest *= 1000
	}
	return s
}

// Read pairs oscillator and wall clock. Where the only monotonic clock is steered, the oscillator is rebuilt by taking
// out the frequency and what adjtime has paid; since the kernel books a second's payment at its beginning, the result
// can be early by up to one second's slew (at most 500 µs, typically a few) while a phase is being paid.
func (c *bsdClock) Read() (Reading, error) {
	r, err := c.api.read()
	if err != nil || !c.kind.steered {
		return r, err
	}
	us, err := c.api.pending()
	if err != nil {
		return r, err
	}
	pending := us * 1000
	if !c.primed {
		c.raw.raw, c.raw.mono, c.raw.pending, c.primed = r.Raw, r.Raw, pending, true
	}
	r.Raw = c.raw.account(r.Raw, pending)
	return r, nil
}

// FromHost is the identity: this is the clock that packets are stamped with.
func (c *bsdClock) FromHost(stamp int64) int64 { return stamp }

// FrequencyFound is the correction that was in force when the clock was opened.
func (c *bsdClock) FrequencyFound() float64 { return fractional(int64(c.found.freq), 0) }

// Survived looks for the flags that Steer alone leaves.
func (c *bsdClock) Survived() bool { return c.found.status&bsdWatched == bsdOurs }

// Steer writes the frequency and the clock's state, then hands adjtime what is to be paid of the phase next, in whole µs; it
// replaces the rest of the last one. Where a write has to be left alone for a while (bsdKind.pause), one that comes sooner does nothing.
func (c *bsdClock) Steer(s Steering) error {
	s, err := checked(s, c.Limits())
	if err != nil {
		return err
	}
	r, err := c.Read() // books the time at the old frequency
	if err != nil {
		return err
	}
	if c.kind.pause > 0 && c.wrote && r.Raw-c.last < c.kind.pause {
		return nil
	}
	tx := bsdTimex{
		modes:    modFrequency | modMaxerror | modEsterror | modStatus | modOffset,
		freq:     int(freqUnits(s.Frequency)),
		maxerror: int(errorMicros(s.MaxError)),
		esterror: int(errorMicros(s.EstError)),
		status:   bsdOurs,
	}
	if !s.Synchronised {
		tx.status |= staUnsync
	}
	c.wrote, c.last = true, r.Raw
	if err := c.api.ntpAdjtime("steer", &tx); err != nil {
		return err
	}
	c.lastFreq, c.steered = freqUnits(s.Frequency), true
	c.raw.frequency = fractional(c.lastFreq, 0)
	return c.slew(bsdChunk(s.Phase, s.MaxSlew))
}

// Shift writes the frequency alone. Where the oscillator is rebuilt out of what was written, nothing can be seen of it.
func (c *bsdClock) Shift(by float64) error {
	if c.kind.steered {
		return fmt.Errorf("%w: %s has no oscillator that is not steered with the clock, by which a change could be seen", ErrUnsupported,
			c.kind.goos)
	}
	units, err := shifted(int64(c.found.freq), by)
	if err != nil {
		return err
	}
	return c.api.ntpAdjtime("shift", &bsdTimex{modes: modFrequency, freq: int(units)})
}

// nearFreq (timex units, 0.001 ppm) is how far off a frequency may come back: the kernels keep it in other units.
const nearFreq = 65

// Foreign compares the frequency, the loop's flags and, where it can be read, the slew with what Steer wrote last.
func (c *bsdClock) Foreign() (string, error) {
	if !c.steered {
		return "", nil
	}
	var tx bsdTimex
	if err := c.api.ntpAdjtime("read", &tx); err != nil {
		return "", err
	}
	var diffs []string
	if off := int64(tx.freq) - c.lastFreq; off < -nearFreq || off > nearFreq {
		diffs = append(diffs, fmt.Sprintf("frequency is %+.3f ppm, was set to %+.3f ppm",
			fractional(int64(tx.freq), 0)*1e6, fractional(c.lastFreq, 0)*1e6))
	}
	if got := tx.status & bsdWatched; got != bsdOurs {
		diffs = append(diffs, fmt.Sprintf("status is %#x, was set to %#x", got, bsdOurs))
	}
	if c.kind.steered {
		us, err := c.api.pending()
		if err != nil {
			return "", err
		}
		if us != 0 && (us < 0 != (c.lastSlew < 0) || max(us, -us) > max(c.lastSlew, -c.lastSlew)) {
			diffs = append(diffs, fmt.Sprintf("adjtime has %d µs left to slew, was given %d µs", us, c.lastSlew))
		}
	}
	return strings.Join(diffs, "; "), nil
}

// slew hands adjtime µs to be slewed, and books them.
func (c *bsdClock) slew(us int64) error {
	if err := c.api.adjtime(us); err != nil {
		return err
	}
	c.lastSlew, c.raw.pending = us, us*1000
	return nil
}

// Step sets the clock to its present time plus delta, to the µs. The time between reading and setting (some µs, more if
// the process is preempted) is lost: the next measurement finds it. The rest of the slew is dropped first.
func (c *bsdClock) Step(delta int64) error {
	if _, err := c.Read(); err != nil {
		return err
	}
	c.wrote = true
	if err := c.slew(0); err != nil {
		return err
	}
	now, err := c.Read()
	if err != nil {
		return err
	}
	c.last = now.Raw
	sec, nsec := splitNs(now.Wall + delta)
	return c.api.setTime(sec*1_000_000 + (nsec+500)/1000)
}

// Limits of ntp_adjtime and adjtime.
func (c *bsdClock) Limits() Limits {
	l, _ := LimitsOf(c.kind.goos)
	return l
}

// Close ends the slew and puts back units and the loop's flags as Open found them. The frequency stays: it is the best known. A clock
// that was only read is left alone.
func (c *bsdClock) Close() error {
	if !c.wrote {
		return nil
	}
	if err := c.slew(0); err != nil {
		return err
	}
	var tx bsdTimex
	if err := c.api.ntpAdjtime("read", &tx); err != nil {
		return err
	}
	back := bsdTimex{modes: modStatus | c.found.unit(), status: tx.status&staUnsync | c.found.status&bsdWatched}
	if err := c.api.ntpAdjtime("put back", &back); err != nil {
		return err
	}
	c.wrote, c.steered = false, false
	return nil
}
