package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	kardianos "github.com/kardianos/service"

	"meantime/configs"
	"meantime/packaging"
)

// library is a manager that kardianos/service knows beside systemd: OpenRC, upstart, procd, rcS, System V. What it leaves behind where it
// fails is taken away, and what its uninstallation forgets.
type library struct {
	root   string // what the paths of files are below; "" but in tests
	uid    int
	name   string // of the manager
	script string // what starts the service
	of     func(program string) (kardianos.Service, error)
	text   func(program string) string // of the script, where it is ours: OpenRC's; nil = the library writes its own
}

// inits are the names of a first process that starts services. In a container it is what the container is for.
var inits = []string{"init", "openrc-init", "procd", "upstart"}

// newLibrary is the library's manager of a system whose first process goes by this name.
func newLibrary(first string, uid int) (*library, error) {
	if first = strings.TrimSpace(first); !slices.Contains(inits, first) {
		return nil, fmt.Errorf("%w: there is no %s, and the first process, %q, is no other init that is known (a container?)",
			ErrNoManager, booted, first)
	}
	m := &library{uid: uid, name: kardianos.Platform(), script: "/etc/init.d/" + Name, of: libraryService}
	switch m.name {
	case "linux-upstart":
		m.script = "/etc/init/" + Name + ".conf"
	case "linux-openrc":
		m.text = packaging.InitScript
	}
	return m, nil
}

func libraryService(program string) (kardianos.Service, error) {
	return kardianos.New(nil, &kardianos.Config{
		Name: Name, DisplayName: displayName, Description: description, Executable: program, Arguments: []string{"run"},
	})
}

// links are what starts the script at boot where that goes by links.
func (m *library) links(l *ledger) (found []string) {
	for _, pattern := range []string{"/etc/rc?.d/[SK]??" + Name, "/etc/rc.d/[SK]??" + Name} {
		paths, _ := filepath.Glob(l.path(pattern)) // its only error is a bad pattern
		for _, path := range paths {
			found = append(found, strings.TrimPrefix(path, m.root))
		}
	}
	return found
}

// Install writes OpenRC's script, which is the package's; any other the library does.
func (m *library) Install(o Options) ([]Change, error) {
	l := &ledger{root: m.root, dry: o.DryRun}
	program, err := programPath(o.Program)
	if err != nil {
		return nil, err
	}
	if m.uid != 0 && !o.DryRun {
		return nil, ErrRights
	}
	switch {
	case m.text != nil:
		err = m.writeOwn(l, program, o.Force)
	case l.exists(m.script):
		l.note(Keep, m.script, "")
	default:
		err = l.do(m.name+" starts "+program+" by "+m.script, func() error { return m.write(l, program) }, nil)
	}
	if err != nil {
		return l.done(err)
	}
	if file := configs.DefaultPath(); l.exists(file) {
		l.note(Keep, file, "")
	} else {
		err = l.write(file, configs.Reference(), 0o644)
	}
	return l.done(err)
}

func (m *library) write(l *ledger, program string) error {
	s, err := m.of(program)
	if err == nil {
		err = s.Install()
	}
	if err == nil {
		return nil
	}
	for _, path := range append(m.links(l), m.script) {
		err = errors.Join(err, l.remove(path))
	}
	return reason(err)
}

// scriptable are the paths that a shell reads as they are, and scripted is where OpenRC's script has one.
var (
	scriptable = regexp.MustCompile(`^[\w/.+:@-]+$`)
	scripted   = regexp.MustCompile(`(?m)^command=(.*)$`)
)

