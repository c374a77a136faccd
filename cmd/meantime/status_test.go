package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
)

func sec(d time.Duration) *control.Seconds { return new(control.SecondsOf(d)) }

// want compares what people see.
func want(t *testing.T, got, text string) {
	t.Helper()
	if got != text {
		t.Errorf("got\n%swant\n%s", got, text)
	}
}

func TestShowStatus(t *testing.T) {
	want(t, showStatus(control.Status{
		ID: "00000000000000a1", Role: "auto", State: "following", Standing: "voter", Master: "00000000000000a2", MasterAddr: "192.0.2.2", Term: 7, Members: 5, Voters: 4,
		Spread: sec(6789), Offset: control.SecondsOf(-1234567), Bound: sec(13456), Frequency: -12.34567, KernelStamps: true, Key: "0a0b0c0d",
		KeysHeld: 2, Uptime: control.SecondsOf(90*time.Minute + 400*time.Millisecond), Dropped: map[string]uint64{"stale": 2, "key": 1},
	}), `state          following: on LAN time
master         00000000000000a2 at 192.0.2.2, term 7
this host      00000000000000a1, role auto, voter
members        5, of which 4 vote; within 6.79µs of each other
error at most  13.5µs
to slew        1.23ms
frequency      -12.346 ppm
stamps         kernel
key            0a0b0c0d, of 2 held
up             1h30m0s
dropped        key 1, stale 2
`)
	want(t, showStatus(control.Status{ID: "00000000000000a1", Role: "slave", State: "listening", DryRun: true}),
		`state          listening: no master heard yet (dry run: a virtual clock)
master         none known
this host      00000000000000a1, role slave
members        0, of which 0 vote
error at most  not known yet
to slew        0s
frequency      +0.000 ppm
stamps         user space, or none exchanged lately
key            none: nothing proves who sends
up             0s
`)
}

func TestShowMembers(t *testing.T) {
	want(t, showMembers(control.Members{Complete: true, Members: []control.Member{
		{ID: "00000000000000a1", Self: true, Master: true, Standing: "voter", Votes: new(true), Offset: sec(-80), Jitter: sec(5), Frequency: new(0.5)},
		{ID: "00000000000000a2", Address: "192.0.2.2:10526", Standing: "newcomer", Votes: new(false), Why: "newcomer, being brought to LAN time",
			Offset: sec(1500 * time.Microsecond), Delay: sec(60 * time.Microsecond), Bound: sec(31 * time.Microsecond), Frequency: new(-40.1234)},
		{ID: "00000000000000a3", Address: "192.0.2.3:10526", Standing: "voter", Votes: new(false), Why: "not heard"},
	}}), `id                 address          offset  ±     jitter  delay  ppm      votes
00000000000000a1*  this host        -80ns   –     5ns     –      +0.500   yes
00000000000000a2   192.0.2.2:10526  1.5ms   31µs  –       60µs   -40.123  no: newcomer, being brought to LAN time
00000000000000a3   192.0.2.3:10526  –       –     –       –      –        no: not heard
`)
	want(t, showMembers(control.Members{Master: "192.0.2.9", Members: []control.Member{
		{ID: "00000000000000a1", Self: true, Standing: "voter"}, {ID: "00000000000000a9", Master: true, Address: "192.0.2.9:10526"},
	}}), `id                 address          offset  ±  jitter  delay  ppm  votes
00000000000000a1   this host        –       –  –       –      –    voter
00000000000000a9*  192.0.2.9:10526  –       –  –       –      –    –
the master alone measures all: ask on 192.0.2.9
`)
	if text := showMembers(control.Members{Members: []control.Member{{ID: "00000000000000a1", Self: true}}}); !strings.Contains(text, "no master is known") {
		t.Error(text)
	}
}

