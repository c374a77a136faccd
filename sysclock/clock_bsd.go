//go:build darwin || freebsd

package sysclock

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bsdClock steers the wall clock of macOS and FreeBSD: ntp_adjtime(2) for the frequency, adjtime(2) for the phase,
// settimeofday(2) for a step. adjtime pays out what it was given, 500 µs a second (5 ms while more than a second is
// left), spread evenly, and ends by itself (ntp_update_second in kern_ntptime.c of both kernels).
type bsdClock struct {
	found  bsdTimex   // state when opened
	wrote  bool       // something was written: Close has to put back
	raw    rawRebuild // the oscillator, where it cannot be read (monoSteered)
	primed bool       // raw has a beginning

	lastFreq int64 // timex units, as last written
	steered  bool  // lastFreq is valid
}

var (
	_ Clock           = (*bsdClock)(nil)
	_ FrequencyFinder = (*bsdClock)(nil)
	_ Watcher         = (*bsdClock)(nil)
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
	modFrequency = 0x2
	modMaxerror  = 0x4
	modEsterror  = 0x8
	modStatus    = 0x10
	staPLL       = 0x1
	staUnsync    = 0x40
)

// ntpAdjtime is the system call itself: golang.org/x/sys has no wrapper. (Apple deprecates the indirect syscall that this
// uses on macOS, without a replacement that does not need cgo.)
func ntpAdjtime(what string, tx *bsdTimex) error {
	_, _, errno := unix.Syscall(sysNtpAdjtime, uintptr(unsafe.Pointer(tx)), 0, 0)
	if errno != 0 {
		return explain("ntp_adjtime ("+what+")", errno)
	}
	return nil
}

// explain names a refused call, its errno and what it means.
func explain(call string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w: %w; run as root (not in a jail), or use --dry-run", call, ErrPermission, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: %w: a value outside the kernel's range", call, err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%s: %w: %w", call, ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", call, err)
}

// Open returns the system clock. It proves the right to set it by writing back the error bound just read, which moves
// nothing.
func Open() (Clock, error) {
	c := &bsdClock{}
	if err := ntpAdjtime("read", &c.found); err != nil {
		return nil, err
	}
	probe := bsdTimex{modes: modMaxerror, maxerror: c.found.maxerror}
	if err := ntpAdjtime("probe", &probe); err != nil {
		return nil, err
	}
	c.raw.frequency = c.FrequencyFound()
	if _, err := c.Read(); err != nil {
		return nil, err
	}
	return c, nil
}

// readHost pairs the system's nearest thing to a raw oscillator (rawClock) with CLOCK_REALTIME.
func readHost() (Reading, error) {
	return narrowest(
		func() (int64, error) { return gettime(rawClock) },
		func() (int64, error) { return gettime(unix.CLOCK_REALTIME) },
		brackets, narrowEnough)
}

// gettime reads one clock in ns.
func gettime(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("clock_gettime(%d): %w", id, err)
	}
	return ts.Nano(), nil
}

// Read pairs oscillator and wall clock. Where the only monotonic clock is steered, the oscillator is rebuilt by taking
// out the frequency and what adjtime has paid; since the kernel books a second's payment at its beginning, the result
// can be early by up to one second's slew (at most 500 µs, typically a few) while a phase is being paid.
func (c *bsdClock) Read() (Reading, error) {
	r, err := readHost()
	if err != nil || !monoSteered {
		return r, err
	}
	pending, err := pendingAdjtime()
	if err != nil {
		return r, err
	}
	if !c.primed {
		c.raw.raw, c.raw.mono, c.raw.pending, c.primed = r.Raw, r.Raw, pending, true
	}
	r.Raw = c.raw.account(r.Raw, pending)
	return r, nil
}

// pendingAdjtime returns the ns that adjtime still has to pay. Reading it needs no privilege.
func pendingAdjtime() (int64, error) {
	var rest unix.Timeval
	if err := unix.Adjtime(nil, &rest); err != nil {
		return 0, explain("adjtime (read)", err)
	}
	return rest.Nano(), nil
}

