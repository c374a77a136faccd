package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"meantime/netproto"
)

// filter gives the socket its filter, in place of one that it has. It needs no privilege.
func (s *socket) filter(f netproto.Frame) error {
	program, err := filterOf(f)
	if err != nil {
		return err
	}
	// A bpf.RawInstruction is laid out as the kernel's struct sock_filter.
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	ctlErr := s.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog)
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
