package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

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

// lanOfFive is a status of a slave, as good as it gets, with a member that does not vote.
var lanOfFive = control.Status{
	ID: "00000000000000a1", Name: "ada", Role: "auto", State: "following", Standing: "voter", Master: "00000000000000a2", MasterName: "bob", MasterAddr: "192.0.2.2",
	Term: 7, Members: 5, Voters: 4, Spread: sec(6789), Offset: control.SecondsOf(-123456), Bound: sec(13456), Frequency: -12.34567, KernelStamps: true,
	Key: "0a0b0c0d", KeysHeld: 2, Uptime: control.SecondsOf(90*time.Minute + 400*time.Millisecond), Dropped: map[string]uint64{"stale": 2, "key": 1},
	Interval: 1, LastPoll: sec(412345678),
}

func TestShowStatus(t *testing.T) {
	want(t, showStatus(overview{Status: lanOfFive}, screen{}), `This host is on LAN time within 13.5µs: 4 of 5 members agree within 6.79µs, 1 does not vote, master is bob.

state         following: on LAN time
master        bob (00000000000000a2) at 192.0.2.2, term 7
this host     ada (00000000000000a1), role auto, voter
members       5, of which 4 vote
bound         13.5µs from LAN time at most
offset        -123µs, being slewed
frequency     -12.346 ppm
interference  none seen
last poll     412ms ago, one each 1s
stamps        kernel
key           0a0b0c0d, of 2 held
up            1h30m0s
dropped       key 1, stale 2
`)
	large := lanOfFive
	large.Turns, large.Window, large.Expected, large.Lost = 10, sec(500*time.Millisecond), new(uint64(98765)), new(uint64(3))
	if got := showStatus(overview{Status: large}, screen{}); !strings.Contains(got, `
in turns      each member has all its exchanges once in 10 rounds, and one in each of the others
replies       3 lost of 98765, within 500ms each round
`) {
		t.Errorf("of a large LAN:\n%s", got)
	}
	want(t, showStatus(overview{Status: control.Status{ID: "00000000000000a1", Role: "slave", State: "listening", DryRun: true}}, screen{}),
		`This host is on no LAN time yet: no master is heard.

state         listening: no master heard yet (dry run: a virtual clock)
master        none known
this host     00000000000000a1, role slave
members       0, of which 0 vote
bound         not known yet
offset        0s
frequency     +0.000 ppm
interference  none seen
last poll     none yet
stamps        user space, or none exchanged lately
key           none: nothing proves who sends
up            0s
`)
}

// The master's status names who is odd; on a screen of 40 columns without UTF-8 it is wrapped, and in colour.
func TestShowStatusNarrow(t *testing.T) {
	s := lanOfFive
	s.State, s.Master, s.MasterName, s.MasterAddr, s.Interference = "keeping", s.ID, s.Name, "", []string{"chronyd"}
	members := control.Members{Complete: true, Members: lanMembers.Members}
	text := showStatus(overview{s, members}, screen{width: 40, ascii: true, colour: true})
	want(t, text[:strings.Index(text, "last poll")], "\x1b[31mThis host is master and keeps LAN time:\x1b[0m\n"+
		"\x1b[31m4 of 5 members agree within 6.79us, 1\x1b[0m\n"+
		"\x1b[31mdoes not vote; something else moves this\x1b[0m\n"+
		"\x1b[31mclock, too: chronyd.\x1b[0m\n"+`
state         keeping: master, LAN time
              is kept
master        this host, term 7
this host     ada (00000000000000a1),
              role auto, voter
members       5, of which 4 vote
`+"\x1b[33modd           cy (00000000000000a3) at\x1b[0m\n"+
		"\x1b[33m              192.0.2.10:10526:\x1b[0m\n"+
		"\x1b[33m              newcomer, being brought to\x1b[0m\n"+
		"\x1b[33m              LAN time\x1b[0m\n"+`bound         13.5us from LAN time at
              most
offset        -123us, being slewed
frequency     -12.346 ppm
interference  chronyd
`)
	if strings.IndexFunc(text, func(r rune) bool { return r > 126 }) >= 0 {
		t.Errorf("not in ASCII:\n%s", text)
	}
}

