package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon"
)

const (
	// defaultWithin is what chrony-wait asks for, too: logs of two hosts can be put in order, and a LAN that is kept is far better.
	defaultWithin = 100 * time.Millisecond
	// defaultTimeout is longer than any founding (found_wait is at most 5 min, 10 s unless somebody has asked for more).
	defaultTimeout = 3 * time.Minute
)

func newWaitSyncCommand(out *ui) *cobra.Command {
	within, timeout := defaultWithin, defaultTimeout
	command := &cobra.Command{
		Use:   "wait-sync",
		Short: "Wait until this host's clock is synchronised; exit code 0 only then",
		Long: `Wait until this host's clock is synchronised; exit code 0 only then.

It takes the kernel's word for it, so it needs no rights, and counts any program that keeps the clock. Without a
reference outside, "synchronised" means with the LAN.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			off, err := daemon.WaitSync(ctx, within)
			if err != nil {
				return err
			}
			return out.printf("synchronised, off by %v at most\n", off)
		},
	}
	command.Flags().DurationVar(&within, "within", within, "`time` that the clock may be off at most, such as 100ms")
	command.Flags().DurationVar(&timeout, "timeout", timeout, "`time` after which to give up, such as 3m; 0 waits for ever")
	return command
}
