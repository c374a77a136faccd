package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// errNoLANTime says that the answer to `meantime now` is this host's clock alone.
var errNoLANTime = errors.New("LAN time is not known yet: this is only the host's own clock")

func newNowCommand(out *ui) *cobra.Command {
	return question[control.Now]{
		use: "now", short: "Show LAN time as an interval that contains it",
		long: `Show LAN time as an interval that contains it: earliest, best, latest; and what this host's clock showed at the same instant.

Exit code 10 says that LAN time is not known; then only the host's own clock is shown.`,
		example: "  meantime now\n  meantime now --json | jq -r .best",
		ask:     func(c *control.Client, ctx context.Context) (control.Now, error) { return c.Now(ctx) },
		show:    showNow,
		verdict: func(n control.Now) error {
			if !n.Synchronised {
				return hinted{errNoLANTime, "`meantime wait-sync` waits for it; `meantime status` says what it waits for"}
			}
			return nil
		},
	}.command(out)
}

func showNow(n control.Now, _ screen) string {
	const layout = "2006-01-02T15:04:05.000000000Z"
	var text strings.Builder
	if n.Synchronised {
		fmt.Fprintf(&text, "earliest  %s\nbest      %s\nlatest    %s\n", n.Earliest.Format(layout), n.Best.Format(layout),
			n.Latest.Format(layout))
	}
	fmt.Fprintf(&text, "clock     %s\n", n.Clock.Format(layout))
	return text.String()
}
