package sysclock

import "golang.org/x/sys/unix"

// ReadKernelState asks adjtimex(2), which says unsynchronised (STA_UNSYNC) from the boot on until somebody keeps the clock, and again
// once nobody has for so long that its error may have grown to 16 s.
func ReadKernelState() (KernelState, error) { return readKernelState(adjtimex) }

func readKernelState(adjtimex func(*unix.Timex) (int, error)) (KernelState, error) {
	var tx unix.Timex
	if _, err := adjtimex(&tx); err != nil {
		return KernelState{}, explain("read", 0, err)
	}
	s := KernelState{
		Synchronised: tx.Status&unix.STA_UNSYNC == 0, MaxError: int64(tx.Maxerror) * 1000,
		Frequency: fractional(int64(tx.Freq), int64(tx.Tick)), Rest: int64(tx.Offset),
		Leap: leapOf(tx.Status&unix.STA_INS != 0, tx.Status&unix.STA_DEL != 0),
	}
	if tx.Status&unix.STA_NANO == 0 {
		s.Rest *= 1000
	}
	return s, nil
}
