//go:build unix

package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noCores lets no crash write the memory to a file.
func noCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("giving up core dumps: %w", err)
	}
	return nil
}

// TightFiles lets this process make files for its user alone, whatever it was started with.
func TightFiles() { unix.Umask(0o077) }
