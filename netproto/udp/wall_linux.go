package udp

import "golang.org/x/sys/unix"

// wallNow reads the system clock, ns since the Unix epoch. time.Now reads the monotonic clock after it: where reading a clock is a system
// call, a stamp of user space would be early by that.
func wallNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return 0 // documented for a bad address and a bad clock only
	}
	return ts.Nano()
}
