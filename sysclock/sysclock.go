// Package sysclock is the only place that touches an operating system's clock.
//
// A Clock pairs two readings: the wall clock that applications see (nanoseconds since the Unix epoch) and the raw
// oscillator underneath, which nothing steers. Steer and Step move the wall clock; the raw oscillator never moves.
// Each operating system has one file; Virtual is the same Clock without an operating system, for the dry run, the
// demo, the simulator and tests.
package sysclock

import "errors"

// Reading is one look at a clock: both scales as of one instant.
type Reading struct {
	Raw   int64 // ns on the raw oscillator since an arbitrary instant; never stepped, never slewed
	Wall  int64 // ns since the Unix epoch
	Width int64 // ns: Wall was read within this span of Raw; the smaller, the better the pair
}

// Steering is everything a Clock is told in one call. It replaces whatever was asked before.
type Steering struct {
	Frequency    float64 // fractional correction against the raw oscillator (1e-6 = 1 ppm); clamped to Limits.Frequency
	Phase        int64   // ns still to be added to the wall clock, by slewing; replaces the rest of the last call
	MaxSlew      float64 // largest extra rate for Phase (5e-4 = 500 ppm); > 0
	MaxError     int64   // ns: bound on the clock's error, told to the kernel where it listens
	EstError     int64   // ns: estimated error, likewise
	Synchronised bool    // whether the kernel may be told that its clock is synchronised
}

// Clock is a clock that can be read and steered. Its methods are called from one goroutine.
type Clock interface {
	// Read pairs raw oscillator and wall clock: the tightest of several brackets.
	Read() (Reading, error)
	// FromHost maps a packet stamp of the host's CLOCK_REALTIME (ns since the Unix epoch) onto this wall clock.
	// For a real clock it is the identity.
	FromHost(stamp int64) int64
	// Steer sets frequency and the phase to slew off. The slew ends by itself even if the writer dies, as far as
	// the operating system allows (Limits.Leaves).
	Steer(Steering) error
	// Step adds delta ns to the wall clock at once and drops the rest of any slew.
	Step(delta int64) error
	Limits() Limits
	// Close leaves the clock as Limits.Leaves and the implementation's documentation say for a clean stop.
	Close() error
}

// ErrPermission says that this process may not set the clock.
var ErrPermission = errors.New("not allowed to set the clock")

// ErrUnsupported says that this operating system has no clock that this program can steer.
var ErrUnsupported = errors.New("clock cannot be steered on this operating system")
