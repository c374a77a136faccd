//go:build darwin || freebsd

package sysclock

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open returns the system clock (openBSD).
func Open() (Clock, error) { return openBSD(bsdCalls{}, thisKind) }

// bsdCalls are the system calls themselves.
type bsdCalls struct{}

// ntpAdjtime has no wrapper in golang.org/x/sys. (Apple deprecates the indirect syscall that this uses on macOS, without a replacement
// that does not need cgo.)
func (bsdCalls) ntpAdjtime(what string, tx *bsdTimex) error {
	_, _, errno := unix.Syscall(sysNtpAdjtime, uintptr(unsafe.Pointer(tx)), 0, 0)
	if errno != 0 {
		return explain("ntp_adjtime ("+what+")", errno)
	}
	return nil
}

func (bsdCalls) adjtime(us int64) error {
	tv := unix.NsecToTimeval(us * 1000)
	if err := unix.Adjtime(&tv, nil); err != nil {
		return explain("adjtime", err)
	}
	return nil
}

// pending needs no privilege on FreeBSD. On macOS a call without a new value is refused.
func (bsdCalls) pending() (int64, error) {
	var rest unix.Timeval
	if err := unix.Adjtime(nil, &rest); err != nil {
		return 0, explain("adjtime (read)", err)
	}
	return rest.Nano() / 1000, nil
}

func (bsdCalls) setTime(us int64) error {
	tv := unix.NsecToTimeval(us * 1000)
	if err := unix.Settimeofday(&tv); err != nil {
		return explain("settimeofday", err)
	}
	return nil
}

func (bsdCalls) read() (Reading, error) { return readHost(narrowEnough) }

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

// readHost pairs the system's nearest thing to a raw oscillator (rawClock) with CLOCK_REALTIME.
func readHost(enough int64) (Reading, error) {
	return narrowest(
		func() (int64, error) { return gettime(rawClock) },
		func() (int64, error) { return gettime(unix.CLOCK_REALTIME) },
		brackets, enough)
}

// gettime reads one clock in ns.
func gettime(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("clock_gettime(%d): %w", id, err)
	}
	return ts.Nano(), nil
}
