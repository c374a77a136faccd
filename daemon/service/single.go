package service

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meantime/configs"
	"meantime/packaging"
)

// single is what the managers have in common that know a service by one file: launchd and FreeBSD's rc. Like systemd's it is done by hand,
// so that an installation that fails leaves nothing behind, and one over a file that somebody has edited says so.
type single struct {
	root string // what the paths of files are below; "" but in tests
	uid  int
	file string // that the manager reads
	mode fs.FileMode
	text func(program string) string // what is in it

	enable, disable func(*ledger) error // have it started at boot, and not any more; nil = the file alone does
	stop            func() error        // ends what runs; nothing to do where nothing does
	belongings      []string            // what stays until it is purged, beside configuration and state

	patience time.Duration // half of it shows whether a start lasts
}

// startPatience: a daemon that refuses to start has said so within a second; slow disks get more.
const startPatience = 5 * time.Second

// Install writes the file, and a configuration where there is none.
func (s *single) Install(o Options) ([]Change, error) {
	l := &ledger{root: s.root, dry: o.DryRun}
	program, err := programPath(o.Program)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("the program: %w", err)
	}
	if s.uid != 0 && !o.DryRun {
		return nil, ErrRights
	}
	return l.done(s.write(l, program, o.Force))
}

func (s *single) write(l *ledger, program string, force bool) error {
	text := s.text(program)
	if now, there, err := l.read(s.file); err != nil {
		return reason(err)
	} else if there && now != "" && now != text && !packaging.Unedited(now) {
		if !force {
			return editedError(s.file, now, text)
		}
		if err := l.write(s.file+saved, now, 0o644); err != nil {
			return err
		}
	}
	if err := l.write(s.file, text, s.mode); err != nil {
		return err
	}
	if file := configs.DefaultPath(); l.exists(file) {
		l.keep(file)
	} else if err := l.write(file, configs.Reference(), 0o644); err != nil {
		return err
	}
	if s.enable == nil {
		return nil
	}
	return s.enable(l)
}

// Uninstall stops the service before its file goes, so that none runs on that nobody manages.
func (s *single) Uninstall(o Options) ([]Change, error) {
	l := &ledger{root: s.root, dry: o.DryRun}
	stays := append([]string{s.file + saved, configDir(), configs.Default().StateDir}, s.belongings...)
	text, there, err := l.read(s.file)
	switch {
	case err != nil:
		return nil, reason(err)
	case !there && !(o.Purge && anyExists(l, stays)):
		return nil, ErrNotInstalled
	case s.uid != 0 && !o.DryRun:
		return nil, ErrRights
	case there:
		if err := s.take(l, text); err != nil {
			return l.changes, err
		}
	}
	for _, path := range stays {
		if !o.Purge {
			l.keep(path)
		} else if err := l.remove(path); err != nil {
			return l.changes, err
		}
	}
	return l.changes, nil
}

// take takes the service away, but not what somebody has written into its file.
func (s *single) take(l *ledger, text string) error {
	if err := l.do("meantime service stop", s.stop, nil); err != nil {
		return err
	}
	if s.disable != nil {
		if err := s.disable(l); err != nil {
			return err
		}
	}
	if text != "" && !packaging.Unedited(text) {
		if err := l.write(s.file+saved, text, 0o644); err != nil {
			return err
		}
	}
	return l.remove(s.file)
}

func anyExists(l *ledger, paths []string) bool {
	for _, path := range paths {
		if l.exists(path) {
			return true
		}
	}
	return false
}

// may says whether the service is there and this user may start and stop it.
func (s *single) may() error {
	if _, err := os.Stat(filepath.Join(s.root, s.file)); err != nil {
		return ErrNotInstalled
	}
	if s.uid != 0 {
		return ErrRights
	}
	return nil
}

// await looks until the service has run as one process for half of patience, or has not for as long.
func (s *single) await(status func() (Status, error)) error {
	const looks = 10
	var before Status
	for ran, down := 0, 0; ; {
		now, err := status()
		if err != nil {
			return err
		}
		switch {
		case now.State != Running:
			ran, down = 0, down+1
		case now.PID != before.PID:
			ran = 0
		default:
			ran++
		}
		switch before = now; {
		case ran >= looks/2:
			return nil
		case down >= looks/2:
			return fmt.Errorf("the service does not stay: %s", orUnknown(now.Detail))
		}
		time.Sleep(s.patience / looks)
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "`meantime service logs` may say why"
	}
	return text
}
