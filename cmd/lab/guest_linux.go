package main

import (
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
	// stopGrace is how long a program may take to stop when told to.
	stopGrace = 5 * time.Second
	// lazyPeriod is how often a guest looks whether it is to stop, while its program wants the processor.
	lazyPeriod = 500 * time.Millisecond
)

// guest is one kernel as the bed sees it.
type guest struct {
	node int
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the kernel has ended

	deeds int // that it was asked to suffer
}

// startGuest boots the kernel of node i+1.
func startGuest(work string, order *Order, own *GuestOrder, i int) (*guest, error) {
	g := &guest{node: i + 1, dir: guestDir(work, i+1), done: make(chan struct{})}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(g.dir, fileGuest), own); err != nil {
		return nil, err
	}
	if text := daemonConf(&order.Plan, g.node); text != "" {
		if err := os.WriteFile(filepath.Join(g.dir, fileConf), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	console, err := os.Create(filepath.Join(g.dir, fileConsole))
	if err != nil {
		return nil, err
	}
	defer console.Close()
	g.cmd = exec.Command(order.UML,
		"mem="+guestMemory(order.Plan.Program),
		"rootfstype=hostfs", "root=/dev/root", "rootflags=/", "ro",
		"init="+filepath.Join(work, fileLab),
		"vec0:transport=tap,ifname="+tap(i)+",depth=64,gro=0",
		"con=null", "con0=null,fd:1", "printk.time=1",
		// Two thirds of the time to boot, for disks, swap and terminals that no guest has.
		"initcall_blacklist=raid6_select_algo,strp_dev_init,init_zswap", "pty.legacy_count=0",
		"uml_dir="+filepath.Join(work, "uml"), "umid=node"+strconv.Itoa(g.node),
		stageGuest+"="+g.dir) // what the kernel does not know it hands to init, as environment
	if own.Debian {
		g.cmd.Args = append(g.cmd.Args, "ubd0="+filepath.Join(g.dir, fileDisk)+","+filepath.Join(work, fileDisk))
	}
	g.cmd.Stdout, g.cmd.Stderr = console, console
	env, err := g.bend(work, &order.Plan)
	if err != nil {
		return nil, err
	}
	g.cmd.Env = append(env, "HOME="+work, "PATH="+os.Getenv("PATH"))
	start := g.cmd.Start
	if order.Plan.Realtime {
		start = func() error { return startFirst(g.cmd) }
	}
	if err := start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.cmd.Wait() // the exit code of a kernel says nothing; what it left behind does
		close(g.done)
	}()
	return g, nil
}

// bend is the environment by which a kernel's oscillator goes its own way, with the files that it names.
func (g *guest) bend(work string, plan *Plan) ([]string, error) {
	env := []string{"LD_PRELOAD=" + filepath.Join(work, filePreload)}
	if plan.Straight {
		return append(env, "MEANTIME_LAB_STRAIGHT=1"), nil
	}
	ring := filepath.Join(g.dir, fileRing)
	if err := os.WriteFile(ring, make([]byte, ringSize), 0o644); err != nil {
		return nil, err
	}
	ppm := plan.Nodes[g.node-1].PPM
	env = append(env, "MEANTIME_LAB_PPM="+strconv.FormatFloat(ppm, 'f', -1, 64), "MEANTIME_LAB_RING="+ring)
	if plan.Wander > 0 {
		path := filepath.Join(g.dir, fileWalk)
		if err := draw(plan.Seed, g.node, plan.Wander, hardLimit(plan)).write(path); err != nil {
			return nil, err
		}
		env = append(env, "MEANTIME_LAB_WALK="+path)
	}
	return env, nil
}

// guestOrder is what node i+1 is to do.
func guestOrder(work string, order *Order, i int) *GuestOrder {
	role := "slave"
	if i == 0 {
		role = "master"
	}
	o := &GuestOrder{
		Node:    i + 1,
		Work:    work,
		Address: subnet + strconv.Itoa(i+1) + "/24",
		IP:      order.IP,
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp",
			"LAB_NODE=" + strconv.Itoa(i+1), "LAB_ROLE=" + role,
			// Tests that set a clock run only where they are told that the kernel is theirs.
			"MEANTIME_UML=1", "MEANTIME_CONTRACT=write", "MEANTIME_LONG=" + os.Getenv("MEANTIME_LONG"),
		},
		Offset: order.Plan.Nodes[i].Offset,
		Limit:  hardLimit(&order.Plan),
		Faulty: order.Plan.Faults != "",
		Debian: order.Plan.Program == programDebian,
		Memory: []string{stateDir, driftFile},
	}
	for _, word := range order.Argv {
		o.Argv = append(o.Argv, strings.ReplaceAll(word, confPlaceholder, filepath.Join(guestDir(work, i+1), fileConf)))
	}
	return o
}

// has says that the guest has left this file.
func (g *guest) has(name string) bool { return exists(filepath.Join(g.dir, name)) }

// alive says why the guest is no longer there.
func (g *guest) alive() error {
	select {
	case <-g.done:
		return fmt.Errorf("the kernel of node %d has ended: %w\n%s", g.node, errors.New(g.cmd.ProcessState.String()), g.lastWords())
	default:
		return nil
	}
}

// await waits for a file of the guest.
func (g *guest) await(ctx context.Context, name string) error {
	for !g.has(name) {
		if err := g.alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %d is not up: %w\n%s", g.node, context.Cause(ctx), g.lastWords())
		case <-time.After(pollPeriod):
		}
	}
	return nil
}