// FromHost is the identity: this is the clock that packets are stamped with.
func (c *bsdClock) FromHost(stamp int64) int64 { return stamp }

// FrequencyFound is the correction that was in force when the clock was opened.
func (c *bsdClock) FrequencyFound() float64 { return fractional(int64(c.found.freq), 0) }

// Steer writes the frequency and the clock's state, then hands adjtime one second's worth of the phase, in whole µs; it
// replaces the rest of the last one.
func (c *bsdClock) Steer(s Steering) error {
	s, err := checked(s, c.Limits())
	if err != nil {
		return err
	}
	if _, err := c.Read(); err != nil { // books the time at the old frequency
		return err
	}
	tx := bsdTimex{
		modes:    modFrequency | modMaxerror | modEsterror | modStatus,
		freq:     int(freqUnits(s.Frequency)),
		maxerror: int(errorMicros(s.MaxError)),
		esterror: int(errorMicros(s.EstError)),
	}
	if !s.Synchronised {
		tx.status = staUnsync
	}
	c.wrote = true
	if err := ntpAdjtime("steer", &tx); err != nil {
		return err
	}
	c.lastFreq, c.steered = freqUnits(s.Frequency), true
	c.raw.frequency = fractional(c.lastFreq, 0)
	return c.slew(bsdChunk(s.Phase, s.MaxSlew))
}

// nearFreq (timex units, 0.001 ppm) is how far off a frequency may come back: the kernels keep it in other units.
const nearFreq = 65

// Foreign compares the frequency and the loop flag with what Steer wrote last.
func (c *bsdClock) Foreign() (string, error) {
	if !c.steered {
		return "", nil
	}
	var tx bsdTimex
	if err := ntpAdjtime("read", &tx); err != nil {
		return "", err
	}
	if off := int64(tx.freq) - c.lastFreq; off < -nearFreq || off > nearFreq {
		return fmt.Sprintf("frequency is %+.3f ppm, was set to %+.3f ppm",
			fractional(int64(tx.freq), 0)*1e6, fractional(c.lastFreq, 0)*1e6), nil
	}
	if tx.status&staPLL != 0 {
		return "another program's phase loop runs (STA_PLL)", nil
	}
	return "", nil
}

// slew hands adjtime a phase of ns, cut to whole µs, and books it.
func (c *bsdClock) slew(ns int64) error {
	tv := unix.NsecToTimeval(ns / 1000 * 1000)
	if err := unix.Adjtime(&tv, nil); err != nil {
		return explain("adjtime", err)
	}
	c.raw.pending = tv.Nano()
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
	now, err := gettime(unix.CLOCK_REALTIME)
	if err != nil {
		return err
	}
	sec, nsec := splitNs(now + delta)
	tv := unix.NsecToTimeval(sec*second + nsec/1000*1000)
	if err := unix.Settimeofday(&tv); err != nil {
		return explain("settimeofday", err)
	}
	return nil
}

// Limits of ntp_adjtime and adjtime.
func (c *bsdClock) Limits() Limits {
	l, _ := LimitsOf(runtime.GOOS)
	return l
}

// Close ends the slew and puts back the loop flag as Open found it. The frequency stays: it is the best known. A clock
// that was only read is left alone.
func (c *bsdClock) Close() error {
	if !c.wrote {
		return nil
	}
	if err := c.slew(0); err != nil {
		return err
	}
	if c.found.status&staPLL != 0 {
		var tx bsdTimex
		if err := ntpAdjtime("read", &tx); err != nil {
			return err
		}
		tx = bsdTimex{modes: modStatus, status: tx.status&staUnsync | staPLL}
		if err := ntpAdjtime("put back", &tx); err != nil {
			return err
		}
	}
	c.wrote = false
	return nil
}
