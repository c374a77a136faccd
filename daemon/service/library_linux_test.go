package service

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kardianos "github.com/kardianos/service"

	"meantime/configs"
	"meantime/packaging"
)

// old is a manager as the library has them: it writes a script and links, and where it fails it leaves them behind.
type old struct {
	kardianos.Service
	bed    *bed
	status kardianos.Status
	fails  error // of Install, Start, Status
	did    []string
}

func (o *old) Install() error {
	o.did = append(o.did, "install")
	o.bed.has("/etc/init.d/meantime", "")
	o.bed.has("/etc/rc2.d/S50meantime", "")
	o.bed.has("/etc/rc6.d/K02meantime", "")
	return o.fails
}

func (o *old) Uninstall() error {
	o.did = append(o.did, "uninstall")
	return os.Remove(filepath.Join(o.bed.systemd.root, "/etc/init.d/meantime"))
}

func (o *old) Start() error                      { o.did = append(o.did, "start"); return o.fails }
func (o *old) Stop() error                       { o.did = append(o.did, "stop"); return nil }
func (o *old) Status() (kardianos.Status, error) { return o.status, o.fails }

func oldBed(t *testing.T) (*library, *old) {
	t.Helper()
	o := &old{bed: newBed(t)}
	m, err := newLibrary("init\n", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.root, m.name, m.script, m.of = o.bed.systemd.root, "old", "/etc/init.d/meantime", func(string) (kardianos.Service, error) { return o, nil }
	return m, o
}

// A container has no manager, whatever the library thinks of it.
func TestLibraryContainer(t *testing.T) {
	for _, first := range []string{"sh", "bash\n", "docker-init", "sleep", "systemd", ""} {
		if m, err := newLibrary(first, 0); !errors.Is(err, ErrNoManager) || m != nil || !strings.Contains(err.Error(), "container") {
			t.Errorf("%q: %v, %v", first, m, err)
		}
	}
}

func TestLibraryInstall(t *testing.T) {
	m, o := oldBed(t)
	m.uid = 1000
	if _, err := m.Install(Options{}); !errors.Is(err, ErrRights) {
		t.Errorf("without rights: %v", err)
	}
	if _, err := m.Install(Options{DryRun: true}); err != nil || len(o.bed.files()) != 0 || len(o.did) != 0 {
		t.Errorf("a dry run: %v, did %q, files %q", err, o.did, o.bed.files())
	}
	m.uid, o.fails = 0, errTest
	if _, err := m.Install(Options{}); !errors.Is(err, errTest) || len(o.bed.files()) != 0 {
		t.Errorf("it fails: %v, left %q", err, o.bed.files())
	}
	o.fails, o.did = nil, nil
	for range 2 {
		if _, err := m.Install(Options{}); err != nil || len(o.bed.files()) != 4 {
			t.Errorf("%v, files %q", err, o.bed.files())
		}
	}
	if !slices.Equal(o.did, []string{"install"}) {
		t.Errorf("did %q", o.did)
	}
}

func TestLibraryUninstall(t *testing.T) {
	m, o := oldBed(t)
	if _, err := m.Uninstall(Options{}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("not installed: %v", err)
	}
	if _, err := m.Install(Options{}); err != nil {
		t.Fatal(err)
	}
	m.uid = 1000
	if _, err := m.Uninstall(Options{}); !errors.Is(err, ErrRights) {
		t.Errorf("without rights: %v", err)
	}
	m.uid, o.status, o.did = 0, kardianos.StatusRunning, nil
	did, err := m.Uninstall(Options{})
	if err != nil || !slices.Equal(o.did, []string{"stop", "uninstall"}) || !slices.Equal(o.bed.files(), []string{configs.DefaultPath()}) ||
		!slices.Contains(lines(did), "keep /etc/meantime") {
		t.Errorf("%v, did %q, files %q, told %q", err, o.did, o.bed.files(), lines(did))
	}
	if _, err := m.Uninstall(Options{Purge: true}); err != nil || len(o.bed.files()) != 0 {
		t.Errorf("purge: %v, %q", err, o.bed.files())
	}
}

// openRCBed is a system with OpenRC: apk says that the script is a package's where there is a file owned.
func openRCBed(t *testing.T) (*library, *old) {
	t.Helper()
	m, o := oldBed(t)
	m.text = packaging.InitScript
	for tool, text := range map[string]string{
		"apk": "#!/bin/sh\n[ -e \"$FAKE/owned\" ]\n", "rc-update": fakeTool, "groupadd": fakeTool, "useradd": fakeTool,
	} {
		if err := os.WriteFile(filepath.Join(o.bed.fake, tool), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m, o
}

// OpenRC gets the script of the package, an account and a place in a runlevel; what fails is taken back.
func TestOpenRCInstall(t *testing.T) {
	m, o := openRCBed(t)
	b := o.bed
	if _, err := m.Install(Options{Program: "/opt/my files/m"}); err == nil || !strings.Contains(err.Error(), "no script can name") {
		t.Errorf("a path with a space: %v", err)
	}
	b.tell("fail-rc-update", "rc-update: no\n")
	if _, err := m.Install(Options{Program: b.program}); err == nil || len(b.files()) != 0 {
		t.Errorf("it fails: %v, left %q", err, b.files())
	}
	if err := os.Remove(filepath.Join(b.fake, "fail-rc-update")); err != nil {
		t.Fatal(err)
	}
	b.calls()
	if _, err := m.Install(Options{Program: b.program}); err != nil || b.reads(m.script) != packaging.InitScript(b.program) {
		t.Errorf("%v, wrote %q", err, b.reads(m.script))
	}
	if calls := b.calls(); !slices.Contains(calls, "rc-update add meantime") || len(o.did) != 0 ||
		!hasAccount(Name) && !slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "useradd ") }) {
		t.Errorf("called %q, the library did %q", calls, o.did)
	}
	if s, err := m.Status(); s.Boots || err != nil {
		t.Errorf("in no runlevel: %+v, %v", s, err)
	}
	b.has("/etc/runlevels/default/meantime", "")
	b.has(m.script, packaging.InitScript("/opt/elsewhere")) // as another installation wrote it
	if _, err := m.Install(Options{Program: b.program}); err != nil || b.reads(m.script) != packaging.InitScript(b.program) {
		t.Errorf("for another path: %v, %q", err, b.reads(m.script))
	}
	if did, err := m.Install(Options{Program: b.program}); err != nil || !slices.Contains(lines(did), "keep "+m.script) {
		t.Errorf("twice: %v, %q", err, lines(did))
	}
	if slices.Contains(b.calls(), "rc-update add meantime") {
		t.Error("what is in a runlevel was put there again")
	}
}

