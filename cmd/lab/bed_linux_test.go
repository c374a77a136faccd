package main

import (
	"slices"
	"strings"
	"testing"
)

const procNetDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
   br0:     500       9    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  tap0:    1000      11    0    0    0     0          0         0     2000      22    0    0    0     0       0          0
  tap1:    1000      33    0    0    0     0          0         0     2000      44    0    0    0     0       0          0
`

func TestParsePackets(t *testing.T) {
	got, err := parsePackets(procNetDev, 2)
	if want := []traffic{{11, 22}, {33, 44}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := parsePackets(procNetDev, 3); err == nil {
		t.Error("a tap that is not there is counted")
	}
}

func TestParseProcessors(t *testing.T) {
	busy, total, err := parseBusy("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9\n")
	if busy != 63 || total != 3063 || err != nil {
		t.Errorf("got %d of %d, %v; want 63 of 3063", busy, total, err)
	}
	if _, _, err := parseBusy("intr 1 2"); err == nil {
		t.Error("a /proc/stat without processors is read")
	}
	if got := parseTicks("7 (a ) b) S 1 7 7 0 -1 4 0 0 0 0 1000 200 30 4 20 0 1"); got != 1234 {
		t.Errorf("got %d ticks, want 1234", got)
	}
	if got := parseTicks("7 (a"); got != 0 {
		t.Errorf("got %d ticks of half a line", got)
	}
}

func TestCount(t *testing.T) {
	var r BedRecord
	r.count(&counters{taps: []traffic{{1, 2}}, own: 100, busy: 200, total: 1000}, &counters{taps: []traffic{{11, 22}}, own: 150, busy: 300, total: 1200})
	if r.Sent[0] != 10 || r.Received[0] != 20 || r.Own != 0.25 || r.Others != 0.25 {
		t.Errorf("got %+v", r)
	}
}

func TestMissingNamesRemedies(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	text := strings.Join(missing(), "\n")
	for _, want := range []string{"user-mode-linux", "gcc libc6-dev", "iproute2", "go: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestNewWork proves that what a killed run has left goes, and that a living run's directory stays.
func TestNewWork(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	first, err := newWork()
	if err != nil {
		t.Fatal(err)
	}
	living := heldLock
	second, err := newWork()
	if err != nil {
		t.Fatal(err)
	}
	if !exists(first) || !exists(second) {
		t.Errorf("the directory of a living run was removed")
	}
	living.Close() // as the kernel does for a process that is killed
	if _, err := newWork(); err != nil {
		t.Fatal(err)
	}
	if exists(first) || !exists(second) {
		t.Errorf("left by a killed run: %v; of a living one: %v; want false, true", exists(first), exists(second))
	}
}

func TestNotAGuest(t *testing.T) {
	// Both stages mount and power off: each must see that it is not where it belongs, before it does anything.
	if err := alone(); err == nil {
		t.Error("a test process is taken for the bed")
	}
	if inGuest() {
		t.Error("a test process is taken for a guest")
	}
}
