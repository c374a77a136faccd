//go:build unix

package service

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/configs"
	"meantime/packaging"
)

// fakeTools stand for launchctl, sysrc and service, with what macOS and FreeBSD answer by their manuals and sources. They write down how
// they were called, but for what only asks; a started service prints what the file "runs" says.
const fakeTools = `#!/bin/sh
tool=${0##*/}
case "$tool $*" in *print*|*-n*|*onestatus*) ;; *) echo "$tool $*" >>"$FAKE/calls" ;; esac
if [ -e "$FAKE/fail" ]; then cat "$FAKE/fail" >&2; exit 5; fi
case "$tool $1 $2" in
"launchctl print-disabled system") cat "$FAKE/disabled" ;;
"launchctl print "*) [ -e "$FAKE/loaded" ] || { echo "Could not find service" >&2; exit 113; }; cat "$FAKE/runs" ;;
"launchctl bootstrap "*) [ ! -e "$FAKE/loaded" ] || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }; : >"$FAKE/loaded" ;;
"launchctl bootout "*) rm "$FAKE/loaded" ;;
"launchctl enable "*) rm "$FAKE/disabled"; : >"$FAKE/disabled" ;;
"sysrc -n "*) cat "$FAKE/enabled" ;;
"sysrc -x "*) rm "$FAKE/enabled" ;;
"sysrc "*) echo "${1#*=}" >"$FAKE/enabled" ;;
"service meantime onestart") : >"$FAKE/loaded" ;;
"service meantime onestop") rm "$FAKE/loaded" ;;
"service meantime onestatus") [ -e "$FAKE/loaded" ] ;;
esac
`

