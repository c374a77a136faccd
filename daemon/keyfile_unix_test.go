//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/configs"
)

// A file that others can read or change is refused with the command that mends it; one that only its group may read is not.
func TestKeyFileModes(t *testing.T) {
	path := keyFileOf(t, lineOf(1))
	for mode, mend := range map[fs.FileMode]string{
		0o600: "", 0o640: "", 0o400: "", 0o440: "", 0o700: "",
		0o644: "chmod 640 ", 0o604: "chmod 600 ", 0o660: "chmod 640 ", 0o620: "chmod 600 ", 0o602: "chmod 600 ", 0o777: "chmod 640 ", 0o610: "chmod 600 ",
		0o601: "chmod 600 ",
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKeys(path)
		if (err == nil) != (mend == "") || err != nil && (!errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "`"+mend+path+"`")) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

// One that another user could change is refused, and so is one that this user may not read.
func TestKeyFileOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	path := keyFileOf(t, lineOf(1))
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "user 12345") ||
		!strings.Contains(err.Error(), "`chown root "+path+"`") {
		t.Errorf("another user's: %v", err)
	}
	if err := errors.Join(os.Chown(path, 0, 0), os.Chmod(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, func() {
		_, err := ReadKeys(path)
		if !errors.Is(err, ErrKeyFile) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod 640 "+path) ||
			strings.Count(err.Error(), path) != 3 {
			t.Errorf("one that may not be read: %v", err)
		}
	})
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(path); err != nil {
		t.Error(err)
	}
	for gid, mode := range map[int]fs.FileMode{54321: 0o640, 54322: 0o440} {
		if err := errors.Join(os.Chown(path, 0, gid), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeys(path); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "group "+groupName(gid)) ||
			!strings.Contains(err.Error(), "`"+shutOut(0, mode)+" "+path+"`") || !strings.Contains(err.Error(), "key rotate") {
			t.Errorf("a group that nobody has named, %d: %v", gid, err)
		}
		if err := os.Chmod(path, mode&^groupReads); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeys(path); err != nil {
			t.Error(err)
		}
	}
	daemons := own(t)
	if err := errors.Join(os.Chown(path, 0, daemons), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	k, err := RotateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid, err := owners(k.info)
	if mode := k.info.Mode().Perm(); uid != 0 || gid != daemons || mode != 0o640 || err != nil {
		t.Errorf("rotated, it belongs to %d:%d, mode %04o, %v", uid, gid, mode, err)
	}
}

// own is the group of a user that has one by his name.
func own(t *testing.T) int {
	t.Helper()
	for _, name := range []string{"daemon", "bin", "mail"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		if gid, err := strconv.Atoi(u.Gid); err == nil && groupName(gid) == name {
			return gid
		}
	}
	t.Skip("no user here has a group by his name")
	return 0
}

// A pipe in the file's place does not keep the daemon waiting.
func TestKeyFilePipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := ReadKeys(path); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, ErrKeyFile) {
			t.Errorf("%v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it is still waiting for a writer")
	}
}

// Whatever the umask, what the daemon makes is for nobody else to write, and keys and state for nobody else to read.
func TestModesOfFiles(t *testing.T) {
	for _, umask := range []int{0, 0o077} {
		dir := t.TempDir()
		old := syscall.Umask(umask) // no test runs beside this one
		s, err := openState(filepath.Join(dir, "state"), slog.New(slog.DiscardHandler))
		if err == nil {
			s.newTerm(7, slog.New(slog.DiscardHandler))
		}
		_, failed := MakeKeys(filepath.Join(dir, "etc", "key"))
		tr, opened := openTrace(filepath.Join(dir, "trace"))
		release, locked := lockFile(filepath.Join(dir, "run", "lock"))
		syscall.Umask(old)
		if err := errors.Join(err, failed, opened, locked); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tr.close(), release()); err != nil {
			t.Error(err)
		}
		for name, most := range map[string]fs.FileMode{
			"state": 0o700, "state/id": 0o600, "state/term": 0o600, "etc": 0o755, "etc/key": 0o640, "trace": 0o600,
			"run": 0o755, "run/lock": 0o644,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm()&^most != 0 {
				t.Errorf("umask %03o: %s is %v, %v", umask, name, info.Mode(), err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "etc")); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("umask %03o: the service cannot get to its key: %v, %v", umask, info.Mode(), err)
		}
	}
}

func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{"/etc/meantime/key": "/etc/meantime/key", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/$(x)": "'/$(x)'"} {
		if got := shellWord(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// SIGHUP that asks for the key file ends nobody, also where nobody listens.
func TestHangup(t *testing.T) {
	hangups, deafen := hearHangups()
	defer deafen()
	for range 3 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-hangups:
	case <-time.After(5 * time.Second):
		t.Error("not heard")
	}
}

// Who may not write is told which file it is about, not the one beside it, and what to do.
func TestWriteError(t *testing.T) {
	dir := lockedDir(t)
	path := filepath.Join(dir, "key")
	unprivileged(t, func() {
		_, err := MakeKeys(path)
		if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "writing "+path+": permission denied (run it as root, or ") {
			t.Errorf("a new file: %v", err)
		}
	})
}

// insideHangupEnv tells the test binary that it is the daemon of TestHangupEndsWithoutKeys; its value is the key file.
const insideHangupEnv = "MEANTIME_TEST_HANGUP"

// A daemon that has keys survives a hangup, and one that has none ends.
func TestHangupEndsWithoutKeys(t *testing.T) {
	if file, inside := os.LookupEnv(insideHangupEnv); inside {
		cfg := configs.Default()
		cfg.DryRun, cfg.Interfaces, cfg.KeyFile, cfg.Insecure = true, []string{needLoopback(t)}, file, file == ""
		_ = run(t.Context(), cfg, slog.New(slog.DiscardHandler), func(configs.Config, *slog.Logger) error { // nothing was sent yet
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Millisecond) // longer than any signal takes
			fmt.Println("alive")
			return fs.ErrClosed
		})
		return
	}
	needLoopback(t)
	plain := []string{os.Args[0]}
	if runtime.GOOS == "linux" { // under nohup all that is started ignores hangups
		plain = []string{"env", "--default-signal=HUP", os.Args[0]}
	}
	for _, file := range []string{"", keyFileOf(t, lineOf(1))} {
		words := append(slices.Clone(plain), "-test.run=^TestHangupEndsWithoutKeys$", "-test.timeout=30s")
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), insideHangupEnv+"="+file)
		out, err := cmd.CombinedOutput()
		killed := false
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			status, _ := exit.Sys().(syscall.WaitStatus)
			killed = status.Signaled() && status.Signal() == syscall.SIGHUP
		}
		if killed != (file == "") || strings.Contains(string(out), "alive") == killed {
			t.Errorf("key file %q: %v\n%s", file, err, out)
		}
	}
}
