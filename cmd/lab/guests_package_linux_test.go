package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The versions that are built for these tests.
const versionOld, versionNew = "0.0.1", "0.0.2"

const (
	// apt installs what is at hand; it asks nobody.
	apt = "cd " + debianWork + "/packages && apt-get -qq -o Dpkg::Use-Pty=0 -y --allow-downgrades "

	// agreement is the promise of the tests, and formed what a LAN may take to found itself, on a machine that others use too.
	agreement, formed = time.Millisecond, 3 * time.Minute
	// patience is for what takes seconds in a guest that has the processor for itself.
	patience = 3 * time.Minute
)

// deb is the file of a version.
func deb(version string) string { return "./meantime_" + version + "*_amd64.deb" }

const (
	isActive = "systemctl is-active meantime"
	mainPID  = "systemctl show --value -p MainPID meantime"
	// inStep waits for what systemd shows of a node of a LAN of three that is kept.
	inStep    = `systemctl show --value -p StatusText meantime | grep -E "^(keeping|following), master is .*, members 3, voters 3"`
	installed = "dpkg-query -W -f '${db:Status-Status} ${Version}' meantime"
)

// TestGuests installs meantime in three Debians with systemd as a user would, and does there what users do.
func TestGuests(t *testing.T) {
	requireGuests(t)
	d := bootDebians(t, 3, packages)
	d.each(t, "boot", func(t *testing.T, node int) {
		d.must(t, node, "systemctl is-system-running --wait") // running: no unit has failed
	})
	const last = 3 // it has nothing left in the end, as it had in the beginning
	before := d.must(t, last, allFiles)
	if !d.each(t, "install without a key", d.installWithoutKey) || !t.Run("one key", d.oneKey) {
		t.Fatal("without that, nothing else has a meaning")
	}
	t.Run("restart", d.restart)
	late, master := 1, d.master(t) // one is upgraded later, and the master now: all else moves less
	if master == late {
		late = 2
	}
	t.Run("upgrade", func(t *testing.T) { d.upgrade(t, master) })
	t.Run("versions and faults", func(t *testing.T) {
		t.Run("versions", func(t *testing.T) { t.Parallel(); d.versions(t, late) })
		t.Run("killed", func(t *testing.T) { t.Parallel(); d.killed(t, 3-late) })
		t.Run("beside another", func(t *testing.T) { t.Parallel(); d.beside(t, last) })
	})
	t.Run("removal", func(t *testing.T) {
		t.Run("remove", func(t *testing.T) { t.Parallel(); d.remove(t, late) })
		t.Run("last", func(t *testing.T) {
			t.Parallel()
			t.Run("purge", func(t *testing.T) { d.purge(t, last, before) })
			t.Run("bare program", func(t *testing.T) { d.bare(t, last, before) })
		})
	})
}

// installWithoutKey: the package goes in, and nothing runs that would have to be stopped.
func (d *debians) installWithoutKey(t *testing.T, node int) {
	out := d.must(t, node, apt+"install "+deb(versionOld)+" 2>&1")
	if !strings.Contains(out, "meantime key new") {
		t.Errorf("the installation does not say how to make a key:\n%s", out)
	}
	if got := d.must(t, node, "systemctl is-enabled meantime"); got != "enabled" {
		t.Errorf("the unit is %s", got)
	}
	code, out := d.try(t, node, "systemctl start meantime; sleep 1; systemctl show -p ActiveState -p SubState -p ExecMainStatus -p NRestarts meantime")
	for _, want := range []string{"ActiveState=failed", "SubState=failed", "ExecMainStatus=7", "NRestarts=0"} {
		if !strings.Contains(out, want) {
			t.Errorf("without a key: exit code %d of systemctl, no %s in\n%s", code, want, out)
		}
	}
	if log := d.journal(t, node); !strings.Contains(log, "meantime key new") {
		t.Errorf("the log does not say how to make a key:\n%s", log)
	}
}

