package udp

import (
	"encoding/binary"
	"net/netip"
)

// This file turns control messages (the "ancillary data" of recvmsg and sendmsg) into values and back.
// It is pure bytes, without a build tag and without system calls, so that every platform's layout is
// tested and fuzzed on every platform.

// layout says how a platform lays out control messages: a header of a length field (lenSize bytes),
// a 32-bit level and a 32-bit type; data at dataOff; the next header at the next multiple of align.
type layout struct{ lenSize, dataOff, align int }

// The layouts of the platforms meantime is built for.
var (
	layoutLinux64   = layout{lenSize: 8, dataOff: 16, align: 8}
	layoutLinux32   = layout{lenSize: 4, dataOff: 12, align: 4}
	layoutDarwin    = layout{lenSize: 4, dataOff: 12, align: 4} // darwin aligns to 4 bytes on 64-bit machines too
	layoutFreeBSD64 = layout{lenSize: 4, dataOff: 16, align: 8} // a 12-byte header, padded
	layoutWindows64 = layout{lenSize: 8, dataOff: 16, align: 8} // WSACMSGHDR: its length is a SIZE_T
	layoutWindows32 = layout{lenSize: 4, dataOff: 12, align: 4}
)

// message is one control message; data aliases the buffer that was walked.
type message struct {
	level, typ int32
	data       []byte
}

// next splits the first control message off b. It reports false at the end of b and at the first message
// whose length is impossible: what follows such a length cannot be found again.
func (l layout) next(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < l.dataOff {
		return message{}, nil, false
	}
	var size uint64
	if l.lenSize == 8 {
		size = binary.NativeEndian.Uint64(b)
	} else {
		size = uint64(binary.NativeEndian.Uint32(b))
	}
	if size < uint64(l.dataOff) || size > uint64(len(b)) {
		return message{}, nil, false
	}
	n := int(size)
	m = message{
		level: int32(binary.NativeEndian.Uint32(b[l.lenSize:])),
		typ:   int32(binary.NativeEndian.Uint32(b[l.lenSize+4:])),
		data:  b[l.dataOff:n:n],
	}
	// The last message may come without its padding.
	if end := l.aligned(n); end < len(b) {
		rest = b[end:]
	}
	return m, rest, true
}

// append adds one control message, padded, to dst.
func (l layout) append(dst []byte, level, typ int32, data []byte) []byte {
	start, size := len(dst), l.dataOff+len(data)
	for range l.aligned(size) {
		dst = append(dst, 0)
	}
	head := dst[start:]
	if l.lenSize == 8 {
		binary.NativeEndian.PutUint64(head, uint64(size))
	} else {
		binary.NativeEndian.PutUint32(head, uint32(size))
	}
	binary.NativeEndian.PutUint32(head[l.lenSize:], uint32(level))
	binary.NativeEndian.PutUint32(head[l.lenSize+4:], uint32(typ))
	copy(head[l.dataOff:], data)
	return dst
}

// aligned rounds n up to the layout's alignment.
func (l layout) aligned(n int) int { return (n + l.align - 1) &^ (l.align - 1) }

// control is what the control messages of one received datagram say.
type control struct {
	dst     netip.Addr // destination in the IP header; the zero Addr when the kernel did not say
	iface   int        // index of the interface it came in on; 0 when the kernel did not say
	stamp   int64      // kernel receive stamp, ns since the Unix epoch
	stamped bool       // stamp is set
	lost    uint32     // datagrams that the kernel has dropped at this socket so far, modulo 2^32; 0 when it did not say
}

// The numbers below are each platform's own. They stand here and not in x/sys's names because those exist
// only on their platform, and this file is tested on all of them.
const (
	levelIP   = 0
	levelIPv6 = 41

	linuxSocket          = 1  // SOL_SOCKET
	linuxPktinfo         = 8  // IP_PKTINFO
	linuxPktinfo6        = 50 // IPV6_PKTINFO
	linuxRecvErr         = 11 // IP_RECVERR
	linuxRecvErr6        = 25 // IPV6_RECVERR
	linuxLost            = 40 // SO_RXQ_OVFL
	linuxTimestamping    = 37 // SCM_TIMESTAMPING, 32-bit seconds on 32-bit machines
	linuxTimestampingNew = 65 // SCM_TIMESTAMPING_NEW, 64-bit seconds everywhere

	bsdSocket      = 0xffff // SOL_SOCKET
	bsdRecvDstAddr = 7      // IP_RECVDSTADDR
	bsdRecvIf      = 20     // IP_RECVIF
	bsdPktinfo6    = 46     // IPV6_PKTINFO
	bsdTimestamp   = 2      // SCM_TIMESTAMP: struct timeval
	bsdRealtime    = 5      // SCM_REALTIME (FreeBSD): struct timespec

	windowsPktinfo = 19 // IP_PKTINFO and IPV6_PKTINFO alike
)

// parseLinux reads the control messages of a datagram received on Linux.
func parseLinux(l layout, oob []byte) (c control) {
	for m, rest, ok := l.next(oob); ok; m, rest, ok = l.next(rest) {
		switch {
		case m.level == levelIP && m.typ == linuxPktinfo && len(m.data) >= 12:
			// struct in_pktinfo: interface, local address, address in the header.
			c.iface = int(int32(binary.NativeEndian.Uint32(m.data)))
			c.dst = netip.AddrFrom4([4]byte(m.data[8:12]))
		case m.level == levelIPv6 && m.typ == linuxPktinfo6:
			c.pktinfo6(m.data)
		case m.level == linuxSocket && (m.typ == linuxTimestamping || m.typ == linuxTimestampingNew):
			c.stamp, c.stamped = softwareStamp(m.data)
		case m.level == linuxSocket && m.typ == linuxLost && len(m.data) >= 4:
			c.lost = binary.NativeEndian.Uint32(m.data)
		}
	}
	return c
}