// A script that somebody else wrote is neither taken for ours nor lost, and one of a package is the package's.
func TestOpenRCOthers(t *testing.T) {
	const foreign = "#!/sbin/openrc-run\ncommand=/opt/m\n"
	m, o := openRCBed(t)
	b := o.bed
	b.has(m.script, foreign)
	if _, err := m.Install(Options{Program: b.program}); !errors.Is(err, ErrEdited) || b.reads(m.script) != foreign {
		t.Errorf("a foreign script: %v", err)
	}
	if _, err := m.Install(Options{Program: b.program, Force: true}); err != nil || b.reads(m.script+saved) != foreign {
		t.Errorf("by force: %v", err)
	}
	b.has(m.script, foreign+"#\n")
	if _, err := m.Uninstall(Options{}); err != nil || b.reads(m.script+saved) != foreign+"#\n" || slices.Contains(b.files(), m.script) {
		t.Errorf("uninstalled: %v, files %q", err, b.files())
	}
	b.tell("owned", "")
	b.has(m.script, packaging.InitScript(b.program))
	o.did = nil
	if _, err := m.Uninstall(Options{Purge: true}); !errors.Is(err, ErrPackaged) || !slices.Contains(b.files(), m.script) || len(o.did) != 0 {
		t.Errorf("a package's was removed: %v, did %q", err, o.did)
	}
	if _, err := m.Install(Options{Program: b.program}); err != nil {
		t.Errorf("a package's with the same program: %v", err)
	}
	b.has(m.script, packaging.InitScript("/usr/bin/meantime"))
	if _, err := m.Install(Options{Program: b.program, Force: true}); !errors.Is(err, ErrPackaged) || !strings.Contains(err.Error(), b.program) {
		t.Errorf("a package's with another program: %v", err)
	}
}

func TestLibraryStatus(t *testing.T) {
	m, o := oldBed(t)
	if s, err := m.Status(); s.State != Absent || err != nil {
		t.Errorf("not installed: %+v, %v", s, err)
	}
	if err := m.Start(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("start: %v", err)
	}
	if _, err := m.Install(Options{}); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[kardianos.Status]State{kardianos.StatusRunning: Running, kardianos.StatusStopped: Stopped, kardianos.StatusUnknown: Stopped} {
		o.status = status
		if s, err := m.Status(); s.State != want || err != nil {
			t.Errorf("%v: %+v, %v", status, s, err)
		}
	}
	o.fails = errTest
	if s, err := m.Status(); s.State != Stopped || s.Detail != errTest.Error() || err != nil {
		t.Errorf("an error: %+v, %v", s, err)
	}
	if err := m.Start(); !errors.Is(err, errTest) || !strings.Contains(err.Error(), "does not start") {
		t.Errorf("start: %v", err)
	}
}
