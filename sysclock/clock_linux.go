package sysclock

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linuxClock steers CLOCK_REALTIME through adjtimex(2).
//
// The slew is the kernel's own: under STA_PLL|STA_FREQHOLD with time constant 0 it takes off a quarter of the rest each
// second, starting at the next one, and is done by itself (kernel/time/ntp.c: ntp_update_offset, second_overflow). A
// process that is killed therefore leaves a clock that runs at the last frequency and nothing else. In guests
// whose ticks came late a slew was seen to end up to 5 % short of what the kernel counted: the next measurement finds it.
type linuxClock struct {
	adjtimex func(*unix.Timex) (int, error) // the system call, or a test's kernel
	found    unix.Timex                     // state when opened
	wrote    bool                           // something was written: Close has to put back
	last     Steering                       // clamped; what a Step has to tell the kernel again
	steered  bool                           // last is valid
	lastFreq int64                          // timex units, as last written
	habit    habit
	sleep    sleep
}

var (
	_ Clock           = (*linuxClock)(nil)
	_ FrequencyFinder = (*linuxClock)(nil)
	_ Survivor        = (*linuxClock)(nil)
	_ Watcher         = (*linuxClock)(nil)
	_ RawReader       = (*linuxClock)(nil)
	_ Notifier        = (*linuxClock)(nil)
	_ Sleeper         = (*linuxClock)(nil)
	_ Shifter         = (*linuxClock)(nil)
)

const (
	// ours are the status flags that a steered clock has: the phase loop on, its influence on the frequency off.
	ours = unix.STA_PLL | unix.STA_FREQHOLD
	// settable are the flags that adjtimex takes at all; the others are its own reports (STA_RONLY in linux/timex.h).
	settable = unix.STA_PLL | unix.STA_PPSFREQ | unix.STA_PPSTIME | unix.STA_FLL | unix.STA_INS | unix.STA_DEL |
		unix.STA_UNSYNC | unix.STA_FREQHOLD
	// watched are the flags that nobody else has a reason to change. UNSYNC is not among them: the kernel sets it itself
	// when maxerror has grown to 16 s.
	watched = (settable | unix.STA_NANO) &^ unix.STA_UNSYNC
	// putBack are the flags that Close restores. Leap second flags are not among them: they were meant for one night.
	putBack = unix.STA_PLL | unix.STA_FREQHOLD | unix.STA_FLL | unix.STA_PPSFREQ | unix.STA_PPSTIME
)

// Open returns the system clock. It proves the right to set it by writing the unit flag (ADJ_NANO or ADJ_MICRO) that is
// already in force, the one write that changes nothing and that the kernel refuses without CAP_SYS_TIME. In a user
// namespace it is refused even to uid 0, whatever /proc/self/status says of capabilities.
func Open() (Clock, error) { return openLinux(adjtimex) }

func openLinux(adjtimex func(*unix.Timex) (int, error)) (Clock, error) {
	c := &linuxClock{adjtimex: adjtimex}
	if err := c.call("read", &c.found); err != nil {
		return nil, err
	}
	probe := unix.Timex{Modes: unitMode(c.found.Status)}
	if err := c.call("probe", &probe); err != nil {
		return nil, err
	}
	return c, nil
}

// unitMode is the mode bit that puts the kernel into the units that status reports.
func unitMode(status int32) uint32 {
	if status&unix.STA_NANO != 0 {
		return unix.ADJ_NANO
	}
	return unix.ADJ_MICRO
}

// Read pairs CLOCK_MONOTONIC_RAW and CLOCK_REALTIME.
func (c *linuxClock) Read() (Reading, error) {
	r, err := readHost(c.habit.enough())
	if err == nil {
		c.habit.saw(r.Width)
		c.sleep.saw(r)
	}
	return r, err
}

// ReadRaw reads CLOCK_MONOTONIC_RAW.
func (c *linuxClock) ReadRaw() (int64, error) { return gettime(unix.CLOCK_MONOTONIC_RAW) }

func readHost(enough int64) (Reading, error) {
	return narrowest(
		func() (int64, error) { return gettime(unix.CLOCK_MONOTONIC_RAW) },
		func() (int64, error) { return gettime(unix.CLOCK_REALTIME) },
		brackets, enough)
}