// oneKey: one shared key and nothing else makes a LAN of them.
func (d *debians) oneKey(t *testing.T) {
	if code, out := d.try(t, 1, "meantime wait-sync --timeout 1s"); code == 0 {
		t.Errorf("nothing runs, and the clock is called synchronised: %s", out)
	}
	d.must(t, 1, "meantime key new && cp /etc/meantime/key "+debianWork+"/key")
	d.each(t, "start", func(t *testing.T, node int) {
		if node != 1 {
			d.must(t, node, "install -m 640 -g meantime "+debianWork+"/key /etc/meantime/key")
		}
		d.must(t, node, "systemctl start meantime")
		if got := d.must(t, node, isActive); got != "active" {
			t.Errorf("the unit is %s", got)
		}
		// It is ready only when the clock is kept, and what comes after time-sync.target with it. The target is a job of its own, which
		// follows the one that systemctl waits for.
		a := d.run(t, node, formed, `systemctl is-active time-sync.target; systemctl start meantime-wait-sync || exit
until systemctl --quiet is-active time-sync.target; do sleep 0.1; done; systemctl is-active time-sync.target`)
		if a.Exit != 0 || a.Output != "inactive\nactive\n" {
			t.Errorf("meantime-wait-sync: exit code %d, time-sync.target was, and is: %s\n%s", a.Exit, a.Output, d.journal(t, node))
		}
		d.must(t, node, "meantime wait-sync --timeout 1s")
	})
	took := d.agreed(t, agreement, formed)
	t.Logf("within %v of one another %.0f s after the last start", agreement, took.Seconds())
	d.each(t, "status", func(t *testing.T, node int) {
		d.await(t, node, patience, inStep)
		t.Logf("node %d: %s", node, d.property(t, node, "StatusText"))
		t.Logf("node %d, asked:\n%s", node, d.must(t, node, "meantime status && meantime members && meantime now"))
	})
	disagreement, _ := d.watch(t, func() { time.Sleep(10 * time.Second) })
	t.Logf("over 10 s: at most %v apart", disagreement)
	if disagreement > agreement {
		t.Errorf("%v apart, want at most %v", disagreement, agreement)
	}
}

// master is the node that leads.
func (d *debians) master(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for i := range d.errands {
			if strings.Contains(d.property(t, i+1, "StatusText"), "master is this host") {
				return i + 1
			}
		}
	}
	t.Fatal("no node says that it is the master")
	return 0
}

// calmly restarts so many daemons and makes sure that no clock steps or strays and that offices do not change hands in a storm: a term for
// the new master where it was the master's, and one since who was restarted does not know whom it obeyed under the last.
func (d *debians) calmly(t *testing.T, restarts int, during func()) {
	t.Helper()
	before := d.terms(t)
	apart, step := d.watch(t, func() {
		during()
		for i := range d.errands {
			d.await(t, i+1, patience, inStep)
		}
	})
	rise := slices.Max(d.terms(t)) - slices.Max(before)
	t.Logf("at most %v apart; no clock moved by more than %v in %v; the term rose by %d", apart, step, tick, rise)
	// A minute after the founding a clock that is on its own for seconds strays by what its fit errs still: 0.9 ms were seen.
	if apart > 2*agreement || step > agreement/2 {
		t.Errorf("a clock was stepped, or strayed: %v apart, %v within %v", apart, step, tick)
	}
	if rise > 2*restarts {
		t.Errorf("the term rose by %d, want %d at most", rise, 2*restarts)
		for i := range d.errands {
			t.Logf("node %d:\n%s", i+1, d.journal(t, i+1))
		}
	}
}

// restart: a restart moves no clock, and only the master's changes who leads, once.
func (d *debians) restart(t *testing.T) {
	master := d.master(t)
	slave := master%len(d.errands) + 1
	t.Run("slave", func(t *testing.T) {
		d.calmly(t, 1, func() { d.must(t, slave, "systemctl restart meantime && "+isActive) })
		if now := d.master(t); now != master {
			t.Errorf("node %d leads, and node %d did before a slave was restarted", now, master)
		}
	})
	t.Run("master", func(t *testing.T) {
		d.calmly(t, 1, func() { d.must(t, master, "systemctl restart meantime && "+isActive) })
	})
}

// upgrade: so does a new version of the package, host by host.
func (d *debians) upgrade(t *testing.T, nodes ...int) {
	d.calmly(t, len(nodes), func() { // whoever takes over may be the next to be upgraded
		for _, node := range nodes {
			pid := d.must(t, node, mainPID)
			d.must(t, node, apt+"install "+deb(versionNew)+" 2>&1")
			if got := d.must(t, node, installed); !strings.HasPrefix(got, "installed "+versionNew) {
				t.Errorf("node %d: %s", node, got)
			}
			if now := d.must(t, node, isActive+" >/dev/null && "+mainPID); now == pid || now == "0" {
				t.Errorf("node %d: process %s before the upgrade, %s after it", node, pid, now)
			}
		}
	})
}

