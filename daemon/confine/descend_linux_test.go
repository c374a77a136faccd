package confine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const someone, another = 65533, 65532

// given asks for root, who alone can give things away.
func given(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("userns") {
			t.Fatal("MEANTIME_REQUIRE holds userns, but this is not root")
		}
		t.Skip("needs root, who alone can give files away")
	}
	return filepath.Join(t.TempDir(), "state")
}

func mine(name string) bool { return name == "id" || name == "term" }

// owns checks whose a path is, and with which mode.
func owns(t *testing.T, path string, uid uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if got := info.Sys().(*syscall.Stat_t).Uid; got != uid || info.Mode().Perm() != mode {
		t.Errorf("%s is %v of user %d, want %v of %d", filepath.Base(path), info.Mode(), got, mode, uid)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte("x"), 0o644), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// A folder that is missing is made, and one that root used is handed over with its files, both for that user alone.
func TestGive(t *testing.T) {
	dir := given(t)
	if err := Give(dir, someone, someone, mine); err != nil {
		t.Fatal(err)
	}
	owns(t, dir, someone, 0o700)
	write(t, filepath.Join(dir, "id")) // of root again, which ran without a user meanwhile
	if err := errors.Join(os.Chown(dir, 0, 0), os.Chmod(dir, 0o755), Give(dir, someone, someone, mine)); err != nil {
		t.Fatal(err)
	}
	owns(t, dir, someone, 0o700)
	owns(t, filepath.Join(dir, "id"), someone, 0o600)
}

// A folder with anything else in it is not handed over, nor is another user's, and nothing in them changes.
func TestGiveRefuses(t *testing.T) {
	dir := given(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "id"))
	write(t, filepath.Join(dir, "shadow"))
	if err := Give(dir, someone, someone, mine); err == nil || !strings.Contains(err.Error(), "shadow") || !strings.Contains(err.Error(), "name a folder") {
		t.Errorf("beside shadow: %v", err)
	}
	owns(t, dir, 0, 0o755)
	owns(t, filepath.Join(dir, "id"), 0, 0o644)
	if err := errors.Join(os.Remove(filepath.Join(dir, "shadow")), os.Chown(dir, another, another)); err != nil {
		t.Fatal(err)
	}
	if err := Give(dir, someone, someone, mine); err == nil || !strings.Contains(err.Error(), "belongs to user 65532") {
		t.Errorf("another's: %v", err)
	}
	owns(t, dir, another, 0o755)
	link := dir + ".link"
	if err := errors.Join(os.Chown(dir, 0, 0), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	if err := Give(link, someone, someone, mine); err == nil {
		t.Error("a link was followed")
	}
	owns(t, dir, 0, 0o755)
}

// Whoever has the folder already cannot make root hand over what lies elsewhere.
func TestGiveTraps(t *testing.T) {
	dir := given(t)
	if err := Give(dir, someone, someone, mine); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linked", "named"} {
		write(t, filepath.Join(dir, "..", name))
	}
	err := errors.Join(os.Symlink("../linked", filepath.Join(dir, "id")), os.Link(filepath.Join(dir, "..", "named"), filepath.Join(dir, "term")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644), os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	if err := Give(dir, someone, someone, mine); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../linked", "../named", "pipe"} {
		owns(t, filepath.Join(dir, name), 0, 0o644)
	}
	owns(t, filepath.Join(dir, "folder"), 0, 0o755)
}

// It is tried once: a process that was started again and is root still does not loop.
func TestBecomeOnce(t *testing.T) {
	t.Setenv(descended, "1000")
	if err := Become(someone, someone); !errors.Is(err, ErrAccount) || !strings.Contains(err.Error(), "root still") {
		t.Errorf("the second time: %v", err)
	}
}
