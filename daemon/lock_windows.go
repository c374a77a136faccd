package daemon

import (
	"errors"
	"fmt"

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

// lockState does nothing here: two that use one state directory find each other on the network, by their common id.
func lockState(string) (release func() error, err error) { return func() error { return nil }, nil }