// versions: whatever is installed over whatever, one process keeps the time.
func (d *debians) versions(t *testing.T, node int) {
	pid := d.must(t, node, mainPID)
	// An upgrade to a version that this configuration would not start.
	const conf = "/etc/meantime/meantime.yaml"
	d.must(t, node, "cp "+conf+" good.yaml && echo 'pol: 1s' >>"+conf)
	out := d.must(t, node, apt+"install "+deb(versionNew)+" 2>&1")
	if !strings.Contains(out, "pol") || !strings.Contains(out, conf) {
		t.Errorf("the problem of the configuration is not named:\n%s", out)
	}
	if now := d.must(t, node, isActive+" >/dev/null && "+mainPID); now != pid {
		t.Errorf("the process was %s and is %s: it was to go on", pid, now)
	}
	if kept := d.must(t, node, "tail -n 1 "+conf); kept != "pol: 1s" {
		t.Errorf("the configuration ends with %q: it was changed", kept)
	}
	d.must(t, node, "cp good.yaml "+conf)
	for _, step := range []struct{ args, version string }{
		{"install --reinstall " + deb(versionNew), versionNew},
		{"install " + deb(versionOld), versionOld}, // a downgrade
	} {
		d.must(t, node, apt+step.args+" 2>&1")
		if got := d.must(t, node, isActive+" >/dev/null && "+installed); got != "installed "+versionOf(t, d, node) || !strings.Contains(got, step.version) {
			t.Errorf("after apt-get %s: %s", step.args, got)
		}
	}
	if now := d.must(t, node, "pidof meantime"); strings.Contains(now, " ") {
		t.Errorf("processes %s", now)
	}
}

// versionOf is the version of the package as the running daemon's program says it, with the package's revision.
func versionOf(t *testing.T, d *debians, node int) string {
	t.Helper()
	return d.must(t, node, "/proc/$("+mainPID+")/exe version | grep -oE '[0-9]+\\.[0-9]+\\.[0-9]+[^ ,]*' | head -n 1") + "-1"
}

// killed: a daemon that dies or hangs is started again, and finds its state or makes it anew.
func (d *debians) killed(t *testing.T, node int) {
	restarts := func() string { return d.property(t, node, "NRestarts") }
	again := func(what, deed string, limit time.Duration) {
		before := restarts()
		d.must(t, node, deed)
		began := time.Now()
		d.await(t, node, limit, fmt.Sprintf(`{ [ "$(systemctl show --value -p NRestarts meantime)" != %s ] && %s; }`, before, isActive))
		t.Logf("%s: active again after %.0f s", what, time.Since(began).Seconds())
	}
	again("kill -9", "kill -9 $("+mainPID+")", patience)
	again("kill -STOP", "kill -STOP $("+mainPID+")", 2*patience)
	if log := d.must(t, node, "journalctl --no-pager -u meantime"); !strings.Contains(strings.ToLower(log), "watchdog") {
		t.Errorf("the watchdog is not named:\n%s", log)
	}
	d.must(t, node, "systemctl stop meantime && rm -r /var/lib/meantime && systemctl start meantime && "+isActive)
	if got := d.must(t, node, "stat -c '%F %U %G %a' /var/lib/meantime"); got != "directory meantime meantime 700" {
		t.Errorf("the state directory is made anew as: %s", got)
	}
}

// beside: another time daemon is named, and the clock is left to it as long as it runs.
func (d *debians) beside(t *testing.T, node int) {
	d.must(t, node, `cp /bin/sleep /usr/local/sbin/chronyd
printf '[Service]\nExecStart=/usr/local/sbin/chronyd 600\n' >/run/systemd/system/chronyd.service
systemctl daemon-reload && systemctl start chronyd`)
	if code, out := d.try(t, node, "systemctl restart meantime"); code == 0 {
		t.Errorf("it starts beside chronyd: %s", out)
	}
	if log := d.journal(t, node); !strings.Contains(log, "sets this host's clock: chronyd") || !strings.Contains(log, "status=6/") {
		t.Errorf("the other daemon is not named:\n%s", log)
	}
	d.must(t, node, "systemctl stop chronyd && rm /run/systemd/system/chronyd.service /usr/local/sbin/chronyd && systemctl daemon-reload")
	d.await(t, node, patience, isActive) // by itself
}

// remove: what is removed while it runs is stopped, and comes back with its key and its state.
func (d *debians) remove(t *testing.T, node int) {
	state := d.must(t, node, "cat /var/lib/meantime/id")
	d.must(t, node, apt+"remove meantime 2>&1")
	if code, out := d.try(t, node, "pidof meantime || systemctl is-active meantime"); code == 0 {
		t.Errorf("still there after its removal: %s", out)
	}
	d.must(t, node, "test -s /etc/meantime/key")
	d.must(t, node, apt+"install "+deb(versionNew)+" 2>&1")
	d.must(t, node, isActive)
	if now := d.must(t, node, "cat /var/lib/meantime/id"); now != state {
		t.Errorf("the id was %s and is %s", state, now)
	}
}

// allFiles lists all that lies on the disk, but what apt, dpkg and the log keep for themselves, and the accounts.
const allFiles = `find / -xdev \( -path /tmp -o -path /root -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \
	-o -path /var/lib/systemd/timers -o -path /var/lib/systemd/random-seed -o -path '/var/lib/private' -o -path '/etc/*-' -o -path /var/tmp \) -prune -o -printf '%p %y %m %u %g %l\n' | sort
cat /etc/passwd /etc/group
ls /var/lib/dpkg/info
ls -d /run/* | grep -v /run/adduser`

