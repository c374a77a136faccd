package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// debianSuite is the Debian that guests boot.
	debianSuite = "bookworm"
	// debianPackages come on top of the essential ones and apt: an init, the bus that its tools use, and what sets an address.
	debianPackages = "systemd-sysv,dbus,iproute2"
	// debianDisk is four times what these take. The file has holes: what is not used costs nothing.
	debianDisk = "1G"

	// debianRoot is where the disk is mounted before it becomes the root, below a folder that all have.
	debianRoot = "/run/debian"
	// debianWork is the run's directory in a Debian: not below /tmp, which Debian empties at boot.
	debianWork = "/run/lab"
)

// idleUnits serve hardware, terminals and upkeep that no guest has, and cost a good part of the time to boot.
var idleUnits = []string{
	"modprobe@.service", "systemd-modules-load.service", "systemd-logind.service", "getty@.service", "e2scrub_reap.service",
	"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
}

// agentUnit starts the lab in a guest of Debian when all else has been started.
const agentUnit = `[Unit]
Description=Does in this guest what the lab asks for
After=multi-user.target

[Service]
ExecStart=` + debianWork + `/` + fileLab + `
Environment=` + stageAgent + `=%s
`

// makeDisk makes the disk that guests of Debian boot: a file system with a fresh Debian, without sources of packages.
func makeDisk(ctx context.Context, disk string) (err error) {
	root := disk + ".root"
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := command(ctx, "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include="+debianPackages,
		"--aptopt=Acquire::Retries \"3\"", "--dpkgopt=force-unsafe-io", debianSuite, root); err != nil {
		return err
	}
	// What would lead out of the bed; what mmdebstrap's options have left; and the name, which is each guest's own.
	for _, path := range []string{
		"etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/hostname",
	} {
		if err := os.Remove(filepath.Join(root, path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// Without a journal: a disk is for one run.
	return command(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, disk, debianDisk)
}

// command runs a program that only says something when it fails.
func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// becomeDebian makes the guest's disk its root and hands over to the init there. It returns only when that fails.
func becomeDebian(order *GuestOrder) error {
	mounts := []struct{ what, where, kind, data string }{
		{"/dev/ubda", "", "ext4", "barrier=0"}, // nobody misses it should the power fail
		{"tmpfs", "/run", "tmpfs", "mode=755"},
		{"none", debianWork, "hostfs", order.Work},
	}
	for _, m := range mounts {
		where := debianRoot + m.where
		if err := os.MkdirAll(where, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.what, where, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.where, err)
		}
	}
	if err := writeUnits(filepath.Join(debianRoot, "run/systemd/system"), filepath.Base(guestDir(order.Work, order.Node))); err != nil {
		return err
	}
	if err := errors.Join(
		os.Chdir(debianRoot),
		syscall.Mount(".", "/", "", syscall.MS_MOVE, ""),
		syscall.Chroot("."),
	); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	return fmt.Errorf("/sbin/init: %w", syscall.Exec("/sbin/init", []string{"/sbin/init"}, nil))
}

// writeUnits writes what systemd is to start and not to start, in a place that lasts until the guest ends: nothing of the lab is on
// the disk.
func writeUnits(units, guest string) error {
	wants := filepath.Join(units, "graphical.target.wants") // after which nothing comes
	err := errors.Join(
		os.MkdirAll(wants, 0o755),
		os.WriteFile(filepath.Join(units, "lab.service"), fmt.Appendf(nil, agentUnit, filepath.Join(debianWork, guest)), 0o644),
		os.Symlink("../lab.service", filepath.Join(wants, "lab.service")))
	for _, unit := range idleUnits {
		err = errors.Join(err, os.Symlink(os.DevNull, filepath.Join(units, unit)))
	}
	return err
}

// agentMain is the lab as a service of a guest of Debian. It never returns.
func agentMain(dir string) {
	if !onHostfs(dir) {
		fmt.Fprintln(os.Stderr, "lab: this is not a guest of the lab")
		os.Exit(exitUnable)
	}
	var order GuestOrder
	record := GuestRecord{}
	err := readJSON(filepath.Join(dir, fileGuest), &order)
	if err == nil {
		order.Work = debianWork
		err = serve(dir, &order, &record)
	}
	powerOff(dir, &record, err)
}

// Errand is a script that a guest of Debian is to run.
type Errand struct {
	Script string        `json:"script"`
	Limit  time.Duration `json:"limit_ns"` // after which it is killed
}

// Answer is what came of an errand.
type Answer struct {
	Exit   int    `json:"exit"`
	Output string `json:"output"` // of both kinds
	From   int64  `json:"from"`   // counter when it began and ended
	To     int64  `json:"to"`
}

// errands are those of one guest.
type errands struct {
	dir  string
	done int
}

// run runs the next errand, if there is one.
func (e *errands) run() error {
	number := strconv.Itoa(e.done + 1)
	path := filepath.Join(e.dir, fileErrand+number)
	if !exists(path) {
		return nil
	}
	var errand Errand
	if err := readJSON(path, &errand); err != nil {
		return err
	}
	e.done++
	return publish(filepath.Join(e.dir, fileAnswer+number), errand.run())
}

// run runs a script as root would type it.
func (e *Errand) run() *Answer {
	ctx, cancel := context.WithTimeout(context.Background(), e.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", e.Script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	cmd.Dir = "/root"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = stopGrace // for whom the script has left behind with its output
	a := &Answer{From: rdtsc()}
	out, err := cmd.CombinedOutput()
	a.To, a.Output, a.Exit = rdtsc(), string(out), cmd.ProcessState.ExitCode()
	if err != nil && (a.Exit <= 0 || ctx.Err() != nil) {
		a.Exit, a.Output = -1, strings.TrimRight(a.Output, "\n")+"\n"+err.Error()+"\n"
	}
	return a
}

// publish writes v under another name first: who waits for the file must never see half of it.
func publish(path string, v any) error {
	draft := path + ".draft"
	return errors.Join(writeJSON(draft, v), os.Rename(draft, path))
}
