package sysclock

import (
	"bytes"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownClock refuses every Linux but a user-mode guest.
func ownClock(t *testing.T) {
	t.Helper()
	if b, err := os.ReadFile("/proc/cpuinfo"); err != nil || !bytes.Contains(b, []byte("User Mode Linux")) {
		t.Fatal("the contract writes to no Linux kernel but a user-mode guest's: refused")
	}
}

// writesReal has adjtimex write and tell as another program does.
func writesReal(t *testing.T, b *bed) {
	awake(t)
	b.settle = 100 * time.Millisecond
	b.look = func() (Reading, error) { return sharp(t), nil }
	b.write = func() error {
		_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_FREQUENCY, Freq: 65536})
		return err
	}
	b.set = func(ns int64) error {
		to := unix.NsecToTimespec(sharp(t).Wall + ns)
		return unix.ClockSettime(unix.CLOCK_REALTIME, &to)
	}
	b.told = func() (bool, int64) {
		s := adjState(t)
		return s.Status&unix.STA_UNSYNC == 0, int64(s.Maxerror) * 1000
	}
}
