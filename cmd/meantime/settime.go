package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// longWay is how long clocks may be slewed without a word on what else there is: more than one wants to sit and wait for.
const longWay = time.Hour

func newSetTimeCommand(out *ui) *cobra.Command {
	var by time.Duration
	command := order[control.Setting]{
		use: "set-time [time]", short: "Set the time of the whole LAN",
		long: `Set the time of the whole LAN: to a time, or by so much.

The LAN's master moves all members together, this host among them. Each clock follows as its own policy says (step, max_slew): stepped, or
slewed without ever going back, all that are slewed at one pace: seven eighths of the slowest host's max_slew. That can take long: where
that is 500 ppm, a second takes 38 minutes. Each member writes it to its log. Root and the daemon's own user may.`,
		args: func(c *cobra.Command, args []string) error {
			if given := c.Flags().Changed("by"); len(args) > 1 || given == (len(args) == 1) {
				return usageError{errors.New("write a time, such as 2026-11-23T10:00:00Z, or --by and how much, such as --by 90s"), c.CommandPath()}
			} else if given && by == 0 {
				return usageError{fmt.Errorf("--by %v moves nothing: write how much, such as 90s or -1.5s", by), c.CommandPath()}
			}
			return nil
		},
		give: func(ctx context.Context, c *control.Client, args []string) (control.Setting, error) {
			wish := control.SetTime{By: control.SecondsOf(by)}
			if len(args) == 1 {
				at, err := time.Parse(time.RFC3339Nano, args[0])
				if err != nil {
					return control.Setting{}, usageError{fmt.Errorf("%q is no time: write it as 2026-11-23T10:00:00Z", args[0]), "meantime set-time"}
				}
				wish = control.SetTime{Time: at}
			}
			return c.SetTime(ctx, wish)
		},
		show: showSetting,
	}.command(out)
	command.Flags().DurationVar(&by, "by", 0, "`duration` to move it by, forward or backward, such as 90s or -1.5s")
	return command
}

// showSetting tells what will happen.
func showSetting(s control.Setting) string {
	way := "forward"
	if s.By < 0 {
		way = "back"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "LAN time is set %v %s, beginning in %v.\n", s.By.Duration().Abs(), way, s.Begins.Duration().Round(100*time.Millisecond))
	if s.Steps {
		b.WriteString("This clock is stepped then.\n")
	} else {
		b.WriteString("This clock is slewed there.\n")
	}
	fmt.Fprintf(&b, "Clocks that are slewed take %v, together, until %s.\n",
		s.Takes.Duration().Round(time.Second), s.Ends.Format(time.RFC3339))
	if s.Takes.Duration() > longWay {
		fmt.Fprintf(&b, "That is long: a clock is stepped only on hosts with `step: always`; the same command with --by %v undoes it.\n",
			-s.By.Duration())
	}
	return b.String()
}
