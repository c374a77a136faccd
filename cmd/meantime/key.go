package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"meantime/configs"
	"meantime/daemon"
)

// keyFlags are the flags that all commands about keys have.
type keyFlags struct {
	file, config string
	json         bool
}

func newKeyCommand(out *ui) *cobra.Command {
	command := group(&cobra.Command{
		Use:   "key",
		Short: "Make, change and compare the keys that hold a LAN together",
		Long: `Make, change and compare the keys that hold a LAN together.

Every host of a LAN has the same key file; whoever does not hold its key is not heard. Make it on one host with
"meantime key new" and copy it to the others by a way that nobody else can read.

To change the key of a running LAN: "meantime key rotate" on one host adds a new key; copy the file to every
host, where it is noticed within seconds. Once the log of the master says that all members hold the newest key,
"meantime key retire" drops the old ones; copy the file once more. No poll is lost on the way.

A key is shown by its id, which tells nothing of it.`,
	})
	command.AddCommand(newKeyNewCommand(out), newKeyListCommand(out), newKeyShowCommand(out), newKeyRotateCommand(out),
		newKeyRetireCommand(out))
	return command
}

// keyCommand is a command about the keys of one file: do makes, changes or reads them, tell says what that means.
func keyCommand(out *ui, use, short string, do func(path string) (*daemon.KeyFile, error),
	tell func(*daemon.KeyFile) string,
) *cobra.Command {
	var flags keyFlags
	command := &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			path, err := flags.path()
			if err != nil {
				return err
			}
			keys, err := do(path)
			if err != nil {
				return err
			}
			if flags.json {
				return out.json(keyList{keys.Path(), keys.IDs(), keys.Caution()})
			}
			return out.print(tell(keys))
		},
	}
	command.Flags().StringVar(&flags.file, "file", "", "key `file` (default: key_file of the configuration, "+configs.Default().KeyFile+")")
	addConfigFlag(command, &flags.config)
	command.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return command
}

// keyList is what the commands say to programs.
type keyList struct {
	File    string   `json:"file"`
	Keys    []string `json:"keys"`              // ids, newest first
	Caution string   `json:"caution,omitempty"` // who may read the file and is not checked, what lies beside it
}

// path is the file that is meant: the one named, else the one that run would read.
func (f *keyFlags) path() (string, error) {
	if f.file != "" {
		return f.file, nil
	}
	config, _, err := loadConfig(f.config)
	return config.KeyFile, err
}

func newKeyNewCommand(out *ui) *cobra.Command {
	return keyCommand(out, "new", "Make a key file with a new key", daemon.MakeKeys, func(k *daemon.KeyFile) string {
		return fmt.Sprintf("%s made, with key %s\ncopy it to every host of the LAN, by a way that nobody else can read\n%s",
			k.Path(), k.IDs()[0], caution(k))
	})
}

func newKeyListCommand(out *ui) *cobra.Command {
	return keyCommand(out, "list", "List the ids of a file's keys, newest first", daemon.ReadKeys, func(k *daemon.KeyFile) string {
		return strings.Join(k.IDs(), "\n") + "\n"
	})
}

func newKeyShowCommand(out *ui) *cobra.Command {
	return keyCommand(out, "show-id", "Show the id of the newest key, to compare two hosts", daemon.ReadKeys, func(k *daemon.KeyFile) string {
		return k.IDs()[0] + "\n"
	})
}

func newKeyRotateCommand(out *ui) *cobra.Command {
	return keyCommand(out, "rotate", "Add a new key and keep the others", daemon.RotateKeys, func(k *daemon.KeyFile) string {
		return fmt.Sprintf("key %s added to %s, which holds %d keys now\n"+
			"copy the file to every host; once the log of the master says that all members hold the newest key, "+
			"`%s` drops the others\n%s", k.IDs()[0], k.Path(), len(k.IDs()), daemon.KeyCommand("retire", k.Path()), caution(k))
	})
}

func newKeyRetireCommand(out *ui) *cobra.Command {
	return keyCommand(out, "retire", "Drop all keys but the newest", daemon.RetireKeys, func(k *daemon.KeyFile) string {
		return fmt.Sprintf("%s holds key %[2]s alone now\nhosts that do not hold %[2]s are cut off from now on: copy the file to every host, "+
			"at once if the log of the master has not said that all members hold the newest key\n%[3]s", k.Path(), k.IDs()[0], caution(k))
	})
}

// caution are the lines about what is not checked and what lies beside the file, if there are any.
func caution(k *daemon.KeyFile) string {
	if k.Caution() == "" {
		return ""
	}
	return k.Caution() + "\n"
}
