package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// commandTime is longer than any start or stop of ours takes: the systemd unit allows 10 s for a stop, systemd 90 s for a start.
const commandTime = 2 * time.Minute

// command runs a program, and tells what it has said where it failed.
func command(ctx context.Context, out io.Writer, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
	cmd.Stdout, cmd.Stderr = out, &said
	err := cmd.Run()
	line := strings.Join(append([]string{name}, args...), " ")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: there is no %s", ErrNoManager, name)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: not done after %v", line, commandTime)
	case said.Len() > 0:
		return fmt.Errorf("%s: %s", line, oneLine(said.String()))
	}
	return fmt.Errorf("%s: %w", line, err)
}

// quiet is a command that need not say anything.
func quiet(name string, args ...string) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), commandTime)
		defer cancel()
		return command(ctx, io.Discard, name, args...)
	}
}

// says is what a command has said.
func says(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var out bytes.Buffer
	err := command(ctx, &out, name, args...)
	return out.String(), err
}
