package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Clock numbers of <linux/time.h>, which the standard library does not name.
const (
	clockRealtime     = 0
	clockMonotonicRaw = 4
)

const (
	// sampleTries is how often a clock is read for one sample; the narrowest bracket is kept. In a guest every
	// read is a detour of microseconds through the machine's kernel, and any of them may be interrupted.
	sampleTries = 8
	// skewTries is the same for the check of the counter, which is done once and must be sharp.
	skewTries = 200
	// maxSkew is what the processors' counters may differ by, beyond what the brackets leave open: below it the
	// truth is still far better than any clock that is judged by it.
	maxSkew = 500 * time.Nanosecond
)

// readPair reads a clock between two readings of the counter, several times, and keeps the narrowest. The system
// call is made raw: the scheduler must not come in between.
func readPair(clock uintptr, tries int) (Pair, error) {
	var best Pair
	var now syscall.Timespec
	for i := range tries {
		lo := rdtsc()
		_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0)
		hi := rdtsc()
		if errno != 0 {
			return Pair{}, fmt.Errorf("clock %d: %w", clock, errno)
		}
		if p := (Pair{Lo: lo, Hi: hi, NS: now.Nano()}); i == 0 || p.width() < best.width() {
			best = p
		}
	}
	return best, nil
}

// ringSize is the size of preload.c's ring: 128 readings of two counters each.
const ringSize = 128 * 16

// ring tells when the kernel below read its clocksource; see preload.c.
type ring struct{ file *os.File }

