package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// rivals asks the kernel for the names of all processes. A jail hides the host's.
func rivals() ([]rival, error) {
	list, err := unix.SysctlRaw("kern.proc.proc")
	if err != nil {
		return nil, fmt.Errorf("looking for other time daemons: kern.proc.proc: %w", err)
	}
	all, err := processesOfKinfo(list)
	if err != nil {
		return nil, fmt.Errorf("looking for other time daemons: %w", err)
	}
	return rivalsByName(all), nil
}
