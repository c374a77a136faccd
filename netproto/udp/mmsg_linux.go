package udp

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Linux takes and gives many datagrams in one system call, recvmmsg(2) and sendmmsg(2). ReadBatch and WriteBatch of x/net do it as
// well, but make a net.UDPAddr of each sender, two allocations a packet, and cannot read the error queue without
// waiting for the reader (DESIGN.md, "Batches").

// sendBatch is how many datagrams are sent at once: what a call costs beside its packets is little then.
const sendBatch = 32

// addressSize in bytes is that of a struct sockaddr_in6; a sockaddr_in is shorter.
const addressSize = unix.SizeofSockaddrInet6

// mmsghdr is struct mmsghdr: a message and how long it was. Go pads it as C does.
type mmsghdr struct {
	head unix.Msghdr
	size uint32
}

// mmsg is a batch of messages as the two calls want it. It keeps its room from call to call.
type mmsg struct {
	heads     []mmsghdr
	parts     []unix.Iovec
	addresses [][addressSize]byte

	trap  uintptr // which of the two calls
	flags uintptr
	n     int // messages to go, and then those that went
	errno unix.Errno
	do    func(fd uintptr) bool // call, made once
}

// begin makes room for n messages, all empty.
func (m *mmsg) begin(trap, flags uintptr, n int) {
	if m.do == nil {
		m.do = m.call
	}
	if n > len(m.heads) {
		m.heads, m.parts, m.addresses = make([]mmsghdr, n), make([]unix.Iovec, n), make([][addressSize]byte, n)
	}
	m.trap, m.flags, m.n = trap, flags, n
}

// set gives message i its parts. Its address has the length given.
func (m *mmsg) set(i int, data, control []byte, address int) {
	h, part := &m.heads[i], &m.parts[i]
	part.Base = unsafe.SliceData(data)
	part.SetLen(len(data))
	h.head = unix.Msghdr{Iov: part, Control: unsafe.SliceData(control)}
	h.head.SetIovlen(1)
	h.head.SetControllen(len(control))
	if address > 0 {
		h.head.Name, h.head.Namelen = &m.addresses[i][0], uint32(address)
	}
}

// call makes the system call once. It is false where it would have to wait. The sockets are non-blocking, so the scheduler is not told of
// the call: that would wake Go's monitor thread each time that the process comes out of idleness (DESIGN.md, "What an idle node costs").
func (m *mmsg) call(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(m.trap, fd, uintptr(unsafe.Pointer(&m.heads[0])), uintptr(m.n), m.flags, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno == unix.EAGAIN && m.flags&unix.MSG_ERRQUEUE == 0 {
			return false
		}
		if m.errno = errno; errno == 0 {
			m.n = int(n)
		} else {
			m.n = 0
		}
		return true
	}
}

// result is how many messages went, and the error of the next one if that was none at all.
func (m *mmsg) result(name string) (int, error) {
	if m.errno != 0 {
		return 0, os.NewSyscallError(name, m.errno)
	}
	return m.n, nil
}

// incoming is the receiving side of a socket.
type incoming struct {
	mmsg
	control []byte
}

// traffic is what a socket moves datagrams with.
type traffic struct {
	in  incoming
	out departing
}

// arrive waits for datagrams and puts as many as are there into the buffers of the batch.
func (s *socket) arrive(batch []Packet) (int, error) {
	in := &s.in
	in.begin(unix.SYS_RECVMMSG, 0, len(batch))
	if n := controlSize * len(batch); n > len(in.control) {
		in.control = make([]byte, n)
	}
	for i := range batch {
		b := batch[i].Data
		in.set(i, b[:cap(b)], in.control[controlSize*i:controlSize*(i+1)], addressSize)
	}
	if err := s.raw.Read(in.do); err != nil {
		return 0, err
	}
	return in.result("recvmmsg")
}

// arrival is the i-th of what arrived.
func (in *incoming) arrival(i int) arrival {
	h := &in.heads[i]
	control := in.control[controlSize*i:]
	return arrival{
		size: int(h.size), cut: h.head.Flags&msgTrunc != 0, from: addressOf(&in.addresses[i]), control: control[:h.head.Controllen],
	}
}

// departing is the sending side of a socket.
type departing struct{ mmsg }

// post sends as many parcels as go in one call, in their order. It waits while the socket's buffer is full. Where not even the first
// went, the error says why.
func (s *socket) post(list []parcel) (int, error) {
	out := &s.out
	out.begin(unix.SYS_SENDMMSG, 0, len(list))
	for i := range list {
		p := &list[i]
		size, err := putAddress(&out.addresses[i], p.to, p.sent.Iface, s.p6 != nil)
		if err != nil {
			if i == 0 {
				return 0, err
			}
			out.n = i // the others first
			break
		}
		out.set(i, p.data, p.control, size)
	}
	if err := s.raw.Write(out.do); err != nil {
		return 0, err
	}
	return out.result("sendmmsg")
}

// addressOf reads a struct sockaddr_in or sockaddr_in6. Its zone is the receiver's business.
func addressOf(a *[addressSize]byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(a[2:])
	if binary.NativeEndian.Uint16(a[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:8])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(a[8:24])), port)
}

// putAddress writes one for a socket of either family, and tells its length. A link-local address needs the interface's index.
func putAddress(a *[addressSize]byte, to netip.AddrPort, iface int, v6 bool) (size int, err error) {
	addr := to.Addr()
	binary.BigEndian.PutUint16(a[2:], to.Port())
	switch {
	case v6 && addr.IsValid():
		ip := addr.As16()
		binary.NativeEndian.PutUint16(a[:], unix.AF_INET6)
		clear(a[4:8]) // no flow
		copy(a[8:], ip[:])
		binary.NativeEndian.PutUint32(a[24:], uint32(iface))
		return addressSize, nil
	case !v6 && addr.Is4():
		ip := addr.As4()
		binary.NativeEndian.PutUint16(a[:], unix.AF_INET)
		copy(a[4:], ip[:])
		return unix.SizeofSockaddrInet4, nil
	}
	return 0, unix.EAFNOSUPPORT
}
