package daemon

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// Two daemons, dry or not, do not share a state directory: the second says so before it opens a socket.
func TestLockState(t *testing.T) {
	cfg := dryConfig()
	cfg.StateDir = t.TempDir()
	leave, err := lockState(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrStateHeld) || !strings.Contains(err.Error(), cfg.StateDir) || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("the second got %v", err)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrNetwork) {
		t.Errorf("after the first has left: %v", err)
	}
	if leave, err = lockState(""); err != nil || leave() != nil {
		t.Errorf("no directory: %v", err)
	}
}
