package sysclock

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelAlarm is a timer of the kernel's. Go's runtime waits for its own in whole milliseconds, so that each wakes a process twice, once
// more where it was put off, and its monitor thread as well (DESIGN.md, "What an idle node costs").
type kernelAlarm struct {
	bell
	fd    int
	file  *os.File
	count uint64 // how often it ran out, as the kernel tells
}

// OpenAlarm makes an alarm that costs as little as this system can.
func OpenAlarm() Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return TimerAlarm() // in a sandbox without
	}
	return &kernelAlarm{bell: newBell(), fd: fd, file: os.NewFile(uintptr(fd), "timer")}
}

func (a *kernelAlarm) Set(d time.Duration) error {
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))} // 0 would mean never
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(a.fd, 0, &value, nil))
}

func (a *kernelAlarm) Watch() {
	raw, err := a.file.SyscallConn()
	for err == nil {
		if err = raw.Read(a.over); err == nil {
			a.ring()
		}
	}
}

// over says whether the timer has run out. It does not wait, so the scheduler is not told of the call.
func (a *kernelAlarm) over(fd uintptr) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&a.count)), unsafe.Sizeof(a.count))
	return errno == 0
}

func (a *kernelAlarm) Close() error { return a.file.Close() }
