//go:build !linux && !windows && !darwin && !freebsd

package service

// newManager knows none.
func newManager() (Manager, error) { return nil, ErrNoManager }
