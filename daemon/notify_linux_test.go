package daemon

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// listenNotify is a service manager's socket.
func listenNotify(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

// heardBy reads what was sent until nothing comes any more, or until a datagram is the last word.
func heardBy(t *testing.T, conn *net.UnixConn, last string) (all []string) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		if string(b[:n]) == last {
			return all
		}
		all = append(all, string(b[:n]))
	}
}

// What a service manager is told, datagram by datagram. The status is told again only if it is another one.
func TestNotify(t *testing.T) {
	conn := listenNotify(t)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	keeping := node.Status{ID: 5, Master: 5, State: node.StateKeeping, Members: 3, Voters: 3, Spread: 30 * time.Microsecond}
	later := keeping
	later.Spread, later.Seq = 31*time.Microsecond, 7
	if err := n.ready(); err != nil {
		t.Error(err)
	}
	for _, s := range []node.Status{{State: node.StateListening}, keeping, later} {
		n.alive(s)
	}
	n.reloading()
	n.stopping()
	n.send("last")
	got := heardBy(t, conn, "last")
	want := []string{
		"READY=1", "WATCHDOG=1\nSTATUS=listening",
		"WATCHDOG=1\nSTATUS=keeping, master is this host, members 3, voters 3, clocks within 50µs", "WATCHDOG=1",
		"RELOADING=1\nMONOTONIC_USEC=N", "STOPPING=1\nSTATUS=stopping",
	}
	for i := range got {
		got[i] = regexp.MustCompile(`USEC=\d{6,}$`).ReplaceAllString(got[i], "USEC=N")
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q\nwant %q", got, want)
	}
	began := time.Now()
	for n.send("WATCHDOG=1") { // nobody reads: the queue is full in the end
		if time.Since(began) > 5*time.Second {
			t.Fatal("the queue has no end")
		}
	}
	said := n.said
	if n.alive(node.Status{State: node.StateHoldover}); n.said != said {
		t.Error("a status that did not get through counts as told")
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

// What is told long after the start still gets through: the deadline of the first message is its own.
func TestNotifyLater(t *testing.T) {
	conn := listenNotify(t)
	defer func(wait time.Duration) { readyWait = wait }(readyWait)
	readyWait = 250 * time.Millisecond
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.ready(); err != nil {
		t.Error(err)
	}
	time.Sleep(readyWait + 50*time.Millisecond)
	if !n.send("WATCHDOG=1") {
		t.Error("nothing is told any more")
	}
	n.send("last")
	if got := heardBy(t, conn, "last"); !slices.Equal(got, []string{"READY=1", "WATCHDOG=1"}) {
		t.Errorf("told %q", got)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

// A service manager that takes nothing is waited for by whoever has to, and holds up nobody else.
func TestNotifyReadyWaitsAlone(t *testing.T) {
	conn := listenNotify(t)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.close() }()
	for n.send("WATCHDOG=1") { // until the queue is full
	}
	waited := make(chan error)
	go func() { waited <- n.ready() }()
	time.Sleep(3 * readyPause) // it is at it
	began := time.Now()
	n.alive(node.Status{})
	if took := time.Since(began); took > time.Second {
		t.Errorf("a keep-alive took %v meanwhile", took)
	}
	b := make([]byte, 4096)
	for last := ""; last != "READY=1"; {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		size, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		last = string(b[:size])
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// Nobody listens: nothing happens. A socket that is not there is named.
func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := openNotifier()
	if n != nil || err != nil {
		t.Fatalf("%v, %v", n, err)
	}
	n.alive(node.Status{})
	n.reloading()
	n.stopping()
	if err := errors.Join(n.ready(), n.close()); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if _, err := openNotifier(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v", err)
	}
}

// The watchdog hears the driver's loop every few seconds, and nothing while that hangs, whatever else of the process runs on.
func TestNotifyHangs(t *testing.T) {
	conn := listenNotify(t)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.close() }()
	mark := func(text string) { // waits where the queue is full, as a notifier does not
		if _, err := n.conn.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	said := make(chan []string)
	go func() { said <- heardBy(t, conn, "last") }()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.notify = n
		m.start(ctx)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mark("hangs")
		m.ask(ctx, func() { time.Sleep(time.Hour); mark("goes on") })
		time.Sleep(10 * time.Second)
		endLAN(t, cancel, []*member{m})
		mark("last")
	})
	got := <-said
	hangs, goesOn := slices.Index(got, "hangs"), slices.Index(got, "goes on")
	if hangs < 3 || goesOn != hangs+1 || len(got)-goesOn < 4 || !strings.HasPrefix(got[len(got)-1], "STOPPING=1") {
		t.Errorf("told %q", got)
	}
}

// Whoever asks for a reload hears when it began, and that it is done only once the driver has what is new.
func TestNotifyReload(t *testing.T) {
	conn := listenNotify(t)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.close() }()
	path := keyFileOf(t, lineOf(1))
	k, _ := keyringOf(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	hangups, rings, watched := make(chan os.Signal), make(chan *netproto.Ring), make(chan struct{})
	go func() { defer close(watched); k.watch(ctx, hangups, rings, n) }()
	put(t, path, lineOf(2)+"\n"+lineOf(1)+"\n")
	hangups <- os.Interrupt
	time.Sleep(50 * time.Millisecond) // it would be done by now, were nobody waited for
	n.send("taken")
	<-rings
	hangups <- os.Interrupt // nothing is new
	first, second := heardBy(t, conn, "READY=1"), heardBy(t, conn, "READY=1")
	const reloading = "RELOADING=1\nMONOTONIC_USEC="
	if len(first) != 2 || !strings.HasPrefix(first[0], reloading) || first[1] != "taken" || len(second) != 1 || !strings.HasPrefix(second[0], reloading) {
		t.Errorf("told %q, then %q", first, second)
	}
	cancel()
	<-watched
}

func TestStatusText(t *testing.T) {
	s := node.Status{ID: 5, Master: 0xabc, State: node.StateFollowing, Members: 2, Voters: 1}
	for want, change := range map[string]func(*node.Status){
		"following, master is 0000000000000abc, members 2, voters 1":                    func(*node.Status) {},
		"following, master is 0000000000000abc, members 2, voters 1, clocks within 2ms": func(s *node.Status) { s.Spread = 1_000_001 },
		"holdover, master is 0000000000000abc, members 2, voters 1":                     func(s *node.Status) { s.State, s.Spread = node.StateHoldover, 5 },
		"listening": func(s *node.Status) { s.State, s.Master, s.Spread = node.StateListening, 0, 5 },
	} {
		now := s
		change(&now)
		if got := statusText(now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for d, want := range map[time.Duration]time.Duration{1: 1, 2: 2, 3: 5, 5: 5, 6: 10, 11: 20, 999: 1000, 1 << 62: 5e18} {
		if got := roundUp(d); got != want {
			t.Errorf("%d is rounded up to %d, want %d", d, got, want)
		}
	}
}
