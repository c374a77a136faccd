package main

import (
	"strings"
	"testing"
	"time"
)

// TestSetTime: three clocks at +2 ppm, 10 µs from one to the next, are told after 30 s to go 200 ms on. They do from 35 s on, at 5000 ppm,
// or as each case has it.
func TestSetTime(t *testing.T) {
	const ordered, begins, pace = 30 * time.Second, 35 * time.Second, 5000e-6
	slewed := func(since time.Duration) time.Duration {
		return min(max(0, time.Duration(float64(since)*pace)), 200*time.Millisecond)
	}
	for _, c := range []struct {
		name   string
		gone   func(node int, since time.Duration) time.Duration
		check  func(t *testing.T, s *Setting)
		failed string
	}{
		{"together", func(_ int, since time.Duration) time.Duration { return slewed(since) }, func(t *testing.T, s *Setting) {
			near(t, "by", s.By, 200, 0)
			near(t, "told", *s.Told, 44, 0)
			near(t, "there", *s.There, 45-0.2, 0.21) // the last millisecond is within the limit
			near(t, "apart", *s.Apart, 20, 0.01)
			near(t, "pace", *s.Pace, 5000, 1)
			near(t, "off", *s.Off, 10, 0.1)
			near(t, "slowest", *s.Slowest, 2, 1)
			near(t, "fastest", *s.Fastest, 5002, 1)
		}, ""},
		{"one is a second late", func(node int, since time.Duration) time.Duration {
			if node == 3 {
				since -= time.Second
			}
			return slewed(since)
		}, func(t *testing.T, s *Setting) {
			near(t, "apart", *s.Apart, 4990, 30)
			near(t, "there", *s.There, 46-0.2, 0.21)
		}, "set-time by node 2"},
		{"all at a stroke", func(_ int, since time.Duration) time.Duration {
			if since > 0 {
				return 200 * time.Millisecond
			}
			return 0
		}, func(t *testing.T, s *Setting) {
			near(t, "there", *s.There, 5, 0.21)
			if s.Pace != nil || len(s.Stepped) != 3 {
				t.Errorf("paced %s ppm, stepped: %v", figure(s.Pace, "%.0f"), s.Stepped)
			}
		}, "set-time by node 2"},
		{"one goes 50 ms too far and is put back", func(node int, since time.Duration) time.Duration {
			by := slewed(since)
			if node == 1 && since > 42*time.Second && since < 43*time.Second {
				by += 50 * time.Millisecond
			}
			return by
		}, func(t *testing.T, s *Setting) {
			if len(s.Stepped) != 1 || s.Stepped[0] != 1 {
				t.Errorf("stepped: %v", s.Stepped)
			}
			near(t, "there", *s.There, 48, 0.41)
			near(t, "slowest", *s.Slowest, -250e3, 100)
		}, "set-time by node 2"},
		{"nobody goes", func(int, time.Duration) time.Duration { return 0 }, func(t *testing.T, s *Setting) {
			if s.There != nil || s.Pace != nil {
				t.Errorf("there after %s s at %s ppm", figure(s.There, "%.1f"), figure(s.Pace, "%.0f"))
			}
			near(t, "off", *s.Off, 200e3, 30)
		}, "set-time by node 2"},
		{"half of the way", func(_ int, since time.Duration) time.Duration { return slewed(since) / 2 }, func(t *testing.T, s *Setting) {
			if s.There != nil {
				t.Errorf("there after %g s", *s.There)
			}
			near(t, "off", *s.Off, 100e3, 30)
		}, "set-time by node 2"},
		{"there and away again", func(_ int, since time.Duration) time.Duration {
			return slewed(since) + max(0, min(since-42*time.Second, time.Second))*5/1000
		}, func(t *testing.T, s *Setting) {
			if s.There != nil {
				t.Errorf("there after %g s", *s.There)
			}
		}, "set-time by node 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := parse(t, "--nodes", "3", "--ppm", "5,-3,1", "--for", "90s", "--settle", "10s", "--faults", "set-time:2@30s~200ms")
			if err != nil {
				t.Fatal(err)
			}
			m := made{dir: write(t, plan, func(i int, line Line) Line {
				line = steered(i, line)
				for k, p := range line {
					line[k].NS += int64(c.gone(i+1, time.Duration(float64(p.mid()-testStart)/testHz*1e9)-begins))
				}
				return line
			})}
			m.packets = []Packet{{TSC: counterAt(ordered - time.Second), Node: 2, Service: portPoll, Kind: kindPoll}}
			m.deeds = map[int][]Deed{2: {{Node: 2, Verb: verbSet, TSC: counterAt(ordered), Amount: 200 * time.Millisecond, Told: 44 * time.Second}}}
			r := m.analyse(t)
			if len(r.Aftermaths) != 1 || r.Aftermaths[0].Set == nil || r.Aftermaths[0].Leader {
				t.Fatalf("got %+v", r.Aftermaths)
			}
			c.check(t, r.Aftermaths[0].Set)
			if got := verdicts(r); got != c.failed {
				t.Errorf("failed: %q, want %q\n%s", got, c.failed, r.table())
			}
			near(t, "LAN rate before", *r.LANRate, 2, 0.01)
			if table := string(r.table()); !strings.Contains(table, "where the operator was told 44.0 s") {
				t.Errorf("the table does not tell of it:\n%s", table)
			}
		})
	}
}

// TestSetTimeRefused: an order that nobody took fails the run, whatever the clocks did.
func TestSetTimeRefused(t *testing.T) {
	plan, err := parse(t, "--nodes", "2", "--for", "12s", "--settle", "1s", "--faults", "set-time:2@1s~200ms")
	if err != nil {
		t.Fatal(err)
	}
	m := made{dir: write(t, plan, steered)}
	m.deeds = map[int][]Deed{2: {{Node: 2, Verb: verbSet, TSC: counterAt(time.Second), Amount: 200 * time.Millisecond, Error: "no master answers"}}}
	if failed := verdicts(m.analyse(t)); failed != "fault of node 2,set-time by node 2" {
		t.Errorf("failed: %q", failed)
	}
}
