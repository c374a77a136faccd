package main

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"meantime/daemon"
	"meantime/daemon/service"
)

// serviceManager is the system's; tests put their own here.
var serviceManager = service.New

func newServiceCommand(out *ui) *cobra.Command {
	command := group(&cobra.Command{
		Use:   "service",
		Short: "Install this program as a service of the operating system, and look after it",
		Long: `Install this program as a service of the operating system, and look after it.

"meantime service install" has the program that it is run from started at every boot; "meantime service start" starts
it now. The service needs the LAN's key first: "meantime key new" on one host, copied to the others.`,
	})
	command.AddCommand(newServiceInstallCommand(out), newServiceUninstallCommand(out),
		serviceDeed("start", "Start the service, and wait until it runs", whenReady(service.Manager.Start)),
		serviceDeed("stop", "Stop the service, and wait until it has ended", service.Manager.Stop),
		serviceDeed("restart", "Stop and start the service, unless it could not start", whenReady(service.Manager.Restart)),
		newServiceStatusCommand(out), newServiceLogsCommand(out))
	return command
}

// changesJSON is what install and uninstall print for programs.
type changesJSON struct {
	DryRun  bool             `json:"dry_run,omitempty"`
	Changes []service.Change `json:"changes"`
	Next    []string         `json:"next,omitempty"` // what is left to do for the service to run
}

// serviceChange is a command that changes what is installed, and tells how.
func serviceChange(out *ui, use, short string,
	do func(service.Manager, service.Options) ([]service.Change, error), next func(service.Manager) []string,
) (*cobra.Command, *service.Options) {
	var o service.Options
	var asJSON bool
	command := &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			manager, err := serviceManager()
			if err != nil {
				return err
			}
			changes, err := do(manager, o)
			if err != nil {
				return err
			}
			left := next(manager)
			if asJSON {
				return out.json(changesJSON{o.DryRun, changes, left})
			}
			return out.print(changeList(changes, o.DryRun) + stepList(left))
		},
	}
	command.Flags().BoolVar(&o.DryRun, "dry-run", false, "only show what would be done; needs no rights")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command, &o
}

func newServiceInstallCommand(out *ui) *cobra.Command {
	command, o := serviceChange(out, "install", "Have this program started at every boot", service.Manager.Install, stepsToRun)
	command.Flags().BoolVar(&o.Force, "force", false, "replace files that somebody has changed, and keep those beside")
	if runtime.GOOS == "windows" {
		command.Flags().BoolVar(&o.StopW32Time, "stop-w32time", false, "stop and disable Windows' own time service; uninstall brings it back")
	}
	command.Flags().StringVar(&o.Program, "program", "", "the `path` of another program than this one to be started")
	return command
}

func newServiceUninstallCommand(out *ui) *cobra.Command {
	command, o := serviceChange(out, "uninstall", "Stop the service and take it away; configuration and key stay", service.Manager.Uninstall,
		func(service.Manager) []string { return nil })
	command.Flags().BoolVar(&o.Purge, "purge", false, "remove configuration, key and state as well")
	return command
}

// stepsToRun are what is left to do until the service runs with what has been installed.
func stepsToRun(m service.Manager) (steps []string) {
	config, _, err := loadConfig("")
	if err == nil {
		err = daemon.Ready(config)
	}
	switch {
	case err == nil:
	case errors.Is(err, daemon.ErrNoKey):
		steps = append(steps, fmt.Sprintf("`%s` on one host of the LAN; copy %s to the others",
			daemon.KeyCommand("new", config.KeyFile), config.KeyFile))
	default:
		steps = append(steps, "mend this: "+err.Error())
	}
	if status, err := m.Status(); err == nil && status.State == service.Running {
		return append(steps, "`meantime service restart` if the program or its unit is another one now")
	}
	return append(steps, "`meantime service start`")
}

// stepList shows what is left to do, a line each.
func stepList(steps []string) string {
	var text strings.Builder
	for _, step := range steps {
		fmt.Fprintf(&text, "next    %s\n", strings.ReplaceAll(step, "\n", "; "))
	}
	return text.String()
}

// changeList tells what was done, a line each; of what would be done it shows the files as well.
func changeList(changes []service.Change, would bool) string {
	var text strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&text, "%-7s %s\n", c.Verb, c.What)
		if would && c.Text != "" {
			for line := range strings.Lines(c.Text) {
				text.WriteString(strings.TrimRight("        "+line, " \n") + "\n")
			}
		}
	}
	return text.String()
}

// serviceDeed is a command that has the manager do one thing, and says nothing where it went well.
func serviceDeed(use, short string, do func(service.Manager) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			manager, err := serviceManager()
			if err != nil {
				return err
			}
			return do(manager)
		},
	}
}

// whenReady first looks whether a daemon would start: one that runs is not stopped for one that ends at once, and what is wrong is told
// here rather than in a log.
func whenReady(do func(service.Manager) error) func(service.Manager) error {
	return func(m service.Manager) error {
		status, err := m.Status()
		if err != nil {
			return err
		}
		if status.State == service.Absent {
			return service.ErrNotInstalled
		}
		config, _, err := loadConfig("")
		if err != nil {
			return err
		}
		if err := daemon.Ready(config); err != nil && !errors.Is(err, fs.ErrPermission) { // the service may read more than who asks
			return err
		}
		return do(m)
	}
}

func newServiceStatusCommand(out *ui) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show whether the service runs; exit code 0 only if it does",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			manager, err := serviceManager()
			if err != nil {
				return err
			}
			status, err := manager.Status()
			if err != nil {
				return err
			}
			if asJSON {
				err = out.json(status)
			} else {
				err = out.print(statusLines(status))
			}
			if err == nil && status.State != service.Running {
				return silent{fmt.Errorf("the service is %s", status.State)}
			}
			return err
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// statusLines show what is known, a line each.
func statusLines(s service.Status) string {
	boots := "no"
	if s.Boots {
		boots = "yes"
	}
	pid := ""
	if s.PID != 0 {
		pid = fmt.Sprint(s.PID)
	}
	var text strings.Builder
	for _, l := range []struct{ name, value string }{
		{"state", string(s.State)}, {"starts at boot", boots}, {"process", pid}, {"program", s.Program}, {"says", s.Text},
		{"why", s.Detail}, {"manager", s.Manager},
	} {
		if l.value != "" {
			fmt.Fprintf(&text, "%-15s %s\n", l.name, l.value)
		}
	}
	return text.String()
}

func newServiceLogsCommand(out *ui) *cobra.Command {
	var o service.LogOptions
	command := &cobra.Command{
		Use:   "logs",
		Short: "Show what the service has written to its log",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			manager, err := serviceManager()
			if err != nil {
				return err
			}
			return manager.Logs(c.Context(), o, out.stdout)
		},
	}
	command.Flags().IntVar(&o.Lines, "lines", 50, "show the last so many; 0 shows all")
	command.Flags().BoolVar(&o.Follow, "follow", false, "go on with new ones, until interrupted")
	return command
}
