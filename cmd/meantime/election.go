package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// order is a command that has the daemon on this host change something. Its flags are for whoever makes it to add.
type order[T any] struct {
	use, short, long string
	args             cobra.PositionalArgs
	give             func(ctx context.Context, daemon *control.Client, args []string) (T, error)
	show             func(T) string
}

// command makes the command.
func (o order[T]) command(out *ui) *cobra.Command {
	var asJSON bool
	var socket string
	command := &cobra.Command{
		Use: o.use, Short: o.short, Long: o.long, Args: o.args,
		RunE: func(c *cobra.Command, args []string) error {
			if socket == "" {
				socket = configuredSocket()
			}
			answer, err := o.give(c.Context(), control.NewClient(socket), args)
			if errors.Is(err, control.ErrBadValue) {
				return usageError{err, c.CommandPath()}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return out.json(answer)
			}
			return out.print(o.show(answer))
		},
	}
	command.Flags().StringVar(&socket, "socket", socket, "control `socket` of the daemon to ask (default: as configured)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// showOutcome is a line.
func showOutcome(o control.Outcome) string { return o.Text + words(": ", o.Node) + "\n" }

func newElectionCommand(out *ui) *cobra.Command {
	return order[control.Outcome]{
		use: "election", short: "Have the office of master go to whoever ranks first", args: noArguments,
		long: `Have the office of master go to whoever ranks first.

On the master: it hands over to a member of higher priority, or stays if there is none. That is for after priorities were changed, as a
master is not pushed out by a better one that comes later. Where no master is heard: this host stands for it at once.
Root and the daemon's own user may.`,
		give: func(ctx context.Context, c *control.Client, _ []string) (control.Outcome, error) { return c.Elect(ctx) },
		show: showOutcome,
	}.command(out)
}

// alternatives is how words to choose from stand in a usage line.
func alternatives(words []string) string { return strings.Join(words, "|") }

// oneOf takes exactly one of some words.
func oneOf(words []string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 || !slices.Contains(words, args[0]) {
			return fmt.Errorf("%s takes one of %s", c.Name(), strings.Join(words, ", "))
		}
		return nil
	}
}
