package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nurse notes a guest's vitals.
type nurse struct {
	file *os.File
	out  *bufio.Writer
	pid  *atomic.Int32 // of the daemon; 0 while there is none
}

// newNurse makes the vitals file.
func newNurse(path string, pid *atomic.Int32) (*nurse, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &nurse{file, bufio.NewWriter(file), pid}, nil
}

// look notes the vitals as they are now.
func (n *nurse) look() error {
	t, err := readTimex()
	if err != nil {
		return err
	}
	v := Vital{TSC: rdtsc(), Status: t.Status, FreqPPM: t.FreqPPM, MaxError: t.MaxError, EstError: t.EstError, PID: int(n.pid.Load())}
	if v.PID != 0 {
		// One that has just died has neither.
		v.CPU, v.RSS = processorTime(v.PID), memory(v.PID)
	}
	return errors.Join(v.write(n.out), n.out.Flush())
}

func (n *nurse) close() error { return n.file.Close() }

// processorTime is what a process has used of the processor, in ns. Its own clock tells; /proc counts in ticks of 10 ms, which a
// daemon that works for less than that at a time slips through.
func processorTime(pid int) int64 {
	const scheduled = 2 // CPUCLOCK_SCHED of <linux/posix-timers.h>: what the scheduler counts, of the whole process
	var t unix.Timespec
	clock := int32(^pid)<<3 | scheduled
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return t.Nano()
}

// memory is what a process occupies, in bytes.
func memory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
