//go:build linux || darwin || freebsd

package daemon

import (
	"net"
	"syscall"
)

// callerOf asks the kernel who connected.
func callerOf(conn net.Conn) caller {
	who := caller{uid: nobody}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return who
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) { // of a connection that is closed already, nobody asks
		if uid, err := peerUID(int(fd)); err == nil {
			who.uid = uid
		}
	})
	return who
}
