package udp

import (
	"errors"
	"math/bits"
	"net"
	"net/netip"

	"golang.org/x/sys/windows"
)

// hostLayout is how this platform lays out control messages.
var hostLayout = map[int]layout{64: layoutWindows64, 32: layoutWindows32}[bits.UintSize]

const (
	msgTrunc = windows.MSG_TRUNC
	// rejoinOnAddress is on: Windows joins IPv4 groups by the interface's address.
	rejoinOnAddress = true
	// sendControl is off: the outgoing interface is set on the socket.
	sendControl = false

	soExclusiveAddrUse = ^0x4 // SO_EXCLUSIVEADDRUSE, defined as ~SO_REUSEADDR; not in x/sys
	ipMulticastTTL     = 10   // IP_MULTICAST_TTL
	ipMulticastLoop    = 11   // IP_MULTICAST_LOOP, also the number of IPV6_MULTICAST_LOOP
	ipv6MulticastHops  = 10   // IPV6_MULTICAST_HOPS
)

// parseControl reads a received datagram's control messages.
func parseControl(oob []byte) control { return parseWindows(hostLayout, oob) }

// prepare sets the options of a socket before it is bound. It reports false: there are no kernel stamps.
// That a reader must not end on an ICMP answer to some other packet (SIO_UDP_CONNRESET and _NETRESET) is set by
// package net on every UDP socket.
func prepare(fd uintptr, o options) (stamps bool, err error) {
	s := windows.Handle(fd)
	set := func(level, name, value int) {
		if err == nil {
			err = windows.SetsockoptInt(s, level, name, value)
		}
	}
	if o.shared {
		set(windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	} else {
		// Else any other process could take over the port by SO_REUSEADDR of its own.
		set(windows.SOL_SOCKET, soExclusiveAddrUse, 1)
	}
	if o.v6 {
		set(windows.IPPROTO_IPV6, windows.IPV6_PKTINFO, 1)
		set(windows.IPPROTO_IPV6, windows.IPV6_UNICAST_HOPS, hopLimit)
		set(windows.IPPROTO_IPV6, ipv6MulticastHops, hopLimit)
		set(windows.IPPROTO_IPV6, ipMulticastLoop, 1)
	} else {
		set(windows.IPPROTO_IP, windows.IP_PKTINFO, 1)
		set(windows.IPPROTO_IP, windows.IP_TTL, hopLimit)
		set(windows.IPPROTO_IP, ipMulticastTTL, hopLimit)
		// On Windows the option counts at the receiver, elsewhere at the sender: so both sockets have it.
		set(windows.IPPROTO_IP, ipMulticastLoop, 1)
	}
	set(windows.SOL_SOCKET, windows.SO_RCVBUF, receiveBuffer)
	return false, err
}

// appendSendControl adds nothing: see sendControl.
func appendSendControl(dst []byte, _ bool, _ int, _ netip.Addr, _ asking) []byte { return dst }

// bufferOf gives the size of a socket's receive buffer.
func bufferOf(fd uintptr) (int, error) {
	return windows.GetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_RCVBUF)
}

// portTaken tells whether a bind failed because another socket has the port. Windows says "access denied" when that
// socket is an exclusive one.
func portTaken(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}

// truncated tells whether a reading error means that the buffer was too short.
func truncated(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }

// chooseInterface makes i the outgoing interface of the group packets that follow. For IPv4 it is named by its
// address, which old Windows and wine understand as well.
func (s *socket) chooseInterface(i *Interface) error {
	if s.p6 != nil {
		return s.p6.SetMulticastInterface(&net.Interface{Index: i.Index, Name: i.Name})
	}
	source := i.source()
	if !source.Is4() {
		return nil // it was chosen for its IPv4 address, so this is a race with Refresh: the send will tell
	}
	var err error
	ctlErr := s.raw.Control(func(fd uintptr) {
		err = windows.SetsockoptInet4Addr(windows.Handle(fd), windows.IPPROTO_IP, windows.IP_MULTICAST_IF, source.As4())
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
