package main

import (
	"bytes"
	"fmt"
	"io"
)

// Vital is what a guest's kernel says once a second of its clock and of the daemon.
type Vital struct {
	TSC      int64
	Status   int64   // STA_ bits of adjtimex
	FreqPPM  float64 // that the kernel's clock is corrected by
	MaxError int64   // µs
	EstError int64   // µs
	PID      int     // of the daemon; 0 while there is none
	CPU      int64   // ns of processor time that the daemon has used since it started
	RSS      int64   // bytes of memory that it occupies
}

// synchronised says that the kernel calls its clock so.
func (v *Vital) synchronised() bool { return v.Status&statusUnsync == 0 }

// write writes a line of a vitals file.
func (v *Vital) write(w io.Writer) error {
	_, err := fmt.Fprintln(w, v.TSC, v.Status, v.FreqPPM, v.MaxError, v.EstError, v.PID, v.CPU, v.RSS)
	return err
}

// readVitals reads a vitals file. A last line without its end is left out.
func readVitals(data []byte) (list []Vital, err error) {
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for text := range bytes.Lines(data) {
		var v Vital
		_, err := fmt.Sscan(string(text), &v.TSC, &v.Status, &v.FreqPPM, &v.MaxError, &v.EstError, &v.PID, &v.CPU, &v.RSS)
		if err != nil {
			return nil, fmt.Errorf("vitals %d: %w", len(list)+1, err)
		}
		list = append(list, v)
	}
	return list, nil
}