// gettime reads one clock in ns. On 32-bit machines the seconds end in 2038. It waits for nothing, so the scheduler is not told of it: that
// would wake Go's monitor thread each time the process comes out of idleness.
func gettime(id int32) (int64, error) {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, fmt.Errorf("clock_gettime(%d): %w", id, errno)
	}
	return ts.Nano(), nil
}

// adjtimex is adjtimex(2), of which the scheduler is not told, for the same reason.
func adjtimex(t *unix.Timex) (state int, err error) {
	r, _, errno := unix.RawSyscall(unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(t)), 0, 0)
	if errno != 0 {
		err = errno
	}
	return int(r), err
}

// FromHost is the identity: this is the clock that packets are stamped with.
func (c *linuxClock) FromHost(stamp int64) int64 { return stamp }

// FrequencyFound is the correction that was in force when the clock was opened, a tick other than nominal included.
func (c *linuxClock) FrequencyFound() float64 {
	return fractional(int64(c.found.Freq), int64(c.found.Tick))
}

// Survived looks for the state that Steer alone leaves: the phase loop with its frequency held, ns units, time constant 0 and
// the nominal tick. No other program known to us steers with STA_FREQHOLD.
func (c *linuxClock) Survived() bool {
	return c.found.Status&watched == ours|unix.STA_NANO && c.found.Constant == 0 && c.found.Tick == nominalTick
}

// Steer writes frequency, the next chunk of the phase and the clock's state in one call. The chunk is what the kernel
// can take off without exceeding MaxSlew in the first second; it replaces the rest of the last one. The first call also
// makes the tick nominal, if another program left another one, and ends a slew that adjtime(3) left running: both would
// add to what is written here.
func (c *linuxClock) Steer(s Steering) error {
	s, err := checked(s, c.Limits())
	if err != nil {
		return err
	}
	if !c.wrote {
		if err := c.endAdjtime(); err != nil {
			return err
		}
	}
	units := freqUnits(s.Frequency)
	tx := unix.Timex{
		Modes: unix.ADJ_STATUS | unix.ADJ_NANO | unix.ADJ_TIMECONST | unix.ADJ_FREQUENCY | unix.ADJ_OFFSET |
			unix.ADJ_MAXERROR | unix.ADJ_ESTERROR | unix.ADJ_TICK,
		Status: statusFor(s),
		// Constant stays 0: a quarter of the rest each second. Each further step would double the time it takes.
	}
	put(&tx.Freq, units)
	put(&tx.Offset, phaseChunk(s.Phase, s.MaxSlew))
	put(&tx.Maxerror, errorMicros(s.MaxError))
	put(&tx.Esterror, errorMicros(s.EstError))
	put(&tx.Tick, nominalTick)
	c.wrote = true
	if err := c.call("steer", &tx); err != nil {
		return err
	}
	c.last, c.steered, c.lastFreq = s, true, units
	return nil
}

// Shift writes the frequency alone, which the kernel takes whatever its status says.
func (c *linuxClock) Shift(by float64) error {
	units, err := shifted(int64(c.found.Freq), by)
	if err != nil {
		return err
	}
	tx := unix.Timex{Modes: unix.ADJ_FREQUENCY}
	put(&tx.Freq, units)
	return c.call("shift", &tx)
}

// endAdjtime cancels what remains of an adjtime(3) of another program. Reading the rest needs no privilege.
func (c *linuxClock) endAdjtime() error {
	rest := unix.Timex{Modes: unix.ADJ_OFFSET_SS_READ}
	if err := c.call("read adjtime", &rest); err != nil {
		return err
	}
	if rest.Offset == 0 {
		return nil
	}
	return c.call("end adjtime", &unix.Timex{Modes: unix.ADJ_OFFSET_SINGLESHOT})
}

// statusFor is the status word of a clock steered by s.
func statusFor(s Steering) int32 {
	if s.Synchronised {
		return ours
	}
	return ours | unix.STA_UNSYNC
}

// Step shifts the clock by delta ns. The kernel answers a step by dropping the rest of the slew, calling the clock
// unsynchronised and its error 16 s (ntp_clear in kernel/time/ntp.c); the same call therefore carries the state last
// told by Steer, which the kernel applies after the shift, so that no moment lies between.
func (c *linuxClock) Step(delta int64) error {
	tx := unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO}
	sec, nsec := splitNs(delta)
	if !put(&tx.Time.Sec, sec) {
		return fmt.Errorf("step of %d s: more than this machine's time_t holds", sec)
	}
	put(&tx.Time.Usec, nsec) // under ADJ_NANO the field holds ns
	if c.steered {
		tx.Modes |= unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR
		tx.Status = statusFor(c.last)
		put(&tx.Maxerror, errorMicros(c.last.MaxError))
		put(&tx.Esterror, errorMicros(c.last.EstError))
	}
	c.wrote = true
	return c.call("step", &tx)
}

