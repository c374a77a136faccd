package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// unknownValue stands in tables for what is not known.
const unknownValue = "–"

func newStatusCommand(out *ui) *cobra.Command {
	return question[control.Status]{
		use: "status", short: "Show how this host's clock and its LAN do",
		long: `Show how this host's clock and its LAN do, as the daemon on this host says.

"error at most" bounds how far the clock is from LAN time; "to slew" is what it is still being moved by.`,
		ask:  func(c *control.Client, ctx context.Context) (control.Status, error) { return c.Status(ctx) },
		show: showStatus,
	}.command(out)
}

// short is a duration in three figures, as people read it.
func short(s *control.Seconds) string {
	if s == nil {
		return unknownValue
	}
	d := s.Duration()
	unit := time.Nanosecond
	for 1000*unit <= d.Abs() {
		unit *= 10
	}
	return d.Round(unit).String()
}

// showStatus is the status, a line each.
func showStatus(s control.Status) string {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "%-15s"+format+"\n", append([]any{name}, args...)...)
	}
	line("state", "%s", stateWords(s))
	switch {
	case s.Master == s.ID && s.Master != "":
		line("master", "this host (%s), term %d", s.ID, s.Term)
	case s.Master != "":
		line("master", "%s%s, term %d", s.Master, words(" at ", s.MasterAddr), s.Term)
	default:
		line("master", "none known")
	}
	line("this host", "%s, role %s%s", s.ID, s.Role, words(", ", s.Standing))
	within := ""
	if s.Spread != nil {
		within = "; within " + short(s.Spread) + " of each other"
	}
	line("members", "%d, of which %d vote%s", s.Members, s.Voters, within)
	if s.Bound == nil {
		line("error at most", "not known yet")
	} else {
		line("error at most", "%s", short(s.Bound))
	}
	line("to slew", "%s", short(new(-s.Offset)))
	line("frequency", "%+.3f ppm", s.Frequency)
	line("stamps", "%s", map[bool]string{true: "kernel", false: "user space, or none exchanged lately"}[s.KernelStamps])
	line("key", "%s", keyWords(s))
	line("up", "%v", s.Uptime.Duration().Round(time.Second))
	if len(s.Dropped) > 0 {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.Dropped[reason]))
		}
		line("dropped", "%s", strings.Join(reasons, ", "))
	}
	return text.String()
}

// words joins what is not empty to what stands before it.
func words(between, text string) string {
	if text == "" {
		return ""
	}
	return between + text
}

// stateWords explain the state.
func stateWords(s control.Status) string {
	meaning := map[string]string{
		"listening": "no master heard yet", "gathering": "measuring; no clock is moved yet", "keeping": "master, LAN time is kept",
		"following": "on LAN time", "joining": "a master is heard, LAN time not taken yet", "holdover": "the master is silent, frequency held",
		"panic": "the clock is beyond the panic limits and left alone", "holding": "no majority agrees, nobody is steered",
	}[s.State]
	text := s.State + words(": ", meaning)
	if s.DryRun {
		text += " (dry run: a virtual clock)"
	}
	return text
}

func keyWords(s control.Status) string {
	switch {
	case s.Key == "":
		return "none: nothing proves who sends"
	case s.KeysHeld > 1:
		return fmt.Sprintf("%s, of %d held", s.Key, s.KeysHeld)
	}
	return s.Key
}

func newMembersCommand(out *ui) *cobra.Command {
	return question[control.Members]{
		use: "members", short: "Show each member of the LAN: its offset, whether it votes, and why not",
		long: `Show each member of the LAN: its offset, whether it votes, and why not.

Only the master measures all of them. Elsewhere this shows the host itself and where the master is.

The columns: offset of the member's clock from LAN time, and by how much the measurement may be wrong (±); by how much what is measured
usually changes from one round to the next (jitter); how long packets are under way, there and back (delay); the correction of
the member's oscillator (ppm).`,
		ask:  func(c *control.Client, ctx context.Context) (control.Members, error) { return c.Members(ctx) },
		show: showMembers,
	}.command(out)
}

