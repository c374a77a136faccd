package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon"
	"meantime/daemon/control"
)

const (
	// defaultWithin is what chrony-wait asks for, too: logs of two hosts can be put in order, and a LAN that is kept is far better.
	defaultWithin = 100 * time.Millisecond
	// defaultTimeout is longer than any founding (found_wait is at most 5 min, 10 s unless somebody has asked for more).
	defaultTimeout = 3 * time.Minute
)

// syncJSON is what wait-sync prints for programs.
type syncJSON struct {
	Synchronised bool             `json:"synchronised"`
	Bound        *control.Seconds `json:"bound_s,omitempty"`
	Says         string           `json:"says,omitempty"` // daemon or kernel
	DryRun       bool             `json:"dry_run"`
	Why          string           `json:"why,omitempty"` // not
}

func newWaitSyncCommand(out *ui) *cobra.Command {
	within, timeout, socket, asJSON := defaultWithin, defaultTimeout, "", false
	command := &cobra.Command{
		Use:   "wait-sync",
		Short: "Wait until this host's clock is synchronised; exit code 0 only then",
		Long: `Wait until this host's clock is synchronised; exit code 0 only then.

The daemon on this host is asked whether the clock is on LAN time, and how far from it at most; it may start meanwhile. Where none answers,
or not to this user, the kernel's word is taken, which counts any program that keeps the clock (not on Windows, whose kernel gives none).
With --socket that daemon alone is asked. Without a reference outside, "synchronised" means with the LAN.

Exit code 10 says that the time was over and the clock not synchronised well enough, 9 that no daemon answered and nobody keeps the clock.`,
		Example: "  meantime wait-sync\n  meantime wait-sync --within 1ms --timeout 60s && start-what-needs-the-time",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case within <= 0:
				return usageError{fmt.Errorf("--within %v: write a time above 0, such as 100ms", within), c.CommandPath()}
			case timeout < 0:
				return usageError{fmt.Errorf("--timeout %v: write a time such as 3m, or 0 to wait for ever", timeout), c.CommandPath()}
			}
			ctx := c.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			path := socket
			if path == "" {
				path = configuredSocket()
			}
			synced, err := daemon.WaitSync(ctx, within, control.NewClient(path), socket != "")
			return errors.Join(showSynced(out, synced, err, asJSON), err)
		},
	}
	command.Flags().DurationVar(&within, "within", within, "`time` that the clock may be off at most, such as 100ms")
	command.Flags().DurationVar(&timeout, "timeout", timeout, "`time` after which to give up, such as 3m; 0 waits for ever")
	command.Flags().StringVar(&socket, "socket", "", "control `socket` of the daemon to ask, and nobody else (default: as configured)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// showSynced tells how the wait ended; what people are to know of a failure is its error.
func showSynced(out *ui, s daemon.Synced, not error, asJSON bool) error {
	if asJSON {
		answer := syncJSON{Synchronised: not == nil, Says: s.Says, DryRun: s.Dry}
		if not == nil || s.Off > 0 {
			answer.Bound = new(control.SecondsOf(s.Off))
		}
		if not != nil {
			answer.Why = not.Error()
		}
		return out.json(answer)
	}
	if not != nil {
		return nil
	}
	text := fmt.Sprintf("synchronised, off by %s at most, says the %s", short(new(control.SecondsOf(s.Off))), s.Says)
	if s.Dry {
		text += "; it is a dry run's virtual clock"
	}
	return out.print(out.screen().clean(text) + "\n")
}
