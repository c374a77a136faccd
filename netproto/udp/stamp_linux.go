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

// stampBatch is how many stamps are read at once: those of what is sent at once.
const stampBatch = sendBatch

// txStamper reads the error queue of the unicast socket. It works inside RawConn.Control: RawConn.Read would wait
// for the lock that the reading goroutine holds all the time, and waiting in RawConn.Write would hold up the
// next send. All it needs lives in it, so that a drain allocates nothing.
type txStamper struct {
	raw  syscall.RawConn
	in   mmsg
	oob  [stampBatch][controlSize]byte // reports carry no payload
	poll [1]unix.PollFd
	left time.Duration
	take func(r report, now int64)

	drainFn, waitFn, restartFn func(fd uintptr)
}

// start readies the stamper for a socket on which setStamping succeeded.
func (t *txStamper) start(raw syscall.RawConn) bool {
	t.raw = raw
	t.drainFn, t.waitFn, t.restartFn = t.drainFd, t.waitFd, restartFd
	t.in.begin(unix.SYS_RECVMMSG, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT, stampBatch)
	for i := range t.oob {
		t.in.set(i, nil, t.oob[i][:], 0)
	}
	return true
}

// drain hands every stamp in the error queue to take, without waiting. Left there, stamps would use up the
// receive buffer, until incoming packets are dropped.
func (t *txStamper) drain(take func(r report, now int64)) {
	t.take = take
	_ = t.raw.Control(t.drainFn) // fails only on a closed socket, which has no stamps
}

func (t *txStamper) drainFd(fd uintptr) {
	for got := stampBatch; got == stampBatch; { // fewer: that was all
		t.in.n = stampBatch
		t.in.call(fd)
		if got = t.in.n; got == 0 {
			return // EAGAIN: empty
		}
		now := wallNow()
		for i := range got {
			h := &t.in.heads[i].head
			if r, ok := parseErrqueue(hostLayout, t.oob[i][:h.Controllen]); ok {
				t.take(r, now)
			}
			h.SetControllen(controlSize)
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
