package daemon

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"meantime/netproto"
	"meantime/sysclock"
)

// The files of the state directory. Each holds one line.
const (
	idFile   = "id"   // this node's id, idDigits hex digits
	termFile = "term" // the highest term obeyed, decimal
	bootFile = "boot" // the boot of the OS in which the clock was last synchronised
	idDigits = 16
)

// state is what outlives the process. An empty dir keeps it in memory: a dry run leaves no trace unless told to.
type state struct {
	dir  string
	id   netproto.ID
	term uint64
	boot string // this boot; empty where the OS does not say

	oscillator string // whose frequency is kept; empty = nobody's
	drift      *drift // what was remembered of it at the start; nil = nothing
	driftErr   limiter
}

// random64 draws from the system's randomness, which does not fail on the systems Go runs on.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // documented never to return an error
	return binary.BigEndian.Uint64(b[:])
}

// openState reads the state directory, creating it and a new id where there are none.
func openState(dir string, log *slog.Logger) (*state, error) {
	s := &state{dir: dir, driftErr: limiter{every: time.Hour}}
	boot, err := sysclock.BootID()
	if err != nil {
		log.Warn("this boot of the operating system cannot be told from others: the clock will not be stepped", "err", err)
	}
	s.boot = boot
	if dir == "" {
		s.id = newID()
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w (name another with state_dir or --state-dir)", err)
	}
	if err := s.readTerm(log); err != nil {
		return nil, err
	}
	text, err := s.read(idFile)
	if err != nil {
		return nil, err
	}
	if id, ok := parseID(text); ok {
		s.id = id
		return s, nil
	}
	if text != "" {
		log.Warn("the file with this node's id is damaged: taking a new id", "file", s.path(idFile))
	}
	s.id = newID()
	return s, s.write(idFile, s.id.String())
}

// parseID reads the line of the file with the id.
func parseID(text string) (id netproto.ID, ok bool) {
	n, err := strconv.ParseUint(text, 16, 64)
	return netproto.ID(n), err == nil && n != 0 && len(text) == idDigits // fewer are half of another id
}

// parseTerm reads the line of the file with the term.
func parseTerm(text string) (term uint64, ok bool) {
	term, err := strconv.ParseUint(text, 10, 64)
	return term, err == nil && term <= netproto.MaxTerm
}

func newID() netproto.ID {
	for {
		if id := random64(); id != 0 {
			return netproto.ID(id)
		}
	}
}

// mayStep says whether the clock has not been synchronised yet since the OS booted. Where the boot is unknown it is false: a
// restart of the daemon must never step.
func (s *state) mayStep() bool {
	if s.boot == "" {
		return false
	}
	if s.dir == "" {
		return true
	}
	last, err := s.read(bootFile)
	return err == nil && last != s.boot
}

// synchronised remembers that the first synchronisation of this boot has been.
func (s *state) synchronised(log *slog.Logger) {
	if s == nil || s.dir == "" {
		return
	}
	if err := s.write(bootFile, s.boot); err != nil {
		log.Warn("cannot remember that the clock was synchronised: a restart may step it again", "err", err)
	}
}

// readTerm reads the highest term obeyed. Without one, or with a damaged one, it is 0: the node then believes any master
// that proves itself.
func (s *state) readTerm(log *slog.Logger) error {
	text, err := s.read(termFile)
	if err != nil || text == "" {
		return err
	}
	term, ok := parseTerm(text)
	if !ok {
		log.Warn("the file with the last term is damaged: ignored", "file", s.path(termFile))
		return nil
	}
	s.term = term
	return nil
}

// newTerm keeps a new term.
func (s *state) newTerm(term uint64, log *slog.Logger) {
	if s == nil {
		return
	}
	s.term = term
	if s.dir == "" {
		return
	}
	if err := s.write(termFile, strconv.FormatUint(term, 10)); err != nil {
		log.Warn("cannot keep the new term", "err", err)
	}
}

// newID keeps a new id.
func (s *state) newID(id uint64, log *slog.Logger) {
	if s == nil {
		return
	}
	s.id = netproto.ID(id)
	if s.dir == "" {
		return
	}
	if err := s.write(idFile, s.id.String()); err != nil {
		log.Warn("cannot keep the new id", "err", err)
	}
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// read returns a file's line, empty if there is none.
func (s *state) read(name string) (string, error) {
	b, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// write replaces a file.
func (s *state) write(name, line string) error {
	if err := replaceFile(s.path(name), []byte(line+"\n"), nil, os.Rename); err != nil {
		return fmt.Errorf("state directory: %w (name another with state_dir or --state-dir)", err)
	}
	return nil
}

// stateHeld refuses a state directory that another daemon uses.
func stateHeld(dir string) error {
	return fmt.Errorf("%w: %s: stop it first, or name another with state_dir or --state-dir", ErrStateHeld, dir)
}