// Every state has a verdict of its own, and odd ones are not told as good ones.
func TestJudge(t *testing.T) {
	change := func(do func(*control.Status)) control.Status {
		s := lanOfFive
		do(&s)
		return s
	}
	for text, c := range map[string]struct {
		s control.Status
		m mood
	}{
		"This host is on LAN time within 13.5µs: all 5 members agree within 6.79µs, master is bob.": {change(func(s *control.Status) { s.Voters = 5 }), well},
		"This host is on LAN time within 13.5µs: 1 of 5 members votes, 4 do not, master is bob.":    {change(func(s *control.Status) { s.Voters = 1 }), oddly},
		"This host is on LAN time within 13.5µs: of 5 members none votes, master is bob.":           {change(func(s *control.Status) { s.Voters = 0 }), oddly},
		"This host is on LAN time within 13.5µs: all 5 members are 4.29s apart, master is bob.": {change(func(s *control.Status) {
			s.Voters, s.Spread = 5, new(control.Seconds(4.29))
		}), oddly},
		"This host is master and keeps LAN time: all 5 members agree within 6.79µs.": {change(func(s *control.Status) {
			s.State, s.Voters = "keeping", 5
		}), well},
		"This host is alone on its LAN: it is master, and its clock is LAN time.": {control.Status{State: "keeping", Members: 1, Voters: 1}, well},
		"This host is alone on its LAN: it is master, and its clock is LAN time. Hosts with another key have been heard, and dropped: all of a LAN need " +
			"the same key file (`meantime key`).": {control.Status{State: "keeping", Members: 1, Voters: 1, Dropped: map[string]uint64{"key": 3}}, oddly},
		"This host is alone on its LAN: it is master, and its clock is LAN time. Hosts of another group have been heard, and dropped: all of a LAN need " +
			"the same `group`.": {control.Status{State: "keeping", Members: 1, Voters: 1, Dropped: map[string]uint64{"group": 3}}, well},
		"This host is on no LAN time yet: no master is heard. Hosts of another group have been heard, and dropped: all of a LAN need the same `group`.": {control.Status{
			State: "listening", Dropped: map[string]uint64{"group": 3, "stale": 1}}, oddly},
		"This host is being slewed to LAN time, 84h10m7s to go: all 5 members agree within 6.79µs, master is bob.": {change(func(s *control.Status) {
			s.Voters, s.Offset = 5, -303007
		}), oddly},
		"This host is master and keeps LAN time; its clock is being slewed there, 1.5s to go: all 5 members agree within 6.79µs.": {change(func(s *control.Status) {
			s.State, s.Voters, s.Offset = "keeping", 5, 1.5
		}), oddly},
		"This host is master and keeps LAN time; its clock is being slewed there, 1.5s to go.": {control.Status{State: "keeping", Members: 1, Voters: 1, Offset: 1.5}, oddly},
		"This host is being brought to LAN time: all 5 members agree within 6.79µs, master is bob.": {change(func(s *control.Status) {
			s.Standing, s.Voters = "newcomer", 5
		}), oddly},
		"This host is on no LAN time yet: no master is heard.":                                     {control.Status{State: "listening"}, oddly},
		"LAN time is being founded: clocks are measured, none is moved yet.":                       {control.Status{State: "gathering"}, oddly},
		"This host is not on LAN time yet: it has heard the master, a2.":                           {control.Status{State: "joining", Master: "a2"}, oddly},
		"The master is silent: this host goes on by itself, on LAN time within 13.5µs.":            {change(func(s *control.Status) { s.State = "holdover" }), badly},
		"The LAN does not agree: no majority of its 5 members is together, and nobody is steered.": {change(func(s *control.Status) { s.State = "holding" }), badly},
		"This host's clock is beyond the panic limits and left alone.":                             {change(func(s *control.Status) { s.State = "panic" }), badly},
		"This host is dreaming.": {control.Status{State: "dreaming"}, oddly}, // a newer daemon's
		"This host is on LAN time: master is a2; something else moves this clock, too: chronyd, somebody.": {control.Status{State: "following", Master: "a2", Interference: []string{"chronyd", "somebody"}}, badly},
	} {
		if got, m := judge(c.s); got != text || m != c.m {
			t.Errorf("%q, %d\nwant %q, %d", got, m, text, c.m)
		}
	}
}

