package main

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon"
	"meantime/sysclock"
)

// clockTitles are what people call the systems.
var clockTitles = map[string]string{
	"linux": "Linux", "windows": "Windows", "darwin": "macOS", "freebsd": "FreeBSD", "virtual": "dry run",
}

// clockLines are what is said of a clock, in order; README's table has the same.
var clockLines = []struct {
	name string
	say  func(daemon.ClockLimits) string
}{
	{"mechanism", func(l daemon.ClockLimits) string { return l.Name }},
	{"raw oscillator", func(l daemon.ClockLimits) string { return l.Oscillator }},
	{"needs", func(l daemon.ClockLimits) string { return orNo(l.Privilege, "no privilege") }},
	{"frequency", func(l daemon.ClockLimits) string { return "±" + ppm(l.Frequency) }},
	{"slew", func(l daemon.ClockLimits) string { return "at most " + ppm(l.Slew) }},
	{"finest slew", func(l daemon.ClockLimits) string {
		if l.Phase == 0 {
			return "known once it is open"
		}
		return time.Duration(l.Phase).String()
	}},
	{"finest step", func(l daemon.ClockLimits) string { return time.Duration(l.Step).String() }},
	{"killed, leaves", func(l daemon.ClockLimits) string { return l.Leaves }},
	{"stopped, leaves", func(l daemon.ClockLimits) string { return l.Stops }},
	{"sees others write", func(l daemon.ClockLimits) string { return orNo(l.Foreign, "no") }},
	{"sees it set", func(l daemon.ClockLimits) string { return l.Set }},
	{"sees suspend", func(l daemon.ClockLimits) string { return orNo(l.Suspend, "no") }},
	{"kernel is told", func(l daemon.ClockLimits) string { return orNo(l.Told, "nothing") }},
}

// orNo is a text, or what to say where there is none.
func orNo(text, no string) string {
	if text == "" {
		return no
	}
	return text
}

// ppm shows a fraction as parts per million.
func ppm(fraction float64) string { return strconv.FormatFloat(fraction*1e6, 'g', 9, 64) + " ppm" }

func newClockCommand(out *ui) *cobra.Command {
	var system string
	var asJSON bool
	command := &cobra.Command{
		Use:   "clock",
		Short: "Show what this system's clock can do, and what a dead daemon leaves of it",
		Long: `Show what the clock of this operating system can do under meantime, what it notices, and what a
killed or a stopped daemon leaves behind. The clock is not touched.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			systems, err := clocksNamed(system)
			if err != nil {
				return err
			}
			if asJSON {
				return out.json(clockReport(systems))
			}
			var texts []string
			for _, system := range systems {
				texts = append(texts, clockText(system))
			}
			return out.print(strings.Join(texts, "\n"))
		},
	}
	command.Flags().StringVar(&system, "os", "",
		"another `system` than this one: "+strings.Join(daemon.Clocks(), ", ")+", or all; virtual is the clock of a dry run")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// clocksNamed are the systems that are meant: this one, one by its GOOS or its usual name, or all.
func clocksNamed(name string) ([]string, error) {
	all := daemon.Clocks()
	switch {
	case name == "all":
		return all, nil
	case name == "" && slices.Contains(all, runtime.GOOS):
		return []string{runtime.GOOS}, nil
	case name == "":
		return nil, fmt.Errorf("%w (%s)", sysclock.ErrUnsupported, runtime.GOOS)
	}
	for _, system := range all {
		if strings.EqualFold(name, system) || strings.EqualFold(name, clockTitles[system]) {
			return []string{system}, nil
		}
	}
	return nil, usageError{fmt.Errorf("--os: %q is not known; write %s or all", name, strings.Join(all, ", ")), "meantime clock"}
}

// clockText shows one clock, a line a promise.
func clockText(system string) string {
	l, _ := daemon.ClockOf(system)
	var text strings.Builder
	fmt.Fprintln(&text, clockTitles[system])
	for _, line := range clockLines {
		fmt.Fprintf(&text, "  %-18s %s\n", line.name, line.say(l))
	}
	return text.String()
}

// clockJSON is what --json prints of a clock; durations are in seconds, null is without end, a text that is missing a no.
type clockJSON struct {
	System     string   `json:"system"`
	Mechanism  string   `json:"mechanism"`
	Oscillator string   `json:"raw_oscillator"`
	Privilege  string   `json:"needs,omitempty"`
	Frequency  float64  `json:"frequency_ppm"`
	Slew       float64  `json:"slew_ppm"`
	Phase      float64  `json:"finest_slew_s,omitempty"`
	Step       float64  `json:"finest_step_s"`
	Outlasts   *float64 `json:"slew_outlasts_daemon_s"`
	Leaves     string   `json:"killed_leaves"`
	Keeps      bool     `json:"stopped_keeps_frequency"`
	Stops      string   `json:"stopped_leaves"`
	Foreign    string   `json:"sees_others_write,omitempty"`
	Set        string   `json:"sees_it_set"`
	Suspend    string   `json:"sees_suspend,omitempty"`
	Told       string   `json:"kernel_is_told,omitempty"`
}

func clockReport(systems []string) []clockJSON {
	var report []clockJSON
	for _, system := range systems {
		l, _ := daemon.ClockOf(system)
		c := clockJSON{
			System: system, Mechanism: l.Name, Oscillator: l.Oscillator, Privilege: l.Privilege,
			Frequency: l.Frequency * 1e6, Slew: l.Slew * 1e6,
			Phase: time.Duration(l.Phase).Seconds(), Step: time.Duration(l.Step).Seconds(),
			Leaves: l.Leaves, Keeps: l.Keeps, Stops: l.Stops, Foreign: l.Foreign, Set: l.Set, Suspend: l.Suspend, Told: l.Told,
		}
		if outlasts := time.Duration(l.Outlasts).Seconds(); outlasts >= 0 {
			c.Outlasts = &outlasts
		}
		report = append(report, c)
	}
	return report
}
