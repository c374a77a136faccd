package udp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stampFlags are the socket's stamping options: software receive stamps for every packet, transmit stamps only
// for packets that ask, counted by id, reported without a copy of the packet.
const stampFlags = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
	unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY

// setStamping sets the stamping options of a socket. Kernels from 5.1 on know a form with 64-bit seconds, which
// 32-bit machines need after 2038; older ones get the old form.
func setStamping(fd, flags int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, flags)
	if err == unix.ENOPROTOOPT {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags)
	}
	return err
}

// txStamper reads the error queue of the unicast socket. It works inside RawConn.Control: RawConn.Read would wait
// for the lock that the reading goroutine holds all the time, and waiting in RawConn.Write would hold up the
// next send. All it needs lives in it, so that a drain allocates next to nothing.
type txStamper struct {
	raw  syscall.RawConn
	data [1]byte // reports carry no payload
	oob  [256]byte
	poll [1]unix.PollFd
	left time.Duration
	take func(stamp int64, id uint32)

	drainFn, waitFn, restartFn func(fd uintptr)
}

// start readies the stamper for a socket on which setStamping succeeded.
func (t *txStamper) start(raw syscall.RawConn) bool {
	t.raw = raw
	t.drainFn, t.waitFn, t.restartFn = t.drainFd, t.waitFd, restartFd
	return true
}

// drain hands every stamp in the error queue to take, without waiting. Left there, stamps would use up the
// receive buffer, until incoming packets are dropped.
func (t *txStamper) drain(take func(stamp int64, id uint32)) {
	t.take = take
	_ = t.raw.Control(t.drainFn) // fails only on a closed socket, which has no stamps
}

func (t *txStamper) drainFd(fd uintptr) {
	for {
		_, n, _, _, err := unix.Recvmsg(int(fd), t.data[:], t.oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return // EAGAIN: empty
		}
		if stamp, id, ok := parseErrqueue(hostLayout, t.oob[:n]); ok {
			t.take(stamp, id)
		}
	}
}

// wait waits at most d until the error queue holds something.
func (t *txStamper) wait(d time.Duration) {
	t.left = d
	_ = t.raw.Control(t.waitFn)
}

func (t *txStamper) waitFd(fd uintptr) {
	// No event is asked for: the error queue shows as POLLERR, which poll always reports.
	t.poll[0] = unix.PollFd{Fd: int32(fd)}
	timeout := unix.NsecToTimespec(int64(t.left))
	// An interrupted wait ends early; the caller looks at the time and comes back.
	_, _ = unix.Ppoll(t.poll[:], &timeout, nil)
}

// restartIDs makes the kernel count this socket's stamped packets from 0: it does so whenever the option is
// switched on. Receive stamping stays on throughout.
func (t *txStamper) restartIDs() { _ = t.raw.Control(t.restartFn) }

func restartFd(fd uintptr) {
	_ = setStamping(int(fd), stampFlags&^unix.SOF_TIMESTAMPING_OPT_ID)
	_ = setStamping(int(fd), stampFlags)
}