// purge: what a purge leaves is what was there before.
func (d *debians) purge(t *testing.T, node int, before string) {
	out := d.must(t, node, apt+"purge meantime 2>&1")
	if code, out := d.try(t, node, "pidof meantime"); code == 0 {
		t.Errorf("still running after the purge: %s", out)
	}
	d.same(t, node, before, out)
}

// same compares what is on a disk with what was there.
func (d *debians) same(t *testing.T, node int, before, out string) {
	t.Helper()
	was, is := strings.Split(before, "\n"), strings.Split(d.must(t, node, allFiles), "\n")
	for _, line := range is {
		if !slices.Contains(was, line) {
			t.Errorf("left behind: %s", line)
		}
	}
	for _, line := range was {
		if !slices.Contains(is, line) {
			t.Errorf("gone: %s", line)
		}
	}
	if units := d.must(t, node, "systemctl list-unit-files --no-legend 'meantime*'; systemctl list-units --all --no-legend 'meantime*'"); units != "" {
		t.Errorf("systemd still knows: %s", units)
	}
	if t.Failed() {
		t.Logf("what was said:\n%s", out)
	}
}

// bare: the program alone makes itself a service, and leaves none behind.
func (d *debians) bare(t *testing.T, node int, before string) {
	const unit, meantime = "/etc/systemd/system/meantime.service", "/usr/local/bin/meantime "
	d.must(t, node, "cp "+debianWork+"/packages/meantime /usr/local/bin/")
	t.Run("dry run", func(t *testing.T) {
		if out := d.must(t, node, meantime+"service install --dry-run"); !strings.Contains(out, unit) {
			t.Errorf("it does not name %s:\n%s", unit, out)
		}
		if code, _ := d.try(t, node, "test -e "+unit); code == 0 {
			t.Error("a dry run has written the unit")
		}
	})
	t.Run("read-only", func(t *testing.T) {
		code, out := d.try(t, node, "mount --bind /etc /etc && mount -o remount,ro,bind /etc && "+meantime+"service install")
		d.must(t, node, "umount /etc")
		if code == 0 || !strings.Contains(out, "read-only file system") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("no systemd", func(t *testing.T) {
		code, out := d.try(t, node, "unshare -m sh -c 'mount -t tmpfs none /run && "+meantime+"service install'")
		if code == 0 || !strings.Contains(out, "systemd") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("no rights", func(t *testing.T) {
		code, out := d.try(t, node, "setpriv --reuid=nobody --clear-groups "+meantime+"service install")
		if code == 0 || !strings.Contains(out, "root") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("life", func(t *testing.T) {
		out := d.must(t, node, meantime+"service install")
		if !strings.Contains(out, unit) {
			t.Errorf("it does not name %s:\n%s", unit, out)
		}
		d.must(t, node, meantime+"service install") // twice is as once
		d.must(t, node, "install -m 640 -g meantime "+debianWork+"/key /etc/meantime/key")
		d.must(t, node, meantime+"service start && "+isActive)
		d.await(t, node, patience, inStep)
		if out := d.must(t, node, meantime+"service status"); !strings.Contains(out, "members 3") {
			t.Errorf("the status is:\n%s", out)
		}
		if out := d.must(t, node, meantime+"service logs"); !strings.Contains(out, "msg=running") {
			t.Errorf("the log is:\n%s", out)
		}
		d.must(t, node, meantime+"service restart && "+isActive)
		d.must(t, node, meantime+"service stop")
		if code, out := d.try(t, node, isActive); code == 0 {
			t.Errorf("after its stop it is %s", out)
		}
		if code, out := d.try(t, node, meantime+"service status"); code == 0 {
			t.Errorf("exit code 0 of one that is stopped: %s", out)
		}
	})
	t.Run("edited", func(t *testing.T) {
		d.must(t, node, "cp "+unit+" unit && sed -i 's/^RestartSec=.*/RestartSec=7/' "+unit)
		code, out := d.try(t, node, meantime+"service install")
		if got := d.must(t, node, "grep ^RestartSec= "+unit); code == 0 || got != "RestartSec=7" {
			t.Errorf("exit code %d, now %s:\n%s", code, got, out)
		}
		d.must(t, node, "cp unit "+unit)
	})
	t.Run("uninstall", func(t *testing.T) {
		d.must(t, node, meantime+"service start && "+isActive) // while it runs
		out := d.must(t, node, meantime+"service uninstall")
		d.must(t, node, "test -s /etc/meantime/key")
		out += d.must(t, node, meantime+"service uninstall --purge")
		d.must(t, node, "rm /usr/local/bin/meantime")
		d.same(t, node, before, out)
	})
}
