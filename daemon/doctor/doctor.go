// Package doctor looks at a host as meantime would find it, and says of each thing whether it is well and what to do if it is not. It
// sends nothing to the network but the reports by which a host joins a multicast group, keeps nothing, and moves the clock only where it
// is told to, when it puts back what it has found.
//
// What is looked at is a table of checks. Each is a function of a Machine, which is this host or one that a test has made.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a check comes to.
type Verdict string

// The verdicts, from good to bad.
const (
	Pass Verdict = "pass" // as it should be
	Skip Verdict = "skip" // not to be told here; the finding says why
	Warn Verdict = "warn" // works, but not well, or not for certain
	Fail Verdict = "fail" // meantime does not work so
)

var severity = []Verdict{Pass, Skip, Warn, Fail}

// Finding is what a check has found.
type Finding struct {
	Group   string  `json:"group"`
	Check   string  `json:"check"`
	Subject string  `json:"subject,omitempty"` // which of several, such as an interface
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Advice  string  `json:"advice,omitempty"` // what to do; none where nothing is to be done
}

// Report is all that was found, in the order of the checks.
type Report struct {
	Verdict  Verdict         `json:"verdict"` // the worst of them, pass where only something was skipped
	Counts   map[Verdict]int `json:"counts"`
	Findings []Finding       `json:"checks"`
}

// Groups are the headings, in order.
const (
	groupClock   = "clock"
	groupNetwork = "network"
	groupHost    = "host"
	groupOurs    = "meantime"
)

// check is a line of the table.
type check struct {
	group, name string
	systems     []string // that have such a thing; nil = all
	examine     func(context.Context, *Machine) []Finding
}

var linux = []string{"linux"}

// checks are all of them, the ones that take time last in their group.
var checks = []check{
	{groupOurs, "configuration", nil, checkConfiguration},
	{groupOurs, "key", nil, checkKey},
	{groupOurs, "state directory", nil, checkState},
	{groupOurs, "service", []string{"linux", "darwin", "freebsd"}, checkService},
	{groupOurs, "daemon", nil, checkDaemon},
	{groupHost, "time daemons", nil, checkRivals},
	{groupHost, "clock setters", []string{"linux", "freebsd"}, checkSetters},
	{groupHost, "container", linux, checkContainer},
	{groupHost, "virtual machine", linux, checkVirtual},
	{groupHost, "suspend", linux, checkSuspend},
	{groupHost, "hardware clock", linux, checkHardwareClock},
	{groupClock, "right to set", nil, checkRight},
	{groupClock, "source", linux, checkSource},
	{groupClock, "reading", nil, checkReading},
	{groupClock, "kernel", []string{"linux", "darwin", "freebsd"}, checkKernel},
	{groupClock, "trial", []string{"linux", "darwin", "windows"}, checkTrial},
	{groupNetwork, "interfaces", nil, checkInterfaces},
	{groupNetwork, "medium", linux, checkMedium},
	{groupNetwork, "neighbours", linux, checkNeighbours},
	{groupNetwork, "sockets", nil, checkSockets},
	{groupNetwork, "firewall", linux, checkFirewall},
	{groupNetwork, "time stamps", nil, checkStamps},
	{groupNetwork, "multicast", nil, checkLoop},
	{groupNetwork, "masters heard", nil, checkMasters},
}

// Examine runs all checks that there are on the machine's system. Once ctx has ended, the rest is left out and the error says so.
func Examine(ctx context.Context, m *Machine) (Report, error) {
	r := Report{Verdict: Pass, Counts: map[Verdict]int{Pass: 0, Skip: 0, Warn: 0, Fail: 0}}
	for _, c := range checks {
		if c.systems != nil && !slices.Contains(c.systems, m.System) {
			continue
		}
		found := c.examine(ctx, m)
		if ctx.Err() != nil {
			return r, fmt.Errorf("broken off at %s, %s: %w", c.group, c.name, context.Cause(ctx))
		}
		for _, f := range found {
			f.Group, f.Check = c.group, c.name
			r.Findings = append(r.Findings, f)
			r.Counts[f.Verdict]++
			if f.Verdict != Skip && slices.Index(severity, f.Verdict) > slices.Index(severity, r.Verdict) {
				r.Verdict = f.Verdict
			}
		}
	}
	return r, nil
}

func pass(format string, args ...any) Finding {
	return Finding{Verdict: Pass, Found: fmt.Sprintf(format, args...)}
}

// skip, warn and fail say first what to do.
func skip(advice, format string, args ...any) Finding { return found(Skip, advice, format, args) }
func warn(advice, format string, args ...any) Finding { return found(Warn, advice, format, args) }
func fail(advice, format string, args ...any) Finding { return found(Fail, advice, format, args) }

func found(v Verdict, advice, format string, args []any) Finding {
	return Finding{Verdict: v, Found: fmt.Sprintf(format, args...), Advice: advice}
}

// about is a finding of one of several.
func (f Finding) about(subject string) Finding {
	f.Subject = subject
	return f
}

// told parts an error of meantime's into what is wrong and what to do, which most of them end with; otherwise that is what is given here.
func told(err error, otherwise string) (problem, advice string) {
	text := err.Error()
	if at := strings.LastIndex(text, " ("); at > 0 && strings.HasSuffix(text, ")") {
		return text[:at], text[at+2 : len(text)-1]
	}
	for _, mark := range []string{": run `", "; run "} {
		if at := strings.Index(text, mark); at > 0 {
			return text[:at], text[at+2:]
		}
	}
	return text, otherwise
}

// isAny says whether an error is one of these.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}
