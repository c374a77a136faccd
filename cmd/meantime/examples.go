package main

import "github.com/spf13/cobra"

// examples are of the commands that bring none of their own.
var examples = map[string]string{
	"meantime run":               "  meantime run --dry-run\n  meantime run --interface eth0 --key-file /etc/meantime/key",
	"meantime election":          "  meantime election",
	"meantime stepdown":          "  meantime stepdown\n  meantime stepdown --for 1h",
	"meantime set-time":          "  meantime set-time 2026-11-23T10:00:00Z\n  meantime set-time --by -1.5s",
	"meantime trace":             "  meantime trace\n  meantime trace --json",
	"meantime profile":           "  meantime profile cpu --seconds 30\n  meantime profile heap --out heap.pprof",
	"meantime log level":         "  meantime log level debug",
	"meantime log format":        "  meantime log format json",
	"meantime doctor":            "  meantime doctor\n  sudo meantime doctor --try-clock",
	"meantime service install":   "  meantime service install --dry-run\n  meantime service install",
	"meantime service uninstall": "  meantime service uninstall\n  meantime service uninstall --purge",
	"meantime service start":     "  meantime service start",
	"meantime service stop":      "  meantime service stop",
	"meantime service restart":   "  meantime service restart",
	"meantime service status":    "  meantime service status\n  meantime service status --json",
	"meantime service logs":      "  meantime service logs --follow\n  meantime service logs --lines 0",
	"meantime key new":           "  meantime key new\n  meantime key new --file ./key",
	"meantime key list":          "  meantime key list",
	"meantime key show-id":       "  meantime key show-id    # the same on every host of the LAN",
	"meantime key rotate":        "  meantime key rotate     # then copy the file to the other hosts",
	"meantime key retire":        "  meantime key retire     # once all hosts have the new key",
	"meantime config check":      "  meantime config check\n  meantime config check --config ./meantime.yaml",
	"meantime config print":      "  meantime config print\n  meantime config print --reference",
	"meantime clock":             "  meantime clock\n  meantime clock --os windows --json",
	"meantime demo":              "  meantime demo\n  meantime demo --kill master@12s --plain",
	"meantime simulate":          "  meantime simulate --nodes 20 --for 1h\n  meantime simulate --scenario all --seeds 20",
	"meantime version":           "  meantime version\n  meantime version --json",
	"meantime manual":            "  meantime manual | man -l -\n  meantime manual meantime.yaml | man -l -",
}

// exemplify gives a command and all below it their examples.
func exemplify(c *cobra.Command) {
	if c.Example == "" {
		c.Example = examples[c.CommandPath()]
	}
	for _, below := range c.Commands() {
		exemplify(below)
	}
}
