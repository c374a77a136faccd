//go:build !linux

package daemon

import "errors"

// monotonicMark is nothing that anybody here would ask for.
func monotonicMark() string { return "" }

// writeOnce is for systemd alone.
func writeOnce(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
