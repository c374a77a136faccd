package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// rivals asks the kernel for the names of all processes.
func rivals() ([]rival, error) {
	list, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, fmt.Errorf("looking for other time daemons: kern.proc.all: %w", err)
	}
	var all []process
	for _, k := range list {
		all = append(all, process{pid: int(k.Proc.P_pid), command: unix.ByteSliceToString(k.Proc.P_comm[:])})
	}
	return rivalsByName(all), nil
}
