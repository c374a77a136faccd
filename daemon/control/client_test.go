package control

import (
	"errors"
	"fmt"
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
	file := left + "-file"
	if err := os.WriteFile(file, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, socket string
		want         error
		text         string
	}{
		{"nothing there", left + "-none", ErrNoDaemon, "-none"},
		{"a file", file, ErrNoDaemon, "-file: that is no socket"},
		{"a folder", filepath.Dir(left), ErrNoDaemon, ": that is no socket"},
		{"a long path", left + strings.Repeat("x", 104), ErrNoDaemon, "a socket's path has 103 characters at most"},
		{"a value that is none", answering(t, reply(400, `{"error":"rest_s is to be"}`)), ErrBadValue, "cannot take that: rest_s is to be"},
		{"too much", answering(t, reply(413, "")), ErrBadValue, "Too Large"},
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

// A daemon that takes a question and does not answer, or not to its end, is given up. A trace may last once it has begun.
func TestPatience(t *testing.T) {
	silent := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	stuck := answering(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"state":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	const want = "the daemon does not answer within 50ms"
	for _, socket := range []string{silent, stuck} {
		c := NewClient(socket)
		c.http.Timeout = 50 * time.Millisecond
		if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoDaemon) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("status: %v", err)
		}
	}
	c := NewClient(silent)
	c.http.Timeout = 50 * time.Millisecond
	if err := c.Trace(t.Context(), nil); !errors.Is(err, ErrNoDaemon) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("trace: %v", err)
	}
	c = NewClient(answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond) // twice the patience
		_, _ = io.WriteString(w, "{}\n")
	}))
	c.http.Timeout = 50 * time.Millisecond
	enough := errors.New("enough")
	if err := c.Trace(t.Context(), func(Packet) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("a trace that lasts: %v", err)
	}
}

// Which of the two is older is told, where the daemon can still be asked.
func TestOtherVersions(t *testing.T) {
	for _, c := range []struct {
		name, version string
		code          int
		text          string
	}{
		{"before there were changes", "", 405, ": this daemon is older than the program that asks"},
		{"before there was a version", "", 404, ": this daemon is older than the program that asks"},
		{"a little older", `{"program":"v0.9","api":1}`, 404, ": this daemon, v0.9, is older than the program that asks"},
		{"newer, and it has lost something", `{"program":"v9.0","api":99}`, 404, ": this daemon, v9.0, is newer than the program that asks"},
		{"the same", fmt.Sprintf(`{"program":"v1.0","api":%d}`, API), 404, "there is none here"},
	} {
		path := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == PathVersion && c.version != "" {
				_, _ = io.WriteString(w, c.version)
				return
			}
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, `{"error":"there is none here"}`)
		})
		_, err := NewClient(path).Elect(t.Context())
		if !errors.Is(err, ErrUnknown) || !strings.HasSuffix(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A change says what it wants in JSON; whoever may not make it, and what cannot be done now, are told apart.
func TestChanges(t *testing.T) {
	var body, kind string
	code := 200
	path := answering(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body, kind = r.URL.Path+" "+string(text), r.Method+" "+r.Header.Get("Content-Type")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"text":"done","node":"00000000000000a1","level":"info","error":"why"}`)
	})
	c := NewClient(path)
	if o, err := c.StepDown(t.Context(), time.Minute); err != nil || o.Node != "00000000000000a1" || body != `/v1/stepdown {"rest_s":60}` ||
		kind != "POST application/json" {
		t.Errorf("%+v, %v: %s %s", o, err, kind, body)
	}
	if now, err := c.SetLog(t.Context(), Log{Level: "info"}); err != nil || now.Level != "info" || body != `/v1/log {"level":"info"}` {
		t.Errorf("%+v, %v: %s", now, err, body)
	}
	if _, err := c.SetTrace(t.Context(), false); err != nil || body != `/v1/trace {"on":false}` {
		t.Errorf("%v: %s", err, body)
	}
	for n, want := range map[int]error{403: ErrReadOnly, 409: ErrNotNow, 503: ErrRefused} {
		code = n
		if _, err := c.Elect(t.Context()); !errors.Is(err, want) || !strings.HasSuffix(err.Error(), ": why") {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// A trace is read until somebody has had enough, or the daemon ends.
func TestTrace(t *testing.T) {
	path := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{\"dir\":\"in\",\"kind\":\"poll\"}\n{\"dir\":\"out\"}\n")
	})
	var seen []Packet
	err := NewClient(path).Trace(t.Context(), func(p Packet) error { seen = append(seen, p); return nil })
	if !errors.Is(err, ErrNoDaemon) || len(seen) != 2 || seen[0].Kind != "poll" || seen[1].Direction != "out" {
		t.Errorf("%+v, %v", seen, err)
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