// showMembers is a table of the members.
func showMembers(a control.Members) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "id\taddress\toffset\t±\tjitter\tdelay\tppm\tvotes")
	for _, m := range a.Members {
		id := m.ID
		if m.Master {
			id += "*"
		}
		frequency := unknownValue
		if m.Frequency != nil {
			frequency = fmt.Sprintf("%+.3f", *m.Frequency)
		}
		address := m.Address
		if m.Self {
			address = "this host"
		}
		fmt.Fprintln(table, strings.Join([]string{
			id, address, short(m.Offset), short(m.Bound), short(m.Jitter), short(m.Delay), frequency, voteWords(m),
		}, "\t"))
	}
	_ = table.Flush() // a strings.Builder takes everything
	switch {
	case a.Complete:
	case a.Master != "":
		fmt.Fprintf(&text, "the master alone measures all: ask on %s\n", a.Master)
	default:
		text.WriteString("no master is known\n")
	}
	return text.String()
}

// voteWords say whether a member votes.
func voteWords(m control.Member) string {
	switch {
	case m.Votes == nil && m.Standing == "":
		return unknownValue
	case m.Votes == nil:
		return m.Standing
	case *m.Votes:
		return "yes"
	}
	return "no" + words(": ", m.Why)
}

func newEventsCommand(out *ui) *cobra.Command {
	return question[control.Events]{
		use: "events", short: "Show what happened lately: elections, steps, members that came or lost their vote, disturbances",
		ask:  func(c *control.Client, ctx context.Context) (control.Events, error) { return c.Events(ctx) },
		show: showEvents,
		news: newEvents,
	}.command(out)
}

// showEvents is a line for each, oldest first.
func showEvents(e control.Events) string {
	var text strings.Builder
	if len(e.Events) == 0 {
		return "nothing has happened yet\n"
	}
	if e.Lost > 0 {
		fmt.Fprintf(&text, "(%d older ones are in the log alone)\n", e.Lost)
	}
	for _, event := range e.Events {
		fmt.Fprintf(&text, "%s  %-4s  %s", event.At.Format("2006-01-02 15:04:05.000Z"), strings.ToLower(event.Level), event.Text)
		for _, key := range slices.Sorted(maps.Keys(event.Facts)) {
			fmt.Fprintf(&text, " %s=%s", key, event.Facts[key])
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// newEvents are those that came after what was shown before.
func newEvents(shown, now control.Events) (control.Events, bool) {
	fresh := int(now.Lost) + len(now.Events) - int(shown.Lost) - len(shown.Events)
	if fresh <= 0 {
		return now, fresh < 0 // another daemon's
	}
	return control.Events{Events: now.Events[max(0, len(now.Events)-fresh):]}, true
}

// errNoLANTime says that the answer to `meantime now` is this host's clock alone.
var errNoLANTime = errors.New("LAN time is not known yet: this is only the host's own clock")

func newNowCommand(out *ui) *cobra.Command {
	return question[control.Now]{
		use: "now", short: "Show LAN time as an interval that contains it",
		long: `Show LAN time as an interval that contains it: earliest, best, latest.

Exit code 1 says that LAN time is not known; then only the host's own clock is shown.`,
		ask:  func(c *control.Client, ctx context.Context) (control.Now, error) { return c.Now(ctx) },
		show: showNow,
		verdict: func(n control.Now) error {
			if !n.Synchronised {
				return errNoLANTime
			}
			return nil
		},
	}.command(out)
}

func showNow(n control.Now) string {
	const layout = "2006-01-02T15:04:05.000000000Z"
	var text strings.Builder
	if n.Synchronised {
		fmt.Fprintf(&text, "earliest  %s\nbest      %s\nlatest    %s\n", n.Earliest.Format(layout), n.Best.Format(layout),
			n.Latest.Format(layout))
	}
	fmt.Fprintf(&text, "clock     %s\n", n.Clock.Format(layout))
	return text.String()
}
