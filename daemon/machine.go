package daemon

import (
	"os"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

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

// ClockLimits are what a clock undertakes.
type ClockLimits = sysclock.Limits

// ClockOf returns what the clock of an operating system (a GOOS) undertakes, or with "virtual" that of a dry run. It is false where there
// is none that can be steered.
func ClockOf(system string) (ClockLimits, bool) { return sysclock.LimitsOf(system) }

// Clocks are the names that ClockOf knows.
func Clocks() []string { return sysclock.Systems() }

// longestName is how much of a host's name is shown: a label of DNS.
const longestName = 63

// hostName is what this host is called, for people: a label, never authority. It is empty where the system does not tell.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return label(name)
}

// label is a name as it may be shown anywhere: printable, and short.
func label(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
	for len(name) > longestName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}
