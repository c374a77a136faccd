package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/sysclock"
)

// socketDir is a folder with a path short enough for sockets, whatever the test is called.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// controlled is a lone master that answers at a socket until the test ends.
func controlled(t *testing.T) (socket string, m *member) {
	t.Helper()
	socket = filepath.Join(socketDir(t), "s")
	c, err := openController(socket, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return socket, serveController(t, socket, c)
}

// serveController has a lone master answer at an open socket until the test ends.
func serveController(t *testing.T, socket string, c *controller) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
	m.start(ctx)
	served := make(chan struct{})
	go func() { defer close(served); c.serve(ctx, m.answers()) }()
	t.Cleanup(func() {
		cancel()
		if err := m.wait(t); err != nil {
			t.Error(err)
		}
		<-served
		if err := c.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); err == nil {
			t.Error("the socket is there still")
		}
	})
	return m
}

// What a LAN's nodes answer, through the client that everybody uses.
func TestControl(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("the socket: %v, %v", info, err)
	}
	client := control.NewClient(socket)
	var s control.Status
	var err error
	for began := time.Now(); s.State != "gathering" && err == nil && time.Since(began) < 10*time.Second; time.Sleep(freshFor) {
		s, err = client.Status(t.Context())
	}
	if err != nil || s.ID != "0000000000000001" || s.Role != "master" || !s.DryRun || s.Bound != nil || s.Lineage != "" {
		t.Errorf("status %+v, %v", s, err)
	}
	m, err := client.Members(t.Context())
	if err != nil || !m.Complete || len(m.Members) != 1 || !m.Members[0].Self || !m.Members[0].Master {
		t.Errorf("members %+v, %v", m, err)
	}
	n, err := client.Now(t.Context())
	if err != nil || n.Synchronised || !n.Best.Equal(n.Clock) || !n.Earliest.IsZero() {
		t.Errorf("now %+v, %v", n, err)
	}
	e, err := client.Events(t.Context())
	if err != nil || len(e.Events) != 2 || !strings.HasPrefix(e.Events[1].Text, "gathering") || e.Events[1].Facts["at_most"] != "10s" {
		t.Errorf("events %+v, %v", e, err)
	}
}

// Two nodes in synchrony say what is the case of themselves and of each other.
func TestControlAnswersTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}})
		time.Sleep(time.Minute)
		all[0].host = "one"
		ask := func(m *member, f func()) {
			if !m.ask(ctx, f) {
				t.Fatal("a driver has ended")
			}
		}
		ask(all[0], func() {
			a, _ := all[0].membersAnswer()
			s, _ := all[0].statusAnswer()
			if s.LastPoll == nil || *s.LastPoll > s.Interval || s.Interval != 1 || s.Interference == nil || s.Name != "one" {
				t.Errorf("the master polled %v ago, each %v s, is called %q and sees %q", s.LastPoll, s.Interval, s.Name, s.Interference)
			}
			if len(a.Members) != 2 || !a.Complete || a.Master != "" {
				t.Fatalf("members %+v", a)
			}
			slave := a.Members[1]
			if a.Members[0].Heard != nil || slave.Heard == nil || *slave.Heard > s.Interval {
				t.Errorf("heard %v ago", slave.Heard)
			}
			if !*slave.Votes || slave.Why != "" || slave.Standing != "voter" || slave.Offset.Duration().Abs() > 20*time.Microsecond ||
				slave.Bound.Duration() < 10*time.Microsecond || *slave.Frequency > -9 || *slave.Frequency < -11 {
				t.Errorf("the slave: %+v", slave)
			}
		})
		ask(all[1], func() {
			s, _ := all[1].statusAnswer()
			if s.LastPoll == nil || *s.LastPoll > s.Interval || s.Interval != 1 {
				t.Errorf("the slave was polled %v ago, each %v s", s.LastPoll, s.Interval)
			}
			a, _ := all[1].membersAnswer()
			if a.Complete || len(a.Members) != 2 || a.Members[0].Votes != nil || a.Members[1].Priority != nil || a.Master != s.MasterAddr || a.Master == "" {
				t.Errorf("a slave knows %+v", a)
			}
			n, err := all[1].nowAnswer()
			if err != nil || !n.Synchronised || n.Best.Before(n.Earliest) || n.Latest.Before(n.Best) || n.Clock.Sub(n.Best).Abs() > time.Millisecond {
				t.Errorf("now %+v, %v", n, err)
			}
			if width := n.Latest.Sub(n.Earliest); width > 3*s.Bound.Duration() || width < s.Bound.Duration() {
				t.Errorf("an interval of %v, and an error of %v at most", width, s.Bound.Duration())
			}
			if s.State != "following" || s.Voters != 2 || s.Master != "0000000000000001" || s.Spread == nil {
				t.Errorf("status %+v", s)
			}
		})
		endLAN(t, cancel, all)
	})
}

