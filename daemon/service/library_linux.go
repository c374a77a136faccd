package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	kardianos "github.com/kardianos/service"

	"meantime/configs"
)

// library is a manager that kardianos/service knows beside systemd: OpenRC, upstart, procd, rcS, System V. What it leaves behind where it
// fails is taken away, and what its uninstallation forgets.
type library struct {
	root   string // what the paths of files are below; "" but in tests
	uid    int
	name   string // of the manager
	script string // what starts the service
	of     func(program string) (kardianos.Service, error)
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
	if m.name == "linux-upstart" {
		m.script = "/etc/init/" + Name + ".conf"
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

// Install has the library write its script.
func (m *library) Install(o Options) ([]Change, error) {
	l := &ledger{root: m.root, dry: o.DryRun}
	program, err := programPath(o.Program)
	if err != nil {
		return nil, err
	}
	if m.uid != 0 && !o.DryRun {
		return nil, ErrRights
	}
	if l.exists(m.script) {
		l.note(Keep, m.script, "")
	} else if err := l.do(m.name+" starts "+program+" by "+m.script, func() error { return m.write(l, program) }, nil); err != nil {
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

// Uninstall stops the service first, if it runs.
func (m *library) Uninstall(o Options) ([]Change, error) {
	l := &ledger{root: m.root, dry: o.DryRun}
	kept := []string{configDir(), configs.Default().StateDir}
	switch {
	case !l.exists(m.script) && (!o.Purge || !slices.ContainsFunc(kept, l.exists)):
		return nil, ErrNotInstalled
	case m.uid != 0 && !o.DryRun:
		return nil, ErrRights
	}
	if l.exists(m.script) {
		if err := l.do(m.name+" stops it and forgets "+m.script, m.forget, nil); err != nil {
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
	return l.changes, nil
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
	status.State, status.Boots = Stopped, true
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
	return fmt.Errorf("%s keeps no logs: look for files of %s in /var/log", m.name, Name)
}
