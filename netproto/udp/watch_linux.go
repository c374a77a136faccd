package udp

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch is told by the kernel when interfaces or their addresses change (rtnetlink(7)), which takes no privilege. What it is told does not
// count, only that it was: listing the interfaces takes some thirty system calls and 100 kB, and asking here takes one.
type watch struct {
	fd   int
	open bool // not so in a sandbox without netlink, where something may always have changed
}

// watchRoom is the smallest receive buffer: two messages or so. More of them are lost, which is told as well.
const watchRoom = 1

// start begins to listen.
func (w *watch) start() {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchRoom),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}))
	if err != nil {
		_ = unix.Close(fd)
		return
	}
	w.fd, w.open = fd, true
}

// changed says whether anything may have changed since it was last asked.
func (w *watch) changed() bool {
	if !w.open {
		return true
	}
	for told := false; ; told = true {
		var message [1]byte // its beginning: the kernel drops the rest
		// It does not wait, so the scheduler is not told of the call, as mmsg.call does not.
		_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(w.fd), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return told
		default: // some were lost, or the socket is bad
			return true
		}
	}
}

// stop ends it.
func (w *watch) stop() {
	if w.open {
		_ = unix.Close(w.fd)
		w.open = false
	}
}
