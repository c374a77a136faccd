package service

import "fmt"

// newManager knows none: Windows' service manager is not served by this version.
func newManager() (Manager, error) {
	return nil, fmt.Errorf("%w: Windows' service manager is not supported by this version", ErrNoManager)
}
