// Command meantime keeps the clocks of a LAN on one common time, without any reference from outside.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/daemon/service"
	"meantime/sysclock"
)

// Exit codes. They are part of the command's contract: scripts and service managers rely on them.
const (
	exitOK          = 0  // done
	exitFailed      = 1  // failed for another reason than those below; demo, simulate and doctor: what they are to show is not so
	exitUsage       = 2  // a flag or a command that does not exist, or a flag's value that cannot be taken
	exitConfig      = 3  // the configuration file or the key file cannot be read or has problems
	exitPermission  = 4  // not allowed to set the clock, to change the services of the system, or to ask the daemon or change what it does
	exitNetwork     = 5  // a network interface or a socket cannot be used
	exitClockHeld   = 6  // another program on this host steers the clock, uses the state directory, or answers at the control socket
	exitInsecure    = 7  // refused to obey packets that nothing authenticates: there is no key
	exitUnsupported = 8  // this operating system has no clock that can be steered, or no service manager that is known
	exitNoDaemon    = 9  // no daemon answers at the control socket, or it cannot answer this
	exitUnsynced    = 10 // wait-sync: not synchronised in the time that was given; now: LAN time is not known
)

// exitCodes says the same to users: the help topic exit-codes prints it.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "done"},
	{exitFailed, "failed for another reason than those below; demo: the clocks did not agree in time; " +
		"simulate: an invariant did not hold; doctor: a check failed"},
	{exitUsage, "a command or a flag that does not exist, or a flag's value that cannot be taken"},
	{exitConfig, "the configuration file or the key file cannot be read or has problems"},
	{exitPermission, "not allowed to set the clock, to change the services of this system, or to ask the daemon or change what it does"},
	{exitNetwork, "a network interface or a socket cannot be used"},
	{exitClockHeld, "another program on this host steers the clock already: a second meantime, or another time daemon; " +
		"or uses the state directory, or answers at the control socket"},
	{exitInsecure, "refused to obey packets that nothing authenticates: there is no key"},
	{exitUnsupported, "this operating system has no clock that can be steered; service: no service manager runs here that meantime knows"},
	{exitNoDaemon, "no daemon answers at the control socket, or it cannot answer what it was asked; " +
		"wait-sync: nor does anybody else keep the clock"},
	{exitUnsynced, "wait-sync: the clock is not synchronised well enough, and the time is over; now: LAN time is not known yet"},
}

// errConfigFile is an error of this command itself, for the table below.
var errConfigFile = errors.New("cannot read the configuration")

// outcomes maps an error to its exit code: the first match counts. What matches none is exitFailed.
var outcomes = []struct {
	matches func(error) bool
	code    int
}{
	{is[usageError], exitUsage},
	{onlyFlags, exitUsage},
	{same(control.ErrBadValue), exitUsage},
	{is[configs.Problems], exitConfig},
	{same(errConfigFile), exitConfig},
	{same(errKeys), exitConfig},
	{same(daemon.ErrNoKey), exitInsecure},
	{same(daemon.ErrKeyFile), exitConfig},
	{is[user.UnknownGroupError], exitConfig}, // control_group
	{same(sysclock.ErrPermission), exitPermission},
	{same(service.ErrRights), exitPermission},
	{same(daemon.ErrNetwork), exitNetwork},
	{same(daemon.ErrClockHeld), exitClockHeld},
	{same(daemon.ErrStateHeld), exitClockHeld},
	{same(daemon.ErrControlHeld), exitClockHeld},
	{same(sysclock.ErrUnsupported), exitUnsupported},
	{same(control.ErrNoDaemon), exitNoDaemon},
	{same(control.ErrUnknown), exitNoDaemon},
	{same(control.ErrRefused), exitNoDaemon},
	{same(control.ErrForbidden), exitPermission},
	{same(daemon.ErrNotSynchronised), exitUnsynced},
	{same(errNoLANTime), exitUnsynced},
	{same(control.ErrReadOnly), exitPermission},
	{same(service.ErrNoManager), exitUnsupported},
}

// is matches errors that hold one of type E.
func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

// same matches errors that wrap a sentinel.
func same(sentinel error) func(error) bool {
	return func(err error) bool { return errors.Is(err, sentinel) }
}

// onlyFlags matches problems of configuration that came from the command line alone.
func onlyFlags(err error) bool {
	var problems configs.Problems
	return errors.As(err, &problems) && problems.OnlyFlags()
}

// exitCode returns what the process exits with after err; nil is exitOK.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	for _, outcome := range outcomes {
		if outcome.matches(err) {
			return outcome.code
		}
	}
	return exitFailed
}

