package sysclock

import "golang.org/x/sys/unix"

// sleep tells how long the machine was suspended. The kernel moves CLOCK_BOOTTIME and CLOCK_REALTIME by the same time when the
// machine wakes, and neither CLOCK_MONOTONIC nor CLOCK_MONOTONIC_RAW. So the two readings that a clock is read by anyway show
// that it may have slept, and only then is asked.
type sleep struct {
	parted int64 // ns: wall minus raw when last asked
	latest int64 // ns: wall minus raw of the last reading
	slept  int64 // ns: the last answer
	asked  bool
	boot   func() (int64, error) // CLOCK_BOOTTIME, or a test's
	mono   func() (int64, error) // CLOCK_MONOTONIC, or a test's
}

const (
	// partedEnough (ns) is what a suspend parts wall and raw by at least to be asked after. Slews do so, too, now and then.
	partedEnough = 10_000_000
	// widestSleep (ns) is a bracket too wide to judge by: the next reading asks again.
	widestSleep = 10_000_000
)

// saw takes a reading in.
func (s *sleep) saw(r Reading) { s.latest = r.Wall - r.Raw }

// Slept asks only when wall and raw have parted by 10 ms since it last did.
func (c *linuxClock) Slept() (int64, error) { return c.sleep.total() }

func (s *sleep) total() (int64, error) {
	if moved := s.latest - s.parted; s.asked && moved > -partedEnough && moved < partedEnough {
		return s.slept, nil
	}
	boot, mono := s.boot, s.mono
	if boot == nil {
		boot = func() (int64, error) { return gettime(unix.CLOCK_BOOTTIME) }
		mono = func() (int64, error) { return gettime(unix.CLOCK_MONOTONIC) }
	}
	r, err := narrowest(mono, boot, brackets, narrowEnough)
	if err != nil || s.asked && r.Width > widestSleep {
		return s.slept, err
	}
	s.parted, s.slept, s.asked = s.latest, r.Wall-r.Raw, true
	return s.slept, nil
}
