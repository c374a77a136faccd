package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"meantime/daemon/sim"
)

// ranAs is a run that came to a given report.
func ranAs(scenario string, seed uint64, report sim.Report) run {
	r := run{trial{lan: sim.Default()}, report}
	r.lan.Seed = seed
	for _, s := range sim.Scenarios() {
		if s.Name == scenario {
			r.scenario = &s
		}
	}
	return r
}

// TestBrokenRuns: a run that does not hold tells the invariant, when, which seed and the command that replays it; the exit code is 1.
func TestBrokenRuns(t *testing.T) {
	broken := func(seed uint64) sim.Report {
		return sim.Report{Violations: []sim.Violation{
			{Invariant: sim.NoStep, At: 61 * time.Second, Host: 2, Seed: seed, Detail: "stepped by 3ms"},
			{Invariant: sim.Agreement, At: 90 * time.Second, Host: -1, Seed: seed, Detail: "later"},
		}}
	}
	if err := failures([]run{ranAs("", 1, sim.Report{}), ranAs("master-dies", 2, sim.Report{})}); err != nil {
		t.Errorf("runs that hold: %v", err)
	}
	err := failures([]run{ranAs("master-dies", 6, sim.Report{}), ranAs("master-dies", 7, broken(7)), ranAs("", 8, broken(8))})
	if exitCode(err) != exitFailed {
		t.Errorf("exit code %d", exitCode(err))
	}
	var out strings.Builder
	(&ui{stderr: &out}).fail(err)
	want := `meantime: master-dies: no step after the first synchronisation: at 1m1s, host 2, seed 7: stepped by 3ms
meantime:   replay: meantime simulate --scenario master-dies --seed 7
meantime: no step after the first synchronisation: at 1m1s, host 2, seed 8: stepped by 3ms
meantime:   replay: meantime simulate --nodes 5 --drift 50 `
	const end = " --seed 8\nmeantime: hint: a replay with --plot out.svg draws what happened\n"
	if got := out.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, end) {
		t.Errorf("got:\n%s", got)
	}
	err = failures(slices.Repeat([]run{ranAs("", 8, broken(8))}, 23))
	if text := err.Error(); strings.Count(text, "replay: ") != 20 || !strings.HasSuffix(text, "\nand 3 more") {
		t.Errorf("23 broken runs:\n%s", text)
	}
}

// TestRunsAreTold: one run in full, several in a line for each story.
func TestRunsAreTold(t *testing.T) {
	one := sim.Report{
		Simulated: time.Minute, TimeToSync: 7 * time.Second, Takeover: []float64{2.25}, Refused: 3,
		Disagreement: sim.Disagreement{Median: 2, P95: 3, P99: 4, Max: 50}, RMSOffset: 1, Compared: 20, Rated: 30 * time.Second,
		Masters: []sim.Change{{At: 3 * time.Second, Host: 1, Term: 1}, {At: 20 * time.Second, Host: 0, Term: 2},
			{At: 21 * time.Second, Host: 1, Term: 1}, {At: 22 * time.Second, Host: 0, Term: 2}},
	}
	text := simulateText(one)
	for _, want := range []string{"after 7s\n", " 2ns median, 3ns p95, 4ns p99, 50ns at most", " 2.25 polls\n", " 3 times: nobody was steered",
		" host 1 from 3s (term 1), host 0 from 20s (term 2)\n", " all hold\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := simulateText(sim.Report{TimeToSync: -1, Violations: make([]sim.Violation, 2)}); !strings.Contains(text, " never\n") ||
		!strings.Contains(text, " none\n") || !strings.Contains(text, " 2 broken\n") || strings.Contains(text, "disagreement") {
		t.Errorf("never in sync:\n%s", text)
	}
	worse := one
	worse.TimeToSync, worse.Disagreement, worse.RMSOffset, worse.LANRatePPM = 9*time.Second, sim.Disagreement{Median: 8, Max: 70}, 6, -4
	worse.Takeover, worse.Violations = []float64{1, 2.5}, make([]sim.Violation, 1)
	never := sim.Report{TimeToSync: -1}
	table := simulateTable([]run{ranAs("defaults", 1, one), ranAs("defaults", 2, worse), ranAs("swarm", 1, one), ranAs("swarm", 2, never)})
	lines := strings.Split(table, "\n")
	for i, want := range []string{"2 1 9s 2ns 70ns 6ns 4.000 ppm 2.50 defaults", "2 0 never 2ns 50ns 1ns 0.000 ppm 2.25 swarm"} {
		if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
			t.Errorf("line %d: %s, want %s", i, got, want)
		}
	}
	unmeasured := sim.Report{TimeToSync: 4 * time.Second, Nodes: 5}
	row := strings.Join(strings.Fields(simulateRow([]run{ranAs("", 1, unmeasured), ranAs("", 2, unmeasured)})), " ")
	if want := "2 0 4s – – – – – as given"; row != want {
		t.Errorf("what was not measured: %s, want %s", row, want)
	}
	total := simulateTotal([]run{ranAs("defaults", 1, one), ranAs("defaults", 2, worse)}, 100*time.Millisecond)
	if !strings.Contains(total, " 2.25 polls p50, 2.50 p99, 2.50 at most, of 3\n") ||
		!strings.Contains(total, " 0.03 cluster-hours in 100ms: 1200 simulated seconds a second\n") {
		t.Errorf("in all:\n%s", total)
	}
}

