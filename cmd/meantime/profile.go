package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

// longestProfile (s) is what a daemon takes at most.
const longestProfile = 60

func newProfileCommand(out *ui) *cobra.Command {
	var socket, file string
	var seconds int
	kinds := []string{control.ProfileCPU, control.ProfileHeap, control.ProfileAllocs, control.ProfileGoroutine}
	command := &cobra.Command{
		Use: "profile " + alternatives(kinds), Short: "See what the running daemon spends processor and memory on",
		Long: `See what the running daemon spends processor and memory on: a profile for "go tool pprof", in a file.

  cpu        where the processor's time goes, for --seconds
  heap       what is in memory, as of the last collection
  allocs     what was ever allocated
  goroutine  what is under way

It holds names of functions and counts, nothing of what the daemon knows. The daemon goes on meanwhile. Root and the daemon's own
user may.`,
		ValidArgs: kinds,
		Args: func(c *cobra.Command, args []string) error {
			if seconds < 1 || seconds > longestProfile {
				return usageError{fmt.Errorf("--seconds %d: write a number from 1 to %d", seconds, longestProfile), c.CommandPath()}
			}
			return oneOf(kinds)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if socket == "" {
				socket = configuredSocket()
			}
			if args[0] != control.ProfileCPU {
				seconds = 0
			}
			var profile bytes.Buffer
			if err := control.NewClient(socket).Profile(c.Context(), args[0], seconds, &profile); err != nil {
				return err
			}
			return keepProfile(out, cmp.Or(file, "meantime-"+args[0]+".pprof"), profile.Bytes())
		},
	}
	command.Flags().IntVar(&seconds, "seconds", 10, "`number` of seconds that cpu takes, 60 at most")
	command.Flags().StringVar(&file, "out", "", "`file` to write, - for standard output (default: meantime-KIND.pprof)")
	command.Flags().StringVar(&socket, "socket", socket, "control `socket` of the daemon to ask (default: as configured)")
	return command
}

// keepProfile writes a profile to a file, and says what to do with it.
func keepProfile(out *ui, file string, profile []byte) error {
	if file == "-" {
		if out.terminal() {
			return errors.New("a profile is nothing for a screen: name a file with --out, or a pipe to read it")
		}
		return out.print(string(profile))
	}
	if err := os.WriteFile(file, profile, 0o600); err != nil {
		return fmt.Errorf("keeping the profile: %w (name another file with --out)", err)
	}
	return out.printf("%s: look at it with `go tool pprof -top %s`\n", file, file)
}
