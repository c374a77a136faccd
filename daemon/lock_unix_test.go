//go:build unix

package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meantime/sysclock"
)

// One at a time has the lock. The second is told where it is; it is free again when the first gives it back, and its file
// stays.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "clock.lock")
	release, err := lockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // being refused does not give away what the first one has
		if second, err := lockFile(path); second != nil || !errors.Is(err, ErrClockHeld) || !strings.Contains(err.Error(), path) {
			t.Fatalf("the second locker got %v", err)
		}
	}
	if other, err := lockFile(path + "2"); err != nil {
		t.Errorf("another file: %v", err)
	} else if err := other(); err != nil {
		t.Error(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is gone, so that two could get in: %v", err)
	}
	release, err = lockFile(path)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// Who holds the lock for a moment only leaves nothing behind that was not there before, and lets nobody in beside another who came through
// a file that is gone.
func TestLockBriefly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "clock.lock")
	brief, err := lockFileBriefly(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFile(path); !errors.Is(err, ErrClockHeld) {
		t.Errorf("beside it: %v", err)
	}
	late, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := brief(); err != nil {
		t.Error(err)
	}
	if _, err := lockOpen(late, path); !errors.Is(err, ErrClockHeld) {
		t.Errorf("through the file that is gone: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	release, err := lockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFileBriefly(path); !errors.Is(err, ErrClockHeld) {
		t.Errorf("beside a daemon: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if brief, err = lockFileBriefly(path); err != nil {
		t.Fatal(err)
	}
	if err := brief(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a file that was there is gone: %v", err)
	}
}

// A link in the place of the lock leads nobody to a file elsewhere, neither to one that is there nor to one that would be made.
func TestLockFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, there, absent := filepath.Join(dir, "clock.lock"), filepath.Join(dir, "there"), filepath.Join(dir, "absent")
	put(t, there, "")
	for _, target := range []string{there, absent} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		for name, lock := range map[string]func(string) (func() error, error){"lockFile": lockFile, "lockFileBriefly": lockFileBriefly} {
			release, err := lock(path)
			if release != nil {
				t.Errorf("%s has locked %s through a link", name, target)
				_ = release()
			} else if errors.Is(err, ErrClockHeld) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s has made a file elsewhere: %v", name, err)
			}
			if link, err := os.Readlink(path); err != nil || link != target {
				t.Errorf("%s has changed the link: %q, %v", name, link, err)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Who may not make the lock file, or not open it, may not set the clock, and is told what to do.
func TestLockPermission(t *testing.T) {
	dir := lockedDir(t)
	foreign := filepath.Join(t.TempDir(), "clock.lock")
	put(t, foreign, "")
	if err := errors.Join(os.Chmod(filepath.Dir(filepath.Dir(foreign)), 0o755), os.Chmod(foreign, 0o444)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "clock.lock"), filepath.Join(dir, "run", "clock.lock"), foreign} {
		unprivileged(t, func() {
			_, err := lockFile(path)
			if !errors.Is(err, sysclock.ErrPermission) || !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrClockHeld) {
				t.Errorf("%s: %v", path, err)
				return
			}
			for _, want := range []string{path[:strings.LastIndex(path, "/clock")], "root", "--dry-run"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// What is no question of rights is not called one.
func TestLockError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "")
	if _, err := lockFile(filepath.Join(file, "clock.lock")); err == nil || errors.Is(err, sysclock.ErrPermission) {
		t.Errorf("a file as directory: %v", err)
	}
}
