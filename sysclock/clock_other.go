//go:build !linux && !windows && !darwin && !freebsd

package sysclock

import (
	"fmt"
	"runtime"
	"time"
)

// started is the zero of the raw oscillator where only the Go runtime's monotonic clock is known.
var started = time.Now()

// Open reports ErrUnsupported: this operating system's clock is not known to the program.
func Open() (Clock, error) {
	return nil, fmt.Errorf("%w (%s); use --dry-run", ErrUnsupported, runtime.GOOS)
}

// readHost reads both scales at once: time.Now carries a wall and a monotonic reading of the same instant.
func readHost(int64) (Reading, error) {
	now := time.Now()
	return Reading{Raw: int64(now.Sub(started)), Wall: now.UnixNano()}, nil
}

// BootID reports ErrUnsupported.
func BootID() (string, error) {
	return "", fmt.Errorf("boot id: %w (%s)", ErrUnsupported, runtime.GOOS)
}

// machine reports ErrUnsupported.
func machine() (id, source string, err error) {
	return "", "", fmt.Errorf("id of the machine: %w (%s)", ErrUnsupported, runtime.GOOS)
}
