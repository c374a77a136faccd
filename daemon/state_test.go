package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"meantime/configs"
	"meantime/netproto"
	"meantime/sysclock"
)

// openLogged opens a state directory and returns what was logged.
func openLogged(t *testing.T, dir string) (*state, []string) {
	t.Helper()
	j := &journal{}
	s, err := openState(dir, slog.New(j))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range j.find("") {
		if strings.HasPrefix(r.Message, "this boot of the operating system") {
			continue // systems that do not name their boots
		}
		said = append(said, r.Message)
		if file := value(r, "file"); r.Level != slog.LevelWarn || file != filepath.Join(dir, idFile) {
			t.Errorf("logged %v at %v, file %v", r.Message, r.Level, file)
		}
	}
	return s, said
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files lists a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// An id is made once, in a directory made for it, and read from then on.
func TestID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, said := openLogged(t, dir)
	if first.id == 0 || len(said) != 0 {
		t.Errorf("id %v, logged %q", first.id, said)
	}
	if b, err := os.ReadFile(filepath.Join(dir, idFile)); string(b) != first.id.String()+"\n" || err != nil {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if again, _ := openLogged(t, dir); again.id != first.id {
		t.Errorf("id was %v, is %v", first.id, again.id)
	}
	if other, _ := openLogged(t, t.TempDir()); other.id == first.id {
		t.Errorf("two directories, one id: %v", other.id)
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory is open to others: %v, %v", info.Mode(), err)
		}
	}
}

// A damaged file gives a new id, which is kept, and one line in the log.
func TestDamagedID(t *testing.T) {
	for _, text := range []string{"hello\n", "0000000000000000\n", "12ab", "00000000000012ab0\n", "0x000000000012ab\n",
		"00000000000012ab 00000000000012ab\n", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, idFile), text)
		s, said := openLogged(t, dir)
		if s.id == 0 || s.id == 0x12ab || len(said) != 1 {
			t.Errorf("%q: id %v, logged %q", text, s.id, said)
		}
		if again, said := openLogged(t, dir); again.id != s.id || len(said) != 0 {
			t.Errorf("%q: id was %v, is %v; logged %q", text, s.id, again.id, said)
		}
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, idFile), " 00000000000012AB\r\n") // an editor's hand is no damage
	if s, said := openLogged(t, dir); s.id != 0x12ab || len(said) != 0 {
		t.Errorf("id %v, logged %q", s.id, said)
	}
}

// What cannot be written or read is an error that names the path and what to do.
func TestStateRefused(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "x")
	_, err := openState(file, log)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("a file as directory: %v", err)
	}
	for name, test := range map[string]func(dir string) string{
		"make":  func(dir string) string { return filepath.Join(dir, "new") },
		"write": func(dir string) string { return dir },
	} {
		t.Run(name, func(t *testing.T) {
			dir := lockedDir(t)
			unprivileged(t, func() {
				_, err := openState(test(dir), log)
				if !errors.Is(err, fs.ErrPermission) {
					t.Fatalf("%v", err)
				}
				for _, want := range []string{dir, "state_dir", "--state-dir"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
			})
		})
	}
	t.Run("read", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, idFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := openState(dir, log); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, idFile)) {
			t.Errorf("an id that cannot be read: %v", err)
		}
	})
}

// lockedDir is a directory that everybody may enter and only root may write to.
func lockedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return dir
}

// A file is replaced, never overwritten: whoever has the old one open reads the old line to its end. What a crash left
// behind is not taken for the file, and a failed write leaves nothing.
func TestWriteAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := &state{dir: dir}
	put(t, filepath.Join(dir, idFile), "the old line\n")
	for _, leftover := range []string{"id.123", "id.", "id~", "boot.9"} {
		put(t, filepath.Join(dir, leftover), "00000000000000ff")
	}
	old, err := os.Open(filepath.Join(dir, idFile))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if runtime.GOOS == "windows" { // where an open file cannot be replaced
		_ = old.Close()
	}
	if err := s.write(idFile, "new"); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		b := make([]byte, 100)
		if n, _ := old.Read(b); string(b[:n]) != "the old line\n" {
			t.Errorf("the old file now holds %q", b[:n])
		}
	}
	if text, err := s.read(idFile); text != "new" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	if text, err := s.read(bootFile); text != "" || err != nil {
		t.Errorf("boot is %q, %v", text, err)
	}
	if got := files(t, dir); got != "boot.9 id id. id.123 id~" {
		t.Errorf("the directory holds %s", got)
	}

	dir = t.TempDir()
	s = &state{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, idFile, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.write(idFile, "new"); err == nil {
		t.Error("a file replaced a directory")
	}
	if got := files(t, dir); got != idFile {
		t.Errorf("a failed write left %s", got)
	}
}

