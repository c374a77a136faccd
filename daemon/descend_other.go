//go:build !linux

package daemon

import (
	"log/slog"

	"meantime/configs"
)

// processList is empty: there is no file to look for rivals in.
var processList []string

// ownProcess is empty: other systems are asked by calls.
var ownProcess []string

// descend does nothing: the clock of this system is for root alone (macOS, FreeBSD), or for whom the service manager starts (Windows).
func descend(configs.Config, *slog.Logger) error { return nil }
