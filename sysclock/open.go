package sysclock

import "errors"

// Every operating system's file defines, with the same signatures:
//
//	Open() (Clock, error)          the real clock, after proving the right to set it without changing anything
//	readHost(enough int64) (Reading, error)    raw oscillator and wall clock together, enough (ns) apart or less, if that
//	                               takes few tries; needs no privilege
//	BootID() (string, error)       what names this boot of the operating system
//	machine() (id, source string, err error)   see Oscillator
//
// Open returns an error wrapping ErrPermission, whose text says what to do, or one wrapping ErrUnsupported.

// FrequencyFinder is implemented by clocks that know at what frequency they ran when they were opened.
type FrequencyFinder interface {
	// FrequencyFound is the fractional correction against the raw oscillator found by Open. A servo that starts
	// from it does not jolt a clock that another run of the program left running.
	FrequencyFound() float64
}

// Watcher is implemented by clocks that can tell when somebody else writes to them.
type Watcher interface {
	// Foreign compares the operating system's clock state with what was written last. It returns "" when all is as
	// written (or nothing was written yet), else one phrase naming each difference.
	Foreign() (string, error)
}

// Finder is implemented by clocks that find out about themselves while they are used: Windows.
type Finder interface {
	// Findings are what was found out since the last call, each a line for the log: lower-case, without a full stop. The last may
	// come after Close.
	Findings() []string
}

// Survivor is implemented by clocks that can tell whether Open found them as a writer of this program leaves them when it is
// killed. The frequency found is then this program's own and the newest there is.
type Survivor interface {
	// Survived is false where nothing or somebody else wrote last, and after a clean stop of a clock that was found otherwise.
	Survived() bool
}

// RawReader is implemented by clocks whose oscillator can be read alone, at less cost than with the clock.
type RawReader interface {
	// ReadRaw returns the raw oscillator, ns, as in Reading.Raw.
	ReadRaw() (int64, error)
}

// Notifier is implemented by clocks that tell at once when they are set. Elsewhere (Windows, macOS, FreeBSD) a set clock is found
// out at the next reading.
type Notifier interface {
	// Notice begins to listen.
	Notice() (Notice, error)
}

// Notice waits for a clock to be set. Its methods may be called from different goroutines.
type Notice interface {
	// Wait returns nil when the wall clock has been set, by whomever, this program included, since the last Wait or the beginning;
	// several settings may be told as one. Also a machine that wakes from suspend sets its clock. After Close it returns an
	// error wrapping os.ErrClosed.
	Wait() error
	// Close ends Wait.
	Close() error
}

// Sleeper is implemented by clocks of systems that tell how long the machine was suspended: Linux, Windows and macOS, not
// FreeBSD. A virtual machine that was paused from outside does not know of it anywhere.
type Sleeper interface {
	// Slept is how long (ns) the machine has been suspended since it booted, to 20 ms. It is cheap enough to be called at each
	// reading, and belongs after one.
	Slept() (int64, error)
}

// Host is a source of true readings for a Virtual clock: the host's own clocks, or a simulator's time.
type Host interface {
	Read() (Reading, error)
}

// HostClock returns the clocks of this machine, for reading only. It needs no privilege and changes nothing.
func HostClock() Host { return &hostClock{} }

type hostClock struct{ habit habit }

// Read pairs the host's raw oscillator and wall clock.
func (h *hostClock) Read() (Reading, error) {
	r, err := readHost(h.habit.enough())
	if err == nil {
		h.habit.saw(r.Width)
	}
	return r, err
}

// errBadSteering refuses a Steering that no clock can obey.
var errBadSteering = errors.New("steering refused")
