package daemon

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meantime/configs"
	"meantime/sysclock"
)

const insideEnv = "MEANTIME_TEST_INSIDE_USERNS"

// TestRunRefused runs itself again as root of a user namespace, where the kernel refuses every write of the clock also to
// uid 0, with no network and with a /run of its own.
func TestRunRefused(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		runRefused(t)
		return
	}
	t.Parallel()
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--net",
		os.Args[0], "-test.run=^TestRunRefused$", "-test.v", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "=== RUN") { // the test binary never started
		skip(t, "userns", "no user namespace here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// runRefused starts on the real clock. It must never do so where the kernel would let it.
func runRefused(t *testing.T) {
	b, err := os.ReadFile("/proc/self/uid_map")
	if f := strings.Fields(string(b)); err != nil || len(f) == 3 && f[2] == "4294967295" || os.Getuid() != 0 {
		t.Fatalf("refused to run: not uid 0 of a user namespace: %q, %v", b, err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatalf("refused to run: no /run of its own: %v", err)
	}
	cfg := configs.Default()
	cfg.Interfaces, cfg.StateDir = []string{"nosuch0"}, filepath.Join(t.TempDir(), "state")
	cfg.KeyFile = filepath.Join(t.TempDir(), "key")
	j := &journal{}
	before := timex(t)
	if err = Run(t.Context(), cfg, slog.New(j)); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "meantime key new") {
		t.Errorf("without a key, Run gave %v", err)
	}
	if entries, err := os.ReadDir("/run"); len(entries) != 0 || err != nil {
		t.Errorf("without a key, it has locked the clock: %v, %v", entries, err)
	}
	cfg.KeyFile, cfg.Insecure = configs.Default().KeyFile, true
	err = Run(t.Context(), cfg, slog.New(j))
	if !errors.Is(err, sysclock.ErrPermission) || !strings.Contains(err.Error(), "--dry-run") {
		t.Errorf("Run gave %v", err)
	}
	if w := j.warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "insecure: ") {
		t.Errorf("warned %q", w)
	}
	if _, err := os.Stat(cfg.StateDir); err == nil {
		t.Error("it has made a state directory")
	}

	release, err := lockClock() // free again after the failure
	if err != nil {
		t.Fatal(err)
	}
	if err = Run(t.Context(), cfg, slog.New(j)); !errors.Is(err, ErrClockHeld) || !strings.Contains(err.Error(), "/run/meantime/clock.lock") {
		t.Errorf("beside another, Run gave %v", err)
	}
	cfg.DryRun = true // a dry run needs no lock
	if err = Run(t.Context(), cfg, slog.New(j)); !errors.Is(err, ErrNetwork) {
		t.Errorf("dry beside another, Run gave %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if after := timex(t); after != before {
		t.Errorf("the clock's state was %v, is %v", before, after)
	}
}

// timex is the part of the clock's state that only its writers change.
func timex(t *testing.T) [4]int64 {
	t.Helper()
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		t.Fatal(err)
	}
	return [4]int64{int64(tx.Status), int64(tx.Freq), int64(tx.Tick), int64(tx.Constant)}
}