// fakes puts the tools in place and returns the folder where they keep what they know.
func fakes(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, tool := range []string{"launchctl", "sysrc", "service"} {
		if err := os.WriteFile(filepath.Join(folder, tool), []byte(fakeTools), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FAKE", folder)
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	put(t, folder, "disabled", "\"com.apple.ftpd\" => true\n")
	return folder
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	_ = os.Remove(path) // which only root could write over
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// called are the calls since it was last asked.
func called(t *testing.T, fake string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(fake, "calls"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(fake, "calls"))
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// told are changes without what files hold and without the folders made.
func told(changes []Change) (all []string) {
	for _, c := range changes {
		if c.Verb != Create {
			all = append(all, string(c.Verb)+" "+c.What)
		}
	}
	return all
}

// system is a manager with what is its own.
type system struct {
	manager  Manager
	single   *single
	disabled func(*testing.T, string)
	starts   []string // what Start calls
	stops    []string
	enables  string // what an installation does beside files
}

func systems(t *testing.T) map[string]system {
	l, r := newLaunchd(t.TempDir(), 0), newRC(t.TempDir(), 0)
	l.patience, r.patience = 20*time.Millisecond, 20*time.Millisecond
	return map[string]system{
		"launchd": {
			manager: l, single: &l.single,
			disabled: func(t *testing.T, fake string) { put(t, fake, "disabled", "\t\"meantime\" => disabled\n") },
			starts:   []string{"launchctl bootstrap system " + l.root + plistFile}, stops: []string{"launchctl bootout system/meantime"},
			enables: "launchctl enable system/meantime",
		},
		"rc": {
			manager: r, single: &r.single,
			disabled: func(*testing.T, string) {},
			starts:   []string{"service meantime onestart"}, stops: []string{"service meantime onestop"},
			enables: "sysrc meantime_enable=YES",
		},
	}
}

// A service is installed once, started, seen, stopped and taken away; configuration and state stay until they are purged. A dry run tells
// the same and does nothing.
func TestSingle(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fake, root, m := fakes(t), s.single.root, s.manager
			s.disabled(t, fake)
			put(t, fake, "runs", "system/meantime = {\n\tactive count = 1\n\tprogram = "+program+"\n\tpid = "+strconv.Itoa(os.Getpid())+
				"\n\tlast exit code = (never exited)\n\tendpoints = {\n\t\tpid = 7\n\t}\n}\n")
			put(t, root, rcChild, strconv.Itoa(os.Getpid())+"\n")
			is := func(when string, want State, boots bool) {
				t.Helper()
				if status, err := m.Status(); err != nil || status.State != want || status.Boots != boots ||
					want == Running && (status.PID != os.Getpid() || status.Program != program) {
					t.Errorf("%s: %+v, %v", when, status, err)
				}
			}
			is("at first", Absent, false)
			for verb, err := range map[string]error{"start": m.Start(), "stop": m.Stop(), "restart": m.Restart()} {
				if !errors.Is(err, ErrNotInstalled) {
					t.Errorf("%s of nothing: %v", verb, err)
				}
			}
			s.single.uid = 501
			would, err := m.Install(Options{Program: program, DryRun: true})
			if _, there := os.Stat(filepath.Join(root, s.single.file)); err != nil || there == nil || len(called(t, fake)) != 0 {
				t.Errorf("a dry run: %v", err)
			}
			if _, err := m.Install(Options{Program: program}); !errors.Is(err, ErrRights) {
				t.Errorf("without rights: %v", err)
			}
			s.single.uid = 0
			did, err := m.Install(Options{Program: program})
			want := []string{"write " + s.single.file, "write " + configs.DefaultPath(), "run " + s.enables}
			if err != nil || !slices.Equal(told(did), want) || !slices.Equal(would, did) || !slices.Equal(called(t, fake), []string{s.enables}) {
				t.Errorf("%v, did\n%q, told\n%q, want\n%q", err, told(did), told(would), want)
			}
			info, err := os.Stat(filepath.Join(root, s.single.file))
			if err != nil || info.Mode() != s.single.mode {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			again, err := m.Install(Options{Program: program})
			if err != nil || !slices.Equal(told(again), []string{"keep " + s.single.file, "keep " + configs.DefaultPath()}) || len(called(t, fake)) != 0 {
				t.Errorf("the second time: %v, %q", err, told(again))
			}
			is("installed", Stopped, true)
			if err := m.Start(); err != nil || !slices.Equal(called(t, fake), s.starts) {
				t.Errorf("start: %v", err)
			}
			is("started", Running, true)
			if err := m.Restart(); err != nil || !slices.Equal(called(t, fake), append(slices.Clone(s.stops), s.starts...)) {
				t.Errorf("restart: %v", err)
			}
			if err := m.Stop(); err != nil || !slices.Equal(called(t, fake), s.stops) {
				t.Errorf("stop: %v", err)
			}
			if err := m.Stop(); err != nil || len(called(t, fake)) != 0 {
				t.Errorf("stop of what has ended: %v", err)
			}
			if err := m.Start(); err != nil {
				t.Error(err)
			}
			called(t, fake)
			gone, err := m.Uninstall(Options{})
			if err != nil || !slices.Equal(called(t, fake)[:1], s.stops) || !slices.Contains(told(gone), "remove "+s.single.file) ||
				!slices.Contains(told(gone), "keep "+filepath.Dir(configs.DefaultPath())) {
				t.Errorf("uninstall: %v, %q", err, told(gone))
			}
			is("taken away", Absent, false)
			if _, err := m.Uninstall(Options{}); !errors.Is(err, ErrNotInstalled) {
				t.Errorf("uninstall of nothing: %v", err)
			}
			if _, err := m.Uninstall(Options{Purge: true}); err != nil {
				t.Errorf("purge: %v", err)
			}
			if _, err := os.Stat(filepath.Join(root, configs.DefaultPath())); err == nil {
				t.Error("the configuration survives a purge")
			}
		})
	}
}

// A file that somebody has edited is replaced by force only, and kept beside; one of another version or program just so. What fails leaves
// nothing behind.
func TestSingleOver(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fake, root, m := fakes(t), s.single.root, s.manager
			file := filepath.Join(root, s.single.file)
			for _, before := range []string{"", s.single.text("/opt/old/meantime")} {
				put(t, root, s.single.file, before)
				if _, err := m.Install(Options{Program: program}); err != nil {
					t.Errorf("over %q: %v", before, err)
				}
			}
			edited := strings.Replace(s.single.text(program), "10", "30", 1)
			put(t, root, s.single.file, edited)
			if _, err := m.Install(Options{Program: program}); !errors.Is(err, ErrEdited) || !strings.Contains(err.Error(), "\n- ") {
				t.Errorf("over what was edited: %v", err)
			}
			if _, err := m.Install(Options{Program: program, Force: true}); err != nil {
				t.Error(err)
			}
			if kept, err := os.ReadFile(file + saved); err != nil || string(kept) != edited {
				t.Errorf("kept beside: %v", err)
			}
			if _, err := m.Install(Options{Program: "relative"}); err == nil {
				t.Error("a relative path is taken")
			}
			if _, err := m.Install(Options{Program: "/nowhere/meantime"}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a program that is not there: %v", err)
			}
			s.disabled(t, fake)
			for _, path := range []string{file, filepath.Join(root, configs.DefaultPath()), filepath.Join(fake, "enabled")} {
				_ = os.Remove(path)
			}
			put(t, fake, "fail", "it is full\n")
			if name == "launchd" { // which asks nobody else: the file alone installs it
				return
			}
			_, err := m.Install(Options{Program: program})
			if _, there := os.Stat(file); err == nil || !strings.Contains(err.Error(), "it is full; nothing was changed") || there == nil {
				t.Errorf("an installation that fails: %v", err)
			}
		})
	}
	if _, err := newRC(t.TempDir(), 0).Install(Options{Program: "/opt/my files/meantime"}); err == nil || !strings.Contains(err.Error(), "/usr/local/bin") {
		t.Errorf("a path with a space: %v", err)
	}
}

