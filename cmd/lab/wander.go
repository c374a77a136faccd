package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// walk is how an oscillator strays from its set rate: a random walk of the rate, a step each second. It is drawn before
// the run and handed to the kernel's clock as a table, so that what was drawn is known to the last nanosecond, and
// reading the bent clock stays a function of the time alone, which needs no lock in a signal handler.
type walk struct {
	start int64     // the machine's raw oscillator where the table begins, written by preload.c; 0 until then
	phase []float64 // ns that the clock has strayed by, at each whole second
}

// draw draws the walk of a node: wander ppm per square root of a second, for a time of at least length.
func draw(seed uint64, node int, wander float64, length time.Duration) walk {
	random := rand.New(rand.NewPCG(seed, uint64(node)))
	w := walk{phase: make([]float64, int(length.Seconds())+2)}
	rate := 0.0
	for k := 1; k < len(w.phase); k++ {
		rate += wander * random.NormFloat64()
		w.phase[k] = w.phase[k-1] + rate*1e3 // a ppm is 1000 ns a second
	}
	return w
}

// strayed is how many ns the clock has strayed by when the machine's raw oscillator shows at; preload.c does the same sum.
func (w walk) strayed(at int64) float64 {
	last := len(w.phase) - 2
	if last < 0 || w.start == 0 || at <= w.start {
		return 0
	}
	second := min((at-w.start)/1e9, int64(last))
	part := float64(at-w.start-second*1e9) / 1e9
	return w.phase[second] + (w.phase[second+1]-w.phase[second])*part
}

// write writes the table as preload.c maps it: start, how many entries, the entries.
func (w walk) write(path string) error {
	var b bytes.Buffer
	for _, v := range []any{w.start, int64(len(w.phase)), w.phase} {
		if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// readWalk reads the table of guest node; no file is an oscillator that does not stray.
func readWalk(dir string, node int) (w walk, err error) {
	path := filepath.Join(guestDir(dir, node), fileWalk)
	if !exists(path) {
		return w, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return w, err
	}
	const head = 16
	if len(data) < head {
		return w, fmt.Errorf("%s: cut off", path)
	}
	w.start = int64(binary.NativeEndian.Uint64(data))
	count := int64(binary.NativeEndian.Uint64(data[8:]))
	if count < 2 || count != int64(len(data)-head)/8 {
		return w, fmt.Errorf("%s: %d bytes are no table of %d entries", path, len(data), count)
	}
	w.phase = make([]float64, count)
	_, err = binary.Decode(data[head:], binary.NativeEndian, w.phase)
	return w, err
}
