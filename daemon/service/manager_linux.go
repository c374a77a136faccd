package service

import (
	"fmt"
	"os"
)

// booted is there where systemd is what started the system: sd_booted(3).
const booted = "/run/systemd/system"

// newManager is systemd's where it runs. A container has its tools at most, with nobody behind them.
func newManager() (Manager, error) {
	if _, err := os.Stat(booted); err != nil {
		return nil, fmt.Errorf("%w: systemd did not start this system (a container?)", ErrNoManager)
	}
	return &systemd{uid: os.Geteuid()}, nil
}
