package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// proc makes a /proc of a test's own. Each process is given as files; a missing one cannot be read.
func proc(t *testing.T, processes map[string]map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for pid, files := range processes {
		if err := os.Mkdir(filepath.Join(dir, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if name == "exe" {
				if err := os.Symlink(text, filepath.Join(dir, pid, name)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			put(t, filepath.Join(dir, pid, name), text)
		}
	}
	return dir
}

const (
	mayAll   = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n"
	mayTime  = "CapPrm:\t0000000002000000\nCapEff:\t0000000002000000\n"
	mayNot   = "CapPrm:\t000001fffdffffff\nCapEff:\t000001fffdffffff\n"
	allUsers = "         0          0 4294967295\n"
)

// Who may set the clock and steers it is found by name, with its unit; containers without the right, threads of the kernel and
// processes that have ended are not.
func TestProcesses(t *testing.T) {
	chronyd := func(change map[string]string) map[string]string {
		files := map[string]string{
			"comm": "chronyd\n", "cmdline": "/usr/sbin/chronyd\x00-F\x001\x00", "status": mayTime, "uid_map": allUsers, "exe": "/usr/sbin/chronyd",
			"cgroup": "0::/system.slice/chrony.service\n",
		}
		for name, text := range change {
			if files[name] = text; text == "-" {
				delete(files, name)
			}
		}
		return files
	}
	all, err := processesOf(proc(t, map[string]map[string]string{
		"100": chronyd(nil),
		"101": chronyd(map[string]string{"status": mayAll, "exe": "-", "uid_map": "-", "cgroup": "0::/user.slice/session-1.scope\n"}),
		"102": chronyd(map[string]string{"status": mayNot}),
		"103": chronyd(map[string]string{"uid_map": "         0     100000      65536\n", "status": mayAll}),
		"104": chronyd(map[string]string{"cmdline": "", "exe": "-"}), // a zombie, or a thread of the kernel
		"105": chronyd(map[string]string{"cmdline": "-"}),            // ended meanwhile
		"106": chronyd(map[string]string{"cmdline": "/usr/sbin/chronyd\x00-x\x00"}),
		"107": chronyd(map[string]string{"exe": "/usr/sbin/chronyd (deleted)", "comm": "x\n", "status": "-", "cgroup": "-"}),
		"108": {"comm": "systemd-timesyn\n", "cmdline": "/usr/lib/systemd/systemd-timesyncd\x00", "status": mayTime, "uid_map": allUsers,
			"cgroup": "1:name=systemd:/system.slice/systemd-timesyncd.service\n0::/system.slice/systemd-timesyncd.service\n"},
		"109":  {"comm": "bash\n", "cmdline": "bash\x00", "status": mayAll, "uid_map": allUsers},
		"self": chronyd(nil), "sys": {"comm": "chronyd\n", "cmdline": "chronyd\x00"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rivalsAmong(all) {
		got = append(got, r.String()+": "+r.remedy)
	}
	slices.Sort(got)
	want := []string{
		"chronyd (process 100, chrony.service): run `systemctl disable --now chrony`",
		"chronyd (process 101): end it and whatever starts it",
		"chronyd (process 107): end it and whatever starts it",
		"systemd-timesyncd (process 108, systemd-timesyncd.service): run `systemctl disable --now systemd-timesyncd`",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := processesOf(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no /proc: %v", err)
	}
}

// A /proc that hides other users' processes hides no unit of a time daemon: its control group has processes. Those that can be seen are
// judged by what they are.
func TestHiddenRivals(t *testing.T) {
	groups := t.TempDir()
	for group, pids := range map[string]string{
		"system.slice/chrony.service":                         "100\n101\n",
		"system.slice/ntpsec.service":                         "200\n", // which can be seen: it sets no clock
		"system.slice/systemd-timesyncd.service":              "",      // between two starts
		"system.slice/system-ptp4l.slice/ptp4l@eth0.service":  "300\n",
		"system.slice/meantime.service":                       "400\n",
		"user.slice/chronyd.service":                          "500\n", // nobody's that may set a clock
		"systemd/system.slice/openntpd.service":               "600\n",
		"system.slice/system-phc2sys.slice/phc2sys@x.service": "0\n", // of another namespace: not to be told apart
	} {
		if err := os.MkdirAll(filepath.Join(groups, group), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(groups, group, "cgroup.procs"), pids)
	}
	var got []string
	for _, r := range hiddenRivals(groups, []process{{pid: 200}, {pid: 101}}) {
		got = append(got, r.String()+": "+r.remedy)
	}
	slices.Sort(got)
	want := []string{
		"chronyd (process 100, chrony.service): run `systemctl disable --now chrony`",
		"ntpd (process 600, openntpd.service): run `systemctl disable --now openntpd`",
		"ptp4l (process 300, ptp4l@eth0.service): run `systemctl disable --now ptp4l@eth0`",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := hiddenRivals(filepath.Join(groups, "none"), nil); got != nil {
		t.Errorf("without groups: %v", got)
	}
}

// A real process is seen by its name, by its executable when it goes by another name, and is a rival just if it has the right to set
// the clock, as its own status says.
func TestRealProcess(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	fake := filepath.Join(t.TempDir(), "chronyd")
	syscall.ForkLock.RLock() // whoever is forked meanwhile would keep it busy
	err = os.WriteFile(fake, program, 0o700)
	if syscall.ForkLock.RUnlock(); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"its own name": {fake}, "another name": {"worker"}} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(fake, "60")
			cmd.Args[0] = args[0]
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			p := awaitProcess(t, cmd.Process.Pid)
			if p.command != "chronyd" || p.program != "chronyd" || !slices.Equal(p.args, []string{args[0], "60"}) {
				t.Errorf("seen as %+v", p)
			}
			if want := maySetClock(t, cmd.Process.Pid); p.able != want {
				t.Errorf("able %v, its status says %v", p.able, want)
			}
			all, err := rivals()
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(all, func(r rival) bool { return r.pid == cmd.Process.Pid && r.name == "chronyd" })
			if found != p.able {
				t.Errorf("a rival: %v, able: %v; rivals %v", found, p.able, all)
			}
			p.able = true
			if got := rivalsAmong([]process{p}); len(got) != 1 || got[0].name != "chronyd" {
				t.Errorf("with the right to set the clock: %v", got)
			}
		})
	}
}

// awaitProcess looks until the process has become the program: between fork and exec it is still this test.
func awaitProcess(t *testing.T, pid int) process {
	t.Helper()
	for range 1000 {
		if p, ok := processOf(filepath.Join("/proc", strconv.Itoa(pid))); ok && p.command == "chronyd" {
			return p
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the process does not show")
	return process{}
}

// maySetClock asks the kernel another way: capget(2), and the user namespace by its link.
func maySetClock(t *testing.T, pid int) bool {
	t.Helper()
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3, Pid: int32(pid)}, &data[0]); err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		t.Fatal(err)
	}
	const initial = "user:[4026531837]" // PROC_USER_INIT_INO
	return own == initial && data[0].Permitted&(1<<unix.CAP_SYS_TIME) != 0
}
