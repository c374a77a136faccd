package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// usualRest is how long a master that steps down stays out of elections: a restart or an upgrade of its host.
const usualRest = 10 * time.Minute

func newStepDownCommand(out *ui) *cobra.Command {
	var rest time.Duration
	command := order[control.Outcome]{
		use: "stepdown", short: "Have this master hand over to another, before work on its host", args: noArguments,
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
