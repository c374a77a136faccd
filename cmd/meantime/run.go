package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/service"
)

// runDaemon runs a node until ctx ends. Tests put their own here, so that none opens a socket.
var runDaemon = func(ctx context.Context, config configs.Config, host service.Host) error {
	log := daemon.NewEventLogger(host.Log, config.Log)
	if host.Plain {
		log = daemon.NewLogger(host.Log(slog.LevelInfo), config.Log)
	}
	daemon.Version = readBuild().Version
	return daemon.Main(ctx, config, log, host.Ready)
}

// runFlags are the flags of run that stand for a key of the configuration. The word in backquotes names the value.
var runFlags = []struct {
	flag, key, usage string
	toggle           bool
	path             bool // from where the command is given
}{
	{flag: "role", key: "role", usage: "what this node does, the `role`: auto, slave or master"},
	{flag: "interface", key: "interfaces", usage: "network interface `name` to use; may be repeated"},
	{flag: "poll", key: "poll", usage: "`time` between two polls, such as 1s"},
	{flag: "key-file", key: "key_file", usage: "`file` with the LAN's keys, as `meantime key new` makes it", path: true},
	{flag: "insecure", key: "insecure", usage: "use no key: obey packets that nothing authenticates", toggle: true},
	{flag: "state-dir", key: "state_dir", usage: "`folder` for id, term and drift", path: true},
	{flag: "control", key: "control", usage: "`socket` at which this daemon can be asked how it does", path: true},
	{flag: "control-group", key: "control_group", usage: "`group` whose members may ask there, and change nothing"},
	{flag: "user", key: "user", usage: "`account` that root goes on as, on Linux"},
	{flag: "confine", key: "confine", usage: "give up what a started daemon does not need; --confine=false to debug it", toggle: true},
	{flag: "log-level", key: "log.level", usage: "least severe `level` written: debug, info, warn or error"},
	{flag: "log-format", key: "log.format", usage: "`form` of a message: text or json"},
	{flag: "dry-run", key: "dry_run", usage: "steer a virtual clock; the real one is left alone", toggle: true},
	{flag: "trace", key: "trace", usage: "dry run: `file` for pairs of host clock and virtual clock"},
	{flag: "virtual-offset", key: "virtual.offset", usage: "dry run: start ahead of the host by a `time` such as 5s"},
	{flag: "virtual-frequency", key: "virtual.frequency", usage: "dry run: run too fast by a `rate` such as 50ppm"},
	{flag: "virtual-wander", key: "virtual.wander", usage: "dry run: stray by a `rate` such as 0.1ppm per root second"},
	{flag: "virtual-seed", key: "virtual.seed", usage: "dry run: draw the wander from a `number`"},
}

func newRunCommand() *cobra.Command {
	var path string
	var managed bool
	command := &cobra.Command{
		Use:   "run",
		Short: "Keep this host on the LAN's common time, until stopped",
		Long: `Keep this host on the LAN's common time, until stopped.

A flag replaces what the configuration file says about the same setting.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			given := overrides(c.Flags())
			return service.Serve(c.Context(), managed, standardUI().stderr, func(ctx context.Context, host service.Host) error {
				config, _, err := loadConfig(path, given...) // within, so that a service manager hears what is wrong
				if err != nil {
					return err
				}
				return runDaemon(ctx, config, host)
			})
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&managed, service.Managed, false, "answer Windows' service manager, which has started this")
	_ = command.Flags().MarkHidden(service.Managed) // it is there: see above
	for _, f := range runFlags {
		switch {
		case f.toggle:
			command.Flags().Bool(f.flag, false, f.usage)
		case f.key == "interfaces":
			command.Flags().StringArray(f.flag, nil, f.usage)
		default:
			command.Flags().String(f.flag, "", f.usage)
		}
	}
	return command
}

// overrides returns the flags that were given, each as the value of its key.
func overrides(flags *pflag.FlagSet) []configs.Override {
	var given []configs.Override
	for _, f := range runFlags {
		flag := flags.Lookup(f.flag)
		if !flag.Changed {
			continue
		}
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if f.path && values[0] != "" {
			if whole, err := filepath.Abs(values[0]); err == nil { // else the configuration says what is wrong with it
				values[0] = whole
			}
		}
		given = append(given, configs.Override{Flag: "--" + f.flag, Key: f.key, Values: values})
	}
	return given
}