// A socket left behind by a dead daemon is replaced; one that answers, and what is no socket, stays.
func TestControlSocketTaken(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	live, _ := controlled(t)
	if _, err := openController(live, "", log); !errors.Is(err, ErrControlHeld) || !strings.Contains(err.Error(), live) {
		t.Errorf("beside a living one: %v", err)
	}
	if _, err := control.NewClient(live).Status(t.Context()); err != nil {
		t.Errorf("the living one answers no more: %v", err)
	}
	dir := socketDir(t)
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	c, err := openController(dead, "", log)
	if err != nil {
		t.Fatalf("in place of a dead one: %v", err)
	}
	_ = c.close()
	file := filepath.Join(dir, "file")
	put(t, file, "mine")
	if _, err := openController(file, "", log); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("in place of a file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if _, err := openController(filepath.Join(file, "below"), "", log); err == nil || !strings.Contains(err.Error(), "control socket") {
		t.Errorf("below a file: %v", err)
	}
	if _, err := answersAt(configs.Config{Control: filepath.Join(file, "below")}, true, log); err == nil {
		t.Error("a named socket that cannot be had is no error")
	}
	if c, err := answersAt(configs.Config{Control: filepath.Join(file, "below")}, false, log); c != nil || err != nil {
		t.Errorf("one that nobody has named: %v, %v", c, err)
	}
	if _, err := answersAt(configs.Config{Control: live}, false, log); !errors.Is(err, ErrControlHeld) {
		t.Errorf("beside a living one that nobody has named: %v", err)
	}
	if c, err := openController("", "", log); c != nil || err != nil {
		t.Errorf("nowhere: %v, %v", c, err)
	}
}

// What is asked badly is refused, and the driver hears nothing of it.
func TestControlRefuses(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	for _, c := range []struct{ request, want string }{
		{"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"},
		{"GET /v1/status HTTP/1.1\r\n\r\n", "400"},
		{"nonsense\r\n\r\n", "400"},
		{"GET /v1/status HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n", "403"},
		{"POST /v1/election HTTP/1.1\r\nHost: x\r\n\r\n", "415"},
		{"POST /v1/election HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{\"x\":\"" +
			strings.Repeat("x", 2*wishSize), "413"},
		{"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 3*headerSize) + "\r\n\r\n", "431"},
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, c.request) // one that is too long may be refused before it is read
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, " "+c.want+" ") {
			t.Errorf("%.40q: %q, %v; want %s", c.request, line, err, c.want)
		}
		_ = conn.Close()
	}
}

// A wrong method is told the right ones.
func TestControlTellsMethods(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/v1/status", "GET, HEAD"}, {"GET", "/v1/election", "POST"}, {"PUT", "/v1/trace", "GET, HEAD, POST"},
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", c.method, c.path)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Allow"); answer.StatusCode != http.StatusMethodNotAllowed || got != c.allow {
			t.Errorf("%s %s: %s, Allow %q; want 405 and %q", c.method, c.path, answer.Status, got, c.allow)
		}
		_ = conn.Close()
	}
}

