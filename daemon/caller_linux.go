package daemon

import "golang.org/x/sys/unix"

// peerUID is the user at the other end of a Unix socket, as of its connect.
func peerUID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nobody, err
	}
	return int(cred.Uid), nil
}