// TestManyMasters: of many masters the last are named.
func TestManyMasters(t *testing.T) {
	var r sim.Report
	for i := range 8 {
		r.Masters = append(r.Masters, sim.Change{At: time.Duration(i) * time.Second, Host: i, Term: uint64(i)})
	}
	text := masters(reigns(r))
	if !strings.HasPrefix(text, "8, at last host 2 from 2s (term 2), ") || !strings.HasSuffix(text, ", host 7 from 7s (term 7)") {
		t.Error(text)
	}
}

// TestHistoryIsBounded: whatever the length, no more buckets than asked for, and no extreme and no end of a host is lost.
func TestHistoryIsBounded(t *testing.T) {
	const points, peak, gone, back = 40_000, 31_234, 12_010, 20_010
	var h history
	for i := range points {
		offsets := []time.Duration{-time.Microsecond, 0, time.Microsecond}
		switch {
		case i == peak:
			offsets[2] = time.Second
		case i >= gone && i < back:
			offsets[0] = sim.Down
		}
		h.add(sim.Point{At: time.Duration(i) * time.Second, Offsets: offsets})
	}
	if n := len(h.buckets); n > mostBuckets || n < mostBuckets/2 {
		t.Errorf("%d buckets", n)
	}
	var highest time.Duration
	for i, b := range h.buckets {
		highest = max(highest, b.high[2])
		length := time.Duration(h.each) * time.Second
		down := b.low[0] == sim.Down
		if want := b.at+length > gone*time.Second && b.at < back*time.Second; down != want {
			t.Errorf("bucket %d at %v: down %v", i, b.at, down)
		}
		if b.at != time.Duration(i)*length || !down && (b.low[0] != b.high[0] || b.low[0] > 0) {
			t.Fatalf("bucket %d at %v: from %v to %v", i, b.at, b.low[0], b.high[0])
		}
	}
	if highest < time.Second-time.Microsecond {
		t.Errorf("the peak of a second is lost: %v", highest)
	}
}

// TestMiddle: a clock that is far off does not move the others in the picture, and one that is down has no offset.
func TestMiddle(t *testing.T) {
	const far = 40 * 365 * 24 * time.Hour
	for _, tt := range []struct{ offsets, want []time.Duration }{
		{[]time.Duration{5}, []time.Duration{0}},
		{[]time.Duration{10, 20}, []time.Duration{-5, 5}},
		{[]time.Duration{10, 20, far}, []time.Duration{-10, 0, far - 20}},
		{[]time.Duration{10, 20, 30, far}, []time.Duration{-15, -5, 5, far - 25}},
		{[]time.Duration{sim.Down, 20, 30}, []time.Duration{sim.Down, -5, 5}},
		{[]time.Duration{sim.Down, sim.Down}, []time.Duration{sim.Down, sim.Down}},
		{[]time.Duration{-far, far}, []time.Duration{-far, far}},
	} {
		before := slices.Clone(tt.offsets)
		if got := fromMiddle(tt.offsets); !slices.Equal(got, tt.want) || !slices.Equal(before, tt.offsets) {
			t.Errorf("%v became %v, want %v", before, got, tt.want)
		}
	}
}

