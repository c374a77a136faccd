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
	root.AddCommand(newRun(), newCompare(), newReport(), newLoad())
	return root
}

// newRun builds `lab run`.
func newRun() *cobra.Command {
	plan, flags, asJSON, picture := Plan{}, &runFlags{}, false, ""
	cmd := &cobra.Command{
		Use:   "run [flags] [-- command for --program exec]",
		Short: "Boot the kernels, run a program in each, and report how well their clocks agreed",
		Long: `Boot user-mode Linux kernels on a bridge of their own, run a program in each, and report their true
mutual offsets. Needs Linux on amd64, root, and Debian's user-mode-linux, gcc, libc6-dev and iproute2; for its rivals
also chrony, whose chronyd runs in the guests only: keep its service from starting on this machine.

Programs:
  meantime       the daemon of this repository: every kernel may be master
  phase-only     the same with servo: phase-only, the textbook's algorithm, which shows what the fit is worth
  chrony         chronyd: the first kernel serves its own clock, the others follow it
  chrony-orphan  chronyd in orphan mode: each lists all others, one of them leads
  none           nothing: the clocks run free, and the report must show what was set
  sysclock-test  the tests of ./sysclock that need a kernel to themselves, in one guest
  exec           the static program after --, with LAB_NODE (1 …) and LAB_ROLE (master, slave) set
  debian         Debian 12 with systemd and nothing else, made by mmdebstrap: what the tests of the packages are done to

Faults are spelled as in meantime simulate, kind:nodes@when+duration~amount, with commas between them; nodes are master, all,
or the numbers of the report, from 1, with dots between them:

  kill:master@60s+10s   kill -9 to the daemon of whoever leads then; started again after 10 s
  stop:2@60s+10s        a clean stop, started again after 10 s
  wipe:2@60s+10s        as kill, and what the daemon remembers is removed
  power:2@60s+5s~1s     as kill; the kernel's clock forgets its discipline, is 1 s off and counts as newly booted
  freeze:2@60s+30s      SIGSTOP, and SIGCONT after 30 s
  step:2@60s~10s        another program sets the clock, as date -s does
  cut:2@60s+10s         the cable is pulled
  set-time:2@60s~200ms  an operator on node 2 sets the time of the LAN, with meantime set-time --by; the run fails unless
                        all clocks are slewed there together, none back, to within 1 ms (--expect-within), 2 ms on the way

A guest does not count in the LAN's figures from a fault until it is back within 1 ms (--expect-within) of the others for a second.`,
		Example: "  lab run --program meantime --nodes 4 --ppm 40,-35,15,-20 --offset 0s,200ms,400ms,600ms --for 90s\n" +
			"  lab run --program chrony-orphan --for 120s --kill master@60s --realtime --plot out.svg",
		RunE: func(cmd *cobra.Command, args []string) error {
			plan.Command = args
			if err := flags.complete(&plan, cmd.Flags().Changed); err != nil {
				return err
			}
			result, err := run(cmd.Context(), plan, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return errors.Join(plotOne(picture, result), present(cmd.OutOrStdout(), result, asJSON))
		},
	}
	flags.register(cmd.Flags(), &plan)
	cmd.Flags().StringVar(&picture, "plot", "", "file for a picture of each clock's true offset (SVG)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

// newReport builds `lab report`.
func newReport() *cobra.Command {
	asJSON, picture := false, ""
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Report again on a run that was kept with --keep",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := analyse(args[0])
			if err != nil {
				return err
			}
			return errors.Join(plotOne(picture, result), present(cmd.OutOrStdout(), result, asJSON))
		},
	}
	cmd.Flags().StringVar(&picture, "plot", "", "file for a picture of each clock's true offset (SVG)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

// plotOne draws a result where a picture of it is asked for.
func plotOne(path string, r *Result) error {
	if path == "" {
		return nil
	}
	return plotFile(path, []*Result{r})
}
