package udp

import "golang.org/x/sys/unix"

// hostLayout is how this platform lays out control messages (on 64-bit machines; 32-bit ones are not built for).
var hostLayout = layoutFreeBSD64

// setStamping asks for receive stamps of the realtime clock, in nanoseconds where the system has them (from 12 on),
// else in microseconds.
func setStamping(fd int) bool {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1) != nil {
		return false
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TS_CLOCK, unix.SO_TS_REALTIME)
	return true
}
