package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

func newLogCommand(out *ui) *cobra.Command {
	command := group(&cobra.Command{
		Use: "log", Short: "Change how the running daemon writes its log",
		Long: `Change how the running daemon writes its log, until it is started anew: the configuration (log) stays as it is.

Root and the daemon's own user may.`,
	})
	setting := func(name, short string, words []string, of func(string) control.Log) *cobra.Command {
		return order[control.Log]{
			use: name + " " + alternatives(words), short: short, args: oneOf(words),
			give: func(ctx context.Context, c *control.Client, args []string) (control.Log, error) {
				return c.SetLog(ctx, of(args[0]))
			},
			show: func(l control.Log) string {
				return fmt.Sprintf("the log has level %s and format %s now\n", l.Level, l.Format)
			},
		}.command(out)
	}
	command.AddCommand(
		setting("level", "Change the least severe level that is written", []string{"debug", "info", "warn", "error"},
			func(word string) control.Log { return control.Log{Level: word} }),
		setting("format", "Change the form of a message", []string{"text", "json"},
			func(word string) control.Log { return control.Log{Format: word} }))
	return command
}
