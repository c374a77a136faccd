package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
)

// DoorSuffix is what follows the socket's path in the name of the file that tells where a daemon is asked on a system without Unix
// sockets: address and token, in one line.
const DoorSuffix = ".token"

// door reads that file.
func (c *Client) door() (address, token string, err error) {
	text, err := os.ReadFile(c.socket + DoorSuffix)
	if err != nil {
		return "", "", err
	}
	address, token, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	return address, token, nil
}

// dial connects to the socket, or through the door where there is one and no socket.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err == nil {
		return conn, nil
	}
	address, _, missing := c.door()
	if errors.Is(missing, fs.ErrNotExist) {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	return new(net.Dialer).DialContext(ctx, "tcp4", address)
}