// A start that does not last says why: by the last line of the log, or that it is started again and again.
func TestSingleFails(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"launchd": "does not stay: no key", "rc": "does not stay: it has ended, and daemon(8)"} {
		s := systems(t)[name]
		fake := fakes(t)
		put(t, fake, "runs", "system/meantime = {\n\tstate = not running\n\tlast exit code = 0\n}\n")
		put(t, s.single.root, launchdLog, "some line\nno key\n")
		dead := exec.Command(program)
		if err := dead.Run(); err != nil {
			t.Fatal(err)
		}
		put(t, s.single.root, rcChild, strconv.Itoa(dead.Process.Pid))
		if _, err := s.manager.Install(Options{Program: program}); err != nil {
			t.Fatal(err)
		}
		if err := s.manager.Start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		s.single.uid = 501
		if err := s.manager.Start(); !errors.Is(err, ErrRights) {
			t.Errorf("%s without rights: %v", name, err)
		}
	}
}

// What belongs to the service is shown of the log, the last lines or all, and those that come.
func TestSingleLogs(t *testing.T) {
	syslog := "Nov 26 17:00:00 host kernel: x\nNov 26 17:00:01 host meantime[7]: one\nNov 26 17:00:02 host notmeantime: x\nNov 26 17:00:03 host meantime[7]: two\n"
	for name, c := range map[string]struct{ file, holds, all, last, more string }{
		"launchd": {launchdLog, "one\ntwo\n", "one\ntwo\n", "two\n", "three\n"},
		"rc": {rcLog, syslog, "Nov 26 17:00:01 host meantime[7]: one\nNov 26 17:00:03 host meantime[7]: two\n",
			"Nov 26 17:00:03 host meantime[7]: two\n", "Nov 26 17:00:04 host meantime[7]: three\n"},
	} {
		s := systems(t)[name]
		put(t, s.single.root, c.file, c.holds)
		for lines, want := range map[int]string{0: c.all, 1: c.last, 9: c.all} {
			var out bytes.Buffer
			if err := s.manager.Logs(t.Context(), LogOptions{Lines: lines}, &out); err != nil || out.String() != want {
				t.Errorf("%s, %d lines: %v, %q", name, lines, err, out.String())
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		seen := &untilSeen{want: c.more, done: cancel}
		go func() {
			f, err := os.OpenFile(filepath.Join(s.single.root, c.file), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return
			}
			defer f.Close()
			for ctx.Err() == nil { // tail may not look yet
				_, _ = f.WriteString(c.more)
				time.Sleep(20 * time.Millisecond)
			}
		}()
		if err := s.manager.Logs(ctx, LogOptions{Lines: 1, Follow: true}, seen); err != nil ||
			!strings.Contains(seen.text.String(), c.more) {
			t.Errorf("%s, followed: %v, %q", name, err, seen.text.String())
		}
		cancel()
	}
}

// untilSeen calls done once it has what is wanted.
type untilSeen struct {
	text bytes.Buffer
	want string
	done func()
}

func (u *untilSeen) Write(b []byte) (int, error) {
	n, err := u.text.Write(b)
	if strings.Contains(u.text.String(), u.want) {
		u.done()
	}
	return n, err
}

// Which exit codes last is what the systemd unit says of them.
func TestLastingInUnit(t *testing.T) {
	var codes []string
	for _, code := range lasting {
		codes = append(codes, strconv.Itoa(code))
	}
	if line := "\nRestartPreventExitStatus=" + strings.Join(codes, " ") + "\n"; !strings.Contains(packaging.Unit("/usr/bin/meantime"), line) {
		t.Errorf("the unit does not say %q", line)
	}
}

// Where the manager knows no exit codes, what would fail again ends for good: with 0 under launchd, with its parent under FreeBSD's daemon(8).
func TestLeave(t *testing.T) {
	if code := os.Getenv("MEANTIME_TEST_LEAVE"); code != "" { // the program that daemon(8) has started
		n, _ := strconv.Atoi(code)
		os.Exit(Leave(n))
	}
	for by, want := range map[string]int{"": 3, "systemd": 3, "launchd": 0} {
		t.Setenv(startedBy, by)
		if got := Leave(3); got != want {
			t.Errorf("%q: exit code %d, want %d", by, got, want)
		}
		for _, code := range []int{0, 1, 2, 4, 5, 6} {
			if got := Leave(code); got != code {
				t.Errorf("%q: exit code %d became %d", by, code, got)
			}
		}
	}
	// This process stands for daemon(8): asked to end, it hands the signal on.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	defer signal.Stop(asked)
	for code, asks := range map[string]bool{"3": true, "5": false} {
		child := exec.Command(os.Args[0], "-test.run=^TestLeave$")
		child.Env = append(os.Environ(), "MEANTIME_TEST_LEAVE="+code, startedBy+"=rc")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if asks {
			select {
			case <-asked:
			case <-time.After(10 * time.Second):
				t.Fatal("daemon(8) is not asked to end")
			}
			if err := child.Process.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("it left before it was answered: %v", err)
			}
		}
		err := child.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || strconv.Itoa(exit.ExitCode()) != code {
			t.Errorf("exit code %s: ended with %v", code, err)
		}
		select {
		case <-asked:
			t.Errorf("exit code %s: asked to end", code)
		default:
		}
	}
}
