package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"meantime/daemon/control"
	"meantime/sysclock"
)

// checkRight proves the right to set the clock by the one write that changes nothing (sysclock.Open), and else finds out what is missing.
func checkRight(_ context.Context, m *Machine) []Finding {
	clock, err := m.Open()
	if err == nil {
		l := clock.Limits()
		if err = clock.Close(); err == nil {
			return []Finding{pass("%s may be called: frequency to ±%s, slew to %s", l.Name, ppm(l.Frequency), ppm(l.Slew))}
		}
	}
	switch {
	case errors.Is(err, sysclock.ErrUnsupported):
		problem, advice := told(err, "`meantime run --dry-run` works here, and moves nothing")
		return []Finding{fail(advice, "%s", problem)}
	case !errors.Is(err, sysclock.ErrPermission):
		problem, advice := told(err, "look for a sandbox around this program")
		return []Finding{fail(advice, "%s", problem)}
	case m.System == "linux":
		return []Finding{m.lacking()}
	case m.User != 0 && m.User != -1:
		return []Finding{skip("run it as root: it then sees what the service would", "user %d may not set the clock", m.User)}
	}
	problem, advice := told(err, "run it as the service or as administrator")
	return []Finding{fail(advice, "%s", problem)}
}

// capTime is CAP_SYS_TIME as a bit of a process's capabilities (capabilities(7)).
const capTime = 1 << 25

// lacking says what a process of Linux lacks that the kernel does not let set the clock.
func (m *Machine) lacking() Finding {
	if m.inUserNamespace() {
		return fail("run meantime outside of it, on the host itself; a dry run works here",
			"this is a user namespace, where the kernel lets nobody set the clock, not even root")
	}
	able := false
	for line := range strings.Lines(m.text("/proc/self/status")) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			able = err == nil && caps&capTime != 0
		}
	}
	switch {
	case able:
		return fail("look for a filter of system calls: SystemCallFilter= or ProtectClock= of a unit, seccomp of a container",
			"adjtimex is refused although the process has CAP_SYS_TIME")
	case m.User == 0:
		return fail("give it the capability (docker run --cap-add SYS_TIME), or run meantime on the host itself",
			"root without CAP_SYS_TIME, as in a container")
	}
	return skip("run `sudo meantime doctor`: it then sees what the service would", "user %d may not set the clock, as it should be", m.User)
}

// inUserNamespace says whether this process is root of a part of the users only.
func (m *Machine) inUserNamespace() bool {
	f := strings.Fields(m.text("/proc/self/uid_map"))
	return len(f) > 0 && (len(f) != 3 || f[2] != "4294967295")
}

// slowSources are the clock sources that the kernel falls back on, and what a read of them means.
var slowSources = map[string]string{
	"hpet": "a read takes 1 µs and more", "acpi_pm": "a read takes 1 µs and more", "pit": "a read takes 3 µs and more",
	"jiffies": "it counts ticks of 1 to 10 ms", "refined-jiffies": "it counts ticks of 1 to 10 ms",
}

const sources = "/sys/devices/system/clocksource/clocksource0/"

// checkSource looks at what the kernel counts.
func checkSource(_ context.Context, m *Machine) []Finding {
	source := m.text(sources + "current_clocksource")
	if source == "" {
		return []Finding{skip("", "the kernel does not say what it counts")}
	}
	why, slow := slowSources[source]
	if !slow {
		return []Finding{pass("%s", source)}
	}
	advice := "`dmesg | grep -i -e tsc -e clocksource` says why it is not tsc; a newer BIOS helps, or a hypervisor that offers a clock"
	if slices.Contains(strings.Fields(m.text(sources+"available_clocksource")), "tsc") {
		advice = "tsc is there: start the kernel with clocksource=tsc, if `dmesg | grep -i tsc` does not call it unstable"
	}
	return []Finding{warn(advice, "%s: %s", source, why)}
}

const (
	// readings are enough to see what a usual one is like.
	readings = 200
	// wide (ns): half of it is in each measurement, and a LAN's exchange resolves some 10 µs.
	wide = 10_000
)

// checkReading looks at how near to each other the raw oscillator and the clock can be read.
func checkReading(_ context.Context, m *Machine) []Finding {
	var widths []int64
	var last sysclock.Reading
	for range readings {
		r, err := m.Clock.Read()
		if err != nil {
			problem, advice := told(err, "look for a sandbox around this program")
			return []Finding{fail(advice, "%s", problem)}
		}
		if r.Raw < last.Raw {
			return []Finding{fail("take another clock source, or another kernel", "the raw oscillator ran backwards by %v",
				time.Duration(last.Raw-r.Raw))}
		}
		last = r
		widths = append(widths, r.Width)
	}
	slices.Sort(widths)
	usual, worst := time.Duration(widths[readings/2]), time.Duration(widths[readings-1])
	text := fmt.Sprintf("raw oscillator and clock are read within %v, %v at worst", usual, worst)
	if usual > wide {
		return []Finding{warn("a faster clock source helps, and a hypervisor that gives its guests one", "%s", text)}
	}
	return []Finding{pass("%s", text)}
}

// farOff (fractional) is a correction that no oscillator of a computer in order needs.
const farOff = 300e-6

// checkKernel looks at what the kernel has been told of its clock, by whomever.
func checkKernel(ctx context.Context, m *Machine) []Finding {
	s, err := m.Kernel()
	if err != nil {
		problem, advice := told(err, "")
		return []Finding{skip(advice, "%s", problem)}
	}
	text := fmt.Sprintf("not synchronised, runs at %s", signedPPM(s.Frequency))
	if s.Synchronised {
		text = fmt.Sprintf("synchronised, off by %v at most, runs at %s", time.Duration(s.MaxError), signedPPM(s.Frequency))
	}
	list := []Finding{pass("%s", text)}
	_, absent := m.daemon(ctx)
	rivals, err := m.Rivals()
	switch nobody := errors.Is(absent, control.ErrNoDaemon) && err == nil && len(rivals) == 0; {
	case math.Abs(s.Frequency) > farOff:
		list[0] = warn("no oscillator in order needs that: restart the machine, or set it back with `adjtimex --frequency 0 --tick 10000`",
			"%s", text)
	case s.Synchronised && nobody:
		list[0] = warn("find out who: a container's host, a guest tool, a daemon under another name",
			"%s: somebody keeps it who is not seen here", text)
	}
	if s.Leap != 0 {
		list = append(list, warn("LAN time has no leap seconds: end the program that has announced it", "the kernel will jump by %+d s at the "+
			"end of the day (UTC)", -s.Leap))
	}
	return list
}

// ppm shows a fraction as parts per million.
func ppm(fraction float64) string { return strconv.FormatFloat(fraction*1e6, 'g', 6, 64) + " ppm" }

// signedPPM shows a frequency.
func signedPPM(fraction float64) string { return fmt.Sprintf("%+.3f ppm", fraction*1e6) }
