package daemon

import (
	"bufio"
	"fmt"
	"os"
	"time"

	"meantime/sysclock"
)

// traceEvery is the distance of two lines of a trace, at full multiples of it on the host's raw oscillator, so that the
// traces of several processes on one host stand side by side.
const traceEvery = 100 * time.Millisecond

// traceHead names the columns: the host's raw oscillator and wall clock, and the virtual clock at the same instant.
const traceHead = "host_raw_ns,host_wall_ns,virtual_ns"

// trace writes pairs of host clock and virtual clock: a dry run's true time, for an oracle to read. A nil trace writes nothing.
type trace struct {
	file *os.File
	out  *bufio.Writer
	next int64 // raw reading of the host at which the next line is due
}

// openTrace creates the file; an empty path gives a nil trace.
func openTrace(path string) (*trace, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the trace: %w", err)
	}
	t := &trace{file: f, out: bufio.NewWriter(f)}
	_, err = fmt.Fprintln(t.out, traceHead)
	return t, err
}

// due is how long until the next line.
func (t *trace) due(clock sysclock.Clock) time.Duration {
	if t == nil {
		return idle
	}
	v, ok := clock.(*sysclock.Virtual)
	if !ok {
		return idle
	}
	host, _ := v.Pair()
	return time.Duration(max(0, t.next-host.Raw))
}

// write adds a line if one is due. Only a virtual clock has a truth to tell.
func (t *trace) write(clock sysclock.Clock) error {
	v, ok := clock.(*sysclock.Virtual)
	if t == nil || !ok {
		return nil
	}
	if _, err := v.Read(); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	host, wall := v.Pair()
	if host.Raw < t.next {
		return nil
	}
	t.next = host.Raw - host.Raw%int64(traceEvery) + int64(traceEvery)
	if _, err := fmt.Fprintf(t.out, "%d,%d,%d\n", host.Raw, host.Wall, wall); err != nil {
		return fmt.Errorf("writing the trace: %w", err)
	}
	return t.out.Flush()
}

func (t *trace) close() error {
	if t == nil {
		return nil
	}
	return t.file.Close()
}
