package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
	"meantime/sysclock"
)

// posted sends a wish to a member as a caller would.
func (m *member) posted(ctx context.Context, who any, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.WithValue(ctx, callerKey{}, who), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	onlyHere(m.answers().handler()).ServeHTTP(w, r)
	return w
}

const asJSON = "application/json"

// A master that is told to step down hands over within a poll, keeps its vote, and nobody's clock is moved by it.
func TestStepDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}, {Frequency: -20e-6}})
		time.Sleep(2 * time.Minute)
		if w := all[1].posted(ctx, caller{}, control.PathStepDown, asJSON, `{"rest_s":60}`); w.Code != http.StatusConflict ||
			!strings.Contains(w.Body.String(), "ask there ("+all[0].link.addr.Addr().String()+")") {
			t.Errorf("a slave: %d %s", w.Code, w.Body)
		}
		w := all[0].posted(ctx, caller{}, control.PathStepDown, asJSON, `{"rest_s":60}`)
		var o control.Outcome
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Code != http.StatusOK || o.Node == "" || o.Node == "0000000000000001" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		time.Sleep(1500 * time.Millisecond)
		for i, m := range all {
			_, s := m.look(ctx, t)
			if s.Master.String() != o.Node || s.Voters != 3 && i > 0 {
				t.Errorf("node %d a poll and a half later: %+v", i+1, s)
			}
		}
		time.Sleep(10 * time.Second)
		if spread, _ := apart(ctx, t, all); spread > 200*time.Microsecond {
			t.Errorf("apart by %v", spread)
		}
		if _, s := all[0].look(ctx, t); s.Voters != 3 || s.Term != 2 {
			t.Errorf("who stepped down: %+v", s)
		}
		if len(all[0].journal.find("stepping down: an operator asked")) != 1 {
			t.Error("the log does not tell who asked")
		}
		endLAN(t, cancel, all)
	})
}

// Who may change something, and how it is to be said.
func TestChangesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		stranger := caller{uid: os.Geteuid() + 12345}
		for _, c := range []struct {
			name       string
			who        any
			path, kind string
			body       string
			code       int
			says       string
		}{
			{"nobody known", nil, control.PathElection, asJSON, "{}", 403, "root and"},
			{"a stranger", stranger, control.PathElection, asJSON, "{}", 403, stranger.String()},
			{"whom the kernel does not name", caller{uid: -2}, control.PathStepDown, asJSON, "{}", 403, "root and"},
			{"a stranger, not even in JSON", stranger, control.PathElection, "text/plain", "x", 403, "root and"},
			{"a form", caller{}, control.PathElection, "text/plain", "{}", 415, "application/json"},
			{"no body", caller{}, control.PathElection, asJSON, "", 400, "a JSON object"},
			{"no object", caller{}, control.PathElection, asJSON, "[]", 400, "a JSON object"},
			{"more than one", caller{}, control.PathElection, asJSON, "{}{}", 400, "nothing after"},
			{"what a newer program wishes for", caller{}, control.PathElection, asJSON, `{"mercy":true}`, 400, "mercy"},
			{"a long one", caller{}, control.PathElection, asJSON, `{"x":"` + strings.Repeat("x", wishSize) + `"}`, 413, "4096 bytes"},
			{"a rest for ever", caller{}, control.PathStepDown, asJSON, `{"rest_s":1e300}`, 400, "86400"},
			{"a rest before", caller{}, control.PathStepDown, asJSON, `{"rest_s":-1}`, 400, "86400"},
			{"too early", caller{}, control.PathElection, asJSON, `{}`, 409, "not been founded"},
			{"another path", caller{}, "/v1/halt", asJSON, `{}`, 404, "POST /v1/halt"},
			{"the daemon's own user", caller{uid: os.Geteuid()}, control.PathStepDown, asJSON, `{}`, 409, "nobody would keep"},
		} {
			if c.code == http.StatusConflict {
				time.Sleep(time.Second) // it is master, and gathers; the second time it has founded
			}
			if w := m.posted(ctx, c.who, c.path, c.kind, c.body); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s: %d %s; want %d, %q", c.name, w.Code, w.Body, c.code, c.says)
			}
		}
		endLAN(t, cancel, []*member{m})
		if w := m.posted(ctx, caller{}, control.PathElection, asJSON, "{}"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d %s", w.Code, w.Body)
		}
	})
}

// A page in a browser is not answered, whatever it asks: reads, too.
func TestPagesAreNotAnswered(t *testing.T) {
	asked := false
	h := onlyHere(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	for header, value := range map[string]string{"Origin": "null", "Sec-Fetch-Site": "cross-site", "Referer": "http://evil.example/"} {
		r := httptest.NewRequest(http.MethodGet, control.PathStatus, nil)
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusForbidden || asked {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
	if h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, control.PathStatus, nil)); !asked {
		t.Error("a program is not answered")
	}
}

// The kernel's word of who asks reaches the call: whoever runs these tests has started the daemon, too.
func TestCallerIsKnown(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	if _, err := control.NewClient(socket).StepDown(t.Context(), time.Minute); !errors.Is(err, control.ErrNotNow) { // it is alone
		t.Errorf("the own user: %v", err)
	}
}

// A group of the default name that is not there leaves the service's own; one that somebody has named must be.
func TestGroupID(t *testing.T) {
	if gid, err := groupID(""); gid != nobody || err != nil {
		t.Errorf("none: %d, %v", gid, err)
	}
	if gid, err := groupID("no-such-group"); err == nil || !strings.Contains(err.Error(), "--control-group") {
		t.Errorf("no such group: %d, %v", gid, err)
	}
	if _, err := openController(socketDir(t)+"/s", "no-such-group", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a socket for a group that is not there")
	}
}
