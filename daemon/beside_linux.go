package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// groupList is where the kernel keeps groups of processes, among them one for each unit of systemd's.
const groupList = "/sys/fs/cgroup"

// rivals looks through /proc, where processes of containers are, too. What a /proc hides of other users (hidepid, and ProtectProc= of a
// unit, meantime's for one) is looked for by the units of time daemons. A container that meantime itself runs in hides both. What such a
// daemon writes is noticed all the same (sysclock.Watcher).
func rivals() ([]rival, error) {
	all, err := processesOf("/proc")
	return append(rivalsAmong(all), hiddenRivals(groupList, all)...), err
}

// timeUnits are the units of time daemons, as patterns of their control groups below a slice of the system, and whom they start.
var timeUnits = []struct{ pattern, name string }{
	{"chrony.service", "chronyd"}, {"chronyd.service", "chronyd"}, {"ntp.service", "ntpd"}, {"ntpd.service", "ntpd"},
	{"ntpsec.service", "ntpd"}, {"openntpd.service", "ntpd"}, {"systemd-timesyncd.service", "systemd-timesyncd"},
	{"ptp4l.service", "ptp4l"}, {"phc2sys.service", "phc2sys"},
	{"system-ptp4l.slice/ptp4l@*.service", "ptp4l"}, {"system-phc2sys.slice/phc2sys@*.service", "phc2sys"},
}

// hiddenRivals are the time daemons whose units have processes that are not among those seen. What they were told on their command line
// cannot be seen either. Where the kernel has groups of the first version, systemd's are one level down.
func hiddenRivals(groups string, seen []process) (found []rival) {
	for _, u := range timeUnits {
		for _, level := range []string{"", "systemd"} {
			lists, _ := filepath.Glob(filepath.Join(groups, level, "system.slice", u.pattern, "cgroup.procs")) // its only error is a bad pattern
			for _, list := range lists {
				if pid := hiddenProcess(list, seen); pid != 0 {
					found = append(found, rivalOfUnit(u.name, pid, path.Base(path.Dir(list))))
				}
			}
		}
	}
	return found
}

// hiddenProcess is the first process of a group, unless it can be seen; 0 = it can, or there is none.
func hiddenProcess(list string, seen []process) int {
	text, err := os.ReadFile(list)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || slices.ContainsFunc(seen, func(p process) bool { return p.pid == pid }) {
		return 0
	}
	return pid
}

// processesOf reads a /proc. A process that ends meanwhile is left out.
func processesOf(proc string) ([]process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("looking for other time daemons: %w", err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := processOf(filepath.Join(proc, e.Name())); ok {
			p.pid = pid
			all = append(all, p)
		}
	}
	return all, nil
}

// processOf reads one process. It is false for a thread of the kernel and a process that has ended: neither has a command line.
func processOf(dir string) (p process, ok bool) {
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(line) == 0 {
		return p, false
	}
	p.args = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	command, _ := os.ReadFile(filepath.Join(dir, "comm"))
	p.command = strings.TrimSuffix(string(command), "\n")
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil { // only one's own, and root all
		p.program = path.Base(strings.TrimSuffix(exe, " (deleted)"))
	}
	p.able = ableToSet(dir)
	p.unit = unitOf(dir)
	return p, true
}

// ableToSet says whether a process may set the clock: it has CAP_SYS_TIME, or could take it up, and is in no user namespace of its
// own, where the kernel would refuse it all the same. So nobody keeps meantime from starting by the name of a program alone.
func ableToSet(dir string) bool {
	if users, err := os.ReadFile(filepath.Join(dir, "uid_map")); err == nil {
		if f := strings.Fields(string(users)); len(f) != 3 || f[2] != "4294967295" {
			return false
		}
	}
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range bytes.Lines(status) {
		if mask, found := bytes.CutPrefix(line, []byte("CapPrm:")); found {
			caps, err := strconv.ParseUint(strings.TrimSpace(string(mask)), 16, 64)
			return err != nil || caps&(1<<unix.CAP_SYS_TIME) != 0
		}
	}
	return true // nothing says otherwise
}

// unitOf is the systemd unit of a process, by its control group.
func unitOf(dir string) string {
	groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	for line := range strings.Lines(string(groups)) {
		if last := path.Base(strings.TrimSpace(line)); strings.HasSuffix(last, ".service") {
			return last
		}
	}
	return ""
}
