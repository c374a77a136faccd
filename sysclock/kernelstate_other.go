//go:build !linux && !darwin && !freebsd

package sysclock

import (
	"fmt"
	"runtime"
)

// ReadKernelState reports ErrUnsupported: this system says nothing of its clock.
func ReadKernelState() (KernelState, error) {
	return KernelState{}, fmt.Errorf("whether the clock is kept: %w (%s)", ErrUnsupported, runtime.GOOS)
}
