package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

func newEventsCommand(out *ui) *cobra.Command {
	return question[control.Events]{
		use: "events", short: "Show what happened lately: elections, steps, members that came or lost their vote, disturbances",
		long: `Show what happened lately: elections, steps, members that came or lost their vote, disturbances; oldest first, in UTC.

The daemon keeps the last ones; its log has all. --watch prints new ones as they come.`,
		example: "  meantime events\n  meantime events --watch\n  meantime events --json | jq '.events[] | select(.level == \"WARN\")'",
		ask:     func(c *control.Client, ctx context.Context) (control.Events, error) { return c.Events(ctx) },
		show:    showEvents,
		news:    newEvents,
	}.command(out)
}

// showEvents is a line for each, oldest first.
func showEvents(e control.Events, on screen) string {
	var text strings.Builder
	if len(e.Events) == 0 {
		return "nothing has happened yet\n"
	}
	if e.Lost > 0 {
		fmt.Fprintf(&text, "(%d older ones are in the log alone)\n", e.Lost)
	}
	for _, event := range e.Events {
		said := fmt.Sprintf("%s  %-4s  %s", event.At.UTC().Format("2006-01-02 15:04:05.000Z"), strings.ToLower(event.Level), event.Text)
		for _, key := range slices.Sorted(maps.Keys(event.Facts)) {
			value := event.Facts[key]
			if value == "" || strings.ContainsAny(value, " \"=") {
				value = strconv.Quote(value)
			}
			said += fmt.Sprintf(" %s=%s", key, value)
		}
		m := plainly
		if event.Level == "WARN" {
			m = oddly
		}
		for _, line := range on.wrap(said, hanging) {
			text.WriteString(on.paint(m, line) + "\n")
		}
	}
	return text.String()
}

// newEvents are those that came after what was shown before.
func newEvents(shown, now control.Events) (control.Events, bool) {
	if len(shown.Events) == 0 {
		return now, len(now.Events) > 0
	}
	last := shown.Events[len(shown.Events)-1]
	fresh := control.Events{}
	for _, e := range now.Events {
		if e.N == last.N && !e.At.Equal(last.At) {
			return now, true // another daemon's
		}
		if e.N > last.N {
			fresh.Events = append(fresh.Events, e)
		}
	}
	if n := len(now.Events); n > 0 && now.Events[n-1].N < last.N {
		return now, true // another daemon's, too
	}
	return fresh, len(fresh.Events) > 0
}
