package sysclock

import (
	"encoding/hex"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// rawClock runs at the oscillator's rate, also through sleep (clock_gettime(3) of macOS).
	rawClock = unix.CLOCK_MONOTONIC_RAW
	// sysNtpAdjtime is SYS_ntp_adjtime of XNU (bsd/kern/syscalls.master), macOS 10.13 and later.
	sysNtpAdjtime = 527
	// sysNtpGettime is SYS_ntp_gettime of XNU (likewise).
	sysNtpGettime = 528
	// sysGethostuuid is SYS_gethostuuid of XNU (likewise).
	sysGethostuuid = 142
)

var thisKind = darwinKind

// BootID is the session id that the kernel draws at each boot (sysctl kern.bootsessionuuid).
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("boot id: kern.bootsessionuuid: %w", err)
	}
	return id, nil
}

// growError has the kernel bring its largest error up to the present, which ntp_adjtime(2) alone tells as it was last written. The call
// returns the state of the clock as its errno, which for one that is not synchronised is EIO (ntp_gettime in kern_ntptime.c).
func growError() error {
	var now [8]int64 // struct ntptimeval has 48 bytes
	_, _, errno := unix.Syscall(sysNtpGettime, uintptr(unsafe.Pointer(&now)), 0, 0)
	if errno != 0 && errno != unix.EIO {
		return explain("ntp_gettime", errno)
	}
	return nil
}

var _ Sleeper = (*bsdClock)(nil)

// Slept is the monotonic clock that goes on through sleep minus the one that does not (clock_gettime(3) of macOS:
// mach_continuous_time and mach_absolute_time).
func (c *bsdClock) Slept() (int64, error) {
	r, err := narrowest(
		func() (int64, error) { return gettime(unix.CLOCK_UPTIME_RAW) },
		func() (int64, error) { return gettime(unix.CLOCK_MONOTONIC_RAW) },
		brackets, narrowEnough)
	return r.Wall - r.Raw, err
}

// machine is the id of the hardware (gethostuuid(2)), which has one oscillator.
func machine() (id, source string, err error) {
	var uuid [16]byte
	var wait unix.Timespec // at most this long for the answer: not at all
	_, _, errno := unix.Syscall(sysGethostuuid, uintptr(unsafe.Pointer(&uuid)), uintptr(unsafe.Pointer(&wait)), 0)
	if errno != 0 {
		return "", "", fmt.Errorf("gethostuuid: %w", errno)
	}
	return hex.EncodeToString(uuid[:]), "", nil
}