// usageError is a command line that cannot be understood. Command is whose help explains it.
type usageError struct {
	err     error
	command string // "meantime config"
}

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	exit(execute(ctx, standardUI(), os.Args[1:]))
}

// execute runs one command line.
func execute(ctx context.Context, out *ui, args []string) error {
	begun := false
	root := newRootCommand(out)
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !begun && !is[usageError](err) {
		err = usageError{err, command.CommandPath()} // cobra refused the line before any command ran
	}
	return err
}

// newRootCommand builds the tree of commands.
func newRootCommand(out *ui) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "meantime",
		Short: "Keep the clocks of a LAN on one common time",
		Long: `meantime keeps every machine of a LAN on one common time, with no reference from outside:
one master polls, every slave answers, and all of them, the master too, follow the mean.`,
		Example: "  meantime demo                # a LAN of virtual clocks on this host: five nodes, half a minute\n" +
			"  meantime run --dry-run       # take part on a virtual clock, as an ordinary user\n" +
			"  meantime service install     # have it started at every boot\n" +
			"  meantime status              # does the LAN agree?",
		Version:       readBuild().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	root.SetVersionTemplate("meantime {{.Version}}\n")
	root.SetOut(out.stdout)
	root.SetErr(out.stderr)
	root.SetFlagErrorFunc(flagError)
	addGrouped(root, "Daily use", newStatusCommand(out), newMembersCommand(out), newEventsCommand(out), newNowCommand(out),
		newWaitSyncCommand(out), newDoctorCommand(out))
	addGrouped(root, "Change", newElectionCommand(out), newStepDownCommand(out), newSetTimeCommand(out), newLogCommand(out),
		newTraceCommand(out), newProfileCommand(out))
	addGrouped(root, "Service", newRunCommand(), newServiceCommand(out))
	addGrouped(root, "Keys and configuration", newKeyCommand(out), newConfigCommand(out), newClockCommand(out))
	addGrouped(root, "Try out", newDemoCommand(), newSimulateCommand(out))
	root.AddCommand(newVersionCommand(out), newManualCommand(out), exitCodeTopic())
	exemplify(root)
	root.SetHelpCommand(newHelpCommand(root))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		group(completion) // cobra's own takes any word after it for a request for help
	}
	return root
}

// addGrouped adds commands under a title of their own in the help.
func addGrouped(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
	for _, c := range commands {
		c.GroupID = title
	}
	root.AddCommand(commands...)
}

// group makes a command of one that only holds others: alone it shows its help, and a wrong word is an error.
func group(command *cobra.Command) *cobra.Command {
	command.Args = cobra.ArbitraryArgs
	command.DisableFlagsInUseLine = true
	command.SuggestionsMinimumDistance = 2
	command.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownCommand(c, args[0])
	}
	return command
}

// unknownCommand says that parent has no such command, and which one may be meant.
func unknownCommand(parent *cobra.Command, name string) error {
	err := fmt.Errorf("unknown command %q", name)
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		err = fmt.Errorf("unknown command %q, did you mean %s?", name, strings.Join(near, " or "))
	}
	return usageError{err, parent.CommandPath()}
}

// flagError says which flag may be meant by one that there is not, and what a flag takes, where its value is the trouble; cobra would
// quote strconv instead.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return unknownFlag(c, unknown)
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	if _, own := flag.Value.(*parsed); own {
		return fmt.Errorf("--%s: %w", flag.Name, invalid.Unwrap())
	}
	if flag.Value.Type() == "bool" {
		return fmt.Errorf("--%s: %q is neither true nor false; write --%s alone", flag.Name, invalid.GetValue(), flag.Name)
	}
	_, usage := pflag.UnquoteUsage(flag)
	return fmt.Errorf("--%s: %q cannot be taken; write the %s", flag.Name, invalid.GetValue(), usage)
}

// unknownFlag says that a command has no such flag, and which one may be meant.
func unknownFlag(c *cobra.Command, err *pflag.NotExistError) error {
	if err.GetSpecifiedShortnames() != "" {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := configs.Nearest(err.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w, did you mean --%s?", err, near)
	}
	return err
}

// newHelpCommand is cobra's help, except that an unknown topic is an error.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command or topic",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if parent, _, err := root.Find(args); err == nil {
				for _, c := range parent.Commands() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			target, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(target, rest[0])
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// exitCodeTopic is a help topic: it has nothing to run.
func exitCodeTopic() *cobra.Command {
	var text strings.Builder
	text.WriteString("What the exit code of meantime says:\n\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&text, "  %2d  %s\n", e.code, e.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: text.String()}
}

// noArguments refuses words after a command that takes none.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but got %q", command.Name(), args[0])
	}
	return nil
}