// openRing opens a guest's ring; nil where there is none, as on the machine itself.
func openRing(path string) (*ring, error) {
	if path == "" || !exists(path) {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &ring{file}, nil
}

// narrow replaces the brackets around system calls by those around the kernel's own reading of its clocksource, where
// there is exactly one of these within each; else it says false: an interrupt in between has read it too.
func (r *ring) narrow(pairs ...*Pair) (bool, error) {
	// What the guest has cached of the file is old: the machine writes it behind the guest's back.
	if err := unix.Fadvise(int(r.file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return false, fmt.Errorf("fadvise: %w", err)
	}
	var data [ringSize]byte
	if _, err := r.file.ReadAt(data[:], 0); err != nil {
		return false, err
	}
	for _, p := range pairs {
		exact, ok := withinRing(data[:], *p)
		if !ok {
			return false, nil
		}
		*p = exact
	}
	return true, nil
}

// sample is one sample of wall clock and raw oscillator, as sharp as it can be had.
func (r *ring) sample() (wall, raw Pair, err error) {
	if r == nil {
		wall, err1 := readPair(clockRealtime, sampleTries)
		raw, err2 := readPair(clockMonotonicRaw, sampleTries)
		return wall, raw, errors.Join(err1, err2)
	}
	for range sampleTries {
		wall, err1 := readPair(clockRealtime, 1)
		raw, err2 := readPair(clockMonotonicRaw, 1)
		ok, err3 := r.narrow(&wall, &raw)
		if err := errors.Join(err1, err2, err3); err != nil || ok {
			return wall, raw, err
		}
	}
	// Wide, and so left out of the figures later, but counted.
	return (*ring)(nil).sample()
}

// sampleInto writes samples of both clocks to a new file until stop is closed, a second's worth at a time, so that a
// guest that dies leaves nearly all that it saw. It spares system calls, and does without a thread of its own: to a
// guest each of them costs as much as to another machine twenty.
//
// Each second it calls also, where there is one.
func sampleInto(path, ringPath string, also func() error, stop <-chan struct{}) error {
	readings, err := openRing(ringPath)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	ticks := time.NewTicker(samplePeriod)
	defer ticks.Stop()
	for n := 1; ; n++ {
		wall, raw, err := readings.sample()
		if err := errors.Join(err, writeSample(out, wall, raw)); err != nil {
			return err
		}
		select {
		case <-stop:
			return errors.Join(out.Flush(), file.Close())
		case <-ticks.C:
		}
		if n%int(time.Second/samplePeriod) != 0 {
			continue
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if also == nil {
			continue
		}
		if err := also(); err != nil {
			return err
		}
	}
}

// counterRate measures the counter's frequency against the raw oscillator.
func counterRate() (hz float64, err error) {
	// Long enough for an error of 1e-6 at worst, which a booting guest turns into some tens of microseconds.
	const span = 2 * time.Second
	first, err1 := readPair(clockMonotonicRaw, skewTries)
	time.Sleep(span)
	last, err2 := readPair(clockMonotonicRaw, skewTries)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	return Line{first, last}.frequency()
}

// setWall sets this kernel's wall clock off from the machine's by offset, where the machine's stood at wall. It
// looks at the outcome and tries again: on a busy machine a try may have been held up on the way.
func setWall(wall Pair, hz float64, offset time.Duration) error {
	const tries, enough = 10, 100 * time.Microsecond
	wanted := func(tsc int64) int64 {
		return wall.NS + int64(float64(tsc-wall.mid())/hz*1e9) + int64(offset)
	}
	for range tries {
		tv := syscall.NsecToTimeval(wanted(rdtsc()))
		if err := syscall.Settimeofday(&tv); err != nil {
			return fmt.Errorf("settimeofday: %w", err)
		}
		now, err := readPair(clockRealtime, sampleTries)
		if err != nil {
			return err
		}
		if off := now.NS - wanted(now.mid()); max(off, -off) < int64(enough) {
			break
		}
	}
	return nil
}

// sampler runs sampleInto beside the caller; the returned function ends it and says how it went.
func sampler(path, ringPath string, also func() error) (stop func() error) {
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- sampleInto(path, ringPath, also, quit) }()
	return func() error {
		close(quit)
		return <-done
	}
}

// counterSkew compares the time stamp counters of all processors the lab may use, by the machine's raw oscillator.
// It returns the largest difference and how well that is known, both in nanoseconds.
func counterSkew() (cpus int, skew, bound float64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with this goroutine, and its narrowed affinity with it.
		runtime.LockOSThread()
		cpus, skew, bound, err = lockedSkew()
	}()
	<-done
	return cpus, skew, bound, err
}

// lockedSkew does the work of counterSkew on a thread that may be pinned.
func lockedSkew() (cpus int, skew, bound float64, err error) {
	mask, err := affinity()
	if err != nil {
		return 0, 0, 0, err
	}
	var list []int
	for cpu := range len(mask) * 64 {
		if mask[cpu/64]&(1<<(cpu%64)) != 0 {
			list = append(list, cpu)
		}
	}
	for _, cpu := range list[1:] {
		// The other one between two readings of the first: what the oscillator does meanwhile falls out.
		line, err := pairsOn(list[0], cpu, list[0])
		if err != nil {
			return 0, 0, 0, err
		}
		span := line[2].mid() - line[0].mid()
		if span <= 0 {
			return 0, 0, 0, errors.New("the time stamp counter went backwards")
		}
		perNS := float64(span) / float64(line[2].NS-line[0].NS)
		straight := float64(line[0].NS) + float64(line[1].mid()-line[0].mid())/perNS
		if d := math.Abs(float64(line[1].NS) - straight); d >= skew {
			skew = d
			bound = float64(line[1].width()+max(line[0].width(), line[2].width())) / 2 / perNS
		}
	}
	if skew > bound+float64(maxSkew) {
		err = fmt.Errorf("the processors' time stamp counters differ by %.0f ns: offsets measured by them mean nothing", skew)
	}
	return len(list), skew, bound, err
}

// pairsOn reads the raw oscillator on each of the named processors in turn.
func pairsOn(list ...int) (Line, error) {
	var line Line
	for _, cpu := range list {
		var mask cpuMask
		mask[cpu/64] = 1 << (cpu % 64)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))); errno != 0 {
			return nil, fmt.Errorf("cannot run on processor %d: %w", cpu, errno)
		}
		pair, err := readPair(clockMonotonicRaw, skewTries)
		if err != nil {
			return nil, err
		}
		line = append(line, pair)
	}
	return line, nil
}

// cpuMask is a set of processors as the kernel takes it: 1024, what glibc's cpu_set_t holds too.
type cpuMask [16]uint64

// affinity is the set of processors this thread may use.
func affinity() (cpuMask, error) {
	var mask cpuMask
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))); errno != 0 {
		return mask, fmt.Errorf("sched_getaffinity: %w", errno)
	}
	return mask, nil
}

// readTimex reads the kernel's clock discipline; it changes nothing.
func readTimex() (*Timex, error) {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	if err != nil {
		return nil, fmt.Errorf("adjtimex: %w", err)
	}
	offset := int64(t.Offset)
	if int64(t.Status)&statusNano == 0 {
		offset *= 1000
	}
	return &Timex{
		State:    state,
		Status:   int64(t.Status),
		Offset:   offset,
		FreqPPM:  float64(t.Freq) / 65536, // the kernel counts in ppm with 16 fraction bits
		MaxError: int64(t.Maxerror),
		EstError: int64(t.Esterror),
		Constant: int64(t.Constant),
		Tick:     int64(t.Tick),
	}, nil
}
