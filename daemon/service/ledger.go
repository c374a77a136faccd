package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ledger does things to the system, tells which, and can take back what was done so far: an installation that fails half-way
// leaves nothing behind. In a dry run it only tells.
type ledger struct {
	root    string // what every path is below; "" is the system itself
	dry     bool
	changes []Change
	undo    []func() error
	after   func() error // what is due once all that was undone; nil = nothing
}

// saved is what the name of a file that somebody has edited gets behind it where another takes its place.
const saved = ".saved"

func (l *ledger) note(verb Verb, what, text string) {
	l.changes = append(l.changes, Change{verb, what, text})
}

// path is where a path of the system is.
func (l *ledger) path(path string) string { return filepath.Join(l.root, path) }

// read is what a file holds; ok is false where there is none.
func (l *ledger) read(path string) (text string, ok bool, err error) {
	b, err := os.ReadFile(l.path(path))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", false, nil
	}
	return string(b), err == nil, err
}

func (l *ledger) exists(path string) bool {
	_, err := os.Lstat(l.path(path))
	return err == nil
}

// write puts a file in place, all of it or nothing. One that holds the same stays.
func (l *ledger) write(path, text string, mode fs.FileMode) error {
	before, there, err := l.read(path)
	switch {
	case err != nil:
		return reason(err)
	case there && before == text:
		l.note(Keep, path, "")
		return nil
	}
	if err := l.create(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	l.note(Write, path, text)
	if l.dry {
		return nil
	}
	if err := replace(l.path(path), text, mode); err != nil {
		return reason(err)
	}
	l.undo = append(l.undo, func() error {
		if there {
			return replace(l.path(path), before, mode)
		}
		return os.Remove(l.path(path))
	})
	return nil
}

// replace writes a file beside the one that it takes the place of.
func replace(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// create makes a folder, and those that lead to it.
func (l *ledger) create(path string, mode fs.FileMode) error {
	if l.exists(path) || slices.Contains(l.changes, Change{Verb: Create, What: path}) { // or would be there by now
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := l.create(parent, 0o755); err != nil {
			return err
		}
	}
	l.note(Create, path, "")
	if l.dry {
		return nil
	}
	if err := os.Mkdir(l.path(path), mode); err != nil {
		return reason(err)
	}
	if err := os.Chmod(l.path(path), mode); err != nil { // whatever the umask
		return reason(err)
	}
	l.undo = append(l.undo, func() error { return os.Remove(l.path(path)) })
	return nil
}

// remove takes a file or a folder away for good.
func (l *ledger) remove(path string) error {
	if !l.exists(path) {
		return nil
	}
	l.note(Remove, path, "")
	if l.dry {
		return nil
	}
	return reason(os.RemoveAll(l.path(path)))
}

// vacate removes a file, and the folder that it was alone in.
func (l *ledger) vacate(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(l.path(dir))
	if alone := err == nil && len(entries) == 1 && l.exists(path); !alone {
		return l.remove(path)
	}
	if err := l.remove(path); err != nil {
		return err
	}
	l.note(Remove, dir, "")
	if l.dry {
		return nil
	}
	return reason(os.Remove(l.path(dir)))
}

// keep tells that something stays, if it is there.
func (l *ledger) keep(path string) {
	if l.exists(path) {
		l.note(Keep, path, "")
	}
}

// do does something else, which back takes back; nil where nothing is to be.
func (l *ledger) do(what string, do, back func() error) error {
	l.note(Run, what, "")
	if l.dry {
		return nil
	}
	err := do()
	if err == nil && back != nil {
		l.undo = append(l.undo, back)
	}
	return err
}

// rollback takes back what was done, the last first, and adds to the error what could not be.
func (l *ledger) rollback(err error) error {
	var left []error
	for _, back := range slices.Backward(l.undo) {
		left = append(left, back())
	}
	if l.after != nil {
		left = append(left, l.after())
	}
	if failed := errors.Join(left...); failed != nil {
		return fmt.Errorf("%w; and taking back what was done failed: %s", err, oneLine(failed.Error()))
	}
	return fmt.Errorf("%w; nothing was changed", err)
}

// done are the changes, or the error once all was taken back.
func (l *ledger) done(err error) ([]Change, error) {
	if err != nil {
		return nil, l.rollback(err)
	}
	return l.changes, nil
}

// reason says what an error of the file system means for whoever wants to install.
func reason(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrRights, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: make it writable, or install where the image of this system is made", err)
	}
	return err
}

func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") }
