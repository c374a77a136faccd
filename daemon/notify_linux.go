package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonicMark is what systemd tells this reload from an earlier one by: µs of the clock that it goes by itself.
func monotonicMark() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // which every kernel has
	return fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)
}

// writeOnce writes, or fails at once where it would have to wait: the descriptor is a non-blocking one.
func writeOnce(fd uintptr, b []byte) (int, error) { return unix.Write(int(fd), b) }
