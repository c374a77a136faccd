package service

import "fmt"

// newManager knows none: launchd is not served by this version.
func newManager() (Manager, error) {
	return nil, fmt.Errorf("%w: launchd is not supported by this version", ErrNoManager)
}
