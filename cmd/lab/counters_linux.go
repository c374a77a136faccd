package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// counters are what the kernel counts, read at the start and at the end of a run.
type counters struct {
	taps  []traffic
	own   uint64 // processor ticks of the bed and its guests
	busy  uint64 // of everybody
	total uint64 // that there were
}

// traffic counts the packets of one interface.
type traffic struct{ received, sent uint64 }

// readCounters reads the counters of a bed with n taps.
func readCounters(n int) (*counters, error) {
	c := &counters{}
	dev, err1 := os.ReadFile("/proc/net/dev")
	stat, err2 := os.ReadFile("/proc/stat")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if c.taps, err1 = parsePackets(string(dev), n); err1 != nil {
		return nil, err1
	}
	if c.busy, c.total, err2 = parseBusy(string(stat)); err2 != nil {
		return nil, err2
	}
	// The bed's /proc shows the bed's processes only.
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range list {
		if line, err := os.ReadFile(path); err == nil { // else it has just ended
			c.own += parseTicks(string(line))
		}
	}
	return c, nil
}

// count notes what happened between two readings.
func (r *BedRecord) count(before, after *counters) {
	// What a tap has received is what its guest has sent.
	for i := range before.taps {
		r.Sent = append(r.Sent, after.taps[i].received-before.taps[i].received)
		r.Received = append(r.Received, after.taps[i].sent-before.taps[i].sent)
	}
	if span := float64(after.total - before.total); span > 0 {
		r.Own = max(0, float64(after.own)-float64(before.own)) / span
		r.Others = max(0, float64(after.busy-before.busy)/span-r.Own)
	}
}

// parsePackets reads the counters of the first n taps out of /proc/net/dev.
func parsePackets(text string, n int) ([]traffic, error) {
	// Eight columns of receiving, then eight of sending; the second of each counts packets.
	const receivedColumn, sentColumn = 1, 9
	list := make([]traffic, n)
	seen := 0
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		i, err := strconv.Atoi(strings.TrimPrefix(name, "tap"))
		columns := strings.Fields(rest)
		if !ok || err != nil || i < 0 || i >= n || len(columns) <= sentColumn {
			continue
		}
		received, err1 := strconv.ParseUint(columns[receivedColumn], 10, 64)
		sent, err2 := strconv.ParseUint(columns[sentColumn], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("/proc/net/dev: %s: %w", name, err)
		}
		list[i] = traffic{received, sent}
		seen++
	}
	if seen != n {
		return nil, fmt.Errorf("/proc/net/dev: %d taps, want %d", seen, n)
	}
	return list, nil
}

// parseBusy reads out of /proc/stat how many ticks the processors were busy and how many there were.
func parseBusy(text string) (busy, total uint64, err error) {
	const idle, wait, guest = 3, 4, 8 // guest and what follows stand in the first columns already
	line, _, _ := strings.Cut(text, "\n")
	columns := strings.Fields(line)
	if len(columns) <= wait || columns[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, word := range columns[1:] {
		ticks, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i >= guest {
			break
		}
		total += ticks
		if i != idle && i != wait {
			busy += ticks
		}
	}
	return busy, total, nil
}

// parseTicks reads out of /proc/PID/stat what a process and its children that have ended took; 0 of what it cannot read.
func parseTicks(line string) uint64 {
	// Columns are counted behind the name, which may hold anything: user, system, and both of the children.
	const first, last = 11, 14
	columns := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	var sum uint64
	for i := first; i <= last && i < len(columns); i++ {
		ticks, err := strconv.ParseUint(columns[i], 10, 64)
		if err != nil {
			return 0
		}
		sum += ticks
	}
	return sum
}