// The clock may be stepped until it has been synchronised, once a boot. Where boots have no names it may not.
func TestMayStep(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	of := func(boot string) *state { return &state{dir: dir, boot: boot} }
	may := func(when, boot string, want bool) {
		t.Helper()
		if got := of(boot).mayStep(); got != want {
			t.Errorf("%s, boot %q: may step %v", when, boot, got)
		}
	}
	may("fresh", "one", true)
	may("fresh", "", false)
	of("one").synchronised(log)
	may("synchronised", "one", false)
	may("the next boot", "two", true)
	may("the next boot", "", false)
	of("two").synchronised(log)
	may("synchronised again", "two", false)
	of("").synchronised(log)
	may("synchronised in an unknown boot", "", false)

	if s := (&state{boot: "one"}); !s.mayStep() {
		t.Error("a state in memory may not step")
	}
	if s := (&state{}); s.mayStep() {
		t.Error("a state in memory may step in an unknown boot")
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, bootFile)), os.Mkdir(filepath.Join(dir, bootFile), 0o700)); err != nil {
		t.Fatal(err)
	}
	may("the file cannot be read", "one", false)

	s, _ := openLogged(t, t.TempDir())
	if may := s.mayStep(); may != (s.boot != "") {
		t.Errorf("in boot %q the first may step: %v", s.boot, may)
	}
	s.synchronised(log)
	if again, _ := openLogged(t, s.dir); again.mayStep() {
		t.Error("after a restart of the daemon the clock may be stepped")
	}
}

// A virtual clock begins anew with its daemon: it may be stepped at each start, and says nothing of the host's own clock.
func TestADryRunMayStepAtEachStart(t *testing.T) {
	cfg := configs.Default()
	cfg.StateDir = t.TempDir()
	log := slog.New(slog.DiscardHandler)
	boot, _ := sysclock.BootID()
	for _, dry := range []bool{true, true, false} {
		cfg.DryRun = dry
		s, leave, err := holdState(cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		if may := s.mayStep(); may != (dry || boot != "") {
			t.Errorf("a start with dry run %v may step: %v", dry, may)
		}
		s.synchronised(log)
		if err := leave(); err != nil {
			t.Error(err)
		}
	}
}

// That the synchronisation or a new id cannot be kept is a warning: time goes on.
func TestStateLost(t *testing.T) {
	j := &journal{}
	s := &state{dir: filepath.Join(t.TempDir(), "gone"), boot: "one"}
	s.synchronised(slog.New(j))
	s.newID(7, slog.New(j))
	if w := j.warnings(); len(w) != 2 || !strings.Contains(w[0], "a restart may step it again") || !strings.Contains(w[1], "new id") {
		t.Errorf("warned %q", w)
	}
	if s.id != 7 {
		t.Errorf("id is %v", s.id)
	}
}

// A new id is kept.
func TestNewIDKept(t *testing.T) {
	s, _ := openLogged(t, t.TempDir())
	s.newID(0xfeed, slog.New(slog.DiscardHandler))
	if again, said := openLogged(t, s.dir); s.id != 0xfeed || again.id != netproto.ID(0xfeed) || len(said) != 0 {
		t.Errorf("id is %v, then %v; logged %q", s.id, again.id, said)
	}
}

// A dry run leaves no trace unless told to.
func TestDryState(t *testing.T) {
	cfg := configs.Default()
	if got := stateDir(cfg); got != cfg.StateDir || got == "" {
		t.Errorf("a real run keeps its state in %q", got)
	}
	cfg.DryRun = true
	if got := stateDir(cfg); got != "" {
		t.Errorf("a dry run keeps its state in %q", got)
	}
	cfg.StateDir = t.TempDir()
	if got := stateDir(cfg); got != cfg.StateDir {
		t.Errorf("a dry run that was told %q keeps its state in %q", cfg.StateDir, got)
	}

	here := t.TempDir()
	t.Chdir(here)
	s, _ := openLogged(t, "")
	if s.id == 0 {
		t.Error("no id")
	}
	log := slog.New(slog.DiscardHandler)
	s.synchronised(log)
	s.newID(9, log)
	if s.id != 9 {
		t.Errorf("id is %v", s.id)
	}
	(*state)(nil).synchronised(log)
	(*state)(nil).newID(9, log)
	if got := files(t, here); got != "" {
		t.Errorf("it left %s", got)
	}
}
