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
		{unix.STA_UNSYNC | unix.STA_PLL, KernelState{MaxError: 250_000}},
		{unix.STA_NANO | unix.STA_PLL, KernelState{Synchronised: true, MaxError: 250_000}}, // maxerror is in µs whatever the unit
	} {
		got, err := readKernelState(func(tx *unix.Timex) (int, error) {
			if tx.Modes != 0 {
				t.Errorf("writes %#x", tx.Modes)
			}
			tx.Status, tx.Maxerror = tt.status, 250
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
