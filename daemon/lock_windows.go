package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockName and keysName are mutexes of the whole host, not of a session: there is one clock to keep, and key files are seldom changed.
const (
	lockName = `Global\meantime-clock`
	keysName = `Global\meantime-keys`
)

// lockClock takes the lock on the host's clock, which ends with the process if nobody gives it back. It returns ErrClockHeld
// if another process has it.
func lockClock() (release func() error, err error) {
	release, err = lockMutex(lockName)
	if taken(err) {
		return nil, fmt.Errorf("%w: stop it first", ErrClockHeld)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the clock: %w (run as administrator, or try --dry-run)", err)
	}
	return release, nil
}

// lockBriefly is lockClock: a mutex leaves nothing behind.
func lockBriefly() (release func() error, err error) { return lockClock() }

// lockKeys takes the lock on all key files.
func lockKeys(string) (release func(), err error) {
	unlock, err := lockMutex(keysName)
	if taken(err) {
		return nil, errKeysHeld
	}
	if err != nil {
		return nil, fmt.Errorf("locking it: %w (run as administrator)", err)
	}
	return func() { _ = unlock() }, nil
}

// taken says that a mutex is somebody's. One of another account, such as the service's, may not even be opened; making one needs no right.
func taken(err error) bool {
	return errors.Is(err, windows.ERROR_ALREADY_EXISTS) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}

// lockMutex makes a mutex that must not be there.
func lockMutex(of string) (release func() error, err error) {
	name, err := windows.UTF16PtrFromString(of)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateMutex(nil, false, name)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		_ = windows.CloseHandle(h)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return windows.CloseHandle(h) }, nil
}

// stateLockName is a file in the state directory. Windows locks no folders.
const stateLockName = "state.lock"

// lockState takes the lock on a state directory, likewise. Where files cannot be locked, as on some network shares, none is.
func lockState(dir string) (release func() error, err error) {
	free := func() error { return nil }
	if dir == "" {
		return free, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, stateLockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	const now = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	switch err := windows.LockFileEx(windows.Handle(f.Fd()), now, 0, 1, 0, &windows.Overlapped{}); {
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return nil, errors.Join(stateHeld(dir), f.Close())
	case err != nil:
		return free, f.Close()
	}
	return f.Close, nil // closing gives the lock back; the file stays, since removing it would let two in
}
