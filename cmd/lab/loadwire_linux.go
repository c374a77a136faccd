package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire is the crowd's end of the cable: two sockets, as every node has, but for many nodes under many addresses. They are read with one
// system call for many datagrams, and waited for without Go's poller: thousands of nodes have to be cheaper than their master.
type wire struct {
	group, own int // sockets
	iface      int
	sent       uint32 // datagrams, by which the kernel names their stamps
	batch      batch
	out        outgoing
}

const (
	// batchSize is how many datagrams are read at once: enough that the call costs little, and no more than fit into a cache.
	batchSize = 64
	// datagramRoom is more than any packet of ours, and controlRoom than its control messages.
	datagramRoom, controlRoom = 1500, 256
	// wireBuffer is room for all parts of an Adjust to ten thousand, and for their Acks, while the crowd does something else.
	wireBuffer = 64 << 20
	// wireStamps are the kernel's stamps of what comes and of what goes, the latter under a number and without the datagram.
	wireStamps = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
		unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY
)

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	head unix.Msghdr
	size uint32
	_    [unsafe.Sizeof(uintptr(0)) - 4]byte // to the next one's alignment
}

// batch is room for the datagrams of one call.
type batch struct {
	messages [batchSize]message
	vectors  [batchSize]unix.Iovec
	from     [batchSize]unix.RawSockaddrInet4
	data     [batchSize][datagramRoom]byte
	control  [batchSize][controlRoom]byte
}

// outgoing is a datagram to be sent, laid out as sendmsg(2) wants it.
type outgoing struct {
	head    unix.Msghdr
	vector  unix.Iovec
	to      unix.RawSockaddrInet4
	control struct {
		head unix.Cmsghdr
		info unix.Inet4Pktinfo
		_    [4]byte
	}
}

// received is a datagram, good until the next read.
type received struct {
	data  []byte
	from  netip.AddrPort
	stamp int64 // the kernel's, ns since the Unix epoch; 0 = none
}

// openWire opens the sockets in the present network namespace.
func openWire(device string, group netip.AddrPort, port uint16) (*wire, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	w := &wire{iface: link.Index}
	w.batch.lay()
	if w.group, err = openSocket(group.Port()); err != nil {
		return nil, err
	}
	join := &unix.IPMreqn{Multiaddr: group.Addr().As4(), Ifindex: int32(link.Index)}
	if err := unix.SetsockoptIPMreqn(w.group, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, join); err != nil {
		return nil, fmt.Errorf("joining %v: %w", group.Addr(), err)
	}
	if w.own, err = openSocket(port); err != nil {
		return nil, err
	}
	w.out.lay(w.iface)
	return w, nil
}

// openSocket opens a socket on a port of every address there is.
func openSocket(port uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, wireBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, wireStamps),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}),
	)
	if err != nil {
		return 0, fmt.Errorf("socket of port %d: %w", port, errors.Join(err, unix.Close(fd)))
	}
	return fd, nil
}

func (w *wire) close() error { return errors.Join(unix.Close(w.group), unix.Close(w.own)) }

// lay ties the parts of a batch together.
func (b *batch) lay() {
	for i := range b.messages {
		b.vectors[i].Base = &b.data[i][0]
		b.vectors[i].SetLen(datagramRoom)
		h := &b.messages[i].head
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		h.Name, h.Control = (*byte)(unsafe.Pointer(&b.from[i])), &b.control[i][0]
	}
}

// read hands what waits at a socket to take, a call of the system at most.
func (w *wire) read(socket int, take func(received) error) error {
	n, err := w.batch.fill(socket, 0)
	for i := range n {
		p := received{data: w.batch.data[i][:w.batch.messages[i].size]}
		a := &w.batch.from[i]
		port := (*[2]byte)(unsafe.Pointer(&a.Port))
		p.from = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), binary.BigEndian.Uint16(port[:]))
		p.stamp, _ = w.batch.notes(i)
		err = cmp.Or(err, take(p))
	}
	return err
}

// stamps hands the stamps of what was sent to take, under the numbers that send gave.
func (w *wire) stamps(take func(number uint32, stamp int64) error) error {
	n, err := w.batch.fill(w.own, unix.MSG_ERRQUEUE)
	for i := range n {
		if stamp, number := w.batch.notes(i); stamp != 0 {
			err = cmp.Or(err, take(number, stamp))
		}
	}
	return err
}

// fill reads as many datagrams as there are and there is room for.
func (b *batch) fill(socket, flags int) (int, error) {
	for i := range b.messages {
		b.messages[i].head.Namelen = unix.SizeofSockaddrInet4
		b.messages[i].head.SetControllen(controlRoom)
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(socket), uintptr(unsafe.Pointer(&b.messages)), batchSize,
			uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, fmt.Errorf("recvmmsg: %w", errno)
		}
	}
}

// notes reads a datagram's control messages: its stamp, and the number of what was sent.
func (b *batch) notes(i int) (stamp int64, number uint32) {
	oob := b.control[i][:b.messages[i].head.Controllen]
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(oob) {
			break
		}
		value := oob[unix.SizeofCmsghdr:size]
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPING_NEW && len(value) >= 16:
			stamp = int64(binary.NativeEndian.Uint64(value))*int64(time.Second) + int64(binary.NativeEndian.Uint64(value[8:]))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_RECVERR && len(value) >= 16:
			number = binary.NativeEndian.Uint32(value[12:]) // ee_data of struct sock_extended_err
		}
		oob = oob[min(unix.CmsgSpace(len(value)), len(oob)):]
	}
	return stamp, number
}

// lay ties the parts together, for datagrams out of one interface.
func (o *outgoing) lay(iface int) {
	o.head = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&o.to)), Namelen: unix.SizeofSockaddrInet4, Iov: &o.vector,
		Control: (*byte)(unsafe.Pointer(&o.control)),
	}
	o.head.SetIovlen(1)
	o.head.SetControllen(int(unsafe.Sizeof(o.control)))
	o.to.Family = unix.AF_INET
	o.control.head = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO}
	o.control.head.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	o.control.info.Ifindex = int32(iface)
}

// send sends a datagram from one of this host's addresses, and returns the number under which its stamp will come.
func (w *wire) send(data []byte, source [4]byte, to netip.AddrPort) (number uint32, err error) {
	o := &w.out
	o.vector.Base = &data[0]
	o.vector.SetLen(len(data))
	o.to.Addr = to.Addr().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&o.to.Port))[:], to.Port())
	o.control.info.Spec_dst = source
	if _, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(w.own), uintptr(unsafe.Pointer(&o.head)), unix.MSG_DONTWAIT); errno != 0 {
		return 0, fmt.Errorf("sendmsg: %w", errno)
	}
	w.sent++
	return w.sent - 1, nil
}

// readiness is what has come.
type readiness struct{ group, own, stamps bool }

// wait waits until something has come, or for so long.
func (w *wire) wait(most time.Duration) (readiness, error) {
	fds := [2]unix.PollFd{{Fd: int32(w.group), Events: unix.POLLIN}, {Fd: int32(w.own), Events: unix.POLLIN}}
	timeout := unix.NsecToTimespec(int64(most))
	if _, err := unix.Ppoll(fds[:], &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return readiness{}, fmt.Errorf("ppoll: %w", err)
	}
	return readiness{
		group: fds[0].Revents&unix.POLLIN != 0, own: fds[1].Revents&unix.POLLIN != 0, stamps: fds[1].Revents&unix.POLLERR != 0,
	}, nil
}
