package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// wallNow reads the system clock, ns since the Unix epoch. time.Now reads the monotonic clock after it: where reading a clock is a system
// call, a stamp of user space would be early by that. The scheduler is not told of the call: see mmsg.
func wallNow() int64 {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0 // documented for a bad address and a bad clock only
	}
	return ts.Nano()
}
