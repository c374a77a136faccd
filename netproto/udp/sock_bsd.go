//go:build darwin || freebsd

package udp

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	msgTrunc = unix.MSG_TRUNC
	// rejoinOnAddress is off: joins go by interface index.
	rejoinOnAddress = false
	// sendControl is off: FreeBSD cannot choose the interface of an IPv4 packet by control message, so both systems
	// set it on the socket.
	sendControl = false
)

// parseControl reads a received datagram's control messages.
func parseControl(oob []byte) control { return parseBSD(hostLayout, oob) }

// prepare sets the options of a socket before it is bound, so that no packet can arrive without them.
// It reports whether the kernel will stamp received packets.
func prepare(fd uintptr, o options) (stamps bool, err error) {
	s := int(fd)
	set := func(level, name, value int) {
		if err == nil {
			err = unix.SetsockoptInt(s, level, name, value)
		}
	}
	if o.shared {
		// Here SO_REUSEADDR alone lets only sockets bound to a group share a port.
		set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if o.v6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hopLimit)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 1)
	} else {
		set(unix.IPPROTO_IP, unix.IP_RECVDSTADDR, 1)
		set(unix.IPPROTO_IP, unix.IP_RECVIF, 1)
		set(unix.IPPROTO_IP, unix.IP_TTL, hopLimit)
		// These two are bytes on the BSDs; an int is refused or misread on some.
		if err == nil {
			err = unix.SetsockoptByte(s, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, hopLimit)
		}
		if err == nil {
			err = unix.SetsockoptByte(s, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1)
		}
	}
	// Refused, not cut, beyond some nine tenths of kern.ipc.maxsockbuf, which is 2 MiB on FreeBSD. The default would hold fifty packets.
	for size := receiveBuffer; size > 0 && unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, size) != nil; {
		size /= 2
	}
	if err == nil && o.stamps {
		stamps = setStamping(s)
	}
	return stamps, err
}

// appendSendControl adds nothing: see sendControl.
func appendSendControl(dst []byte, _ bool, _ int, _ netip.Addr, _ asking) []byte { return dst }

// bufferOf gives the size of a socket's receive buffer.
func bufferOf(fd uintptr) (int, error) {
	return unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
}

// portTaken tells whether a bind failed because another socket has the port.
func portTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

// truncated tells whether a reading error means that the buffer was too short; here a flag says it.
func truncated(error) bool { return false }

// chooseInterface makes i the outgoing interface of the group packets that follow.
func (s *socket) chooseInterface(i *Interface) error {
	if s.p6 != nil {
		return s.p6.SetMulticastInterface(&net.Interface{Index: i.Index, Name: i.Name})
	}
	return s.p4.SetMulticastInterface(&net.Interface{Index: i.Index, Name: i.Name})
}
