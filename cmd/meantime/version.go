package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by release builds: -ldflags "-X main.version=v1.2.3". Empty, the build information speaks.
var version string

// build is where this program came from. Revision, Time and Modified are empty where git was not at hand.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // commit hash
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // built from uncommitted changes
	Go       string `json:"go"`
	System   string `json:"system"` // operating system and processor: "linux/amd64"
}

func readBuild() build {
	b := build{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Revision = setting.Value
			case "vcs.time":
				b.Time = setting.Value
			case "vcs.modified":
				b.Modified = setting.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

func newVersionCommand(out *ui) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "version",
		Short: "Show which version this is",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			if asJSON {
				return out.json(b)
			}
			return out.printf("meantime %s%s (%s, %s)\n", b.Version, b.commit(), b.Go, b.System)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// commit is " at 0123456789ab" or nothing.
func (b build) commit() string {
	if len(b.Revision) < 12 {
		return ""
	}
	if b.Modified {
		return " at " + b.Revision[:12] + ", changed"
	}
	return " at " + b.Revision[:12]
}
