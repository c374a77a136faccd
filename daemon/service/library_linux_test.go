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
