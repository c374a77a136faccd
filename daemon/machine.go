package daemon

import (
	"runtime"

	"meantime/configs"
	"meantime/sysclock"
)

// Machine is what this host's clock can do, for whoever checks a configuration. A system whose clock cannot be steered at all sets no
// limit: there a configuration is for a dry run, or is refused when it is run.
func Machine() configs.Machine { return machineOf(runtime.GOOS) }

func machineOf(goos string) configs.Machine {
	l, _ := sysclock.LimitsOf(goos)
	return configs.Machine{Clock: l.Name, Slew: configs.Rate(l.Slew)}
}
