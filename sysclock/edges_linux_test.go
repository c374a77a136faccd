package sysclock

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The machine's id is the first file that holds one; an image that is not set up has none, and the reason names the file.
func TestMachineOf(t *testing.T) {
	dir := t.TempDir()
	at := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const id = "0123456789abcdef0123456789abcdef"
	none, empty, fresh := filepath.Join(dir, "none"), at("empty", "\n"), at("fresh", "uninitialized\n")
	good, source := at("good", id+"\n"), at("source", "tsc\n")
	for _, tt := range []struct {
		files    []string
		source   string
		id, want string
	}{
		{[]string{good, none}, source, id, "tsc"},
		{[]string{none, good}, none, id, ""},
		{[]string{empty, good}, source, id, "tsc"},
		{[]string{fresh}, source, "", ""},
		{[]string{none}, source, "", ""},
		{[]string{none, empty}, source, "", ""},
	} {
		got, clock, err := machineOf(tt.files, tt.source)
		if got != tt.id || clock != tt.want || (err == nil) != (tt.id != "") {
			t.Errorf("%v: %q, %q, %v", tt.files, got, clock, err)
		}
		if last := tt.files[len(tt.files)-1]; err != nil && !strings.Contains(err.Error(), last) {
			t.Errorf("%v does not name %s", err, last)
		}
	}
}

// A listener waits while nobody sets the clock, and Close ends it.
func TestNoticeWaits(t *testing.T) {
	n, err := listenForSet()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Wait() }()
	select {
	case err := <-done:
		t.Fatalf("woke by itself: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed one gave %v", err)
	}
}

// Only the state that Steer leaves is taken for that of a killed predecessor.
func TestLinuxSurvived(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*unix.Timex)
		want   bool
	}{
		"steered":          {func(*unix.Timex) {}, true},
		"error has grown":  {func(tx *unix.Timex) { tx.Status |= unix.STA_UNSYNC }, true},
		"fresh boot":       {func(tx *unix.Timex) { tx.Status, tx.Constant = unix.STA_UNSYNC, 2 }, false},
		"chrony":           {func(tx *unix.Timex) { tx.Status = unix.STA_NANO }, false},
		"ntpd":             {func(tx *unix.Timex) { tx.Status, tx.Constant = unix.STA_PLL|unix.STA_NANO, 6 }, false},
		"another constant": {func(tx *unix.Timex) { tx.Constant = 7 }, false},
		"another tick":     {func(tx *unix.Timex) { tx.Tick = 9_999 }, false},
	} {
		k := newFakeKernel()
		mustSteer(t, openFake(t, k), Steering{Frequency: 12e-6, Synchronised: true}) // and is killed
		tt.change(&k.state)
		if c := openFake(t, k); c.Survived() != tt.want {
			t.Errorf("%s: Survived = %v", name, c.Survived())
		}
	}
	k := newFakeKernel()
	c := openFake(t, k)
	mustSteer(t, c, Steering{Frequency: 12e-6, Synchronised: true})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if openFake(t, k).Survived() {
		t.Error("a clean stop is taken for a killed process")
	}
}

// sleeper is a machine whose clocks a test moves.
type sleeper struct {
	raw, wall, boot int64
	preempted       int64 // ns that each reading takes
	asked           int
}

func (s *sleeper) attach(to *sleep) {
	to.mono = func() (int64, error) { s.raw += s.preempted; s.boot += s.preempted; s.asked++; return s.raw, nil }
	to.boot = func() (int64, error) { return s.boot, nil }
}

func (s *sleeper) run(d time.Duration) { s.raw += int64(d); s.wall += int64(d); s.boot += int64(d) }

func (s *sleeper) suspend(d time.Duration) { s.wall += int64(d); s.boot += int64(d) }

// A suspend is told as long as it was, a set or slewed clock is none, and nothing is asked while wall and raw keep together.
func TestSlept(t *testing.T) {
	m := &sleeper{wall: 1e18, boot: 7e9}
	s := &sleep{}
	m.attach(s)
	look := func(when string, want time.Duration) {
		t.Helper()
		s.saw(Reading{Raw: m.raw, Wall: m.wall})
		got, err := s.total()
		if off := time.Duration(got) - want - 7*time.Second; err != nil || off.Abs() > 20*time.Millisecond {
			t.Errorf("%s: slept %v, want %v; %v", when, time.Duration(got)-7*time.Second, want, err)
		}
	}
	look("at first", 0)
	asked := m.asked
	m.run(time.Hour)
	look("an hour later", 0)
	if m.asked != asked {
		t.Error("asked though nothing had parted")
	}
	m.suspend(90 * time.Minute)
	look("after a suspend", 90*time.Minute)
	m.suspend(time.Second)
	look("after a short one", 90*time.Minute+time.Second)
	m.wall -= int64(time.Hour)
	look("after a step", 90*time.Minute+time.Second)
	m.preempted = 30_000_000
	m.suspend(time.Minute)
	look("preempted: not yet", 90*time.Minute+time.Second)
	m.preempted = 10
	look("preempted no more", 91*time.Minute+time.Second)
}

// The machine's own clocks say something that does not shrink.
func TestSleptHere(t *testing.T) {
	c := &linuxClock{}
	a, err := c.Slept()
	if err != nil || a < -1_000_000 {
		t.Fatalf("slept %d ns, %v", a, err)
	}
	if b, err := (&linuxClock{}).Slept(); err != nil || b-a < -10_000_000 {
		t.Errorf("slept %d ns, then %d, %v", a, b, err)
	}
}
