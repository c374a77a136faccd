package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/configs"
	"meantime/daemon/doctor"
)

// errUnwell says that a check of the doctor's failed. The report has told the user.
var errUnwell = errors.New("something keeps meantime from working here")

const (
	// defaultListen is longer than the polls of a LAN are apart, unless poll or poll_max say otherwise.
	defaultListen = 3 * time.Second
	// leastListen is what a packet may take; longestListen two of the rarest polls.
	leastListen, longestListen = 100 * time.Millisecond, 130 * time.Second
)

func newDoctorCommand(out *ui) *cobra.Command {
	var path string
	var interfaces []string
	var asJSON, tryClock bool
	listen := defaultListen
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether meantime can work on this host, and say what to do about what is in its way",
		Long: `Look whether meantime can work on this host, and say what to do about what is in its way. It takes some seconds and does no
harm: no packet leaves the host but the reports by which it joins the multicast group, and the clock is not touched
unless --try-clock asks for that.

Each line is pass, warn (works, but not well or not for certain), fail (does not work so) or skip (not to be told here, and why). As
root it sees most. Exit code 1 says that something failed; warnings leave it at 0. --json gives the worst verdict, counts, and of each
line group, check, subject (which of several), verdict, found and advice.

With --try-clock, as root and while nothing else keeps the clock, it runs the clock 100 ppm faster for two seconds and as
much slower for two, looks by the raw oscillator at what becomes of that, and puts the rate back to the last bit. In the meantime the
clock is off by up to 220 µs, in the end by what the calls take. If the program is killed in these seconds, the rate stays as it is until
something sets it, or the next boot.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if listen < leastListen || listen > longestListen {
				return usageError{fmt.Errorf("--listen %v: write a time between %v and %v", listen, leastListen, longestListen), c.CommandPath()}
			}
			m, err := patient(path, interfaces)
			if err != nil {
				return err
			}
			m.Listen, m.TryClock = listen, tryClock
			out.progress("looking at this host …")
			report, err := doctor.Examine(c.Context(), m)
			out.progress("")
			if err != nil {
				return err
			}
			if asJSON {
				err = out.json(report)
			} else {
				err = out.print(showReport(report, out.screen()))
			}
			if err == nil && report.Verdict == doctor.Fail {
				err = silent{errUnwell}
			}
			return err
		},
	}
	addConfigFlag(command, &path)
	command.Flags().StringArrayVar(&interfaces, "interface", nil,
		"network interface `name` to look at, in place of the configured; may be repeated")
	command.Flags().DurationVar(&listen, "listen", listen, "`time` to listen for masters, such as 10s")
	command.Flags().BoolVar(&tryClock, "try-clock", false,
		"see what the clock does when it is steered: by 100 ppm for four seconds, then as it was")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// patient is this host with its configuration, or with the defaults where that cannot be used: what else is wrong is still worth knowing.
func patient(path string, interfaces []string) (*doctor.Machine, error) {
	var flags []configs.Override
	if interfaces != nil {
		flags = []configs.Override{{Flag: "--interface", Key: "interfaces", Values: interfaces}}
	}
	config, file, err := loadConfig(path, flags...)
	if err != nil {
		if onlyFlags(err) {
			return nil, err
		}
		if own, ok := errors.AsType[hinted](err); ok {
			err = fmt.Errorf("%w (%s)", err, own.hint) // where the doctor looks for what to do
		}
		config = configs.Default()
		config.Interfaces = interfaces
	}
	m := doctor.Here(config)
	m.File, m.Problems = file, err
	return m, nil
}

// moods are how verdicts are painted.
var moods = map[doctor.Verdict]mood{doctor.Pass: well, doctor.Warn: oddly, doctor.Fail: badly}

// beside is the narrowest screen on which a finding stands beside its check's name, not below.
const beside = 72

// showReport is the report for people: the checks by group, with what to do below each.
func showReport(r doctor.Report, s screen) string {
	var text strings.Builder
	longest := 0
	for _, f := range r.Findings {
		longest = max(longest, len(f.Check))
	}
	group := ""
	for _, f := range r.Findings {
		if f.Group != group {
			group = f.Group
			text.WriteString(group + "\n")
		}
		for _, line := range findingLines(f, longest, s) {
			text.WriteString(line + "\n")
		}
	}
	fmt.Fprintf(&text, "\n%d passed, %d warned, %d failed, %d skipped\n", r.Counts[doctor.Pass], r.Counts[doctor.Warn], r.Counts[doctor.Fail],
		r.Counts[doctor.Skip])
	return text.String()
}

// findingLines is a finding: the verdict, which check, what was found and what to do.
func findingLines(f doctor.Finding, longest int, s screen) []string {
	const mark = "  do: "
	found := f.Found
	if f.Subject != "" {
		found = f.Subject + ": " + found
	}
	head := fmt.Sprintf("  %s  ", f.Verdict)
	margin := len(head)
	var lines []string
	if s.width == 0 || s.width >= beside {
		head += pad(f.Check, longest) + "  "
		margin = len(head)
		lines = s.wrap(head+found, margin)
	} else {
		lines = append(s.wrap(head+f.Check, margin), s.wrap(strings.Repeat(" ", margin)+found, margin)...)
	}
	if f.Advice != "" {
		lines = append(lines, s.wrap(strings.Repeat(" ", margin-len("  "))+mark+f.Advice, margin+len(mark)-len("  "))...)
	}
	lines[0] = strings.Replace(lines[0], string(f.Verdict), s.paint(moods[f.Verdict], string(f.Verdict)), 1)
	return lines
}
