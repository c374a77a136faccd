package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// The highest term obeyed outlives the process; a damaged file is no reason not to start.
func TestTermIsKept(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func() *state {
		s, err := openState(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if s.term != 0 {
		t.Errorf("a new node has term %d", s.term)
	}
	s.newTerm(41, log)
	s.newTerm(42, log)
	if again := open(); again.term != 42 || again.id != s.id {
		t.Errorf("after a restart: term %d, id %v; want 42 and %v", again.term, again.id, s.id)
	}
	if err := os.WriteFile(filepath.Join(dir, termFile), []byte("4x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := open(); again.term != 0 {
		t.Errorf("a damaged file gave term %d", again.term)
	}
}
