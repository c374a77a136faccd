// Command lab is the evidence kit: a LAN of real Linux kernels on one machine, each with an oscillator error
// and a starting offset of its own, watched through the time stamp counter that they all share.
//
// It touches nothing of the machine it runs on: the LAN is a bridge in a network namespace of its own that
// dies with the process, and the clocks that programs in the guests set are the guests'.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of the lab itself; a program that is run to its own end hands its exit code through.
const (
	exitFailed = 1 // a criterion was not met
	exitUnable = 2 // wrong use, something is missing, the bed broke
)

// exitCode is an error that asks for this exit code and has nothing left to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	if code, ok := runStage(); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(exitUnable)
	}
}

// newRoot builds the command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "A LAN of real Linux kernels on one machine, to prove what a time daemon does",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRun(), newReport())
	return root
}

// newRun builds `lab run`.
func newRun() *cobra.Command {
	plan, flags, asJSON := Plan{}, &runFlags{}, false
	cmd := &cobra.Command{
		Use:   "run [flags] [-- command for --program exec]",
		Short: "Boot the kernels, run a program in each, and report how well their clocks agreed",
		Long: `Boot user-mode Linux kernels on a bridge of their own, run a program in each, and report their true
mutual offsets. Needs Linux on amd64, root, and Debian's user-mode-linux, gcc, libc6-dev and iproute2.

Programs:
  meantime       the daemon of this repository: the first kernel is master, the others are slaves
  none           nothing: the clocks run free, and the report must show what was set
  sysclock-test  the tests of ./sysclock that need a kernel to themselves, in one guest
  exec           the static program after --, with LAB_NODE (1 …) and LAB_ROLE (master, slave) set`,
		Example: "  lab run --program meantime --nodes 4 --ppm 40,-35,15,-20 --offset 0s,200ms,400ms,600ms --for 90s",
		RunE: func(cmd *cobra.Command, args []string) error {
			plan.Command = args
			if err := flags.complete(&plan, cmd.Flags().Changed); err != nil {
				return err
			}
			result, err := run(cmd.Context(), plan, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return present(cmd.OutOrStdout(), result, asJSON)
		},
	}
	flags.register(cmd.Flags(), &plan)
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

// newReport builds `lab report`.
func newReport() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Report again on a run that was kept with --keep",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := analyse(args[0])
			if err != nil {
				return err
			}
			return present(cmd.OutOrStdout(), result, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}
