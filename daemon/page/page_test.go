package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"meantime/daemon/control"
)

// hostile is a name that would be an element, an attribute and an event of a stream, were it anything but text.
const hostile = "<script>alert(1)</script>\"'\n\ndata: {}\n\n"

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// sampleOf is a master's sample with so many members, itself included; each is a microsecond further off than the one before it.
func sampleOf(at time.Time, members int) Sample {
	s := Sample{At: at, Status: control.Status{
		ID: "id0", Name: "host", State: "keeping", Master: "id0", Term: 3, Members: members, Voters: members,
		Spread: new(control.Seconds(12e-6)), Bound: new(control.Seconds(4e-6)),
	}, Members: control.Members{Complete: true}}
	for i := range members {
		s.Members.Members = append(s.Members.Members, control.Member{
			ID: fmt.Sprintf("id%d", i), Self: i == 0, Master: i == 0, Votes: new(true), Standing: "voter",
			Offset: new(control.Seconds(float64(i) * 1e-6)), Bound: new(control.Seconds(2e-6)), Heard: new(control.Seconds(0.3)),
		})
	}
	return s
}

// serve is the page of a history.
func serve(t *testing.T, h *History) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(Handler(h))
	t.Cleanup(server.Close)
	return server
}

// ask asks once and returns the answer with its body.
func ask(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// Every answer, also one that refuses, has the headers that fence a browser in, and its own type.
func TestAnswers(t *testing.T) {
	h := NewHistory()
	h.Take(sampleOf(start, 3))
	server := serve(t, h)
	for _, c := range []struct {
		method, path string
		code         int
		media        string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/page.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/page.css", 200, "text/css; charset=utf-8"},
		{"GET", "/icon.svg", 200, "image/svg+xml"},
		{"GET", "/uplot/uPlot.iife.min.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/uplot/uPlot.min.css", 200, "text/css; charset=utf-8"},
		{"GET", "/history", 200, "application/json"},
		{"HEAD", "/live", 200, "text/event-stream"},
		{"GET", "/uplot/LICENSE", 200, "text/plain; charset=utf-8"},
		{"GET", "/uplot/refresh.sh", 404, "text/plain; charset=utf-8"},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8"},
		{"GET", "/etc/passwd", 404, "text/plain; charset=utf-8"},
		{"POST", "/", 405, "text/plain; charset=utf-8"},
		{"PUT", "/history", 405, "text/plain; charset=utf-8"},
		{"DELETE", "/live", 405, "text/plain; charset=utf-8"},
	} {
		answer, body := ask(t, c.method, server.URL+c.path)
		if answer.StatusCode != c.code || answer.Header.Get("Content-Type") != c.media {
			t.Errorf("%s %s: %d %s", c.method, c.path, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
		for name, value := range fences {
			if got := answer.Header.Get(name); got != value {
				t.Errorf("%s %s: %s: %q", c.method, c.path, name, got)
			}
		}
		if c.method == "HEAD" && body != "" {
			t.Errorf("HEAD %s has a body: %q", c.path, body)
		}
	}
}

// The page asks for nothing that is not its own, and holds no script or style that the policy would refuse.
func TestNothingFromElsewhere(t *testing.T) {
	_, page := ask(t, "GET", serve(t, NewHistory()).URL)
	script, err := files.ReadFile("page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", "<style", "style=", "onclick", "<script>", "data:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http"} {
		if strings.Contains(string(script), bad) {
			t.Errorf("page.js holds %s", bad)
		}
	}
}

// Every text stands out from what is behind it by 4.5 to 1 and every curve by 3 to 1, in both themes.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string][2]string{}
	for _, m := range regexp.MustCompile(`(?m)(?:--|^\.)([\w-]+)(?: \{ color)?: light-dark\((#\w{6}), (#\w{6})\)`).FindAllStringSubmatch(string(css), -1) {
		colours[m[1]] = [2]string{m[2], m[3]}
	}
	wanted := map[string]float64{}
	for _, ground := range []string{"card", "ground", "good-wash", "wait-wash", "warn-wash", "bad-wash"} {
		wanted["text "+ground] = 4.5
	}
	for _, name := range []string{"soft card", "soft ground", "good card", "wait card", "warn card", "warn ground", "bad card"} {
		wanted[name] = 4.5
	}
	for i := range 8 {
		wanted[fmt.Sprintf("c%d card", i)] = 3
	}
	for pair, want := range wanted {
		over, under, _ := strings.Cut(pair, " ")
		for theme := range 2 {
			a, b := luminance(t, colours[over][theme]), luminance(t, colours[under][theme])
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < want {
				t.Errorf("%s in theme %d: %.2f", pair, theme, got)
			}
		}
	}
}

// luminance is WCAG's, of a colour such as #0b5fff.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var parts [3]uint8
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &parts[0], &parts[1], &parts[2]); err != nil {
		t.Fatalf("%q: %v", colour, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(parts[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// What comes from the LAN is text, wherever it goes.
func TestHostileNames(t *testing.T) {
	h := NewHistory()
	s := sampleOf(start, 3)
	s.Status.Name, s.Status.Interference = hostile, []string{hostile}
	for i := range s.Members.Members {
		m := &s.Members.Members[i]
		m.Name, m.Address, m.Why, m.Votes = hostile, hostile, hostile, new(false)
	}
	s.Status.Voters = 0
	s.Events.Events = []control.Event{{N: 1, Level: "WARN", Text: hostile, Facts: map[string]string{hostile: hostile}}}
	h.Take(s)
	server := serve(t, h)
	_, page := ask(t, "GET", server.URL)
	if strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert(1)") {
		t.Error("a name is an element of the page")
	}
	if _, history := ask(t, "GET", server.URL+"/history"); !json.Valid([]byte(history)) || strings.Contains(history, "<script>") {
		t.Error("a name breaks the history")
	}
	if got := messages(t, server.URL, 1); !strings.Contains(got[0].View.Rows[0].Name, "data: {}") {
		t.Errorf("a name breaks the stream: %+v", got[0].View.Rows[0])
	}
}

// live is a message as page.js reads it.
type live struct {
	Number uint64 `json:"n"`
	View   view   `json:"view"`
	Points []struct {
		ID     string   `json:"id"`
		Offset *float64 `json:"offset"`
	} `json:"points"`
	Marks []struct{ Kind, Text string } `json:"marks"`
}

// messages reads so many messages of the stream.
func messages(t *testing.T, url string, count int) (list []live) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	for len(list) < count && lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var m live
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		list = append(list, m)
	}
	return list
}

// Whoever watches gets the last sample at once and then each as it is taken, in order; a takeover comes with its mark.
func TestLive(t *testing.T) {
	h := NewHistory()
	h.Take(sampleOf(start, 3))
	server := serve(t, h)
	go func() {
		for i := 1; i < 4; i++ {
			for h.watchers.Load() == 0 {
				runtime.Gosched()
			}
			s := sampleOf(start.Add(time.Duration(i)*time.Second), 3)
			if i >= 2 {
				s.Status.State, s.Status.Master = "holdover", "id1"
			}
			time.Sleep(20 * time.Millisecond) // for the watcher to come round; one that does not gets the newest
			h.Take(s)
		}
	}()
	got := messages(t, server.URL, 3)
	for i := 1; i < len(got); i++ {
		if got[i].Number <= got[i-1].Number {
			t.Errorf("message %d follows %d", got[i].Number, got[i-1].Number)
		}
	}
	last := got[len(got)-1]
	if last.View.Verdict.Level != levelBad || len(last.Marks) != 1 || last.Marks[0].Kind != markMaster || len(last.Points) != 3 {
		t.Errorf("%+v", last)
	}
}

// No more than so many watch, and one that goes makes room.
func TestWatchersAreBounded(t *testing.T) {
	h := NewHistory()
	h.Take(sampleOf(start, 1))
	server := serve(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range mostWatchers {
		request, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(err, answer)
		}
		defer func() { _ = answer.Body.Close() }()
	}
	if answer, _ := ask(t, "GET", server.URL+"/live"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", answer.StatusCode)
	}
	cancel()
	for deadline := time.Now().Add(5 * time.Second); h.watchers.Load() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d watchers never left", h.watchers.Load())
		}
	}
}

// A watcher that reads nothing is let go, and delays nobody: not the samples, not the others.
func TestSlowReader(t *testing.T) {
	h := NewHistory()
	h.patience = 200 * time.Millisecond
	h.Take(sampleOf(start, 3))
	server := httptest.NewUnstartedServer(Handler(h))
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
		return ctx
	}
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := io.WriteString(c, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	begin, slowest := time.Now(), time.Duration(0)
	for i := 1; h.watchers.Load() > 0 || i < 3; i++ {
		before := time.Now()
		h.Take(sampleOf(start.Add(time.Duration(i)*time.Second), 200))
		slowest = max(slowest, time.Since(before))
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the slow reader is still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("let go after %v; the slowest sample took %v", time.Since(begin).Round(time.Millisecond), slowest)
	if slowest > 5*time.Second { // of a busy machine; a sample that waited for the reader would wait for ever
		t.Errorf("a sample waited %v", slowest)
	}
}
