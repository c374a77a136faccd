package udp

import "golang.org/x/sys/unix"

// hostLayout is how this platform lays out control messages.
var hostLayout = layoutDarwin

// setStamping asks for receive stamps: of the realtime clock, in microseconds. (The finer ones count another clock.)
func setStamping(fd int) bool {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1) == nil
}
