package control

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answering is the socket of a daemon that answers in one way.
func answering(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); _ = os.RemoveAll(dir) })
	return path
}

// Each way not to get an answer has an error of its own, which a script can tell by the exit code.
func TestClientErrors(t *testing.T) {
	reply := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	left := answering(t, reply(200, "{}"))
	dead := left + "-dead"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	for _, c := range []struct {
		name, socket string
		want         error
		text         string
	}{
		{"nothing there", left + "-none", ErrNoDaemon, "-none"},
		{"left by a dead one", dead, ErrNoDaemon, dead},
		{"an older daemon", answering(t, reply(404, `{"error":"there is no /v1/status here"}`)), ErrUnknown, "no /v1/status"},
		{"about to end", answering(t, reply(503, `{"error":"it is about to end"}`)), ErrRefused, "about to end"},
		{"another server", answering(t, reply(500, "<html>")), ErrRefused, "Internal Server Error"},
		{"no JSON", answering(t, reply(200, "<html>")), ErrNoDaemon, "in a way that"},
		{"without end", answering(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 2 * most / 1024 {
				_, _ = io.WriteString(w, strings.Repeat(" ", 1024))
			}
		}), ErrNoDaemon, "in a way that"},
	} {
		_, err := NewClient(c.socket).Status(t.Context())
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// An answer with fields that this program does not know yet is understood.
func TestClientReadsNewerAnswers(t *testing.T) {
	path := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"state":"following","spread_s":0.000002,"mood":"good"}`)
	})
	s, err := NewClient(path).Status(t.Context())
	if err != nil || s.State != "following" || s.Spread.Duration() != 2*time.Microsecond || s.Bound != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSeconds(t *testing.T) {
	for _, d := range []time.Duration{0, 1, -1, 999, time.Hour + 1, -24 * time.Hour} {
		if got := SecondsOf(d).Duration(); got != d {
			t.Errorf("%v became %v", d, got)
		}
	}
}
