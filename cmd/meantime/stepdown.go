package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

const (
	// usualRest is how long a master that steps down stays out of elections: a restart or an upgrade of its host.
	usualRest = 10 * time.Minute
	// longestRest is what a daemon takes at most.
	longestRest = 24 * time.Hour
)

func newStepDownCommand(out *ui) *cobra.Command {
	var rest time.Duration
	command := order[control.Outcome]{
		use: "stepdown", short: "Have this master hand over to another, before work on its host",
		args: func(c *cobra.Command, args []string) error {
			if rest < 0 || rest > longestRest {
				return usageError{fmt.Errorf("--for %v: write a time from 0s to 24h", rest), c.CommandPath()}
			}
			return noArguments(c, args)
		},
		long: `Have this master hand over to another, before work on its host.

It hands over to its first successor, as at a clean stop, goes on as a member with its vote, and does not stand for master
again for a while. Root and the daemon's own user may.`,
		give: func(ctx context.Context, c *control.Client, _ []string) (control.Outcome, error) {
			return c.StepDown(ctx, rest)
		},
		show: showOutcome,
	}.command(out)
	command.Flags().DurationVar(&rest, "for", usualRest, "`time` for which it is not to stand again, such as 10m, 24h at most")
	return command
}
