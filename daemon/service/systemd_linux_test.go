package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/configs"
	"meantime/packaging"
)

// fakeTool stands for systemctl, journalctl, systemd-sysusers and userdel. It writes down how it was called, says "enabled" from an enable
// to a disable, and fails with the text of a file named fail-VERB.
const fakeTool = `#!/bin/sh
tool=${0##*/} verb=$1
[ "$verb" = --no-ask-password ] && verb=$2
case $tool in systemctl) ;; *) verb=$tool ;; esac
case $verb in show) ;; *) echo "$tool $*" >>"$FAKE/calls" ;; esac
if [ -e "$FAKE/fail-$verb" ]; then cat "$FAKE/fail-$verb" >&2; exit 5; fi
case $verb in
enable) : >"$FAKE/enabled" ;;
disable) rm -f "$FAKE/enabled" ;;
is-enabled) [ -e "$FAKE/enabled" ] ;;
show) cat "$FAKE/show" ;;
journalctl) cat "$FAKE/journal"; case "$*" in *--follow*) exec sleep 60 ;; esac ;;
esac
`

// bed is a system below a folder, with tools that only pretend.
type bed struct {
	*testing.T
	*systemd
	fake    string // where the tools keep what they know
	program string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{T: t, systemd: &systemd{root: t.TempDir()}, fake: t.TempDir(), program: program}
	for _, tool := range []string{"systemctl", "journalctl", "systemd-sysusers", "userdel"} {
		if err := os.WriteFile(filepath.Join(b.fake, tool), []byte(fakeTool), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FAKE", b.fake)
	t.Setenv("PATH", b.fake+":"+os.Getenv("PATH"))
	b.tell("show", "LoadState=not-found\nActiveState=inactive\n")
	return b
}

// tell writes a file that the tools look at.
func (b *bed) tell(name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.fake, name), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// calls are the calls of the tools since it was last asked, but those that only look.
func (b *bed) calls() []string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.fake, "calls"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.fake, "calls")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return slices.DeleteFunc(all, func(line string) bool { return line == "" || strings.Contains(line, "is-enabled") })
}

// has writes a file of the system.
func (b *bed) has(path, text string) {
	b.Helper()
	path = filepath.Join(b.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		b.Fatal(err)
	}
}

// files are those of the system, without their folders.
func (b *bed) files() (all []string) {
	b.Helper()
	err := filepath.WalkDir(b.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, strings.TrimPrefix(path, b.root))
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func (b *bed) reads(path string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.root, path))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func (b *bed) install(o Options) ([]Change, error) {
	o.Program = b.program
	return b.Install(o)
}

// lines are changes without what files hold.
func lines(changes []Change) (all []string) {
	for _, c := range changes {
		all = append(all, string(c.Verb)+" "+c.What)
	}
	return all
}

// installed are the files of an installation.
var installed = []string{
	"/etc/meantime/meantime.yaml", "/etc/systemd/system/meantime-wait-sync.service", "/etc/systemd/system/meantime.service",
	"/etc/sysusers.d/meantime.conf",
}

