package sysclock

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel is asked and told nothing; what it says is taken as it is.
func TestKernelState(t *testing.T) {
	for _, tt := range []struct {
		status int32
		want   KernelState
	}{
		{unix.STA_UNSYNC | unix.STA_PLL | unix.STA_INS, KernelState{MaxError: 250_000, Frequency: 2e-6, Rest: -7_000, Leap: 1}},
		{unix.STA_NANO | unix.STA_PLL | unix.STA_DEL, // maxerror is in µs whatever the unit, what is left to slew is not
			KernelState{Synchronised: true, MaxError: 250_000, Frequency: 2e-6, Rest: -7, Leap: -1}},
	} {
		got, err := readKernelState(func(tx *unix.Timex) (int, error) {
			if tx.Modes != 0 {
				t.Errorf("writes %#x", tx.Modes)
			}
			tx.Status, tx.Maxerror, tx.Freq, tx.Tick, tx.Offset = tt.status, 250, 2<<16, nominalTick, -7
			return 5, nil // TIME_ERROR is no error
		})
		if got != tt.want || err != nil {
			t.Errorf("status %#x: %+v, %v", tt.status, got, err)
		}
	}
	if _, err := readKernelState(func(*unix.Timex) (int, error) { return -1, unix.ENOSYS }); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a kernel without it: %v", err)
	}
	if s, err := ReadKernelState(); err != nil || s.MaxError < 0 {
		t.Errorf("this kernel: %+v, %v", s, err)
	}
}