// Who asks too slowly is hung up on, and keeps nobody waiting meanwhile.
func TestControlWaitsForNobody(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	var slow []net.Conn
	for range 16 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: ")
		slow = append(slow, conn)
	}
	if _, err := control.NewClient(socket).Status(t.Context()); err != nil {
		t.Errorf("beside slow ones: %v", err)
	}
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(10 * readTime))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("a slow one is waited for: %v", err)
		}
	}
}

// Whoever asks all the time gets copies: the driver is asked ten times a second. Whoever does not read is waited for by nobody.
func TestControlIsNoBurden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		made := 0
		good := &copies[string]{driver: m.driver, good: freshFor, make: func() (string, error) { made++; return "text", nil }}
		bad := &copies[string]{driver: m.driver, good: freshFor, make: func() (string, error) { return "", errors.New("planted") }}
		get := func(from http.Handler) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			from.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			return w
		}
		for range 1000 {
			if w := get(good); w.Code != http.StatusOK || w.Body.String() != `"text"` {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			time.Sleep(time.Millisecond)
		}
		if made > 11 {
			t.Errorf("the driver was asked %d times in a second", made)
		}
		if w := get(bad); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "planted") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		endLAN(t, cancel, []*member{m})
		if w := get(bad); w.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d %s", w.Code, w.Body)
		}
	})
}

// Who asks for LAN time gets a reading that was made after the question, and however many ask without a pause, the driver is left alone for
// 10 ms after each.
func TestNowIsNoBurden(t *testing.T) {
	d := &driver{asks: make(chan func()), ended: make(chan struct{})}
	var made atomic.Int64
	now := &copies[time.Time]{driver: d, pause: leftAlone, make: func() (time.Time, error) { made.Add(1); return time.Now(), nil }}
	var clients sync.WaitGroup
	began := time.Now()
	for range 100 {
		clients.Go(func() {
			for range 5 {
				asked := time.Now()
				if at, err := now.value(t.Context()); err != nil || at.Before(asked) {
					t.Errorf("asked at %v, answered with %v, %v", asked, at, err)
				}
			}
		})
	}
	go func() { clients.Wait(); close(d.ended) }()
	for {
		select {
		case f := <-d.asks:
			f()
			continue
		case <-d.ended:
		}
		break
	}
	if most := int64(time.Since(began)/leftAlone) + 1; made.Load() > most {
		t.Errorf("the driver was asked %d times in %v", made.Load(), time.Since(began))
	}
	t.Logf("500 questions of 100 clients: %d readings in %v", made.Load(), time.Since(began))
}

// A dry run answers only where it is told to.
func TestSocketPath(t *testing.T) {
	cfg := configs.Default()
	if got := socketPath(cfg); got != cfg.Control || got == "" {
		t.Errorf("%q", got)
	}
	cfg.DryRun = true
	if got := socketPath(cfg); got != "" {
		t.Errorf("a dry run: %q", got)
	}
	cfg.Control = "/x"
	if got := socketPath(cfg); got != "/x" {
		t.Errorf("a dry run that says where: %q", got)
	}
}

// The last events are kept, the older ones counted, and what is of no interest is not among them.
func TestEvents(t *testing.T) {
	var e events
	for i := range keptEvents + 3 {
		e.add(instant(int64(i)), node.Note{Level: node.Info, Text: fmt.Sprint(i), Attrs: []node.Attr{{Key: "for", Value: 1500 * time.Millisecond}}})
	}
	e.add(instant(0), node.Note{Level: node.Debug, Text: "detail"})
	got := e.list()
	first, last := got.Events[0], got.Events[len(got.Events)-1]
	if len(got.Events) != keptEvents || got.Lost != 3 || first.Text != "3" || last.Facts["for"] != "1.5s" || first.At.UnixNano() != 3 ||
		first.N != 4 || last.N != keptEvents+3 {
		t.Errorf("%d kept, %d lost, the first %+v, the last %+v", len(got.Events), got.Lost, first, last)
	}
	if empty := new(events).list(); empty.Events == nil {
		t.Error("no events are null for programs")
	}
}