// An installation names what it does, does it, and done twice it changes nothing. A dry run tells the same and needs no rights.
func TestInstall(t *testing.T) {
	b := newBed(t)
	b.uid = 1000
	would, err := b.install(Options{DryRun: true})
	if err != nil || len(b.files()) != 0 || len(b.calls()) != 0 {
		t.Errorf("a dry run: %v, files %q", err, b.files())
	}
	if changes, err := b.install(Options{}); !errors.Is(err, ErrRights) || changes != nil || len(b.files()) != 0 || len(b.calls()) != 0 {
		t.Errorf("without rights: %v, %v, files %q", changes, err, b.files())
	}
	b.uid = 0
	did, err := b.install(Options{})
	want := []string{
		"create /etc", "create /etc/systemd", "create /etc/systemd/system", "write /etc/systemd/system/meantime.service",
		"write /etc/systemd/system/meantime-wait-sync.service", "create /etc/sysusers.d", "write /etc/sysusers.d/meantime.conf",
		"run systemd-sysusers /etc/sysusers.d/meantime.conf", "run systemctl daemon-reload", "create /etc/meantime",
		"write /etc/meantime/meantime.yaml", "run systemctl enable meantime.service",
	}
	if err != nil || !slices.Equal(lines(did), want) || !slices.Equal(did, would) {
		t.Errorf("%v, did\n%s\nwant\n%s\ntold\n%s", err, strings.Join(lines(did), "\n"), strings.Join(want, "\n"), strings.Join(lines(would), "\n"))
	}
	ran := []string{"systemd-sysusers /etc/sysusers.d/meantime.conf", "systemctl daemon-reload", "systemctl enable meantime.service"}
	if calls := b.calls(); !slices.Equal(calls, ran) {
		t.Errorf("called %q, want %q", calls, ran)
	}
	for path, text := range map[string]string{
		unitDir + unitName: packaging.Unit(b.program), unitDir + waitUnitName: packaging.WaitUnit(b.program), sysusersFile: packaging.Sysusers(),
		configs.DefaultPath(): configs.Reference(),
	} {
		if b.reads(path) != text {
			t.Errorf("%s holds\n%s", path, b.reads(path))
		}
	}
	again, err := b.install(Options{})
	if n := len(slices.DeleteFunc(slices.Clone(again), func(c Change) bool { return c.Verb == Keep })); err != nil || n != 0 || len(b.calls()) != 0 {
		t.Errorf("the second time: %v, %q", err, lines(again))
	}
}

