package service

import "fmt"

// newManager knows none: rc(8) is not served by this version.
func newManager() (Manager, error) {
	return nil, fmt.Errorf("%w: rc(8) is not supported by this version", ErrNoManager)
}
