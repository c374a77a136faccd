package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
)

// logged is what a logger so configured writes, without the time of each line.
func logged(t *testing.T, cfg configs.Log, write func(*slog.Logger)) (lines []string) {
	t.Helper()
	var out bytes.Buffer
	write(NewLogger(&out, cfg))
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		begin, end := "time=", " "
		if cfg.Format == configs.LogJSON {
			begin, end = `{"time":"`, `",`
		}
		stamp, rest, ok := strings.Cut(strings.TrimPrefix(line, begin), end)
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !ok || !strings.HasPrefix(line, begin) {
			t.Errorf("%q does not begin with the time", line)
		}
		lines = append(lines, rest)
	}
	return lines
}

var notes = []struct {
	note       node.Note
	text, json string
}{
	{node.Note{Level: node.Info, Text: "gathering: measuring, no clock is moved", Attrs: []node.Attr{{Key: "at_most", Value: 10 * time.Second}}},
		`level=INFO msg="gathering: measuring, no clock is moved" at_most=10s`,
		`"level":"INFO","msg":"gathering: measuring, no clock is moved","at_most_s":10}`},
	{node.Note{Level: node.Warn, Text: "a second master is on this LAN", Attrs: []node.Attr{
		{Key: "other", Value: "00000000000000ff"}, {Key: "count", Value: 3}, {Key: "rate", Value: 1.5e-6}, {Key: "at", Value: "[fe80::1%eth0]:1"}}},
		`level=WARN msg="a second master is on this LAN" other=00000000000000ff count=3 rate=1.5e-06 at=[fe80::1%eth0]:1`,
		`"level":"WARN","msg":"a second master is on this LAN","other":"00000000000000ff","count":3,"rate":0.0000015,"at":"[fe80::1%eth0]:1"}`},
	{node.Note{Level: node.Debug, Text: "plain"}, `level=DEBUG msg=plain`, `"level":"DEBUG","msg":"plain"}`},
}

// What the node says is in the log word for word, at its level, with its attributes in their order.
func TestNotes(t *testing.T) {
	for _, n := range notes {
		write := func(log *slog.Logger) { logNote(log, n.note) }
		if got := logged(t, configs.Log{Level: slog.LevelDebug, Format: configs.LogText}, write); len(got) != 1 || got[0] != n.text {
			t.Errorf("text\n%s\nwant\n%s", got, n.text)
		}
		got := logged(t, configs.Log{Level: slog.LevelDebug, Format: configs.LogJSON}, write)
		if len(got) != 1 || got[0] != n.json || !json.Valid([]byte("{"+got[0])) {
			t.Errorf("JSON\n%s\nwant\n%s", got, n.json)
		}
	}
}

// The level of the configuration holds.
func TestLogLevel(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 3, slog.LevelInfo: 2, slog.LevelWarn: 1, slog.LevelError: 0} {
		got := logged(t, configs.Log{Level: level, Format: configs.LogText}, func(log *slog.Logger) {
			for _, n := range notes {
				logNote(log, n.note)
			}
		})
		if len(got) != want {
			t.Errorf("%v: %q", level, got)
		}
	}
}

