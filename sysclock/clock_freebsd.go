package sysclock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// rawClock is steered together with the wall clock (freebsdKind): HostClock sees the steering of whoever disciplines the host.
	rawClock = unix.CLOCK_MONOTONIC
	// sysNtpAdjtime is SYS_ntp_adjtime of FreeBSD (sys/kern/syscalls.master).
	sysNtpAdjtime = 176
)

var thisKind = freebsdKind

// BootID is the boot time that the kernel keeps (sysctl kern.boottime). Weakness: the kernel moves it when the clock is
// stepped, so it names this boot only until the next step. Read it after the first step, not before.
func BootID() (string, error) {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", fmt.Errorf("boot id: kern.boottime: %w", err)
	}
	return fmt.Sprintf("%x.%06d", tv.Sec, tv.Usec), nil
}

// growError has nothing to do: the kernel lets its largest error grow each second.
func growError() error { return nil }

// machine is the host's id (hostid(1), kept in /etc/hostid) and the time counter in use.
func machine() (id, source string, err error) {
	if id, err = unix.Sysctl("kern.hostuuid"); err != nil {
		return "", "", fmt.Errorf("kern.hostuuid: %w", err)
	}
	source, err = unix.Sysctl("kern.timecounter.hardware")
	if err != nil {
		return "", "", fmt.Errorf("kern.timecounter.hardware: %w", err)
	}
	return id, source, nil
}