// TestScales: offsets are linear near nothing and a step for each power of ten beyond; the ticks of time are few and reach the end.
func TestScales(t *testing.T) {
	for d, want := range map[time.Duration]float64{
		0: 0, 500: 0.5, time.Microsecond: 1, 10 * time.Microsecond: 2, time.Second: 7, -500: -0.5, -time.Millisecond: -4,
	} {
		if got := offsets.Height(float64(d)); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v stands at %v, want %v", d, got, want)
		}
	}
	for _, end := range []time.Duration{time.Second, 40 * time.Second, 10 * time.Minute, 11*time.Hour + time.Minute, 366 * 24 * time.Hour} {
		ticks := timeTicks(end)
		if n := len(ticks); n < 3 || n > 14 || ticks[n-1].Value != end.Seconds() || ticks[0].Label != "0s" {
			t.Errorf("%v has the ticks %v", end, ticks)
		}
	}
	h := history{buckets: []bucket{{low: []time.Duration{-30 * time.Minute, sim.Down}, high: []time.Duration{20, sim.Down}}}}
	if top := math.Ceil(offsets.Height(h.largest())); top != 11 {
		t.Errorf("half an hour reaches up to %v, want 11, which is 10000 s", top)
	}
}

// TestPicture: what is drawn is XML that names hosts, masters and faults, whatever the run was.
func TestPicture(t *testing.T) {
	var h history
	long := sim.Report{Simulated: 60 * time.Second, Nodes: 3, Masters: []sim.Change{{At: 3 * time.Second, Host: 1, Term: 1},
		{At: 30 * time.Second, Host: 2, Term: 2}, {At: 31 * time.Second, Host: 1, Term: 1}, {At: 40 * time.Second, Host: 2, Term: 2}}}
	for i := range 60 {
		offsets := []time.Duration{-time.Hour, time.Microsecond, time.Millisecond}
		if i > 30 && i < 40 {
			offsets[1] = sim.Down
		}
		h.add(sim.Point{At: time.Duration(i) * time.Second, Offsets: offsets})
	}
	faulty := ranAs("", 5, long)
	faulty.lan.Faults = []sim.Fault{{Kind: sim.Partition, Hosts: []int{0, 1}, At: 20 * time.Second, For: 20 * time.Second}}
	crowd := ranAs("defaults", 1, sim.Report{Simulated: time.Minute, Nodes: 60})
	for name, tt := range map[string]struct {
		past *history
		run  run
		says []string
	}{
		"long":  {&h, faulty, []string{"5 hosts, a poll every 1s, seed 5", "host 2", "partition 0.1", "30s", "+10000 s", "master"}},
		"empty": {&history{}, ranAs("", 1, sim.Report{Simulated: time.Second, TimeToSync: -1}), []string{"never in sync; invariants: all hold"}},
		"crowd": {&h, crowd, []string{"defaults, seed 1", "60 hosts; every 10th has the same colour"}},
	} {
		var drawn strings.Builder
		if err := tt.past.draw(&drawn, tt.run); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		texts := ""
		for d := xml.NewDecoder(strings.NewReader(drawn.String())); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if chars, ok := token.(xml.CharData); ok {
				texts += string(chars) + "\n"
			}
		}
		for _, want := range tt.says {
			if !strings.Contains(texts, want) {
				t.Errorf("%s: no %q among\n%s", name, want, texts)
			}
		}
	}
}

// TestNoProgress: where nobody looks, no run is looked at, and nothing is drawn.
func TestNoProgress(t *testing.T) {
	var out strings.Builder
	o := simulateOptions{LAN: sim.Default(), Seeds: 1}
	o.LAN.Seed, o.LAN.Nodes, o.LAN.For = 7, 1, time.Second
	w, err := watchRuns(&ui{stdout: &out, stderr: &out}, o)
	if err != nil || len(w.trials) != 1 || w.total != time.Second {
		t.Fatalf("%+v, %v", w, err)
	}
	if _, err := w.run(w.trials[0]); err != nil || out.Len() != 0 {
		t.Errorf("%v, %q", err, out.String())
	}
	line := progressLine(w.trials[0], 30*time.Second, 40*time.Second, time.Second)
	if strings.Count(line, "█") != 12 || strings.Count(line, "░") != 4 ||
		!strings.HasSuffix(line, "  75 %  as given, seed 7  (30 × real time)") {
		t.Error(line)
	}
}
