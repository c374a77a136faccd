package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/configs"
	"meantime/daemon/control"
)

// watchEvery is between two looks of --watch: LAN time changes once a poll, which is a second at most hosts.
const watchEvery = time.Second

// question is a command that asks the daemon on this host one thing.
type question[T any] struct {
	use, short, long, example string
	flags                     func(*pflag.FlagSet) // its own; may be nil
	ask                       func(*control.Client, context.Context) (T, error)
	show                      func(T, screen) string
	news                      func(shown, now T) (T, bool) // of a list that grows: what is new in it, if anything; nil = shown whole each time
	verdict                   func(T) error                // what a script is to know by the exit code; nil = that there was an answer
}

// command makes the command.
func (q question[T]) command(out *ui) *cobra.Command {
	var asJSON, watch bool
	var socket string
	command := &cobra.Command{
		Use: q.use, Short: q.short, Long: q.long, Example: q.example, Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if socket == "" {
				socket = configuredSocket()
			}
			client := control.NewClient(socket)
			if watch {
				return q.watch(c.Context(), out, client, asJSON)
			}
			answer, err := q.ask(client, c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = out.json(answer)
			} else {
				err = out.print(q.show(answer, out.screen()))
			}
			if err == nil && q.verdict != nil {
				err = q.verdict(answer)
			}
			return err
		},
	}
	if q.flags != nil {
		q.flags(command.Flags())
	}
	command.Flags().StringVar(&socket, "socket", socket, "control `socket` of the daemon to ask (default: as configured)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().BoolVar(&watch, "watch", false, "ask again each second, until interrupted")
	return command
}

// watch shows the answer again and again: on a screen in place of the last one, elsewhere one below the other. Whoever has answered once is
// waited for: a daemon that is started again is what one watches for.
func (q question[T]) watch(ctx context.Context, out *ui, client *control.Client, asJSON bool) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last T
	for asked, away := false, false; ; {
		answer, err := q.ask(client, ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !asked:
			return err
		case err != nil:
			if !away {
				out.waiting(err, q.inPlace(out, asJSON))
			}
			away = true
		default:
			err = q.again(out, last, answer, asked, asJSON)
			if last, asked, away = answer, true, false; err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// inPlace says whether what is watched is shown in place of what was shown before.
func (q question[T]) inPlace(out *ui, asJSON bool) bool {
	return q.news == nil && !asJSON && out.terminal()
}

// again shows an answer after the last one: a list that grows by what is new, else all of it.
func (q question[T]) again(out *ui, last, answer T, asked, asJSON bool) error {
	if q.news != nil && asked {
		fresh, any := q.news(last, answer)
		if !any {
			return nil
		}
		answer = fresh
	}
	switch {
	case asJSON:
		line, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		return out.print(string(line) + "\n")
	case q.news != nil:
		return out.print(q.show(answer, out.screen()))
	case q.inPlace(out, asJSON):
		out.redraw(q.show(answer, out.screen()))
		return nil
	}
	return out.print(q.show(answer, out.screen()) + "\n")
}

// configuredSocket is where the daemon of this host answers, as far as its configuration can be read.
func configuredSocket() string {
	config, _, err := loadConfig("")
	if err != nil || config.Control == "" {
		return configs.Default().Control
	}
	return config.Control
}
