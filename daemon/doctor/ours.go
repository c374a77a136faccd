package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/netproto"
)

// checkConfiguration tells everything that is wrong with the file.
func checkConfiguration(_ context.Context, m *Machine) (list []Finding) {
	var problems configs.Problems
	switch {
	case errors.As(m.Problems, &problems):
		for _, p := range problems {
			list = append(list, fail("write "+p.Write, "%s", strings.TrimSuffix(p.String(), "; write "+p.Write)))
		}
		return list
	case errors.Is(m.Problems, fs.ErrPermission) && m.User != 0:
		return []Finding{skip("run it as root", "this user may not read %s; the rest is looked at with the defaults", m.File)}
	case m.Problems != nil:
		problem, advice := told(m.Problems, "run it as a user who may read the file")
		return []Finding{fail(advice, "%s; the rest is looked at with the defaults", problem)}
	case m.File == "":
		return []Finding{pass("%s does not exist: the defaults hold", configs.DefaultPath())}
	}
	return []Finding{pass("%s is correct", m.File)}
}

// checkKey looks at the key file as a daemon would: what is in it, whose it is, who else may read it.
func checkKey(_ context.Context, m *Machine) []Finding {
	ring, err := m.Keys(m.Config)
	switch {
	case err == nil && ring == nil:
		return []Finding{warn("make a key (`meantime key new`), copy it to all hosts and take insecure: true away",
			"none is used: anyone on the network can set this clock")}
	case err == nil:
		var names []string
		for _, id := range ring.IDs() {
			names = append(names, netproto.KeyName(id))
		}
		return []Finding{pass("%s holds %s", m.Config.KeyFile, strings.Join(names, ", "))}
	case errors.Is(err, fs.ErrPermission) && m.User != 0:
		return []Finding{skip("run it as root", "this user may not read %s, as it should be", m.Config.KeyFile)}
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), daemon.ErrNoKey.Error()+": "), daemon.ErrKeyFile.Error()+": ")
	problem, advice := told(errors.New(text), "copy the LAN's key file there again, from another host")
	return []Finding{fail(advice, "%s", problem)}
}

// leastFree (bytes) is more than all that is ever kept there.
const leastFree = 1 << 20

// checkState looks at the folder that keeps id, term and drift over restarts.
func checkState(_ context.Context, m *Machine) []Finding {
	dir := m.Config.StateDir
	info, err := fs.Stat(m.Root, inside(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{pass("%s will be made at the first start", dir)}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{skip("run it as root", "this user may not look at %s", dir)}
	case err != nil:
		return []Finding{fail("mend the disk, or name another folder (state_dir)", "%s: %v", dir, err)}
	case !info.IsDir():
		return []Finding{fail("move it away, or name another folder (state_dir)", "%s is no folder", dir)}
	case m.System != "windows" && info.Mode().Perm()&0o022 != 0:
		return []Finding{fail("`chmod go-w "+dir+"`", "%s has mode %04o: others can give this node another id, term and frequency", dir,
			info.Mode().Perm())}
	}
	left, err := m.Free(dir)
	if err == nil && left < leastFree {
		return []Finding{fail("make room on that disk", "%s: %d KiB are free: term and frequency cannot be kept over a restart", dir,
			left>>10)}
	}
	whose := ""
	if uid, known := owner(info); known {
		whose = fmt.Sprintf(", of user %d, mode %04o", uid, info.Mode().Perm())
	}
	return []Finding{pass("%s%s", dir, whose)}
}

// unit is a file by which something starts meantime, and those of which one shows that it does so at boot.
type unit struct {
	manager string
	file    string
	enabled []string
}

// units of the managers that meantime installs itself with.
var units = map[string][]unit{
	"linux": {
		{"systemd", "/etc/systemd/system/meantime.service", []string{"/etc/systemd/system/*.wants/meantime.service"}},
		{"systemd", "/usr/lib/systemd/system/meantime.service", []string{"/etc/systemd/system/*.wants/meantime.service"}},
		{"systemd", "/lib/systemd/system/meantime.service", []string{"/etc/systemd/system/*.wants/meantime.service"}},
		{"init", "/etc/init.d/meantime", []string{"/etc/runlevels/*/meantime", "/etc/rc?.d/S*meantime"}},
	},
	"darwin":  {{"launchd", "/Library/LaunchDaemons/meantime.plist", nil}},
	"freebsd": {{"rc", "/usr/local/etc/rc.d/meantime", nil}},
}

// checkService looks whether something starts meantime at boot.
func checkService(_ context.Context, m *Machine) []Finding {
	for _, u := range units[m.System] {
		if !m.exists(u.file) {
			continue
		}
		on := u.enabled == nil
		for _, pattern := range u.enabled {
			on = on || len(m.glob(pattern)) > 0
		}
		if !on {
			return []Finding{warn("`systemctl enable --now meantime`, or what does so with your init", "%s is there, and not started at boot",
				u.file)}
		}
		return []Finding{pass("%s starts it at boot (%s)", u.manager, u.file)}
	}
	return []Finding{warn("`meantime service install`", "meantime is not installed as a service: nothing starts it at boot")}
}

// states are those of a node that are not all well, and what to do.
var states = map[string]struct {
	verdict Verdict
	advice  string
}{
	"listening": {Warn, "wait some polls; if it stays so, look at masters heard"},
	"gathering": {Warn, "wait some polls: it measures before it founds LAN time"},
	"joining":   {Warn, "wait some polls: LAN time is not taken yet"},
	"holdover":  {Warn, "the master is silent: look at masters heard, and at `meantime events`"},
	"holding":   {Fail, "no majority agrees, so nobody is steered: `meantime members` on the master shows who is off"},
	"panic":     {Fail, "the clock is beyond the panic limits and left alone: set it by hand, or raise panic_forward and panic_backward"},
}

// checkDaemon asks the one that runs.
func checkDaemon(ctx context.Context, m *Machine) []Finding {
	s, err := m.daemon(ctx)
	switch {
	case m.Config.Control == "":
		return []Finding{skip("", "no daemon can be asked: control is empty in the configuration")}
	case errors.Is(err, control.ErrForbidden):
		return []Finding{skip("run it as root, or as a member of control_group", "this user may not ask at %s", m.Config.Control)}
	case errors.Is(err, control.ErrNoDaemon):
		problem, _ := told(err, "")
		return []Finding{warn("`meantime service start`, or see what `meantime service logs` says", "%s", problem)}
	case errors.Is(err, control.ErrUnknown):
		return []Finding{warn("`meantime service restart` starts the version that is installed",
			"one runs, of another version than this program")}
	case err != nil:
		return []Finding{fail("`meantime service restart`; if it stays so, `meantime service logs` says why", "%v", err)}
	}
	text := fmt.Sprintf("one runs, %s", s.State)
	if s.Master != "" {
		text += fmt.Sprintf(", master %s, term %d", s.Master, s.Term)
	}
	if s.Bound != nil {
		text += fmt.Sprintf(", off by %v at most", s.Bound.Duration().Round(100*time.Nanosecond))
	}
	if s.DryRun {
		text += " (a dry run)"
	}
	list := []Finding{pass("%s (%s)", text, filepath.ToSlash(m.Config.Control))}
	if bad, ok := states[s.State]; ok {
		list[0] = found(bad.verdict, bad.advice, "%s", []any{text})
	}
	for _, what := range s.Interference {
		list = append(list, warn("end it, or whatever starts it: `meantime events` tells when", "it sees others at its clock: %s", what))
	}
	return list
}