// Limits of adjtimex.
func (c *linuxClock) Limits() Limits {
	l, _ := LimitsOf("linux")
	return l
}

// Foreign compares frequency, tick, time constant and status with what Steer wrote last.
func (c *linuxClock) Foreign() (string, error) {
	if !c.steered {
		return "", nil
	}
	var tx unix.Timex
	if err := c.call("read", &tx); err != nil {
		return "", err
	}
	var diffs []string
	if int64(tx.Freq) != c.lastFreq {
		diffs = append(diffs, fmt.Sprintf("frequency is %+.3f ppm, was set to %+.3f ppm",
			fractional(int64(tx.Freq), 0)*1e6, fractional(c.lastFreq, 0)*1e6))
	}
	if tx.Tick != nominalTick {
		diffs = append(diffs, fmt.Sprintf("tick is %d µs, was set to %d µs", tx.Tick, nominalTick))
	}
	if tx.Constant != 0 {
		diffs = append(diffs, fmt.Sprintf("time constant is %d, was set to 0", tx.Constant))
	}
	if got, want := tx.Status&watched, int32(ours|unix.STA_NANO); got != want {
		diffs = append(diffs, fmt.Sprintf("status is %#x, was set to %#x", got, want))
	}
	return strings.Join(diffs, "; "), nil
}

// Close ends the slew and puts back the units, the time constant and the loop's flags as Open found them. The frequency
// stays: it is the best known. STA_UNSYNC and maxerror stay as last told, too: the kernel lets the error grow by 500 µs
// a second from there, which is true of a clock that nobody keeps any more. A clock that was only read is left alone.
func (c *linuxClock) Close() error {
	if !c.wrote {
		return nil
	}
	// In two calls: the kernel takes an offset only while STA_PLL is set, and a time constant as it is only under
	// ADJ_NANO (in µs mode it adds 4).
	end := unix.Timex{Modes: unix.ADJ_NANO | unix.ADJ_TIMECONST | unix.ADJ_OFFSET, Constant: c.found.Constant}
	if err := c.call("end slew", &end); err != nil {
		return err
	}
	back := unix.Timex{Modes: unix.ADJ_STATUS | unitMode(c.found.Status)}
	back.Status = end.Status&settable&^putBack | c.found.Status&putBack
	if err := c.call("put back", &back); err != nil {
		return err
	}
	c.wrote, c.steered = false, false
	return nil
}

// call runs adjtimex and explains a refusal. The clock state that it returns is no error: TIME_ERROR (5) only says that
// the clock is not synchronised.
func (c *linuxClock) call(what string, tx *unix.Timex) error {
	modes := tx.Modes
	_, err := c.adjtimex(tx)
	if err == nil {
		return nil
	}
	return explain(what, modes, err)
}

// explain names a refused adjtimex, its errno and what it means.
func explain(what string, modes uint32, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("adjtimex (%s, modes %#x): %w: %w; run as root, or grant CAP_SYS_TIME "+
			"(setcap cap_sys_time+ep on the program, or AmbientCapabilities=CAP_SYS_TIME in its unit), "+
			"or use --dry-run; in a container or user namespace the kernel refuses even root",
			what, modes, ErrPermission, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("adjtimex (%s, modes %#x): %w: a value outside the kernel's range", what, modes, err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("adjtimex (%s, modes %#x): %w: %w: a kernel or sandbox without it", what, modes, ErrUnsupported, err)
	}
	return fmt.Errorf("adjtimex (%s, modes %#x): %w: not an answer that adjtimex(2) knows: look for a sandbox (seccomp) around "+
		"this program, or use --dry-run", what, modes, err)
}

// put stores v into a kernel field, whose width differs between machines, and tells whether it fitted.
func put[T ~int32 | ~int64](field *T, v int64) bool {
	*field = T(v)
	return int64(*field) == v
}

// BootID is the random id that the kernel draws at each boot (random(4): /proc/sys/kernel/random/boot_id).
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
