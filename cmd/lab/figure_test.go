package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// made is a made-up run with packets, vitals and deeds beside its clocks.
type made struct {
	dir     string
	packets []Packet
	vitals  map[int][]Vital // by node
	deeds   map[int][]Deed
}

// counterAt is the counter so long after the start.
func counterAt(at time.Duration) int64 { return testStart + int64(at.Seconds()*testHz) }

// analyse writes what was made up and reports on it.
func (m *made) analyse(t *testing.T) *Result {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	for _, p := range m.packets {
		must(p.write(&text))
	}
	must(os.WriteFile(filepath.Join(m.dir, filePackets), text.Bytes(), 0o644))
	for node, list := range m.vitals {
		text.Reset()
		for _, v := range list {
			must(v.write(&text))
		}
		must(os.WriteFile(filepath.Join(guestDir(m.dir, node), fileVitals), text.Bytes(), 0o644))
	}
	for node, list := range m.deeds {
		must(writeJSON(filepath.Join(guestDir(m.dir, node), fileRecord), GuestRecord{Deeds: list}))
	}
	r, err := analyse(m.dir)
	must(err)
	return r
}

// steered makes clocks that daemons hold together: all 2 ppm fast, 10 µs from one to the next.
func steered(i int, line Line) Line {
	return clock(2, time.Duration(i)*10*time.Microsecond, 2*time.Hour, 60)[:len(line)]
}

func TestFiguresQuiet(t *testing.T) {
	plan, err := parse(t, "--nodes", "3", "--ppm", "5,-3,1", "--for", "60s", "--settle", "10s", "--poll", "2s")
	if err != nil {
		t.Fatal(err)
	}
	m := made{dir: write(t, plan, steered), vitals: map[int][]Vital{}}
	for at := 1500 * time.Millisecond; at < 60*time.Second; at += 500 * time.Millisecond {
		m.packets = append(m.packets, Packet{TSC: counterAt(at), Node: 1, Bytes: 100, Service: portPoll, Kind: kindPoll})
	}
	// Replies of the others, the first of them before the poll that it answers was seen, as it may be at the bed's bridge.
	m.packets = slices.Concat([]Packet{{TSC: counterAt(time.Second), Node: 3, Service: portPoll, Kind: 5}}, m.packets[:1],
		[]Packet{{TSC: counterAt(2 * time.Second), Node: 2, Service: portPoll, Kind: 2}}, m.packets[1:])
	for at := time.Second; at < 60*time.Second; at += time.Second {
		// The middle clock is where the mean is; the others are 10 µs from it. That of node 3 is believed to be better.
		v := Vital{TSC: counterAt(at), MaxError: 40, PID: 7, CPU: int64(at / 50), RSS: 3e6}
		if at > 30*time.Second { // another process: its count is no sequel of the first one's
			v.PID, v.CPU = 9, v.CPU+5e9
		}
		m.vitals[1] = append(m.vitals[1], v)
		m.vitals[2] = append(m.vitals[2], Vital{TSC: counterAt(at), MaxError: 40, PID: 8, CPU: int64(at / 25), RSS: 5e6, Status: statusUnsync})
		m.vitals[3] = append(m.vitals[3], Vital{TSC: counterAt(at), MaxError: 9})
	}
	r := m.analyse(t)
	near(t, "first poll", *r.First, 1.5, 1e-6)
	near(t, "all came", *r.Came, 2, 1e-6)
	near(t, "time to agreement", *r.Reached, 0, 0)
	near(t, "disagreement", r.Spread.Median, 20, 0.01)
	near(t, "p99", r.Spread.P99, 20, 0.01)
	near(t, "LAN rate", *r.LANRate, 2, 0.001)
	near(t, "oscillators", r.Oscillator, 1, 0.001)
	// 100 packets in 50 s, which are 25 intervals of 2 slaves.
	near(t, "packets", r.Daemons.Packets, 2, 0.02)
	near(t, "bytes", r.Daemons.Bytes, 200, 2)
	near(t, "CPU of node 1", *r.Guests[0].CPU, 2, 0.01)
	near(t, "CPU of all", *r.Daemons.CPU, 3, 0.01)
	near(t, "RSS of all", *r.Daemons.RSS, 4, 0.001)
	if r.Guests[2].CPU != nil || r.Guests[2].RSS != nil {
		t.Error("a guest without a daemon has its cost")
	}
	near(t, "synchronised", r.Kernel.Synced, 2./3, 1e-9)
	near(t, "contained", r.Kernel.Contained, 2./3, 1e-9)
	near(t, "maxerror", r.Kernel.MaxError, 40, 0)
	near(t, "distance", r.Kernel.Distance, 10, 0.01)
	near(t, "ratio", *r.Kernel.Ratio, 4, 0.01)
	if failed := verdicts(r); failed != "" {
		t.Errorf("failed: %s", failed)
	}
}

