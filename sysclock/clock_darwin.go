package sysclock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// rawClock runs at the oscillator's rate, also through sleep (clock_gettime(3) of macOS).
	rawClock = unix.CLOCK_MONOTONIC_RAW
	// monoSteered: rawClock needs no rebuilding.
	monoSteered = false
	// sysNtpAdjtime is SYS_ntp_adjtime of XNU (bsd/kern/syscalls.master), macOS 10.13 and later.
	sysNtpAdjtime = 527
)

// BootID is the session id that the kernel draws at each boot (sysctl kern.bootsessionuuid).
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("boot id: kern.bootsessionuuid: %w", err)
	}
	return id, nil
}
