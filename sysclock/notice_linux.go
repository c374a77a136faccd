package sysclock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// setNotice is a timer that the kernel cancels whenever CLOCK_REALTIME is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). It
// needs no privilege. A read was seen to come back within 0.3 ms of a step of 1 ns.
type setNotice struct{ timer *os.File }

// Notice listens for clock_settime, settimeofday and adjtimex with ADJ_SETOFFSET, of this program too, and for a resume. A
// frequency or a slew sets nothing.
func (c *linuxClock) Notice() (Notice, error) { return listenForSet() }

// never is an expiry (s) that does not come: on 32-bit machines the end of their time_t, and then no more than one idle wake.
const never = 1<<31 - 1

func listenForSet() (*setNotice, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	var at unix.ItimerSpec
	if !put(&at.Value.Sec, 1<<40) { // 34,000 years
		put(&at.Value.Sec, never)
	}
	err = unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &at, nil)
	if err != nil && !errors.Is(err, unix.ECANCELED) { // set while it was armed: armed it is
		return nil, errors.Join(fmt.Errorf("timerfd_settime: %w", err), unix.Close(fd))
	}
	return &setNotice{os.NewFile(uintptr(fd), "timerfd")}, nil // non-blocking, so that Close ends a read
}

// Wait returns nil when the clock was set. The kernel arms the timer again by itself.
func (n *setNotice) Wait() error {
	var expirations [8]byte
	_, err := n.timer.Read(expirations[:])
	if err == nil || errors.Is(err, unix.ECANCELED) {
		return nil
	}
	return fmt.Errorf("waiting for the clock to be set: %w", err)
}

// Close ends a Wait.
func (n *setNotice) Close() error { return n.timer.Close() }
