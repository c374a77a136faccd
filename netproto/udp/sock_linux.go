package udp

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"net/netip"

	"golang.org/x/sys/unix"
)

// hostLayout is how this platform lays out control messages.
var hostLayout = map[int]layout{64: layoutLinux64, 32: layoutLinux32}[bits.UintSize]

const (
	msgTrunc = unix.MSG_TRUNC
	// rejoinOnAddress is off: Linux joins by interface index, and a membership outlives every change of address.
	rejoinOnAddress = false
	// sendControl is on: the outgoing interface travels with each packet.
	sendControl = true
)

// parseControl reads a received datagram's control messages.
func parseControl(oob []byte) control { return parseLinux(hostLayout, oob) }

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
		set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if o.v6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hopLimit)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 1)
		// Kernels before 4.20 do not know this one; there the check of the interface has to do alone.
		_ = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
	} else {
		set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		set(unix.IPPROTO_IP, unix.IP_TTL, hopLimit)
		set(unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, hopLimit)
		set(unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1)
		// Else the socket would get the groups that any other process here has joined.
		set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	}
	// Beyond the system's limit where we may, else up to it.
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	// Kernels have told since 2.6.33 what they dropped; one that does not costs a figure in the status.
	_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	if err == nil && o.stamps {
		stamps = setStamping(s, stampFlags) == nil
	}
	return stamps, err
}

// appendSendControl adds the control messages of a packet to be sent: the outgoing interface (0: the routes
// decide), the source address (the zero Addr: the system decides), and the wish for a transmit stamp.
func appendSendControl(dst []byte, v6 bool, iface int, source netip.Addr, want asking) []byte {
	switch {
	case iface == 0:
	case v6:
		var info [20]byte // struct in6_pktinfo: source, interface
		binary.NativeEndian.PutUint32(info[16:], uint32(iface))
		dst = hostLayout.append(dst, levelIPv6, linuxPktinfo6, info[:])
	default:
		var info [12]byte // struct in_pktinfo: interface, source, ignored
		binary.NativeEndian.PutUint32(info[:], uint32(iface))
		if source.Is4() {
			a := source.As4()
			copy(info[4:], a[:])
		}
		dst = hostLayout.append(dst, levelIP, linuxPktinfo, info[:])
	}
	if want != 0 {
		var bits uint32
		if want&askSent != 0 {
			bits |= unix.SOF_TIMESTAMPING_TX_SOFTWARE
		}
		if want&askQueued != 0 {
			bits |= unix.SOF_TIMESTAMPING_TX_SCHED
		}
		var flags [4]byte
		binary.NativeEndian.PutUint32(flags[:], bits)
		// The old number: the new one is refused here by some kernels that know it as an option.
		dst = hostLayout.append(dst, linuxSocket, linuxTimestamping, flags[:])
	}
	return dst
}

// bufferOf gives the size of a socket's receive buffer as the system counts it: Linux says twice what was asked.
func bufferOf(fd uintptr) (int, error) {
	return unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
}

// portTaken tells whether a bind failed because another socket has the port.
func portTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

// chooseInterface has nothing to do: see sendControl.
func (s *socket) chooseInterface(*Interface) error { return nil }
