package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
	"meantime/sysclock"
)

// An operator on a slave sets LAN time, by so much and to a time: the master answers, and all clocks go together, none of them back.
func TestSetTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}, {Frequency: -20e-6}})
		time.Sleep(20 * time.Second)
		set := func(body string) (s control.Setting) {
			w := all[1].posted(ctx, caller{}, control.PathSetTime, asJSON, body)
			if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", body, w.Code, w.Body)
			}
			return s
		}
		before, lineage := lanTime(ctx, t, all[0]), lineageOf(ctx, t, all[0])
		s := set(`{"by_s":0.02}`)
		if s.By != 0.02 || s.Begins < 7 || s.Begins > 10 || s.Steps || s.Takes < 40 || s.Takes > 60 {
			t.Errorf("%+v", s)
		}
		w := all[2].posted(ctx, caller{}, control.PathSetTime, asJSON, `{"by_s":1}`)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "another move") {
			t.Errorf("while one is announced: %d %s", w.Code, w.Body)
		}
		for range 12 {
			time.Sleep(5 * time.Second)
			if spread, _ := apart(ctx, t, all); spread > 200*time.Microsecond {
				t.Errorf("apart by %v", spread)
			}
		}
		if moved := lanTime(ctx, t, all[0]).Sub(before) - 60*time.Second; (moved - 20*time.Millisecond).Abs() > 4*time.Millisecond {
			t.Errorf("moved by %v", moved)
		}
		to := lanTime(ctx, t, all[0]).Add(-3 * time.Hour).Truncate(time.Second)
		if s := set(`{"time":"` + to.Format(time.RFC3339) + `"}`); s.By > -3*3600+1 || s.By < -3*3600-2 {
			t.Errorf("%+v", s)
		}
		time.Sleep(12 * time.Second)
		for i, m := range all {
			if got := lineageOf(ctx, t, m); got == lineage || got != lineageOf(ctx, t, all[0]) {
				t.Errorf("node %d is of lineage %s", i+1, got)
			}
			if len(m.journal.find("LAN time was set by an operator")) != 2 {
				t.Errorf("node %d has not logged it", i+1)
			}
		}
		// The clocks are three hours from LAN time still.
		later, want := set(`{"by_s":1}`), lanTime(ctx, t, all[0])
		want = want.Add((later.By + later.Begins + later.Takes).Duration())
		if off := later.Ends.Sub(want); off.Abs() > time.Second {
			t.Errorf("it ends at %v, which is %v off", later.Ends, off)
		}
		time.Sleep(12 * time.Second)
		for body, says := range map[string]string{
			`{}`: "either", `{"by_s":1,"time":"2026-11-23T10:00:00Z"}`: "either", `{"by_s":1e300}`: "1970 to 2116", `{"by_s":1e-10}`: "nanosecond",
			`{"time":"9999-01-01T00:00:00Z"}`: "1970 to 2116", `{"by_s":3e9}`: "no such date",
		} {
			w := all[1].posted(ctx, caller{}, control.PathSetTime, asJSON, body)
			if w.Code != http.StatusBadRequest && w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), says) {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		}
		endLAN(t, cancel, all)
	})
}

// lanTime is LAN time as a member has it, and lineageOf whose it is.
func lanTime(ctx context.Context, t *testing.T, m *member) (at time.Time) {
	t.Helper()
	m.ask(ctx, func() {
		n, err := m.nowAnswer()
		if at = n.Best; err != nil {
			t.Error(err)
		}
	})
	return at
}

func lineageOf(ctx context.Context, t *testing.T, m *member) string {
	_, s := m.look(ctx, t)
	return name(s.Lineage)
}