// What is there already: what meantime wrote, for whatever program, and what is empty is replaced; what somebody has edited only by force,
// and stays beside.
func TestInstallOver(t *testing.T) {
	edited := strings.Replace(packaging.Unit("/bin/true"), "RestartSec=5", "RestartSec=60", 1)
	for name, tt := range map[string]struct {
		text  string
		force bool
		says  []string // of the error; nil = there is none
		saved bool
	}{
		"of another program": {text: packaging.Unit("/opt/old/meantime")},
		"empty":              {text: ""},
		"edited":             {text: edited, says: []string{"\n- RestartSec=60", "\n+ RestartSec=5", unitDir + unitName}},
		"edited, by force":   {text: edited, force: true, saved: true},
		"somebody else's":    {text: "[Service]\nExecStart=/bin/x\n", says: []string{"\n- ExecStart=/bin/x", "\n+ Type=notify"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.has(unitDir+unitName, tt.text)
			_, err := b.install(Options{Force: tt.force})
			if tt.says != nil {
				for _, say := range tt.says {
					if !errors.Is(err, ErrEdited) || !strings.Contains(err.Error(), say) {
						t.Errorf("does not say %q: %v", say, err)
					}
				}
				if b.reads(unitDir+unitName) != tt.text || len(b.files()) != 1 || len(b.calls()) != 0 {
					t.Errorf("something was changed: %q", b.files())
				}
				return
			}
			if err != nil || b.reads(unitDir+unitName) != packaging.Unit(b.program) {
				t.Errorf("%v: %s", err, b.reads(unitDir+unitName))
			}
			if slices.Contains(b.files(), unitDir+unitName+saved) != tt.saved || tt.saved && b.reads(unitDir+unitName+saved) != tt.text {
				t.Errorf("files %q", b.files())
			}
		})
	}
	b := newBed(t)
	if err := errors.Join(os.MkdirAll(filepath.Join(b.root, unitDir), 0o755),
		os.Symlink(os.DevNull, filepath.Join(b.root, unitDir, unitName))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.install(Options{Force: true}); err == nil || !strings.Contains(err.Error(), "systemctl unmask meantime.service") {
		t.Errorf("masked: %v", err)
	}
}

// Whatever goes wrong, all is as before, and the next try succeeds.
func TestInstallFails(t *testing.T) {
	for _, verb := range []string{"systemd-sysusers", "daemon-reload", "enable"} {
		t.Run(verb, func(t *testing.T) {
			b := newBed(t)
			old := packaging.Unit("/opt/old/meantime")
			b.has(unitDir+unitName, old)
			b.tell("fail-"+verb, "Failed to do it: planted.\n")
			_, err := b.install(Options{})
			if err == nil || !strings.Contains(err.Error(), "Failed to do it: planted.") {
				t.Errorf("it says %v", err)
			}
			if files := b.files(); len(files) != 1 || b.reads(unitDir+unitName) != old {
				t.Errorf("left behind: %q", files)
			}
			if verb == "enable" && !slices.Equal(b.calls()[1:], []string{"systemctl daemon-reload", "systemctl enable meantime.service", "systemctl daemon-reload"}) {
				t.Error("systemd was not told that the old unit is back")
			}
			if err := os.Remove(filepath.Join(b.fake, "fail-"+verb)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.install(Options{}); err != nil || len(b.files()) != len(installed) {
				t.Errorf("the next time: %v, %q", err, b.files())
			}
		})
	}
	b := newBed(t)
	b.has("/etc/sysusers.d", "a file where a folder should be")
	if _, err := b.install(Options{}); err == nil || !strings.Contains(err.Error(), "nothing was changed") || len(b.files()) != 1 {
		t.Errorf("%v, left behind %q", err, b.files())
	}
	for _, tt := range []struct {
		err  error
		want error
		says string
	}{{syscall.EROFS, syscall.EROFS, "make it writable"}, {fs.ErrPermission, ErrRights, "permission denied"}, {syscall.ENOSPC, syscall.ENOSPC, "no space"}} {
		if err := reason(&fs.PathError{Op: "open", Path: "/etc/x", Err: tt.err}); !errors.Is(err, tt.want) ||
			!strings.Contains(err.Error()+" permission denied", tt.says) || !strings.Contains(err.Error(), "/etc/x") {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := b.Status(); !errors.Is(err, ErrNoManager) || !strings.Contains(err.Error(), "systemctl") {
		t.Errorf("without systemd's tools: %v", err)
	}
}

// A package's unit is as good as ours if it runs the same program, and is left to the package.
func TestInstallPackaged(t *testing.T) {
	b := newBed(t)
	b.has(vendorDirs[1]+unitName, packaging.Unit(b.program))
	did, err := b.install(Options{})
	if err != nil || slices.Contains(b.files(), unitDir+unitName) || !slices.Contains(lines(did), "keep "+vendorDirs[1]+unitName) ||
		!slices.Equal(b.calls(), []string{"systemctl enable meantime.service"}) {
		t.Errorf("%v, %q", err, lines(did))
	}
	if _, err := b.Uninstall(Options{}); !errors.Is(err, ErrPackaged) || !slices.Contains(b.files(), vendorDirs[1]+unitName) {
		t.Errorf("uninstall: %v", err)
	}
	b.has(vendorDirs[1]+unitName, packaging.Unit("/opt/other/meantime"))
	if _, err := b.install(Options{}); !errors.Is(err, ErrPackaged) || !strings.Contains(err.Error(), b.program) {
		t.Errorf("of another program: %v", err)
	}
	if _, err := b.install(Options{Force: true}); err != nil || b.reads(unitDir+unitName) != packaging.Unit(b.program) {
		t.Errorf("by force: %v", err)
	}
}

// Uninstalling stops the service first, keeps what an operator has made unless told to purge it, and leaves nothing then.
func TestUninstall(t *testing.T) {
	b := newBed(t)
	if _, err := b.Uninstall(Options{}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("not installed: %v", err)
	}
	install := func() {
		t.Helper()
		if _, err := b.install(Options{}); err != nil {
			t.Fatal(err)
		}
		b.has("/etc/meantime/key", "mt1:")
		b.has("/var/lib/meantime/id", "1")
		b.calls()
	}
	install()
	b.uid = 1000
	if _, err := b.Uninstall(Options{}); !errors.Is(err, ErrRights) || len(b.calls()) != 0 {
		t.Errorf("without rights: %v", err)
	}
	would, err := b.Uninstall(Options{Purge: true, DryRun: true})
	if err != nil || len(would) < 7 || len(b.calls()) != 0 || len(b.files()) != len(installed)+2 {
		t.Errorf("a dry run: %v, %q", err, lines(would))
	}
	b.uid = 0
	b.tell("fail-disable", "Job for meantime.service timed out.\n")
	if _, err := b.Uninstall(Options{}); err == nil || !strings.Contains(err.Error(), "timed out") || len(b.files()) != len(installed)+2 {
		t.Errorf("it cannot be stopped: %v, files %q", err, b.files())
	}
	if err := os.Remove(filepath.Join(b.fake, "fail-disable")); err != nil {
		t.Fatal(err)
	}
	b.calls()
	did, err := b.Uninstall(Options{})
	want := []string{
		"run systemctl disable --now meantime-wait-sync.service", "remove /etc/systemd/system/meantime-wait-sync.service",
		"run systemctl disable --now meantime.service", "remove /etc/systemd/system/meantime.service", "remove /etc/sysusers.d/meantime.conf",
		"remove /etc/sysusers.d", "run systemctl daemon-reload", "keep /etc/meantime", "keep /var/lib/meantime",
	}
	if err != nil || !slices.Equal(lines(did), want) {
		t.Errorf("%v, did\n%s", err, strings.Join(lines(did), "\n"))
	}
	if calls := b.calls(); !slices.Equal(calls, []string{want[0][4:], want[2][4:], want[6][4:]}) {
		t.Errorf("called %q", calls)
	}
	if files := b.files(); !slices.Equal(files, []string{"/etc/meantime/key", "/etc/meantime/meantime.yaml", "/var/lib/meantime/id"}) {
		t.Errorf("left: %q", files)
	}
	install()
	b.has(unitDir+unitName, "[Service]\nedited\n")
	if _, err := b.Uninstall(Options{}); err != nil || b.reads(unitDir+unitName+saved) != "[Service]\nedited\n" {
		t.Errorf("edited: %v", err)
	}
	if _, err := b.Uninstall(Options{Purge: true}); err != nil || len(b.files()) != 0 { // what an uninstallation has left
		t.Errorf("purge: %v, left %q", err, b.files())
	}
}

// What systemd says of the unit, as a user is told it.
func TestStatus(t *testing.T) {
	b := newBed(t)
	const exec = "ExecStart={ path=/usr/bin/meantime ; argv[]=/usr/bin/meantime run ; ignore_errors=no ; start_time=[n/a] }\n"
	for show, want := range map[string]Status{
		"LoadState=not-found\nActiveState=inactive\n": {State: Absent},
		"LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=42\nStatusText=keeping, a=b\nUnitFileState=enabled\nResult=success\n" + exec: {
			State: Running, PID: 42, Text: "keeping, a=b", Boots: true, Program: "/usr/bin/meantime"},
		"LoadState=loaded\nActiveState=inactive\nMainPID=0\nUnitFileState=disabled\nResult=success\nStatusText=stopping\n" + exec: {
			State: Stopped, Program: "/usr/bin/meantime"},
		"LoadState=loaded\nActiveState=failed\nMainPID=0\nUnitFileState=enabled\nResult=exit-code\nExecMainStatus=7\n": {
			State: Failed, Boots: true, Detail: "it ended with exit code 7"},
		"LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=watchdog\n": {State: Starting, Detail: "it ended by watchdog"},
		"LoadState=bad-setting\nActiveState=inactive\n": {
			State: Stopped, Detail: "systemd cannot use the unit: bad-setting (`systemctl status meantime.service` says why)"},
	} {
		b.tell("show", show)
		want.Manager = "systemd"
		if got, err := b.Status(); got != want || err != nil {
			t.Errorf("%s: %+v, %v", show, got, err)
		}
	}
	b.tell("show", "LoadState=loaded\nActiveState=odd\n")
	if _, err := b.Status(); err == nil || !strings.Contains(err.Error(), `"odd"`) {
		t.Errorf("got %v", err)
	}
}

// Starting, stopping and restarting are systemd's; what fails is told with why.
func TestActs(t *testing.T) {
	b := newBed(t)
	for name, act := range map[string]func() error{"start": b.Start, "stop": b.Stop, "restart": b.Restart} {
		b.tell("show", "LoadState=not-found\nActiveState=inactive\n")
		if err := act(); !errors.Is(err, ErrNotInstalled) || len(b.calls()) != 0 {
			t.Errorf("%s what is not installed: %v", name, err)
		}
		b.tell("show", "LoadState=loaded\nActiveState=inactive\nResult=success\n")
		if err := act(); err != nil || !slices.Equal(b.calls(), []string{"systemctl --no-ask-password " + name + " meantime.service"}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.tell("fail-start", "Job for meantime.service failed.\n")
	b.tell("show", "LoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainStatus=7\n")
	b.tell("journal", "meantime: there is no key\n")
	if err := b.Start(); err == nil || err.Error() != "the service does not start: it ended with exit code 7: meantime: there is no key" {
		t.Errorf("it says %v", err)
	}
	b.uid = 1000
	if err := b.Start(); !errors.Is(err, ErrRights) || !strings.Contains(err.Error(), "Job for meantime.service failed.") {
		t.Errorf("without rights: %v", err)
	}
}

func TestLogs(t *testing.T) {
	b := newBed(t)
	b.tell("journal", "one\ntwo\n")
	var out strings.Builder
	if err := b.Logs(t.Context(), LogOptions{Lines: 2}, &out); err != nil || out.String() != "one\ntwo\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if calls := b.calls(); len(calls) != 1 || !strings.HasSuffix(calls[0], "--unit=meantime.service --lines=2") {
		t.Errorf("called %q", calls)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // the tool itself would go on for a minute
	defer cancel()
	if err := b.Logs(ctx, LogOptions{Follow: true}, &out); err != nil {
		t.Errorf("followed until interrupted: %v", err)
	}
	b.tell("fail-journalctl", "No journal files were found.\n")
	if err := b.Logs(t.Context(), LogOptions{}, &out); err == nil || !strings.Contains(err.Error(), "No journal files were found.") {
		t.Errorf("it says %v", err)
	}
}

// A program that the unit could not start is refused before anything is done.
func TestReachable(t *testing.T) {
	for program, want := range map[string]string{
		hidden[0] + "meantime": "/home is hidden", "/tmp/meantime": "/tmp is hidden", "/usr/bin/me\"an": "no unit can name", "/usr/bin/$x": "no unit can name",
		"/nowhere/meantime": "no such file",
	} {
		if err := reachable(program); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", program, err)
		}
	}
	if _, err := newBed(t).Install(Options{Program: "meantime"}); err == nil || !strings.Contains(err.Error(), "whole path") {
		t.Errorf("a relative path: %v", err)
	}
	if path, err := programPath(""); err != nil || path != must(os.Executable()) {
		t.Errorf("this program: %s, %v", path, err)
	}
	old := hidden
	defer func() { hidden = old }()
	hidden = nil
	closed := filepath.Join(t.TempDir(), "closed")
	if err := errors.Join(os.Mkdir(closed, 0o700), os.WriteFile(filepath.Join(closed, "m"), nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := reachable(filepath.Join(closed, "m")); err == nil || !strings.Contains(err.Error(), "mode of ") {
		t.Errorf("in a closed folder: %v", err)
	}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// Where systemd did not start the system it is not taken for the manager, whatever tools lie about.
func TestNoManager(t *testing.T) {
	if _, err := os.Stat(booted); err == nil {
		t.Skip("systemd has started this system")
	}
	newBed(t)
	m, err := New()
	if _, is := m.(*systemd); is || m != nil && err != nil || m == nil && !errors.Is(err, ErrNoManager) {
		t.Errorf("%v, %v", m, err)
	}
}
