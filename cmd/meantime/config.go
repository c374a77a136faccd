package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"meantime/configs"
	"meantime/daemon"
)

func newConfigCommand(out *ui) *cobra.Command {
	command := group(&cobra.Command{Use: "config", Short: "Check or print the configuration"})
	command.AddCommand(newConfigCheckCommand(out), newConfigPrintCommand(out))
	return command
}

// verdict is what config check says to programs.
type verdict struct {
	File     string           `json:"file"` // empty = there is none, the defaults hold
	Valid    bool             `json:"valid"`
	Problems configs.Problems `json:"problems"`
	Key      string           `json:"key_problem,omitempty"` // why the key file cannot be used
}

// errKeys says that a correct configuration asks for keys that are not there.
var errKeys = errors.New("the configuration is correct, its keys are not")

// checkKeys looks at the key file that a configuration asks for, as a daemon would. Whoever may not read it cannot tell, which is for that
// user no fault of the file's.
func checkKeys(config configs.Config) error {
	err := daemon.CheckKeys(config)
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("%w: %w", errKeys, err)
}

func newConfigCheckCommand(out *ui) *cobra.Command {
	var path string
	var asJSON bool
	command := &cobra.Command{
		Use:   "check",
		Short: "Tell everything that is wrong with the configuration file, and whether its key file can be used",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			config, file, err := loadConfig(path)
			if err == nil {
				err = checkKeys(config)
			}
			if asJSON {
				return checkJSON(out, file, err)
			}
			switch {
			case err != nil:
				return err
			case file == "":
				return out.printf("%s does not exist: the defaults hold\n", configs.DefaultPath())
			}
			return out.printf("%s is correct\n", file)
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// checkJSON reports on standard output alone. A file that cannot be read has no verdict: that stays an error.
func checkJSON(out *ui, file string, err error) error {
	v := verdict{File: file, Valid: err == nil, Problems: configs.Problems{}}
	switch {
	case errors.Is(err, errKeys):
		v.Key = err.Error()
	case err != nil && !errors.As(err, &v.Problems):
		return err
	}
	if failed := out.json(v); failed != nil {
		return failed
	}
	if err != nil {
		return silent{err}
	}
	return nil
}

var errExclude = errors.New("--config, --defaults and --reference exclude each other, and --reference is not JSON")

func newConfigPrintCommand(out *ui) *cobra.Command {
	var path string
	var defaults, reference, asJSON bool
	command := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case reference && (defaults || asJSON || path != ""), defaults && path != "":
				return usageError{errExclude, c.CommandPath()}
			case reference:
				return out.print(configs.Reference())
			}
			config, err := configs.Default(), error(nil)
			if !defaults {
				config, _, err = loadConfig(path)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return out.json(config)
			}
			return out.print(config.YAML())
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&defaults, "defaults", false, "print the defaults instead of what the file says")
	command.Flags().BoolVar(&reference, "reference", false, "print a commented file to start from")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func addConfigFlag(command *cobra.Command, path *string) {
	command.Flags().StringVar(path, "config", "", "configuration `file` (default "+configs.DefaultPath()+")")
}

// loadConfig reads the file at path, with flags on top, and returns the name of the file read. Without a path it
// reads the default file if there is one; if not, the name is empty.
func loadConfig(path string, flags ...configs.Override) (configs.Config, string, error) {
	file := path
	if file == "" {
		file = configs.DefaultPath()
	}
	config, err := daemon.Machine().Load(file, flags...)
	switch {
	case err == nil || is[configs.Problems](err):
		return config, file, err
	case path == "" && errors.Is(err, fs.ErrNotExist):
		config, err = daemon.Machine().Parse("", nil, flags...)
		return config, "", err
	}
	return configs.Config{}, file, hinted{fmt.Errorf("%w: %w", errConfigFile, err), readHint(file, err)}
}

// readHint says what to do about a file that cannot be read.
func readHint(file string, err error) string {
	switch info, failed := os.Stat(file); {
	case errors.Is(err, fs.ErrNotExist):
		return "`meantime config print --reference` prints a file to start from; without --config, none is needed"
	case errors.Is(err, fs.ErrPermission):
		return "run it as a user who may read the file"
	case failed == nil && info.IsDir():
		return "name the file in that folder"
	}
	return "check the path after --config"
}