// writeOwn writes OpenRC's script, and makes what it needs. A package's is as good as ours if it runs the same program; of others it says
// how they differ.
func (m *library) writeOwn(l *ledger, program string, force bool) error {
	if !scriptable.MatchString(program) {
		return fmt.Errorf("no script can name the program %q: copy it to /usr/local/bin and run `service install` from there", program)
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	text := m.text(program)
	now, there, err := l.read(m.script)
	switch {
	case err != nil:
		return reason(err)
	case there && now != text && m.packaged():
		return fmt.Errorf("%w: %s runs another program than %s, or was changed (run the package's own, or remove the package)",
			ErrPackaged, m.script, program)
	case !m.edited(now):
	case !force:
		return editedError(m.script, now, text)
	default:
		if err := l.write(m.script+saved, now, 0o644); err != nil {
			return err
		}
	}
	if err := makeAccount(l); err != nil {
		return err
	}
	if err := l.write(m.script, text, 0o755); err != nil {
		return err
	}
	if err := new(systemd).shareKey(l); err != nil { // the account is the same
		return err
	}
	if m.boots() {
		return nil
	}
	return l.do("rc-update add "+Name, quiet("rc-update", "add", Name), quiet("rc-update", "delete", Name))
}

// packaged says whether OpenRC's script is Alpine's package's: both lie in the same place.
func (m *library) packaged() bool {
	return m.text != nil && quiet("apk", "info", "--who-owns", m.script)() == nil
}

// edited says whether OpenRC's script has what meantime would not write, for a program at any path.
func (m *library) edited(script string) bool {
	if m.text == nil || script == "" {
		return false
	}
	found := scripted.FindStringSubmatch(script)
	return found == nil || script != m.text(found[1])
}

// boots says whether the service is started at boot: OpenRC has a link to it in a runlevel, of others it is taken for granted.
func (m *library) boots() bool {
	found, _ := filepath.Glob(filepath.Join(m.root, "/etc/runlevels/*", Name)) // its only error is a bad pattern
	return m.text == nil || len(found) > 0
}

// makeAccount makes the user that the script's program goes on as, with the tools of shadow or, as on Alpine, of busybox.
func makeAccount(l *ledger) error {
	if hasAccount(Name) {
		return nil
	}
	line := "addgroup -S meantime-view; " +
		"addgroup -S meantime; adduser -S -D -H -h /var/empty -s /sbin/nologin -G meantime -g 'meantime clock daemon' meantime"
	if shadow() {
		line = "groupadd -f -r meantime-view && " +
			"groupadd -f -r meantime && useradd -r -M -d /var/empty -s /sbin/nologin -g meantime -c 'meantime clock daemon' meantime"
	}
	return l.do(line, quiet("sh", "-c", line), quiet(userdel(), Name))
}

func shadow() bool {
	_, err := exec.LookPath("useradd")
	return err == nil
}

// userdel is the tool that removes an account.
func userdel() string {
	if shadow() {
		return "userdel"
	}
	return "deluser"
}

// Uninstall stops the service first, if it runs.
func (m *library) Uninstall(o Options) ([]Change, error) {
	l := &ledger{root: m.root, dry: o.DryRun}
	kept := []string{m.script + saved, configDir(), configs.Default().StateDir}
	switch {
	case l.exists(m.script) && m.packaged():
		return nil, fmt.Errorf("%w, %s: remove the package", ErrPackaged, m.script)
	case !l.exists(m.script) && (!o.Purge || !slices.ContainsFunc(kept, l.exists)):
		return nil, ErrNotInstalled
	case m.uid != 0 && !o.DryRun:
		return nil, ErrRights
	}
	if l.exists(m.script) {
		if err := m.take(l); err != nil {
			return nil, err
		}
	}
	for _, path := range m.links(l) {
		if err := l.remove(path); err != nil {
			return nil, err
		}
	}
	for _, path := range kept {
		if !o.Purge {
			l.keep(path)
		} else if err := l.remove(path); err != nil {
			return nil, err
		}
	}
	if m.text == nil || !o.Purge || !hasAccount(Name) {
		return l.changes, nil
	}
	if err := l.do(userdel()+" "+Name, quiet(userdel(), Name), nil); err != nil {
		return nil, err
	}
	return l.changes, dropViewers(l, map[string]string{"userdel": "groupdel", "deluser": "delgroup"}[userdel()])
}

// take takes the service away, but not what somebody has written into its script.
func (m *library) take(l *ledger) error {
	text, _, err := l.read(m.script)
	if err != nil {
		return reason(err)
	}
	if m.edited(text) {
		if err := l.write(m.script+saved, text, 0o644); err != nil {
			return err
		}
	}
	return l.do(m.name+" stops it and forgets "+m.script, m.forget, nil)
}

func (m *library) forget() error {
	s, err := m.of("")
	if err != nil {
		return err
	}
	if status, err := s.Status(); err == nil && status == kardianos.StatusRunning {
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stopping it: %w", err)
		}
	}
	return s.Uninstall()
}

// Start has the library start the service.
func (m *library) Start() error { return m.act("start", kardianos.Service.Start) }

// Stop has the library stop the service.
func (m *library) Stop() error { return m.act("stop", kardianos.Service.Stop) }

// Restart has the library stop and start the service.
func (m *library) Restart() error { return m.act("restart", kardianos.Service.Restart) }

func (m *library) act(verb string, do func(kardianos.Service) error) error {
	l := &ledger{root: m.root}
	switch {
	case !l.exists(m.script):
		return ErrNotInstalled
	case m.uid != 0:
		return ErrRights
	}
	s, err := m.of("")
	if err == nil {
		err = do(s)
	}
	if err != nil {
		return fmt.Errorf("%s does not %s the service: %w (%s %s says more)", m.name, verb, err, m.script, verb)
	}
	return nil
}

// Status is what the library makes of the script's answer. Some managers know of a service that does not run no more than an error.
func (m *library) Status() (Status, error) {
	status := Status{Manager: m.name, State: Absent}
	if l := (&ledger{root: m.root}); !l.exists(m.script) {
		return status, nil
	}
	s, err := m.of("")
	if err != nil {
		return status, err
	}
	status.State, status.Boots = Stopped, m.boots()
	switch now, err := s.Status(); {
	case err != nil:
		status.Detail = err.Error()
	case now == kardianos.StatusRunning:
		status.State = Running
	}
	return status, nil
}

// Logs says where the log is: these managers keep none.
func (m *library) Logs(context.Context, LogOptions, io.Writer) error {
	if m.text != nil {
		return fmt.Errorf("%s keeps no logs: the system log, such as /var/log/messages, has the lines of %s", m.name, Name)
	}
	return fmt.Errorf("%s keeps no logs: look for files of %s in /var/log", m.name, Name)
}
