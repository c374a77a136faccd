package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/sysclock"
)

// Level and format change under whoever writes, with what a logger has been given already.
func TestLogSwitch(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, configs.Log{Level: slog.LevelWarn})
	s := log.Handler().(*logSwitch)
	deep := log.With("node", 1).WithGroup("g")
	deep.Info("unheard")
	s.set(configs.Log{Level: slog.LevelDebug, Format: configs.LogJSON})
	deep.Debug("heard", "a", time.Second)
	s.set(configs.Log{Level: slog.LevelError})
	deep.Warn("unheard")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"msg":"heard","node":1,"g":{"a_s":1}}`) {
		t.Errorf("%s", got)
	}
}

// An operator changes the log of a running daemon, and the log says who did.
func TestSetLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		if w := m.posted(ctx, caller{}, control.PathLog, asJSON, "{}"); w.Code != http.StatusConflict {
			t.Errorf("a log of somebody else: %d %s", w.Code, w.Body)
		}
		var out bytes.Buffer
		m.log = NewLogger(&out, configs.Log{Level: slog.LevelError, Format: configs.LogText})
		m.start(ctx)
		for _, c := range []struct {
			body string
			code int
			says string
		}{
			{`{}`, 200, `{"level":"error","format":"text"}`},
			{`{"level":"debug"}`, 200, `{"level":"debug","format":"text"}`},
			{`{"format":"json"}`, 200, `{"level":"debug","format":"json"}`},
			{`{"level":"debug","format":"json"}`, 200, `{"level":"debug","format":"json"}`}, // as it is: no line
			{`{"level":"INFO"}`, 400, "debug, info, warn or error"},
			{`{"level":"info+1"}`, 400, "debug, info, warn or error"},
			{`{"format":"xml"}`, 400, "text or json"},
		} {
			if w := m.posted(ctx, caller{}, control.PathLog, asJSON, c.body); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
			}
		}
		endLAN(t, cancel, []*member{m})
		if got := out.String(); strings.Count(got, "log changed") != 2 || !strings.Contains(got, `level=debug format=text by="uid 0"`) {
			t.Errorf("the log:\n%s", got)
		}
	})
}

// At the default level nothing is written in an hour in which nothing happens, but for one line that says how the LAN does.
func TestACalmHourIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}})
		reported := make(chan struct{})
		go func() { defer close(reported); all[0].report(ctx) }()
		time.Sleep(2 * time.Minute)
		before := make([]int, len(all))
		loud := func(m *member) (lines []slog.Record) {
			for _, r := range m.journal.find("") {
				if r.Level >= slog.LevelInfo {
					lines = append(lines, r)
				}
			}
			return lines
		}
		for i, m := range all {
			before[i] = len(loud(m))
		}
		time.Sleep(time.Hour)
		for i, m := range all {
			want := 1 - i // the second has no report in this test
			if lines := loud(m)[before[i]:]; len(lines) != want || want > 0 && lines[0].Message != "status" {
				t.Errorf("node %d wrote %d lines: %v", i+1, len(lines), lines)
			}
		}
		endLAN(t, cancel, all)
		<-reported
	})
}

// socketSink takes entries as the journal does, or refuses them.
type socketSink struct {
	bytes.Buffer
	broken bool
}

func (s *socketSink) Write(b []byte) (int, error) {
	if s.broken {
		return 0, errors.New("planted")
	}
	return s.Buffer.Write(b)
}

// The journal gets the line and each fact as a field of its own; what it does not take is written as text.
func TestJournal(t *testing.T) {
	var sink socketSink
	var plain bytes.Buffer
	cfg := configs.Log{Level: slog.LevelInfo, Format: configs.LogText}
	log := slog.New(&journalHandler{journal: &sink, plain: newHandler(&plain, cfg, dropKept), cfg: cfg})
	log.Debug("unheard")
	log.With("node", 1).Warn("odd", "off-by", 3*time.Millisecond, slog.Group("for", "key", 2), "why", "a\nb")
	want := "MESSAGE=msg=odd node=1 off-by=3ms for.key=2 why=\"a\\nb\"\nPRIORITY=4\nSYSLOG_IDENTIFIER=meantime\n" +
		"MEANTIME_OFF_BY=3ms\nMEANTIME_FOR_KEY=2\nMEANTIME_WHY\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n"
	if got := sink.String(); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if sink.broken = true; plain.Len() != 0 {
		t.Errorf("twice: %s", plain.String())
	}
	if log.Error("lost"); plain.String() != "msg=lost\n" {
		t.Errorf("%q", plain.String())
	}
	if dialJournal(&plain) != nil {
		t.Error("a journal where none is")
	}
}

// A journal that is stuck is waited for a moment, and then done without.
func TestAStuckJournalIsNotWaitedFor(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no datagrams over Unix sockets, and no journal")
	}
	path := filepath.Join(socketDir(t), "j")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range 10_000 { // nobody reads
		began := time.Now()
		if _, err = (patient{conn}).Write(make([]byte, 1000)); err != nil {
			if took := time.Since(began); took > 20*journalPatience {
				t.Errorf("given up after %v", took)
			}
			return
		}
	}
	t.Error("a journal that nobody reads takes everything")
}
