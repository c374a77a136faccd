package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"meantime/configs"
	"meantime/packaging"
)

const (
	unitName     = Name + ".service"
	waitUnitName = Name + "-wait-sync.service"
	unitDir      = "/etc/systemd/system/"
	dropIns      = unitDir + unitName + ".d" // what `systemctl edit` makes
	sysusersFile = "/etc/sysusers.d/" + Name + ".conf"
)

// vendorDirs are where packages put their units.
var vendorDirs = []string{"/usr/lib/systemd/system/", "/lib/systemd/system/", "/usr/local/lib/systemd/system/"}

// ErrPackaged says that the service belongs to a package, which installs and removes it.
var ErrPackaged = errors.New("a package has installed the service")

// systemd is the manager of most Linux systems. It does by hand what the library does for others: DESIGN.md says why.
type systemd struct {
	root string // what the paths of files are below; "" but in tests
	uid  int
}

// Install writes two units and a file with their account, and a configuration and its folder where there are none. The unit that waits
// for the clock is not enabled: it would hold up boots for nobody.
func (s *systemd) Install(o Options) ([]Change, error) {
	l := &ledger{root: s.root, dry: o.DryRun}
	program, err := programPath(o.Program)
	if err == nil {
		err = reachable(program)
	}
	if err != nil {
		return nil, err
	}
	vendor, err := s.packaged(l, program, o.Force)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(o); err != nil {
		return nil, err
	}
	if vendor == "" {
		err = s.writeUnits(l, program, o.Force)
	} else {
		l.keep(vendor)
	}
	if err == nil {
		err = s.settle(l)
	}
	return l.done(err)
}

// allowed refuses changes to whom systemd would.
func (s *systemd) allowed(o Options) error {
	if s.uid != 0 && !o.DryRun {
		return ErrRights
	}
	return nil
}

// packaged is the unit of a package, which is as good as one of ours if it runs the same program.
func (s *systemd) packaged(l *ledger, program string, force bool) (vendor string, err error) {
	if l.exists(unitDir+unitName) || force {
		return "", nil
	}
	for _, dir := range vendorDirs {
		text, there, err := l.read(dir + unitName)
		if err != nil || !there {
			continue
		}
		if !strings.Contains(text, "\nExecStart="+program+" ") {
			return "", fmt.Errorf("%w: %s runs another program than %s (run the package's own, or remove the package, or use --force)",
				ErrPackaged, dir+unitName, program)
		}
		return dir + unitName, nil
	}
	return "", nil
}

// writeUnits writes the files of an installation by hand, and has systemd read what is new.
func (s *systemd) writeUnits(l *ledger, program string, force bool) error {
	for _, u := range []struct{ path, text string }{
		{unitDir + unitName, packaging.Unit(program)}, {unitDir + waitUnitName, packaging.WaitUnit(program)},
	} {
		if err := s.writeUnit(l, u.path, u.text, force); err != nil {
			return err
		}
	}
	if err := l.write(sysusersFile, packaging.Sysusers(), 0o644); err != nil {
		return err
	}
	if !slices.ContainsFunc(l.changes, func(c Change) bool { return c.Verb == Write }) {
		return nil
	}
	if err := l.do("systemd-sysusers "+sysusersFile, quiet("systemd-sysusers", sysusersFile), nil); err != nil {
		return err
	}
	reload := quiet("systemctl", "daemon-reload")
	l.after = reload
	return l.do("systemctl daemon-reload", reload, nil)
}

// writeUnit replaces a unit that meantime wrote, or one that is empty, as after a crash; of others it says how they differ.
func (s *systemd) writeUnit(l *ledger, path, text string, force bool) error {
	now, there, err := l.read(path)
	if err != nil {
		return reason(err)
	}
	if target, err := os.Readlink(l.path(path)); err == nil && target == os.DevNull {
		return fmt.Errorf("%s is masked: run `systemctl unmask %s` if it may run again", path, unitName)
	}
	if there && now != "" && now != text && !packaging.Pristine(now) {
		if !force {
			return editedError(path, now, text)
		}
		if err := l.write(path+saved, now, 0o644); err != nil {
			return err
		}
	}
	return l.write(path, text, 0o644)
}

// settle makes what the units need and has the service started at boot.
func (s *systemd) settle(l *ledger) error {
	if file := configs.DefaultPath(); l.exists(file) {
		l.note(Keep, file, "")
	} else if err := l.write(file, configs.Reference(), 0o644); err != nil {
		return err
	}
	if err := s.shareKey(l); err != nil {
		return err
	}
	if quiet("systemctl", "is-enabled", "--quiet", unitName)() == nil {
		return nil
	}
	return l.do("systemctl enable "+unitName, quiet("systemctl", "enable", unitName), quiet("systemctl", "disable", unitName))
}

// shareKey lets the service read a key that root made before there was the service's account.
func (s *systemd) shareKey(l *ledger) error {
	file := configs.Default().KeyFile
	info, err := os.Lstat(l.path(file))
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		return nil
	}
	return l.do(fmt.Sprintf("chgrp %s %s && chmod 640 %[2]s", Name, file), func() error { return shareFile(l.path(file), Name) }, nil)
}

// Uninstall stops the service before its files go, so that none runs on that nobody manages.
func (s *systemd) Uninstall(o Options) ([]Change, error) {
	l := &ledger{root: s.root, dry: o.DryRun}
	if !l.exists(unitDir + unitName) {
		for _, dir := range vendorDirs {
			if l.exists(dir + unitName) {
				return nil, fmt.Errorf("%w, %s: remove the package", ErrPackaged, dir+unitName)
			}
		}
		if !o.Purge || !slices.ContainsFunc(belongings(), l.exists) {
			return nil, ErrNotInstalled
		}
	}
	if err := s.allowed(o); err != nil {
		return nil, err
	}
	if err := s.removeUnits(l); err != nil {
		return l.changes, err
	}
	if o.Purge {
		return l.changes, s.purge(l)
	}
	for _, path := range belongings() {
		l.keep(path)
	}
	return l.changes, nil
}

