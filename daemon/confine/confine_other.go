//go:build !linux

package confine

import "runtime"

// Enter gives up core dumps. Nothing else is done here: macOS' sandbox has no interface that is not deprecated, FreeBSD's capsicum would
// take away sending to addresses, and on Windows the service manager starts a service with the rights it has.
func Enter(Plan) (Report, error) {
	return Report{
		Capabilities: "those of its user", CoreDumps: runtime.GOOS == "windows",
		Lacks: []string{"capabilities, file rules and filters of system calls: they are Linux'"},
	}, NoCoreDumps()
}
