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
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meantime/configs"
)

// webbed is a listener on loopback whose page answers "here", until the test ends.
func webbed(t *testing.T, page http.HandlerFunc) (address string) {
	t.Helper()
	w, err := openWeb(netip.MustParseAddrPort("127.0.0.1:0"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.keys = []string{keyPage}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { defer close(served); w.serve(ctx, map[string]site{keyPage: {"/", page}}) }()
	t.Cleanup(func() {
		cancel()
		<-served
		if err := (webs{w}).close(); err != nil {
			t.Error(err)
		}
	})
	return w.listener.Addr().String()
}

func here(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }

// say sends bytes and returns the answer's status, 0 if the connection ends without one.
func say(t *testing.T, address, text string) (status int) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * readTime))
	if _, err := io.WriteString(c, text); err != nil {
		return 0
	}
	method, _, _ := strings.Cut(text, " ")
	answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// What was not sent here on purpose by a browser's user or a collector is refused, and what is malformed or huge.
func TestWebAdmits(t *testing.T) {
	t.Parallel()
	address := webbed(t, here)
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct {
		name, request string
		want          int
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 200},
		{"head", "HEAD / HTTP/1.1\r\nHost: localhost:" + port + "\r\n\r\n", 200},
		{"over IPv6", "GET / HTTP/1.1\r\nHost: [::1]:" + port + "\r\n\r\n", 200},
		{"typed", "GET / HTTP/1.1\r\nHost: " + address + "\r\nSec-Fetch-Site: none\r\n\r\n", 200},
		{"own script", "GET / HTTP/1.1\r\nHost: " + address + "\r\nOrigin: http://" + address + "\r\nSec-Fetch-Site: same-origin\r\n\r\n", 200},
		{"rebound name", "GET / HTTP/1.1\r\nHost: evil.example:" + port + "\r\n\r\n", 421},
		{"rebound name, looks local", "GET / HTTP/1.1\r\nHost: localhost.evil.example:" + port + "\r\n\r\n", 421},
		{"another port", "GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 421},
		{"whole address", "GET http://evil.example/ HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 421},
		{"no host", "GET / HTTP/1.0\r\n\r\n", 421},
		{"two hosts", "GET / HTTP/1.1\r\nHost: " + address + "\r\nHost: evil.example\r\n\r\n", 400},
		{"cross-site image", "GET / HTTP/1.1\r\nHost: " + address + "\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403},
		{"another port's page", "GET / HTTP/1.1\r\nHost: " + address + "\r\nSec-Fetch-Site: same-site\r\n\r\n", 403},
		{"cross-origin script", "GET / HTTP/1.1\r\nHost: " + address + "\r\nOrigin: https://evil.example\r\n\r\n", 403},
		{"no origin at all", "GET / HTTP/1.1\r\nHost: " + address + "\r\nOrigin: null\r\n\r\n", 403},
		{"post", "POST / HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 0\r\n\r\n", 405},
		{"preflight", "OPTIONS / HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 405},
		{"proxy", "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 405},
		{"body", "GET / HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 1000000000\r\n\r\nx", 413},
		{"chunks", "GET / HTTP/1.1\r\nHost: " + address + "\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
		{"smuggled", "GET / HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		{"a header that is none", "GET / HTTP/1.1\r\nHost " + address + "\r\n\r\n", 400},
		{"huge header", "GET / HTTP/1.1\r\nHost: " + address + "\r\nCookie: " + strings.Repeat("x", 2*guestHeader) + "\r\n\r\n", 431},
		{"huge path", "GET /" + strings.Repeat("x", 2*guestHeader) + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 431},
		{"other version", "GET / HTTP/9.9\r\nHost: " + address + "\r\n\r\n", 505},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // net/http takes its time to part with whom it refused
			if got := say(t, address, c.request); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// On HTTP's own port a browser names none, and no other port's names are taken for it.
func TestWebOnPortOfHTTP(t *testing.T) {
	for _, c := range []struct {
		port, host, origin string
		want               int
	}{
		{"80", "127.0.0.1", "http://127.0.0.1", 0}, {"80", "localhost", "", 0}, {"80", "[::1]", "http://[::1]", 0}, {"80", "127.0.0.1:80", "", 0},
		{"80", "127.0.0.2", "", 0}, {"80", "evil.example", "", 421}, {"80", "localhost", "http://localhost:8080", 403}, {"80", "localhost:8080", "", 421},
		{"80", "::1", "", 421}, {"8080", "localhost", "", 421}, {"8080", "localhost:8080", "", 0},
	} {
		w := &web{hosts: loopbackHosts("127.0.0.2", c.port)}
		r, err := http.NewRequest(http.MethodGet, "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if code, why := w.objection(r); code != c.want {
			t.Errorf("%s on port %s, from %q: %d (%s), want %d", c.host, c.port, c.origin, code, why, c.want)
		}
	}
}

// Who sends slowly is not waited for: neither with the head of a request nor with a body; nor is who reads nothing.
func TestWebIsNotHeldUp(t *testing.T) {
	t.Parallel()
	address := webbed(t, here)
	ask := "GET / HTTP/1.1\r\nHost: " + address + "\r\n"
	var slow []net.Conn
	for i := range guestsAtOnce {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, []string{"", "GET / HT", ask, ask + "Content-Length: 9\r\n\r\n1"}[i%4])
		slow = append(slow, c)
	}
	began := time.Now()
	if status := say(t, address, ask+"\r\n"); status != 200 { // once one of them was sent away
		t.Errorf("%d", status)
	}
	if took := time.Since(began); took > 2*readTime {
		t.Errorf("an honest guest waited for %v", took)
	}
	for i, c := range slow {
		_ = c.SetReadDeadline(began.Add(2 * readTime))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("slow guest %d was there after %v: %v", i, time.Since(began), err)
		}
	}
}

// What goes on for long ends with the daemon.
func TestWebEndsStreams(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	address := webbed(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	t.Cleanup(func() { <-ended }) // runs before webbed's
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
}

func TestOpenWebs(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(taken.Addr().String())
	_, err = openWebs(configs.Config{Page: at}, log)
	if want := fmt.Sprintf(`(another address and port, or %s: "" for none)`, keyPage); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("a taken port: %v", err)
	}
	_ = taken.Close()
	all, err := openWebs(configs.Config{Metrics: at, Page: at}, log)
	if err != nil || len(all) != 1 || !slices.Equal(all[0].keys, []string{keyMetrics, keyPage}) || strings.Contains(text.String(), "WARN") {
		t.Errorf("one address twice: %v, %v\n%s", all, err, text.String())
	}
	if err := all.close(); err != nil {
		t.Error(err)
	}
	all, err = openWebs(configs.Config{Metrics: netip.MustParseAddrPort("0.0.0.0:0")}, log)
	if err != nil || len(all) != 1 || all[0].hosts != nil || !strings.Contains(text.String(), "level=WARN") {
		t.Errorf("for other hosts: %v, %v\n%s", all, err, text.String())
	}
	if err := all.close(); err != nil {
		t.Error(err)
	}
	if all, err = openWebs(configs.Default(), log); all != nil || err != nil {
		t.Errorf("nowhere: %v, %v", all, err)
	}
}

// What keeps a socket from being opened is told as trouble with the network; another daemon there, and an unknown group, are not.
func TestOpenDoorsInVain(t *testing.T) {
	dir, err := os.MkdirTemp("", "doors-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, held := filepath.Join(dir, "file"), filepath.Join(dir, "held")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", held)
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Close(), taken.Close() })
	for name, c := range map[string]struct {
		change func(*configs.Config)
		want   error
	}{
		"a file in its place":    {func(c *configs.Config) { c.Control = file }, ErrNetwork},
		"a folder that is none":  {func(c *configs.Config) { c.Control = filepath.Join(file, "s") }, ErrNetwork},
		"another daemon":         {func(c *configs.Config) { c.Control = held }, ErrControlHeld},
		"a port that is taken":   {func(c *configs.Config) { c.Page = netip.MustParseAddrPort(taken.Addr().String()) }, ErrNetwork},
		"an address that is not": {func(c *configs.Config) { c.Metrics = netip.MustParseAddrPort("192.0.2.1:1") }, ErrNetwork},
		"a group that is not": {func(c *configs.Config) {
			c.Control, c.ControlGroup = filepath.Join(dir, "s"), "no-such-group"
		}, user.UnknownGroupError("no-such-group")},
	} {
		cfg := configs.Default()
		cfg.Control = ""
		c.change(&cfg)
		_, _, _, err := openDoors(cfg, slog.New(slog.DiscardHandler))
		if !errors.Is(err, c.want) || errors.Is(err, ErrNetwork) != (c.want == ErrNetwork) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