// belongings are what an operator has made, or the daemon for him: they stay until he purges them.
func belongings() []string {
	return []string{dropIns, unitDir + unitName + saved, unitDir + waitUnitName + saved, configDir(), configs.Default().StateDir}
}

// removeUnits ends the service and takes its units away, but not what somebody has written into them.
func (s *systemd) removeUnits(l *ledger) error {
	for _, unit := range []string{waitUnitName, unitName} {
		text, there, err := l.read(unitDir + unit)
		if err != nil {
			return reason(err)
		}
		if !there {
			continue
		}
		if err := l.do("systemctl disable --now "+unit, quiet("systemctl", "disable", "--now", unit), nil); err != nil {
			return err
		}
		if text != "" && !packaging.Pristine(text) {
			if err := l.write(unitDir+unit+saved, text, 0o644); err != nil {
				return err
			}
		}
		if err := l.remove(unitDir + unit); err != nil {
			return err
		}
	}
	if err := l.vacate(sysusersFile); err != nil {
		return err
	}
	return l.do("systemctl daemon-reload", quiet("systemctl", "daemon-reload"), nil)
}

// purge removes what an operator has made as well, and the account and the group of who may look, which own nothing any more.
func (s *systemd) purge(l *ledger) error {
	for _, path := range belongings() {
		if err := l.remove(path); err != nil {
			return err
		}
	}
	if hasAccount(Name) {
		if err := l.do("userdel "+Name, quiet("userdel", Name), nil); err != nil {
			return err
		}
	}
	return dropViewers(l, "groupdel")
}

// Start returns once the daemon has said that it is ready.
func (s *systemd) Start() error { return s.act("start") }

// Stop returns once the daemon has ended.
func (s *systemd) Stop() error { return s.act("stop") }

// Restart is one job of systemd's.
func (s *systemd) Restart() error { return s.act("restart") }

// act has systemd do something with the unit, and says why that failed.
func (s *systemd) act(verb string) error {
	status, err := s.Status()
	if err != nil {
		return err
	}
	if status.State == Absent {
		return ErrNotInstalled
	}
	err = quiet("systemctl", "--no-ask-password", verb, unitName)()
	if err == nil {
		return nil
	}
	if s.uid != 0 {
		return fmt.Errorf("%w: %w", ErrRights, err)
	}
	if status, failed := s.Status(); failed == nil && status.Detail != "" {
		err = fmt.Errorf("the service does not %s: %s", verb, status.Detail)
		if last := s.lastWords(); last != "" {
			err = fmt.Errorf("%w: %s", err, last)
		}
	}
	return err
}

// lastWords are the last lines that the service has written to its log: an error and its hint are two.
func (s *systemd) lastWords() string {
	var out bytes.Buffer
	err := command(context.Background(), &out, "journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=2",
		"_SYSTEMD_UNIT="+unitName)
	if err != nil {
		return ""
	}
	return oneLine(out.String())
}

// states are systemd's words for them.
var states = map[string]State{
	"active": Running, "reloading": Running, "activating": Starting, "deactivating": Stopping, "inactive": Stopped, "failed": Failed,
}

// Status asks systemd for the unit's properties.
func (s *systemd) Status() (Status, error) {
	var out bytes.Buffer
	err := command(context.Background(), &out, "systemctl", "show", unitName,
		"--property=LoadState,ActiveState,SubState,MainPID,StatusText,UnitFileState,Result,ExecMainStatus,ExecStart")
	if err != nil {
		return Status{}, err
	}
	p := map[string]string{}
	for line := range strings.Lines(out.String()) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		p[key] = value
	}
	status := Status{Manager: "systemd", State: Absent, Text: p["StatusText"], Boots: strings.HasPrefix(p["UnitFileState"], "enabled")}
	if p["LoadState"] == "not-found" {
		return status, nil
	}
	var known bool
	if status.State, known = states[p["ActiveState"]]; !known {
		return Status{}, fmt.Errorf("systemctl show %s: ActiveState is %q, which is none of systemd's", unitName, p["ActiveState"])
	}
	if _, path, found := strings.Cut(p["ExecStart"], "path="); found {
		status.Program, _, _ = strings.Cut(path, " ;")
	}
	status.PID, _ = strconv.Atoi(p["MainPID"])
	if status.State != Running {
		status.Text, status.Detail = "", detail(p)
	}
	return status, nil
}

// detail says why a unit does not run.
func detail(p map[string]string) string {
	switch {
	case p["LoadState"] != "loaded":
		return "systemd cannot use the unit: " + p["LoadState"] + " (`systemctl status " + unitName + "` says why)"
	case p["Result"] == "" || p["Result"] == "success":
		return ""
	case p["Result"] == "exit-code":
		return "it ended with exit code " + p["ExecMainStatus"]
	}
	return "it ended by " + p["Result"]
}

// Logs has journalctl write the service's lines.
func (s *systemd) Logs(ctx context.Context, o LogOptions, out io.Writer) error {
	args := []string{"--no-pager", "--output=short-iso", "--unit=" + unitName}
	if o.Lines > 0 {
		args = append(args, fmt.Sprintf("--lines=%d", o.Lines))
	}
	if o.Follow {
		args = append(args, "--follow")
	}
	err := command(ctx, out, "journalctl", args...)
	if ctx.Err() != nil { // whoever follows ends it so
		return nil
	}
	return err
}
