//go:build !linux

package udp

import (
	"errors"
	"fmt"

	"meantime/netproto"
)

// filter says that this system has no filters on sockets.
func (*socket) filter(netproto.Frame) error {
	return fmt.Errorf("filtering sockets in the kernel: %w", errors.ErrUnsupported)
}
