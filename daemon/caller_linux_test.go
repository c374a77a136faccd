package daemon

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"meantime/daemon/control"
)

const (
	alice   = 54321 // no user of any system
	viewers = 54322 // nor a group
)

// visit asks as another user, who is in a group: in a thread of its own, which ends.
func visit(socket string, uid, group int, request string) (code int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()                                                               // never unlocked: the thread ends with the goroutine
		for _, s := range [][2]int{{unix.SYS_SETRESGID, group}, {unix.SYS_SETRESUID, uid}} { // of this thread; x/sys would change the process's
			if _, _, no := unix.RawSyscall(uintptr(s[0]), uintptr(s[1]), uintptr(s[1]), uintptr(s[1])); no != 0 {
				err = no
				return
			}
		}
		var conn net.Conn
		if conn, err = net.Dial("unix", socket); err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err = io.WriteString(conn, request); err != nil {
			return
		}
		var answer *http.Response
		if answer, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			code = answer.StatusCode
		}
	}()
	<-done
	return code, err
}

// Whoever is in the group reads, and changes nothing; who is not in it does not even get in. The kernel says who they are.
func TestGroupReadsAndChangesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	t.Parallel()
	dir := socketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	c, err := openController(socket, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serveController(t, socket, c)
	if err := os.Chown(socket, -1, viewers); err != nil {
		t.Fatal(err)
	}
	get := "GET " + control.PathStatus + " HTTP/1.1\r\nHost: x\r\n\r\n"
	profile := "GET " + control.PathProfile + control.ProfileHeap + " HTTP/1.1\r\nHost: x\r\n\r\n"
	post := "POST " + control.PathStepDown + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for _, v := range []struct {
		name       string
		uid, group int
		request    string
		code       int
	}{
		{"alice reads", alice, viewers, get, http.StatusOK},
		{"alice changes", alice, viewers, post, http.StatusForbidden},
		{"alice profiles", alice, viewers, profile, http.StatusForbidden},
		{"root profiles", 0, viewers, profile, http.StatusOK},
		{"root changes", 0, viewers, post, http.StatusConflict}, // there is nobody to elect yet
	} {
		if code, err := visit(socket, v.uid, v.group, v.request); code != v.code || err != nil {
			t.Errorf("%s: %d, %v", v.name, code, err)
		}
	}
	if code, err := visit(socket, alice, alice, get); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("who is not in the group: %d, %v", code, err)
	}
}
