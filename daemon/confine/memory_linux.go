package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NoCoreDumps keeps this process' memory to itself: a crash leaves no file, and nobody of the same user can look into it or trace it.
// It is for before the first secret is read.
func NoCoreDumps() error {
	if err := noCores(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping the memory to itself: %w", err)
	}
	return nil
}
