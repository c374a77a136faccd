package configs

import (
	"fmt"
	"strings"
)

// Problem is one thing that cannot be taken.
type Problem struct {
	File  string `json:"file"`           // the file, or the flag ("--poll") that said it
	Line  int    `json:"line,omitempty"` // in File, counted from 1; 0 = not a matter of one line
	Key   string `json:"key,omitempty"`  // dotted: "log.level"; empty = not a matter of one key
	What  string `json:"what"`           // what is wrong
	Write string `json:"write"`          // what to write instead
}

// String is one line: "meantime.yaml:3: poll: 5 has no unit; write 5s, …". A flag names its key by itself.
func (p Problem) String() string {
	place := p.File
	if p.Line > 0 {
		place = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Key != "" && !strings.HasPrefix(p.File, "--") {
		place += ": " + p.Key
	}
	return place + ": " + p.What + "; write " + p.Write
}

// Problems is everything wrong with a configuration, in the order of the file; flags come first.
type Problems []Problem

// Error is one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// OnlyFlags says whether the file is blameless: every problem lies in a flag.
func (ps Problems) OnlyFlags() bool {
	for _, p := range ps {
		if !strings.HasPrefix(p.File, "--") {
			return false
		}
	}
	return len(ps) > 0
}
