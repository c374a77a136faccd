package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

func newTraceCommand(out *ui) *cobra.Command {
	var asJSON bool
	var socket string
	words := []string{"on", "off"}
	command := &cobra.Command{
		Use: "trace [on|off]", Short: "Show each packet that the daemon on this host receives or sends, decoded",
		Long: `Show each packet that the daemon on this host receives or sends, decoded, until interrupted: also what it drops, and why.

trace on has the daemon write the same to its log instead, until trace off; root and the daemon's own user may.
Whoever reads too slowly loses packets and is told how many; the daemon waits for nobody.`,
		ValidArgs: words,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneOf(words)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if socket == "" {
				socket = configuredSocket()
			}
			client := control.NewClient(socket)
			if len(args) == 0 {
				return showTrace(c.Context(), out, client, asJSON)
			}
			outcome, err := client.SetTrace(c.Context(), args[0] == "on")
			switch {
			case err != nil:
				return err
			case asJSON:
				return out.json(outcome)
			}
			return out.print(showOutcome(outcome))
		},
	}
	command.Flags().StringVar(&socket, "socket", socket, "control `socket` of the daemon to ask (default: as configured)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, an object in each line")
	return command
}

// showTrace prints packets until ctx ends.
func showTrace(ctx context.Context, out *ui, client *control.Client, asJSON bool) error {
	err := client.Trace(ctx, func(p control.Packet) error {
		if !asJSON {
			return out.print(showPacket(p))
		}
		line, err := json.Marshal(p)
		if err != nil {
			return err
		}
		return out.print(string(line) + "\n")
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// showPacket is a line.
func showPacket(p control.Packet) string {
	var text strings.Builder
	if p.Lost > 0 {
		fmt.Fprintf(&text, "(%d packets were not shown: this reads too slowly)\n", p.Lost)
	}
	kind := p.Kind
	if kind == "" {
		kind = unknownValue
	}
	fmt.Fprintf(&text, "%s  %-3s  %-9s  %s", p.At.Format("15:04:05.000000"), p.Direction, kind, p.Peer)
	if p.Sender != "" {
		fmt.Fprintf(&text, "  %s term=%d round=%d", p.Sender, p.Term, p.Round)
	}
	if len(p.Flags) > 0 {
		fmt.Fprintf(&text, " flags=%s", strings.Join(p.Flags, ","))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		fmt.Fprintf(&text, " %s=%s", name, p.Fields[name])
	}
	if p.Drop != "" {
		fmt.Fprintf(&text, "  dropped: %s", p.Drop)
	}
	if p.Count > 1 {
		fmt.Fprintf(&text, " (%d like it)", p.Count)
	}
	return text.String() + "\n"
}
