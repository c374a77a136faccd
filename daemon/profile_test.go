package daemon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"strings"
	"testing"

	"meantime/daemon/control"
)

// profiled asks for a profile as a caller would; the question is over at once.
func profiled(t *testing.T, who any, path string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), callerKey{}, who))
	cancel()
	mux, w := http.NewServeMux(), httptest.NewRecorder()
	profiles(mux)
	mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, control.PathProfile+path, nil))
	return w
}

// Profiles are for whoever may change something, and of the right length, one of the processor at a time.
func TestProfiles(t *testing.T) {
	for _, kind := range []string{"heap", "allocs", "goroutine", "cpu", "cpu?seconds=60"} {
		w := profiled(t, caller{}, kind)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "\x1f\x8b") {
			t.Errorf("%s: %d, %d bytes", kind, w.Code, w.Body.Len())
		}
		for name, who := range map[string]any{"nobody known": nil, "a stranger": caller{uid: os.Geteuid() + 12345}} {
			if w := profiled(t, who, kind); w.Code != http.StatusForbidden {
				t.Errorf("%s, %s: %d", kind, name, w.Code)
			}
		}
	}
	for _, seconds := range []string{"0", "61", "-1", "1.5", "x"} {
		if w := profiled(t, caller{}, "cpu?seconds="+seconds); w.Code != http.StatusBadRequest {
			t.Errorf("%s s: %d %s", seconds, w.Code, w.Body)
		}
	}
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Skip(err) // these tests are being profiled
	}
	defer pprof.StopCPUProfile()
	if w := profiled(t, caller{}, "cpu"); w.Code != http.StatusConflict {
		t.Errorf("a second one: %d %s", w.Code, w.Body)
	}
}