// lastWords is the end of what the guest's kernel printed.
func (g *guest) lastWords() string {
	const lines = 15
	data, err := os.ReadFile(filepath.Join(g.dir, fileConsole))
	if err != nil {
		return err.Error()
	}
	list := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "  " + strings.Join(list[max(0, len(list)-lines):], "\n  ")
}

// onHostfs says that a path lies on the file system that shows the machine's files in a guest. Only user-mode Linux has it.
func onHostfs(path string) bool {
	const hostfsMagic = 0x00c0ffee // what statfs calls it
	var s syscall.Statfs_t
	err := syscall.Statfs(path, &s)
	return err == nil && int64(s.Type) == hostfsMagic
}

// inGuest says that this is the first process of a guest.
func inGuest() bool { return os.Getpid() == 1 && onHostfs("/") }

// guestMain is the first process of a guest. It never returns: a kernel whose first process ends panics.
func guestMain(dir string) {
	if !inGuest() {
		// What follows would mount over /tmp and power the machine off.
		fmt.Fprintln(os.Stderr, "lab: this is not a guest of the lab")
		os.Exit(exitUnable)
	}
	var order GuestOrder
	record := GuestRecord{}
	err := readJSON(filepath.Join(dir, fileGuest), &order)
	if err == nil {
		err = inhabit(&order)
	}
	if err == nil && order.Debian {
		err = becomeDebian(&order)
	}
	if err == nil {
		err = serve(dir, &order, &record)
	}
	powerOff(dir, &record, err)
}

// powerOff notes what a guest saw and ends it.
func powerOff(dir string, record *GuestRecord, err error) {
	if err != nil {
		fmt.Println("lab:", err) // on the console
		record.Error = err.Error()
	}
	if err := writeJSON(filepath.Join(dir, fileRecord), record); err != nil {
		fmt.Println("lab:", err)
	}
	syscall.Sync()
	fmt.Println("lab: power off:", syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
	select {}
}

// inhabit makes the bare kernel a place where a daemon can run.
func inhabit(order *GuestOrder) error {
	for _, m := range []struct{ what, where, kind string }{
		{"proc", "/proc", "proc"},
		{"sysfs", "/sys", "sysfs"},
		{"tmpfs", "/tmp", "tmpfs"},
		{"tmpfs", "/run", "tmpfs"},
	} {
		if err := syscall.Mount(m.what, m.where, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.where, err)
		}
	}
	// The run's directory under its own name, writable. It may lie below /tmp, which is new and empty here.
	if err := os.MkdirAll(order.Work, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("none", order.Work, "hostfs", 0, order.Work); err != nil {
		return fmt.Errorf("mounting %s: %w", order.Work, err)
	}
	if err := syscall.Sethostname([]byte("node" + strconv.Itoa(order.Node))); err != nil {
		return err
	}
	for _, line := range []string{
		"link set lo up",
		"address add " + order.Address + " broadcast + dev vec0",
		"link set vec0 up",
	} {
		if out, err := exec.Command(order.IP, strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return setWall(order.Wall, order.Hz, order.Offset)
}

// serve samples the guest's clocks, runs its program when told to start, does to it what the bed asks for, and ends it when told
// to stop.
func serve(dir string, order *GuestOrder, record *GuestRecord) (err error) {
	p := newProgram(dir, order)
	vitals, err := newNurse(filepath.Join(dir, fileVitals), &p.pid)
	if err != nil {
		return err
	}
	stopSampler := sampler(filepath.Join(dir, fileSamples), filepath.Join(dir, fileRing), vitals.look)
	defer func() { err = errors.Join(err, stopSampler(), vitals.close()) }()
	if err := p.preload(); err != nil {
		return err
	}
	if err := touch(filepath.Join(dir, fileReady)); err != nil {
		return err
	}
	deadline := time.Now().Add(order.Limit)
	if err := awaitFile(filepath.Join(order.Work, fileGo), pollPeriod, deadline, nil); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	err = attend(p, dir, record, deadline)
	during, err1 := readTimex()
	p.stop(record)
	after, err2 := readTimex()
	record.During, record.After = during, after
	return errors.Join(err, err1, err2)
}

// attend watches over the program until the bed says stop. Of a program that ended by itself it says so, and goes on: others may
// still run, and the clocks are watched to the end.
func attend(p *program, dir string, record *GuestRecord, deadline time.Time) error {
	period, errands := lazyPeriod, errands{dir: dir}
	if p.order.Faulty || p.order.Debian {
		period = deedPeriod
	}
	return awaitFile(filepath.Join(p.order.Work, fileStop), period, deadline, func() error {
		if p.early() && !record.Early {
			record.Early = true
			return touch(filepath.Join(dir, fileExited))
		}
		switch {
		case p.order.Faulty:
			return p.suffer()
		case p.order.Debian:
			return errands.run()
		}
		return nil
	})
}

// awaitFile waits for a file of the bed, looking for it once a period, and calls also each time that it is not there.
func awaitFile(path string, period time.Duration, deadline time.Time, also func() error) error {
	for !exists(path) {
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s in time", filepath.Base(path))
		}
		if also != nil {
			if err := also(); err != nil {
				return err
			}
		}
		time.Sleep(period)
	}
	return nil
}