// TestFiguresFaults: the leader is killed and started again 10 s later, and then another program steps node 3 by 10 s.
func TestFiguresFaults(t *testing.T) {
	const killed, started, back, stepped = 30 * time.Second, 40 * time.Second, 41 * time.Second, 50 * time.Second
	plan, err := parse(t, "--nodes", "3", "--ppm", "5,-3,1", "--for", "60s", "--settle", "10s", "--expect-within", "30us",
		"--kill", "master@30s+10s", "--faults", "step:3@50s~10s")
	if err != nil {
		t.Fatal(err)
	}
	// Left alone, the clock of node 1 runs off by 5 ppm; its new daemon has it back after a second.
	m := made{vitals: map[int][]Vital{}, dir: write(t, plan, func(i int, line Line) Line {
		line = steered(i, line)
		for k, p := range line {
			at := time.Duration(float64(p.mid()-testStart) / testHz * 1e9)
			if i == 0 && at > killed && at < back {
				line[k].NS += int64((at - killed).Seconds() * 5e3)
			}
			if i == 2 && at > stepped-20*time.Millisecond { // seen before it was noted
				line[k].NS += 10e9
			}
		}
		return line
	})}
	for at := time.Second; at < 60*time.Second; at += time.Second {
		leader := 1
		if at > killed {
			leader = 2
		}
		if at <= killed || at > killed+1500*time.Millisecond {
			m.packets = append(m.packets, Packet{TSC: counterAt(at), Node: leader, Service: portPoll, Kind: kindPoll})
		}
		m.packets = append(m.packets, Packet{TSC: counterAt(at) + 1, Node: 3, Service: portPoll, Kind: kindPoll + 1})
		if at == killed { // its last poll was on the way
			m.packets = append(m.packets, Packet{TSC: counterAt(at) + 2, Node: 1, Service: portPoll, Kind: kindPoll})
		}
		v := Vital{TSC: counterAt(at + 10*time.Millisecond), FreqPPM: -at.Seconds(), PID: 7}
		if at > killed && at < started {
			v.PID = 0
		}
		m.vitals[1] = append(m.vitals[1], v)
	}
	m.deeds = map[int][]Deed{
		1: {{Node: 1, Verb: verbKill, TSC: counterAt(killed)}, {Node: 1, Verb: verbStart, TSC: counterAt(started)}},
		3: {{Fault: 1, Node: 3, Verb: verbStep, TSC: counterAt(stepped + 20*time.Millisecond), Amount: 10 * time.Second}},
	}
	r := m.analyse(t)
	if len(r.Aftermaths) != 2 {
		t.Fatalf("%d aftermaths, want 2: %+v", len(r.Aftermaths), r.Aftermaths)
	}
	kill, step := r.Aftermaths[0], r.Aftermaths[1]
	if !kill.Leader || kill.Node != 1 || kill.Heir != 2 || kill.Fault != "kill:master@30s+10s" {
		t.Errorf("got %+v", kill)
	}
	near(t, "killed", kill.At, 30, 1e-6)
	near(t, "takeover", *kill.Takes, 2, 1e-6)
	near(t, "back", *kill.Back, 1, 0.21)
	near(t, "rate of the free clock", *kill.FreeRate, 5, 0.01)
	near(t, "way of the free clock", *kill.FreeMoved, 0.047, 0.0011)
	near(t, "p99 before", *kill.P99Before, 20, 0.01)
	near(t, "p99 after", *kill.P99After, 20, 0.01)
	near(t, "others moved", *kill.EchoMoved, 0, 0.01)
	near(t, "LAN rate moved", *kill.RateMoved, 0, 0.001)
	near(t, "first frequency", *kill.FirstFreq, -40, 0)
	near(t, "last frequency", *kill.MinuteFreq, -59, 0)
	if step.Back != nil || step.Leader || step.FreeRate != nil {
		t.Errorf("a clock that nobody set back: %+v", step)
	}
	near(t, "disagreement of those that count", r.Spread.Max, 20, 0.01)
	near(t, "agreement", *r.Together, 0, 0)
	for _, want := range []string{"node 2 took over after 2.00 s", "back within 30µs after – s", "moved by +0.04"} {
		if table := string(r.table()); !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestEcho(t *testing.T) {
	plan, err := parse(t, "--nodes", "3", "--ppm", "5,-3,1", "--for", "60s", "--settle", "10s", "--faults", "step:3@30s~10s")
	if err != nil {
		t.Fatal(err)
	}
	// The others fall for it: 70 µs at once, then 3 ppm faster.
	m := made{dir: write(t, plan, func(i int, line Line) Line {
		line = steered(i, line)
		for k, p := range line {
			if since := float64(p.mid()-testStart)/testHz - 30; since > 0 {
				line[k].NS += 70e3 + int64(since*3e3)
			}
		}
		return line
	})}
	m.deeds = map[int][]Deed{3: {{Node: 3, Verb: verbStep, TSC: counterAt(30 * time.Second), Amount: 10 * time.Second}}}
	a := m.analyse(t).Aftermaths[0]
	near(t, "others moved", *a.EchoMoved, 70+3*29.8, 1)
	near(t, "LAN rate moved", *a.RateMoved, 3, 0.01)
}

// TestFaultUndone: a fault that could not be done fails the run.
func TestFaultUndone(t *testing.T) {
	plan, err := parse(t, "--nodes", "2", "--for", "12s", "--settle", "1s", "--kill", "2@5s")
	if err != nil {
		t.Fatal(err)
	}
	m := made{dir: write(t, plan, steered)}
	m.deeds = map[int][]Deed{2: {{Node: 2, Verb: verbKill, TSC: counterAt(5 * time.Second), Error: "there is no program"}}}
	if failed := verdicts(m.analyse(t)); !strings.Contains(failed, "fault of node 2") {
		t.Errorf("failed: %q", failed)
	}
}
