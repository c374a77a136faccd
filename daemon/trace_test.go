package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/sysclock"
)

// rows reads a trace and demands its head.
func rows(t *testing.T, path string) (all [][3]int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if lines[0] != "host_raw_ns,host_wall_ns,virtual_ns" {
		t.Fatalf("the head is %q", lines[0])
	}
	for _, line := range lines[1:] {
		fields := strings.Split(line, ",")
		var row [3]int64
		for i := range row {
			if row[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil || len(fields) != len(row) {
				t.Fatalf("line %q: %v", line, err)
			}
		}
		all = append(all, row)
	}
	return all
}

// A driver writes a line at every multiple of 100 ms on the host's raw oscillator, whatever else it does meanwhile: both
// clocks of the host and the virtual one, of one instant.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := newMemoryLAN()
		time.Sleep(12345 * time.Microsecond) // no multiple
		m := memberOf(t, lan.link(stampsAtOnce), sysclock.VirtualConfig{Offset: int64(-time.Hour), Frequency: 100e-6}, nil)
		path := filepath.Join(t.TempDir(), "trace.csv")
		var err error
		if m.trace, err = openTrace(path); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		m.start(ctx)
		time.Sleep(3 * time.Second) // still gathering: nothing steers the clock
		endLAN(t, cancel, []*member{m})
		if err := m.trace.close(); err != nil {
			t.Error(err)
		}
		all := rows(t, path)
		if len(all) != 31 {
			t.Fatalf("%d lines in 3 s", len(all))
		}
		for i, row := range all {
			raw := int64(i) * int64(traceEvery)
			if i == 0 {
				raw = 12_345_000 // the first at once
			}
			if late := row[0] - raw; late < 0 || late > int64(stampWait) {
				t.Errorf("line %d is of %d, want %d", i, row[0], raw)
			}
			if row[1] != bubbleEpoch+row[0] {
				t.Errorf("line %d: the host's wall clock is %d at %d", i, row[1], row[0])
			}
			ran := row[0] - 12_345_000
			if off := row[2] - row[1] + int64(time.Hour) - ran/10_000; off < -2 || off > 2 {
				t.Errorf("line %d: the virtual clock is %d ns off its oscillator", i, off)
			}
		}
	})
}

// Only a virtual clock has a truth to tell, and without a path nothing is written.
func TestNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none, err := openTrace("")
		if none != nil || err != nil {
			t.Fatalf("%v, %v", none, err)
		}
		virtual := sysclock.NewVirtual(sysclock.VirtualConfig{}, newMemoryLAN().host)
		if err := errors.Join(none.write(virtual), none.close()); err != nil || none.due(virtual) != idle {
			t.Errorf("no trace: %v, due in %v", err, none.due(virtual))
		}
		path := filepath.Join(t.TempDir(), "trace.csv")
		tr, err := openTrace(path)
		if err != nil {
			t.Fatal(err)
		}
		real := &brokenClock{Clock: virtual} // any clock but a virtual one
		if err := tr.write(real); err != nil || tr.due(real) != idle {
			t.Errorf("another clock: %v, due in %v", err, tr.due(real))
		}
		if err := errors.Join(tr.write(virtual), tr.close()); err != nil {
			t.Error(err)
		}
		if got := len(rows(t, path)); got != 1 {
			t.Errorf("%d lines, want the virtual clock's", got)
		}
	})
}

// A trace that cannot be made or written is an error, since somebody's measurement hangs on it.
func TestTraceFails(t *testing.T) {
	if _, err := openTrace(filepath.Join(t.TempDir(), "no", "trace")); err == nil || !strings.HasPrefix(err.Error(), "creating the trace: ") {
		t.Errorf("no directory: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		var err error
		if m.trace, err = openTrace(filepath.Join(t.TempDir(), "trace")); err != nil {
			t.Fatal(err)
		}
		if err := m.trace.close(); err != nil {
			t.Fatal(err)
		}
		m.start(t.Context())
		if err := m.wait(t); !errors.Is(err, os.ErrClosed) {
			t.Errorf("run gave %v", err)
		}
	})
}
