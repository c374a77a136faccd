//go:build darwin || freebsd

package daemon

import (
	"fmt"
	"os/exec"
)

// rivals asks ps(1), which both systems have and whose answer does not change with the kernel's structures.
func rivals() ([]rival, error) {
	out, err := exec.Command("/bin/ps", "-axo", "pid=,comm=").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for other time daemons: /bin/ps: %w", err)
	}
	return rivalsByName(string(out)), nil
}
