package daemon

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/daemon/control"
)

// Without Unix sockets a daemon is asked over loopback by whoever can read its token, and by nobody else.
func TestDoor(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(socketDir(t), "s")
	file := path + control.DoorSuffix
	put(t, file, "127.0.0.1:1 left by a dead one")
	c, err := openDoor(path, log)
	if err != nil {
		t.Fatal(err)
	}
	serveController(t, path, c)
	client := control.NewClient(path)
	if s, err := client.Status(t.Context()); err != nil || s.ID != "0000000000000001" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := client.StepDown(t.Context(), time.Minute); !errors.Is(err, control.ErrNotNow) { // it is alone
		t.Errorf("a change: %v", err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, _ := os.ReadFile(file)
	address, token, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" || len(token) != 2*tokenBytes {
		t.Errorf("%q", text)
	}
	answer, err := http.Get("http://" + address + control.PathStatus)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without the token: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if _, err := openDoor(path, log); !errors.Is(err, ErrControlHeld) {
		t.Errorf("beside a living one: %v", err)
	}
	other := filepath.Join(filepath.Dir(path), "other")
	put(t, other+control.DoorSuffix, address+" "+strings.Repeat("0", 2*tokenBytes))
	if _, err := control.NewClient(other).Status(t.Context()); !errors.Is(err, control.ErrForbidden) {
		t.Errorf("with another token: %v", err)
	}
	t.Cleanup(func() { // before the daemon's own end is looked at
		if err := c.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the token is there still: %v", err)
		}
	})
	if noUnixSockets(nil) || noUnixSockets(os.ErrPermission) || !noUnixSockets(&net.OpError{Err: os.NewSyscallError("socket", syscall.EAFNOSUPPORT)}) {
		t.Error("another error is taken for a lack of Unix sockets, or the lack for another error")
	}
}
