package sysclock

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	procInterrupt = kernelbase.NewProc("QueryInterruptTime")
	procUnbiased  = kernel32.NewProc("QueryUnbiasedInterruptTime")
)

var _ Sleeper = (*adjuster)(nil)

// Slept is the interrupt time with sleep minus the one without. Both move with the clock's tick, so their difference may be off
// by one tick (15.6 ms at most).
func (a *adjuster) Slept() (int64, error) {
	if err := procUnbiased.Find(); err != nil {
		return 0, nil // before Windows 7: not known
	}
	var without uint64 // 100 ns
	if err := done("QueryUnbiasedInterruptTime", procUnbiased, uintptr(unsafe.Pointer(&without))); err != nil {
		return 0, err
	}
	with := int64(windows.DurationSinceBoot())
	if procInterrupt.Find() == nil { // Windows 10
		var now uint64                                              // 100 ns
		_, _, _ = procInterrupt.Call(uintptr(unsafe.Pointer(&now))) // returns nothing
		with = int64(now * 100)
	}
	return with - int64(without*100), nil
}