// report is what the kernel tells of a packet that was sent.
type report struct {
	stamp  int64  // ns since the Unix epoch
	id     uint32 // that the kernel gave the packet
	queued bool   // stamped as it came to the interface's queue, not as it was handed to the driver
}

// parseErrqueue reads the control messages of a message on Linux's socket error queue; ok is false for whatever else than a report of a
// transmit stamp may be queued there.
func parseErrqueue(l layout, oob []byte) (r report, ok bool) {
	const (
		enomsg             = 42 // "no error": marks a timestamp report
		originTimestamping = 4  // SO_EE_ORIGIN_TIMESTAMPING
		stampSent          = 0  // SCM_TSTAMP_SND: handed to the driver
		stampQueued        = 1  // SCM_TSTAMP_SCHED: came to the queue of the interface
	)
	var stamped, identified bool
	for m, rest, more := l.next(oob); more; m, rest, more = l.next(rest) {
		recvErr := m.level == levelIP && m.typ == linuxRecvErr || m.level == levelIPv6 && m.typ == linuxRecvErr6
		switch {
		case m.level == linuxSocket && (m.typ == linuxTimestamping || m.typ == linuxTimestampingNew):
			r.stamp, stamped = softwareStamp(m.data)
		case recvErr && len(m.data) >= 16:
			// struct sock_extended_err: errno, origin, type, code, pad, info, data.
			stage := binary.NativeEndian.Uint32(m.data[8:])
			identified = binary.NativeEndian.Uint32(m.data) == enomsg && m.data[4] == originTimestamping && stage <= stampQueued
			r.id, r.queued = binary.NativeEndian.Uint32(m.data[12:]), stage == stampQueued
		}
	}
	return r, stamped && identified
}

// parseBSD reads the control messages of a datagram received on macOS or FreeBSD.
func parseBSD(l layout, oob []byte) (c control) {
	for m, rest, ok := l.next(oob); ok; m, rest, ok = l.next(rest) {
		switch {
		case m.level == levelIP && m.typ == bsdRecvDstAddr && len(m.data) >= 4:
			c.dst = netip.AddrFrom4([4]byte(m.data[:4]))
		case m.level == levelIP && m.typ == bsdRecvIf && len(m.data) >= 4:
			// struct sockaddr_dl: length, family, interface.
			c.iface = int(binary.NativeEndian.Uint16(m.data[2:]))
		case m.level == levelIPv6 && m.typ == bsdPktinfo6:
			c.pktinfo6(m.data)
		case m.level == bsdSocket && m.typ == bsdRealtime:
			c.stamp, c.stamped = timespec(m.data)
		case m.level == bsdSocket && m.typ == bsdTimestamp && len(m.data) >= 12:
			// struct timeval; the microseconds are below 2^31, so their low half is all of them
			// (macOS has only that half), both systems being little-endian.
			sec := int64(binary.NativeEndian.Uint64(m.data))
			usec := int64(int32(binary.NativeEndian.Uint32(m.data[8:])))
			c.stamp, c.stamped = unixNano(sec, usec*1000)
		}
	}
	return c
}

// parseWindows reads the control messages of a datagram received on Windows.
func parseWindows(l layout, oob []byte) (c control) {
	for m, rest, ok := l.next(oob); ok; m, rest, ok = l.next(rest) {
		switch {
		case m.level == levelIP && m.typ == windowsPktinfo && len(m.data) >= 8:
			c.dst = netip.AddrFrom4([4]byte(m.data[:4]))
			c.iface = int(int32(binary.NativeEndian.Uint32(m.data[4:])))
		case m.level == levelIPv6 && m.typ == windowsPktinfo:
			c.pktinfo6(m.data)
		}
	}
	return c
}

// pktinfo6 takes destination and interface from a struct in6_pktinfo, the same on all platforms.
func (c *control) pktinfo6(b []byte) {
	if len(b) < 20 {
		return
	}
	c.dst = netip.AddrFrom16([16]byte(b[:16])).Unmap()
	c.iface = int(int32(binary.NativeEndian.Uint32(b[16:])))
}

// softwareStamp takes the software stamp, the first of three, from a struct scm_timestamping.
// It reports false when that stamp is absent, which the kernel says with zeros.
func softwareStamp(b []byte) (ns int64, ok bool) {
	switch {
	case len(b) >= 48:
		return timespec(b)
	case len(b) >= 24: // three timespecs with 32-bit members
		return unixNano(int64(int32(binary.NativeEndian.Uint32(b))), int64(int32(binary.NativeEndian.Uint32(b[4:]))))
	}
	return 0, false
}

// timespec reads a struct timespec with 64-bit members.
func timespec(b []byte) (ns int64, ok bool) {
	if len(b) < 16 {
		return 0, false
	}
	return unixNano(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:])))
}

// unixNano joins seconds and nanoseconds. It refuses what no clock shows: the epoch itself (the kernel's
// "none"), nanoseconds out of range, and seconds that do not fit int64 nanoseconds.
func unixNano(sec, nsec int64) (ns int64, ok bool) {
	const maxSeconds = 1<<63/1_000_000_000 - 1
	if sec < 0 || sec > maxSeconds || nsec < 0 || nsec >= 1_000_000_000 || sec == 0 && nsec == 0 {
		return 0, false
	}
	return sec*1_000_000_000 + nsec, true
}
