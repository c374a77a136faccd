package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// lockName is a mutex of the whole host, not of a session: there is one clock to keep.
const lockName = `Global\meantime-clock`

// lockClock takes the lock on the host's clock, which ends with the process if nobody gives it back. It returns ErrClockHeld
// if another process has it.
func lockClock() (release func() error, err error) {
	name, err := windows.UTF16PtrFromString(lockName)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateMutex(nil, false, name)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		_ = windows.CloseHandle(h)
		return nil, fmt.Errorf("%w: stop it first", ErrClockHeld)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the clock: %w (run as administrator, or try --dry-run)", err)
	}
	return func() error { return windows.CloseHandle(h) }, nil
}

// lockState does nothing here: two that use one state directory find each other on the network, by their common id.
func lockState(string) (release func() error, err error) { return func() error { return nil }, nil }
