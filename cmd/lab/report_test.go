package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write writes the files of a made-up run: clocks that run free, or as bend says.
func write(t *testing.T, plan Plan, bend func(i int, line Line) Line) string {
	t.Helper()
	length := plan.For
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	samples := func(path string, wall, raw Line) {
		t.Helper()
		var text bytes.Buffer
		for i := range wall {
			must(writeSample(&text, wall[i], raw[i]))
		}
		must(os.WriteFile(path, text.Bytes(), 0o644))
	}
	must(writeJSON(filepath.Join(dir, fileOrder), Order{Plan: plan}))
	raw, wall := clock(0, -1e18, length+time.Second, 100), clock(0, 0, length+time.Second, 100)
	must(writeJSON(filepath.Join(dir, fileBed), BedRecord{
		Kernel: "6.1", CPUs: 2, Start: startOf(raw, wall), Ran: length, Sent: []uint64{3, 4}, Received: []uint64{4, 3},
	}))
	samples(filepath.Join(dir, fileHost), wall, raw)
	for i, node := range plan.Nodes {
		home := guestDir(dir, i+1)
		must(os.Mkdir(home, 0o755))
		must(writeJSON(filepath.Join(home, fileRecord), GuestRecord{During: &Timex{Status: 0x2001, FreqPPM: -node.PPM}}))
		line := clock(node.PPM, node.Offset, length+time.Second, 60)
		samples(filepath.Join(home, fileSamples), bend(i, line), clock(node.PPM, -1e18, length+time.Second, 60))
	}
	return dir
}

// verdicts are the names of the checks that failed.
func verdicts(r *Result) string {
	var failed []string
	for _, c := range r.Checks {
		if !c.OK {
			failed = append(failed, c.Name)
		}
	}
	return strings.Join(failed, ",")
}

func freely(_ int, line Line) Line { return line }

func TestAnalyseFree(t *testing.T) {
	plan, err := parse(t, "--program", "none", "--nodes", "2", "--for", "12s")
	if err != nil {
		t.Fatal(err)
	}
	r, err := analyse(write(t, plan, freely))
	if err != nil {
		t.Fatal(err)
	}
	if failed := verdicts(r); failed != "" || len(r.Checks) != 4 {
		t.Errorf("failed: %q of %d checks", failed, len(r.Checks))
	}
	near(t, "LAN rate", *r.LANRate, 2.5, 0.001)
	near(t, "oscillators", r.Oscillator, 2.5, 0.001)
	near(t, "start of node 2", *r.Guests[1].Started, 200, 0.001)
	near(t, "largest disagreement", r.Spread.Max, 200e3, 1)
	if r.Together != nil {
		t.Errorf("clocks 200 ms apart are together from %g s on", *r.Together)
	}
	table := string(r.table())
	for _, want := range []string{"PLL|NANO", "-35", "200ms", "0.0/0.0/0.0", "0/71"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if err := present(&bytes.Buffer{}, r, false); err != nil {
		t.Errorf("a good run ends with %v", err)
	}
	if lines := bytes.Count(r.csv(), []byte("\n")); lines != 1+61 {
		t.Errorf("timeline has %d lines, want 62", lines)
	}
}

// TestAnalyseRed makes sure that each check can fail.
func TestAnalyseRed(t *testing.T) {
	for _, c := range []struct {
		name, args string
		ppm        float64 // believed of node 2, whose oscillator is 40 ppm fast
		offset     time.Duration
		bend       func(i int, line Line) Line
		failed     string
	}{
		{"unbent", "--program none", -35, 0, freely, "oscillators,free rates"},
		{"elsewhere", "--program none", 40, time.Second, freely, "free offsets"},
		{"blind", "--program none", 40, 0, func(i int, l Line) Line {
			if i == 1 {
				// Its kernel was held up for two seconds.
				for k := 20; k < 30; k++ {
					l[k].Lo -= 1e6 // a bracket so wide that the sample is left out
				}
			}
			return l
		}, "coverage"},
		{"apart", "--program exec --settle 1s --expect-within 100us --expect-rate 1ppm -- /bin/x", 40, 0, func(i int, l Line) Line {
			return clock(5*float64(i), 0, 13*time.Second, 60)[:len(l)]
		}, "LAN rate"},
		{"too far", "--program exec --settle 1s --expect-within 10us --expect-rate 50ppm -- /bin/x", 40, 0, func(i int, l Line) Line {
			return clock(5*float64(i), 0, 13*time.Second, 60)[:len(l)]
		}, "agreement"},
	} {
		plan, err := parse(t, append([]string{"--nodes=2", "--for=12s", "--ppm=40,40", "--offset=0s,0s"}, strings.Fields(c.args)...)...)
		if err != nil {
			t.Fatal(err)
		}
		dir := write(t, plan, c.bend)
		plan.Nodes[1] = NodePlan{c.ppm, c.offset}
		if err := writeJSON(filepath.Join(dir, fileOrder), Order{Plan: plan}); err != nil {
			t.Fatal(err)
		}
		r, err := analyse(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := verdicts(r); got != c.failed {
			t.Errorf("%s: failed %q, want %q\n%s", c.name, got, c.failed, r.table())
		}
		if err := present(&bytes.Buffer{}, r, false); !errors.Is(err, exitCode(exitFailed)) {
			t.Errorf("%s: ends with %v, want exit code %d", c.name, err, exitFailed)
		}
	}
}

func TestCheckPrograms(t *testing.T) {
	for _, c := range []struct {
		name, program string
		guest         GuestResult
		failed        string
	}{
		{"stopped", programMeantime, GuestResult{}, ""},
		{"crashed", programMeantime, GuestResult{Record: GuestRecord{Early: true, Exit: 2}}, "program 1"},
		{"gone", programMeantime, GuestResult{Record: GuestRecord{Early: true}}, "program 1"},
		{"terminated", programMeantime, GuestResult{Record: GuestRecord{Exit: exitTerminated}}, "program 1"},
		{"terminated", programExec, GuestResult{Record: GuestRecord{Exit: exitTerminated}}, ""},
		{"stubborn", programMeantime, GuestResult{Record: GuestRecord{Killed: true}}, "program 1"},
		{"tests", programSysclock, GuestResult{Passed: 3, Record: GuestRecord{Early: true}}, ""},
		{"no tests", programSysclock, GuestResult{Record: GuestRecord{Early: true}}, "tests"},
		{"skipped", programSysclock, GuestResult{Passed: 3, Skipped: 1, Record: GuestRecord{Early: true}}, "tests"},
		{"red tests", programSysclock, GuestResult{Passed: 3, Record: GuestRecord{Early: true, Exit: 1}}, "program 1"},
	} {
		c.guest.Node = 1
		r := &Result{Plan: Plan{Program: c.program}, Guests: []GuestResult{c.guest}}
		r.checkPrograms()
		if got := verdicts(r); got != c.failed {
			t.Errorf("%s %s: failed %q, want %q", c.program, c.name, got, c.failed)
		}
	}
}

func TestExitCodeOfTests(t *testing.T) {
	r := &Result{Plan: Plan{Program: programSysclock}, Guests: []GuestResult{{Record: GuestRecord{Early: true, Exit: 7}}}}
	var out bytes.Buffer
	if err := present(&out, r, true); !errors.Is(err, exitCode(7)) {
		t.Errorf("got %v, want the program's own exit code 7", err)
	}
	var back Result
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Guests[0].Record.Exit != 7 {
		t.Errorf("JSON: %v\n%s", err, out.Bytes())
	}
}
