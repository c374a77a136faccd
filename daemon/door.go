package daemon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/net/netutil"

	"meantime/daemon/control"
)

// Where there are no Unix sockets (old Windows, wine), a daemon is asked over TCP on loopback, at a port of its own and with a token. Both
// lie in a file beside where the socket would be, which the daemon's own user and administrators may read: who asks there can change, too.

// tokenBytes is the length of the token: 256 bits cannot be guessed.
const tokenBytes = 32

// wsaNoFamily is Windows' number for "address family not supported", which package syscall has no name for.
const wsaNoFamily = syscall.Errno(10047)

// noUnixSockets says whether an error means that this system has none.
func noUnixSockets(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, wsaNoFamily)
}

// openDoor listens on loopback and writes down where, and with which token.
func openDoor(path string, log *slog.Logger) (*controller, error) {
	file := path + control.DoorSuffix
	if v, err := control.NewClient(path).Version(context.Background()); err == nil {
		return nil, fmt.Errorf("%w: %s (%s): stop it first, or name another with control or --control", ErrControlHeld, file, v.Program)
	}
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // it never fails
	token := hex.EncodeToString(secret)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, controlError(path, err)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(controlError(path, err), l.Close())
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, l.Addr(), token)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, errors.Join(controlError(path, err), l.Close())
	}
	return &controller{netutil.LimitListener(door{l, file}, asksAtOnce), token, log}, nil
}

// door is a listener that takes its file along when it closes.
type door struct {
	net.Listener
	file string
}

// Close ends it. Whoever closes it again does nothing.
func (d door) Close() error {
	if err := d.Listener.Close(); err != nil {
		return err
	}
	return os.Remove(d.file)
}

// guard lets in who knows the token, as the daemon's own user: nobody else can read it but root.
func guard(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			refuse(w, http.StatusUnauthorized, "the token of this daemon is wanted")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{uid: os.Geteuid()})))
	})
}
