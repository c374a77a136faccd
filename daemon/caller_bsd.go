//go:build darwin || freebsd

package daemon

import "golang.org/x/sys/unix"

// peerUID is the user at the other end of a Unix socket, as of its connect.
func peerUID(fd int) (int, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return nobody, err
	}
	return int(cred.Uid), nil
}