// The regular line says how the LAN does, whether kernels stamp, and how many datagrams of others were dropped; why is for whoever
// asks.
func TestStatusLine(t *testing.T) {
	s := node.Status{
		State: node.StateFollowing, Master: 0xab, Seq: 12, Members: 4, Voters: 3, Spread: 17 * time.Microsecond,
		Residual: -3 * time.Microsecond, Bound: 90 * time.Microsecond, Rate: -12.5e-6, Kernel: true,
	}
	s.Drops[node.DropOwn], s.Drops[node.DropGroup] = 5, 2
	const status = `level=INFO msg=status state=following master=00000000000000ab seq=12 members=4 voters=3 ` +
		`spread=17µs residual=-3µs bound=90µs frequency_ppm=-12.5 kernel_stamps=true key=none dropped=2 dropped_for.group=2`
	write := func(log *slog.Logger) { logStatus(log, slog.LevelInfo, s) }
	got := logged(t, configs.Log{Level: slog.LevelInfo}, write)
	if len(got) != 1 || got[0] != status {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), status)
	}
	got = logged(t, configs.Log{Level: slog.LevelDebug}, write)
	want := []string{status, "level=DEBUG msg=dropped reason=group count=2", "level=DEBUG msg=dropped reason=own count=5"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.Key, s.Held = 0xc0ffee, [netproto.MaxKeys]uint32{0xbee, 0xc0ffee}
	if got := logged(t, configs.Log{}, write); !strings.Contains(got[0], " key=00c0ffee held=2 dropped=2 ") {
		t.Errorf("of a member: %s", got)
	}
	s.Turns, s.Window, s.Expected, s.Lost = 10, 500*time.Millisecond, 9999, 3
	if got := logged(t, configs.Log{}, write); !strings.Contains(got[0], " turns=10 window=500ms replies_expected=9999 replies_lost=3 ") {
		t.Errorf("of a large LAN: %s", got)
	}
	s.Turns, s.Holders = 1, 3
	if got := logged(t, configs.Log{}, write); !strings.Contains(got[0], " key=00c0ffee newest_key=00000bee held_by=3 held=2 dropped=2 ") {
		t.Errorf("of a master: %s", got)
	}
	if !strings.Contains(logged(t, configs.Log{}, write)[0], " held=2 ") {
		t.Error("a second key is not told")
	}
	s.Held[1] = 0
	if got := logged(t, configs.Log{}, write); strings.Contains(got[0], " held=") {
		t.Errorf("of one key: %s", got)
	}
	s.Rate = 1.23456789e-6
	if got := logged(t, configs.Log{Format: configs.LogJSON}, write); !strings.Contains(got[0], `"spread_s":0.000017,`) ||
		!strings.Contains(got[0], `"frequency_ppm":1.2346,`) {
		t.Errorf("to programs: %s", got)
	}
	s.Master, s.Bound = 0, -1
	if got := logged(t, configs.Log{}, write); strings.Contains(got[0], "master=") || strings.Contains(got[0], "bound=") {
		t.Errorf("what is not known: %s", got)
	}
	s.Kernel = false
	if got := logged(t, configs.Log{}, write); !strings.Contains(got[0], " kernel_stamps=false ") {
		t.Errorf("got %s", got)
	}
}

// An interface that fails is a warning and says why.
func TestChangeLine(t *testing.T) {
	got := logged(t, configs.Log{}, func(log *slog.Logger) {
		logNote(log, changeNote(udp.Change{Name: "eth0", Kind: udp.Joined}))
		logNote(log, changeNote(udp.Change{Name: "eth1", Kind: udp.Left, Err: errors.New("it is down")}))
	})
	want := []string{`level=INFO msg="interface joined" interface=eth0`, `level=WARN msg="interface left" interface=eth1 err="it is down"`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter{every: time.Minute}
		passed := 0
		for range 600 { // 10 minutes
			if l.allow() {
				passed++
			}
			time.Sleep(time.Second)
		}
		if passed != 10 {
			t.Errorf("%d passed in 10 minutes", passed)
		}
	})
}

// An event log gets each line under its severity, without what it keeps itself; what is below the level asked for it does not get.
func TestEventLogger(t *testing.T) {
	for _, format := range []configs.LogFormat{configs.LogText, configs.LogJSON} {
		got := map[slog.Level]*bytes.Buffer{slog.LevelInfo: {}, slog.LevelWarn: {}, slog.LevelError: {}}
		log := NewEventLogger(func(l slog.Level) io.Writer { return got[l] }, configs.Log{Level: slog.LevelInfo, Format: format})
		log = log.With("a", 1).WithGroup("g")
		log.Debug("debug")
		log.Info("info", "level", 2, "took", time.Second)
		log.Warn("warning")
		log.Error("error")
		want := map[slog.Level]string{
			slog.LevelInfo: "msg=info a=1 g.level=2 g.took=1s\n", slog.LevelWarn: "msg=warning a=1\n", slog.LevelError: "msg=error a=1\n",
		}
		if format == configs.LogJSON {
			want = map[slog.Level]string{slog.LevelInfo: `{"msg":"info","a":1,"g":{"level":2,"took_s":1}}` + "\n",
				slog.LevelWarn: `{"msg":"warning","a":1}` + "\n", slog.LevelError: `{"msg":"error","a":1}` + "\n"}
		}
		for level, text := range want {
			if got[level].String() != text {
				t.Errorf("%s, %v: %q, want %q", format, level, got[level], text)
			}
		}
	}
}
