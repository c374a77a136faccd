package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/daemon/service"
	"meantime/sysclock"
)

// The test binary doubles as meantime itself. run and demo print what they would do: no script opens a socket.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meantime": func() {
		runDaemon = func(_ context.Context, config configs.Config, _ service.Host) error {
			return standardUI().print(config.YAML())
		}
		runDemo = func(_ context.Context, options demoOptions) error {
			return standardUI().printf("%+v\n", options)
		}
		if state := service.State(os.Getenv("MEANTIME_TEST_SERVICE")); state != "" {
			serviceManager = func() (service.Manager, error) { return fakeManager(state), nil }
		}
		main()
	}})
}

// TestScripts runs testdata/*.txtar, the contract of the command line.
func TestScripts(t *testing.T) {
	if scripts, err := filepath.Glob("testdata/*.txtar"); err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Condition: func(name string) (bool, error) {
			if name == "manager" { // of services, which this host may have
				_, err := service.New()
				return err == nil, nil
			}
			path, known := map[string]string{ // what this host may have of its own
				"default-config": configs.DefaultPath(), "default-key": configs.Default().KeyFile,
			}[name]
			if !known {
				return false, errors.New("unknown condition " + name)
			}
			_, err := os.Stat(path)
			return !errors.Is(err, fs.ErrNotExist), nil
		},
	})
}

// exits CODE COMMAND…: runs a command that must end with exactly this exit code. A failure must say something on
// standard error, every line of it as from meantime.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	var exited interface{ ExitCode() int }
	if errors.As(err, &exited) {
		code = fmt.Sprint(exited.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n") {
		if line != "" && !strings.HasPrefix(line, "meantime: ") {
			ts.Fatalf("not in the voice of meantime: %q", line)
		}
	}
}

func TestExitCode(t *testing.T) {
	file, flag := configs.Problem{File: "meantime.yaml", Line: 1}, configs.Problem{File: "--poll"}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("anything"), exitFailed},
		{usageError{errors.New("x"), "meantime"}, exitUsage},
		{configs.Problems{flag}, exitUsage},
		{configs.Problems{file}, exitConfig},
		{configs.Problems{flag, file}, exitConfig},
		{silent{configs.Problems{file}}, exitConfig},
		{hinted{fmt.Errorf("%w: %w", errConfigFile, fs.ErrPermission), ""}, exitConfig},
		{fmt.Errorf("steer: %w", sysclock.ErrPermission), exitPermission},
		{fmt.Errorf("%w: %w", daemon.ErrNoKey, daemon.ErrKeyFile), exitInsecure},
		{fmt.Errorf("%w: x", daemon.ErrKeyFile), exitConfig},
		{fmt.Errorf("control_group: %w", user.UnknownGroupError("x")), exitConfig},
		{fmt.Errorf("%w: x", daemon.ErrStateHeld), exitClockHeld},
		{fmt.Errorf("open: %w", sysclock.ErrUnsupported), exitUnsupported},
		{fmt.Errorf("%w at s", control.ErrNoDaemon), exitNoDaemon},
		{fmt.Errorf("%w: x", control.ErrUnknown), exitNoDaemon},
		{fmt.Errorf("%w at s", control.ErrForbidden), exitPermission},
		{fmt.Errorf("%w: x", control.ErrBadValue), exitUsage},
		{fmt.Errorf("%w: %w, and", daemon.ErrNotSynchronised, control.ErrNoDaemon), exitNoDaemon},
		{fmt.Errorf("%w to within 1ms", daemon.ErrNotSynchronised), exitUnsynced},
		{hinted{errNoLANTime, ""}, exitUnsynced},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v exits %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestExitCodesAreExplained: the help topic lists 0, 1, 2, … without a gap, each with a meaning of its own.
func TestExitCodesAreExplained(t *testing.T) {
	meanings := map[string]bool{}
	for i, e := range exitCodes {
		if e.code != i {
			t.Errorf("entry %d explains code %d", i, e.code)
		}
		meanings[e.meaning] = true
	}
	if len(meanings) != exitUnsynced+1 {
		t.Errorf("%d meanings for codes up to %d", len(meanings), exitUnsynced)
	}
	for _, outcome := range outcomes {
		if outcome.code <= exitFailed || outcome.code >= len(exitCodes) {
			t.Errorf("an error maps to code %d", outcome.code)
		}
	}
}

// TestReadmeExitCodes: README's table is the program's.
func TestReadmeExitCodes(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := "| exit code | meaning |\n|---|---|\n"
	for _, e := range exitCodes {
		table += fmt.Sprintf("| %d | %s |\n", e.code, e.meaning)
	}
	if !strings.Contains(string(readme), "\n"+table+"\n") {
		t.Errorf("README.md does not hold\n%s", table)
	}
}

// TestApartHint: a demo that was too short is told how long it takes; of another one only the seed may be to blame.
func TestApartHint(t *testing.T) {
	for length, want := range map[time.Duration]string{time.Second: "about 7s", 25 * time.Second: "--seed 5"} {
		if got := apartHint(demoOptions{For: length, Seed: 5}); !strings.Contains(got, want) {
			t.Errorf("after %v: %s", length, got)
		}
	}
}

func TestFailVoice(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("boom"), "meantime: boom\n"},
		{hinted{errors.New("boom"), "duck"}, "meantime: boom\nmeantime: hint: duck\n"},
		{usageError{errors.New("what?"), "meantime run"}, "meantime: what?\nmeantime: hint: `meantime run --help` shows what can be written\n"},
		{configs.Problems{{File: "f", Line: 1, Key: "k", What: "w", Write: "x"}, {File: "f", Line: 2, What: "y", Write: "z"}},
			"meantime: f:1: k: w; write x\nmeantime: f:2: y; write z\n" +
				"meantime: hint: `meantime config print --reference` shows every setting with its default and range\n"},
		{fmt.Errorf("set: %w", sysclock.ErrPermission), "meantime: set: not allowed to set the clock\n" +
			"meantime: hint: run it as the service, as root or with CAP_SYS_TIME; --dry-run needs no privilege\n"},
	} {
		var out strings.Builder
		(&ui{stderr: &out}).fail(tt.err)
		if out.String() != tt.want {
			t.Errorf("got:\n%swant:\n%s", out.String(), tt.want)
		}
	}
}

// TestOnlyUIPrints: ui.go is the only file that prints and exits.
func TestOnlyUIPrints(t *testing.T) {
	banned := regexp.MustCompile(`\b(os\.Exit|os\.Stdout|os\.Stderr|fmt\.Print\w*|println|log\.(Fatal|Print)\w*)\b`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 6 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		if file == "ui.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range banned.FindAll(source, -1) {
			t.Errorf("%s: %s belongs into ui.go", file, found)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "0.25": 0.25, "10%": 0.1, "90%": 0.9, "0.9": 0.9} {
		if got, err := parseShare(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "%", "x", "-1%", "1", "91%", "NaN", "nan%", "Inf", "5 %"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestVersionLine(t *testing.T) {
	hash := strings.Repeat("ab", 20)
	for want, b := range map[string]build{
		"":                          {},
		" at abababababab":          {Revision: hash},
		" at abababababab, changed": {Revision: hash, Modified: true},
	} {
		if got := b.commit(); got != want {
			t.Errorf("%+v: %q", b, got)
		}
	}
}