func TestShowEventsAndNow(t *testing.T) {
	at := time.Date(2026, 11, 26, 9, 8, 7, 6_000_000, time.UTC)
	want(t, showEvents(control.Events{Lost: 2, Events: []control.Event{
		{At: at, Level: "INFO", Text: "member came", Facts: map[string]string{"id": "a2", "at": "192.0.2.2:10526"}}, {At: at, Level: "WARN", Text: "holding"},
	}}), `(2 older ones are in the log alone)
2026-11-26 09:08:07.006Z  info  member came at=192.0.2.2:10526 id=a2
2026-11-26 09:08:07.006Z  warn  holding
`)
	want(t, showNow(control.Now{Synchronised: true, Earliest: at.Add(-5), Best: at, Latest: at.Add(5), Clock: at.Add(1)}),
		`earliest  2026-11-26T09:08:07.005999995Z
best      2026-11-26T09:08:07.006000000Z
latest    2026-11-26T09:08:07.006000005Z
clock     2026-11-26T09:08:07.006000001Z
`)
	want(t, showNow(control.Now{Best: at, Clock: at}), "clock     2026-11-26T09:08:07.006000000Z\n")
}

func TestShort(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0s", 1: "1ns", 999: "999ns", 1234: "1.23µs", -123456: "-123µs", 1234567: "1.23ms", 12345 * time.Millisecond: "12.3s",
	} {
		if got := short(sec(d)); got != text {
			t.Errorf("%d: %s, want %s", d, got, text)
		}
	}
	if short(nil) != unknownValue {
		t.Error("what is not known is shown as something")
	}
}

// Watching goes on until interrupted, which is no error, and past a daemon that is away for a while; one that never answered is an error.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		planted := errors.New("planted")
		asked := 0
		q := question[int]{
			ask: func(*control.Client, context.Context) (int, error) {
				switch asked++; asked {
				case 2:
					return 0, planted
				case 4:
					cancel()
				}
				return asked, ctx.Err()
			},
			show: func(n int) string { return strings.Repeat("x", n) + "\n" },
		}
		if err := q.watch(ctx, &ui{stdout: &seen}, nil, false); err != nil || seen.String() != "x\n\nplanted: asking again\nxxx\n\n" {
			t.Errorf("%q, %v", seen.String(), err)
		}
		q.ask = func(*control.Client, context.Context) (int, error) { return 0, planted }
		if err := q.watch(t.Context(), &ui{stdout: &seen}, nil, false); !errors.Is(err, planted) {
			t.Errorf("%v", err)
		}
	})
}

// Of a list that grows, watching shows what is new, each once; JSON is a line each.
func TestWatchNews(t *testing.T) {
	list := func(lost uint64, texts ...string) (e control.Events) {
		e.Lost = lost
		for _, text := range texts {
			e.Events = append(e.Events, control.Event{Level: "INFO", Text: text})
		}
		return e
	}
	for _, c := range []struct {
		shown, now control.Events
		want       []string
	}{
		{list(0, "a"), list(0, "a"), nil},
		{list(0, "a"), list(0, "a", "b", "c"), []string{"b", "c"}},
		{list(0, "a", "b"), list(1, "b", "c"), []string{"c"}},
		{list(0, "a", "b"), list(9, "j", "k"), []string{"j", "k"}},
		{list(5, "f", "g"), list(0, "new"), []string{"new"}}, // another daemon's
	} {
		fresh, any := newEvents(c.shown, c.now)
		var got []string
		for _, e := range fresh.Events {
			got = append(got, e.Text)
		}
		if any != (c.want != nil) || any && !slices.Equal(got, c.want) {
			t.Errorf("%v after %v: %v, %v", c.now, c.shown, got, any)
		}
	}
	var seen strings.Builder
	q := question[control.Events]{show: showEvents, news: newEvents}
	if err := q.again(&ui{stdout: &seen}, list(0, "a"), list(0, "a", "b"), true, true); err != nil || strings.Count(seen.String(), "\n") != 1 {
		t.Errorf("%q, %v", seen.String(), err)
	}
}

// A socket that this user may not open is no daemon's fault.
func TestForbiddenSocket(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may ask everywhere: only the words are looked at")
	}
	dir, err := os.MkdirTemp("", "status-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = control.NewClient(path).Status(ctx)
	if os.Geteuid() != 0 && !errors.Is(err, control.ErrForbidden) {
		t.Errorf("%v", err)
	}
	if hint := hintFor(control.ErrForbidden); exitCode(control.ErrForbidden) != exitPermission || !strings.Contains(hint, "as root") {
		t.Errorf("%d, %q", exitCode(control.ErrForbidden), hint)
	}
}
