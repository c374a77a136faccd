//go:build unix

package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever umask the process was started with, what it makes is for its user alone.
func TestFilesAreTight(t *testing.T) {
	dir := t.TempDir()
	defer unix.Umask(unix.Umask(0))
	release, err := lockFile(filepath.Join(dir, "run", lockName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := openState(filepath.Join(dir, "state"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.newTerm(7, slog.New(slog.DiscardHandler))
	trace, err := openTrace(filepath.Join(dir, "state", "trace"))
	if err := errors.Join(err, trace.close(), release()); err != nil {
		t.Fatal(err)
	}
	made := 0
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		made++
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
		return nil
	})
	if err != nil || made != 6 {
		t.Errorf("%d files and folders, %v", made, err)
	}
}
