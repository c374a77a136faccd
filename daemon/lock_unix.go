//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"meantime/sysclock"
)

// lockName is the file's name.
const lockName = "clock.lock"

// lockPath is one file per host, wherever the state directory is: there is one clock to keep.
func lockPath() string {
	if runtime.GOOS == "linux" {
		return "/run/meantime/" + lockName
	}
	return "/var/run/meantime/" + lockName
}

// lockClock takes the lock on the host's clock, which ends with the process if nobody gives it back. It returns ErrClockHeld
// if another process has it.
func lockClock() (release func() error, err error) { return lockFile(lockPath()) }

// lockFile locks the file at a path. The folder is the service's user's: root follows no link that lies there.
func lockFile(path string) (func() error, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, lockError(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, lockError(err)
	}
	return lockOpen(f, path)
}

// lockOpen locks a file that was opened at a path.
func lockOpen(f *os.File, path string) (func() error, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w (its lock is %s): stop it first", ErrClockHeld, path), f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	mine, mineErr := f.Stat()
	now, err := os.Lstat(path)
	if mineErr != nil || err != nil || !os.SameFile(mine, now) { // somebody who held it only for a moment has taken it away (lockBriefly)
		return nil, errors.Join(fmt.Errorf("%w (its lock %s was changing hands): try again", ErrClockHeld, path), f.Close())
	}
	return f.Close, nil // closing gives the lock back; the file stays, since removing it would let two in
}

// lockBriefly is lockClock for whoever is not the service: root's file in root's folder would be in the way of the service's user, so
// what was not there before is taken away again. Whoever has opened the file meanwhile finds that out (lockFile).
func lockBriefly() (release func() error, err error) { return lockFileBriefly(lockPath()) }

func lockFileBriefly(path string) (func() error, error) {
	var made []string
	for _, name := range []string{path, filepath.Dir(path)} {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			made = append(made, name)
		}
	}
	release, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	return func() error {
		for _, name := range made {
			_ = os.Remove(name) // a folder that holds something by now stays
		}
		return release()
	}, nil
}

// lockState takes the lock on a state directory, likewise. It is on the folder itself, so that no file has to be handed on with it; where
// folders cannot be locked, as on some network file systems, none is.
func lockState(dir string) (release func() error, err error) {
	free := func() error { return nil }
	if dir == "" {
		return free, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(stateHeld(dir), f.Close())
	case err != nil:
		return free, f.Close()
	}
	return f.Close, nil
}

// lockError says what to do. Whoever may not make the lock may not set the clock either.
func lockError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: cannot lock it: %w; run as root or as the service, or try --dry-run", sysclock.ErrPermission, err)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) { // the latter is FreeBSD's word for it
		return fmt.Errorf("locking the clock: %w: a symbolic link is no lock: remove it, and see who put it there", err)
	}
	return fmt.Errorf("locking the clock: %w", err)
}
