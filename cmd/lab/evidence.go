package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// evidence is what the files of a run hold.
type evidence struct {
	plan    Plan
	bed     BedRecord
	host    *truth
	guests  []witness
	packets []Packet // in the order of time
}

// witness is what a guest left.
type witness struct {
	record GuestRecord
	wall   Line // without its loose brackets
	raw    Line
	all    Line // the wall clock with its loose brackets
	vitals []Vital
	walk   walk
	log    []byte // of programs that are tests
}

// readEvidence reads the files of a run that has ended.
func readEvidence(dir string) (*evidence, error) {
	e, err := readScene(dir)
	if err != nil {
		return nil, err
	}
	for i := range e.plan.Nodes {
		w, err := readWitness(dir, &e.plan, i+1)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		e.guests = append(e.guests, *w)
	}
	return e, nil
}

// readScene reads what the bed has seen so far.
func readScene(dir string) (*evidence, error) {
	var order Order
	e := &evidence{}
	if err := readJSON(filepath.Join(dir, fileOrder), &order); err != nil {
		return nil, err
	}
	e.plan = order.Plan
	if err := readJSON(filepath.Join(dir, fileBed), &e.bed); err != nil {
		return nil, err
	}
	hostWall, hostRaw, err := readLines(filepath.Join(dir, fileHost))
	if err != nil {
		return nil, err
	}
	if e.host, err = newTruth(hostRaw, hostWall, e.bed.Start); err != nil {
		return nil, err
	}
	e.packets, err = readList(filepath.Join(dir, filePackets), readPackets)
	return e, err
}

// readWitness reads what guest node left.
func readWitness(dir string, plan *Plan, node int) (*witness, error) {
	home, w := guestDir(dir, node), &witness{}
	if err := readJSON(filepath.Join(home, fileRecord), &w.record); err != nil {
		return nil, err
	}
	all, raw, err := readLines(filepath.Join(home, fileSamples))
	if err != nil {
		return nil, err
	}
	w.all, w.wall, w.raw = all, all.tight(), raw.tight()
	var err1, err2, err3 error
	w.vitals, err1 = readList(filepath.Join(home, fileVitals), readVitals)
	w.walk, err2 = readWalk(dir, node)
	if plan.untilExit() {
		w.log, err3 = os.ReadFile(filepath.Join(home, fileLog))
	}
	return w, errors.Join(err1, err2, err3)
}

// readLines reads a sample file.
func readLines(path string) (wall, raw Line, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	wall, raw, err = readSamples(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return wall, raw, nil
}

// readList reads a file of lines; runs that were kept by an older lab have none.
func readList[T any](path string, parse func([]byte) ([]T, error)) ([]T, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// walls are the wall clocks of all guests.
func (e *evidence) walls() (list []Line) {
	for _, w := range e.guests {
		list = append(list, w.wall)
	}
	return list
}

// deeds are all that was done, in the order of time.
func (e *evidence) deeds() []Deed {
	list := slices.Clone(e.bed.Deeds)
	for _, w := range e.guests {
		list = append(list, w.record.Deeds...)
	}
	slices.SortStableFunc(list, func(a, b Deed) int { return int((a.TSC - b.TSC) >> 16) })
	return list
}

// firstPoll is when a daemon first asked others for their time; false if none did.
func (e *evidence) firstPoll() (time.Duration, bool) {
	i := slices.IndexFunc(e.packets, func(p Packet) bool { return p.polls() })
	if i < 0 {
		return 0, false
	}
	return e.host.since(e.packets[i].TSC), true
}

// allCame is when the last of all daemons sent its first packet; false if one never did.
func (e *evidence) allCame() (time.Duration, bool) {
	seen := make(map[int]bool)
	for _, p := range e.packets {
		if seen[p.Node] = true; len(seen) == len(e.plan.Nodes) {
			return e.host.since(p.TSC), true
		}
	}
	return 0, false
}

// lead is when another node than the one that is gone first led, at tsc or after; false if none did.
func (e *evidence) lead(tsc int64, gone int) (at time.Duration, node int, ok bool) {
	for _, p := range e.packets {
		if p.TSC > tsc && p.Node != gone && p.leads(e.plan.Program) {
			return e.host.since(p.TSC), p.Node, true
		}
	}
	return 0, 0, false
}

// leader is the node that led last before tsc; 0 if none did.
func (e *evidence) leader(tsc int64) (node int) {
	for _, p := range e.packets {
		if p.TSC >= tsc {
			break
		}
		if p.leads(e.plan.Program) {
			node = p.Node
		}
	}
	return node
}