// The state's line does not call a clock on LAN time that is on its way there.
func TestStateWords(t *testing.T) {
	for want, s := range map[string]control.Status{
		"following: on LAN time": {State: "following", Offset: 0.001},
		"following: LAN time is known, the clock is being slewed to it":      {State: "following", Offset: -0.0011},
		"following: LAN time is known, the clock is being brought to it":     {State: "following", Standing: "newcomer"},
		"keeping: master, LAN time is kept, the clock is being slewed to it": {State: "keeping", Offset: 7},
		"holdover: the master is silent, frequency held":                     {State: "holdover", Offset: 7},
	} {
		if got := stateWords(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// lanMembers are a master's: one at rest, one that comes, one that is silent.
var lanMembers = control.Members{Complete: true, Members: []control.Member{
	{ID: "00000000000000a3", Name: "cy", Address: "192.0.2.10:10526", Standing: "newcomer", Votes: new(false), Why: "newcomer, being brought to LAN time",
		Offset: sec(1500 * time.Microsecond), Delay: sec(60 * time.Microsecond), Bound: sec(31 * time.Microsecond), Frequency: new(-40.1234), Heard: sec(300 * time.Millisecond)},
	{ID: "00000000000000a2", Address: "192.0.2.9:10526", Standing: "voter", Votes: new(true), Offset: sec(2000), Heard: sec(300 * time.Millisecond)},
	{ID: "00000000000000a1", Name: "ada", Self: true, Master: true, Standing: "voter", Votes: new(true), Offset: sec(-80), Jitter: sec(5), Frequency: new(0.5)},
}}

func TestShowMembers(t *testing.T) {
	want(t, showMembers(lanMembers, screen{}, false),
		`member            id                address           offset  bound  delay  jitter  frequency  heard  votes  remarks
ada               00000000000000a1  –                 -80ns   –      –      5ns     +0.500     –      yes    this host, master
00000000000000a2                    192.0.2.9:10526   2µs     –      –      –       –          300ms  yes
cy                00000000000000a3  192.0.2.10:10526  1.5ms   31µs   60µs   –       -40.123    300ms  no     newcomer, being brought to LAN time
3 members, 2 of them vote, within 2.08µs of each other; 1 does not: newcomer, being brought to LAN time.
`)
	want(t, showMembers(control.Members{Master: "192.0.2.9", Members: []control.Member{
		{ID: "00000000000000a1", Self: true, Standing: "voter"}, {ID: "00000000000000a9", Master: true, Address: "192.0.2.9:10526"},
	}}, screen{}, false), `member            address          offset  bound  delay  jitter  frequency  heard  votes  remarks
00000000000000a1  –                –       –      –      –       –          –      yes    this host
00000000000000a9  192.0.2.9:10526  –       –      –      –       –          –      –      master
The master alone measures all: ask on 192.0.2.9.
`)
	if text := showMembers(control.Members{Members: []control.Member{{ID: "00000000000000a1", Self: true}}}, screen{}, false); !strings.Contains(text, "No master is known.") {
		t.Error(text)
	}
	want(t, showMembers(control.Members{Complete: true}, screen{}, true), "Every member votes.\n")
	if got := odd(lanMembers.Members); len(got) != 1 || got[0].Name != "cy" {
		t.Errorf("odd: %v", got)
	}
}

// Where a screen is narrow the least important columns go, and remarks below; a name moves no cursor.
func TestShowMembersNarrow(t *testing.T) {
	want(t, showMembers(lanMembers, screen{width: 40, ascii: true}, false), `member            offset  heard  votes
ada               -80ns   -      yes
  this host, master
00000000000000a2  2us     300ms  yes
cy                1.5ms   300ms  no
  newcomer, being brought to LAN time
3 members, 2 of them vote, within 2.08us
  of each other; 1 does not: newcomer,
  being brought to LAN time.
`)
	evil := control.Members{Complete: true, Members: []control.Member{{ID: "00000000000000a1", Name: "e\x1b[2Jv\u202ei\u00e4l" + strings.Repeat("x", 60), Votes: new(true)}}}
	text := showMembers(evil, screen{width: 80, ascii: true}, false)
	if !strings.Contains(text, "\ne?[2Jv?i?lxxxxxxxxxxxxxxxxxxxxx...") {
		t.Errorf("%q", text)
	}
	for width := 1; width < 200; width++ {
		on := screen{width: width, colour: width%2 == 0}
		for line := range strings.Lines(on.table(memberColumns[:3], "r", []row{{cells: []string{"a", "b", "c"}, remark: strings.Repeat(" ", 25) + "many words that go below", mood: oddly}})) {
			if n := utf8.RuneCountInString(strings.NewReplacer("\x1b[33m", "", "\x1b[0m", "", "\n", "").Replace(line)); n > max(width, narrowest) {
				t.Errorf("width %d: %d in %q", width, n, line)
			}
		}
	}
}

// Ten thousand members are a table in a fraction of a second, each with a line, and the odd ones can be had alone.
func TestTenThousandMembers(t *testing.T) {
	a := control.Members{Complete: true}
	for i := range 10_000 {
		m := control.Member{
			ID: fmt.Sprintf("%016x", 10_000-i), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 10526).String(),
			Votes: new(true), Offset: sec(time.Duration(i)), Heard: sec(time.Second), Frequency: new(float64(i) / 1000),
		}
		if i%1000 == 7 {
			m.Votes, m.Why = new(false), "not heard"
		}
		a.Members = append(a.Members, m)
	}
	began := time.Now()
	for _, width := range []int{0, 40} {
		text := showMembers(a, screen{width: width}, false)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if !strings.HasSuffix(strings.Join(strings.Fields(text), " "), " 10 do not: not heard.") || len(lines) < 10_002 || len(lines) > 10_020 {
			t.Errorf("width %d: %d lines, the last: %s", width, len(lines), lines[len(lines)-1])
		}
	}
	took := time.Since(began)
	if took > 10*time.Second {
		t.Errorf("two tables took %v", took)
	}
	a.Members = odd(a.Members)
	text := showMembers(a, screen{}, true)
	if strings.Count(text, "\n") != 12 || !strings.HasSuffix(text, "\n10 members; 10 do not: not heard.\n") {
		t.Error(text)
	}
	t.Logf("two tables of 10,000 took %v", took)
}

func TestShowEventsAndNow(t *testing.T) {
	at := time.Date(2026, 11, 26, 9, 8, 7, 6_000_000, time.UTC)
	list := control.Events{Lost: 2, Events: []control.Event{
		{At: at, Level: "INFO", Text: "member came", Facts: map[string]string{"id": "a2", "at": "192.0.2.2:10526", "name": "two words"}},
		{At: at, Level: "WARN", Text: "holding"},
	}}
	want(t, showEvents(list, screen{}), `(2 older ones are in the log alone)
2026-11-26 09:08:07.006Z  info  member came at=192.0.2.2:10526 id=a2 name="two words"
2026-11-26 09:08:07.006Z  warn  holding
`)
	want(t, showEvents(list, screen{width: 40, colour: true}), `(2 older ones are in the log alone)
2026-11-26 09:08:07.006Z  info  member
  came at=192.0.2.2:10526 id=a2
  name="two words"
`+"\x1b[33m2026-11-26 09:08:07.006Z  warn  holding\x1b[0m\n")
	want(t, showNow(control.Now{Synchronised: true, Earliest: at.Add(-5), Best: at, Latest: at.Add(5), Clock: at.Add(1)}, screen{}),
		`earliest  2026-11-26T09:08:07.005999995Z
best      2026-11-26T09:08:07.006000000Z
latest    2026-11-26T09:08:07.006000005Z
clock     2026-11-26T09:08:07.006000001Z
`)
	want(t, showNow(control.Now{Best: at, Clock: at}, screen{}), "clock     2026-11-26T09:08:07.006000000Z\n")
}

// The locale says which letters there are; the first of the three variables that is set counts.
func TestASCIILetters(t *testing.T) {
	for locale, want := range map[[3]string]bool{
		{}: runtime.GOOS != "windows", {"C"}: true, {"", "", "POSIX"}: true, {"", "de_DE.ISO-8859-1", "en_US.UTF-8"}: true,
		{"C.UTF-8"}: false, {"", "", "en_US.utf8"}: false, {"C", "", "en_US.UTF-8"}: true,
	} {
		names := map[string]string{"LC_ALL": locale[0], "LC_CTYPE": locale[1], "LANG": locale[2]}
		if got := asciiLetters(func(name string) string { return names[name] }); got != want {
			t.Errorf("%v: %v", locale, got)
		}
	}
}

// What does not fit on a screen is cut where it is redrawn: rows that scrolled away cannot be reached again.
func TestFit(t *testing.T) {
	ten := strings.Repeat("line\n", 10)
	for height, lines := range map[int]int{0: 10, 24: 10, 11: 10, 10: 9, 5: 4, 1: 2} {
		if got := strings.Count((screen{height: height}).fit(ten), "\n"); got != lines {
			t.Errorf("height %d: %d lines, want %d", height, got, lines)
		}
	}
}

func TestShort(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0s", 1: "1ns", 999: "999ns", 1234: "1.23µs", -123456: "-123µs", 1234567: "1.23ms", 12345 * time.Millisecond: "12.3s",
		-59949 * time.Millisecond: "-59.9s", 84*time.Hour + 16*time.Minute + 20400*time.Millisecond: "84h16m20s", -time.Hour: "-1h0m0s",
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
				case 2, 3: // told once
					return 0, planted
				case 5:
					cancel()
				}
				return asked, ctx.Err()
			},
			show: func(n int, _ screen) string { return strings.Repeat("x", n) + "\n" },
		}
		var told strings.Builder
		if err := q.watch(ctx, &ui{stdout: &seen, stderr: &told}, nil, false); err != nil || seen.String() != "x\n\nxxxx\n\n" ||
			told.String() != "meantime: planted: asking again\n" {
			t.Errorf("%q, %q, %v", seen.String(), told.String(), err)
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
		for i, text := range texts {
			at := time.Unix(int64(text[0]), 0) // each has its own time
			e.Events = append(e.Events, control.Event{N: lost + uint64(i) + 1, At: at, Level: "INFO", Text: text})
		}
		return e
	}
	for _, c := range []struct {
		shown, now control.Events
		want       []string
	}{
		{list(0, "a"), list(0, "a"), nil},
		{list(0), list(0), nil},
		{list(0), list(0, "a"), []string{"a"}},
		{list(0, "a"), list(0, "a", "b", "c"), []string{"b", "c"}},
		{list(0, "a", "b"), list(1, "b", "c"), []string{"c"}},
		{list(0, "a", "b"), list(9, "j", "k"), []string{"j", "k"}},
		{list(5, "f", "g"), list(0, "new"), []string{"new"}}, // another daemon's
		{list(0, "a"), list(0, "new", "b"), []string{"new", "b"}},
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
