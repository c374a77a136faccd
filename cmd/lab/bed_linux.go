package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// bootLimit is how long all guests together may take to come up: 1.5 s each when nothing else runs, ten of Debian, many times
	// that where other work wants the processors.
	bootLimit = 4 * time.Minute
	// endLimit is how long guests may take to stop their program and power off.
	endLimit = 15 * time.Second
	// pollPeriod is how often one side looks for a file of the other. It bounds how far the guests' starts differ.
	pollPeriod = 50 * time.Millisecond

	bridge = "br0"
)

// guestMemory is enough for a Go program and its kernel, and small enough for a dozen guests; a Debian wants more.
func guestMemory(program string) string {
	if program == programDebian {
		return "384M"
	}
	return "160M"
}

// bed is the LAN: it lives in a process of its own that is the first of new PID, mount and network namespaces. When
// that process ends, however it ends, the kernel removes all of it: guests, taps, bridge, mounts.
type bed struct {
	work   string
	order  Order
	record BedRecord
	guests []*guest
	ether  *sniffer
	agenda agenda
}

// bedMain is the bed's process.
func bedMain(work string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bed{work: work}
	if err := readJSON(filepath.Join(work, fileOrder), &b.order); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hardLimit(&b.order.Plan))
	defer cancel()
	if err := alone(); err != nil {
		return err
	}
	if err := b.check(ctx); err != nil {
		return err
	}
	if err := b.network(ctx); err != nil {
		return err
	}
	if err := b.boot(ctx); err != nil {
		return err
	}
	return b.watch(ctx)
}

// niceness is what the bed asks for, guests included: other work on the machine must not stand in the figures. The
// guests idle most of the time, so that little is taken from others.
const niceness = -10

// hardLimit is the time after which a run ends whatever happens.
func hardLimit(p *Plan) time.Duration { return bootLimit + p.For + endLimit + 15*time.Second }

// alone makes sure that this process is in namespaces of its own before it makes an interface or mounts anything.
func alone() error {
	if os.Getpid() != 1 {
		return errors.New("the bed is not the first process of a PID namespace")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			return fmt.Errorf("the bed's network namespace is not new: it has %s", i.Name)
		}
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	// The guests' kernels look themselves up in /proc, which must show this namespace.
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return prefer()
}

// prefer asks for more than an equal share of the processors, for the bed and all that it starts.
func prefer() error {
	// The whole process group: for a process alone the kernel would take the calling thread only.
	if err := syscall.Setpriority(syscall.PRIO_PGRP, 0, niceness); err != nil {
		return fmt.Errorf("setpriority: %w", err)
	}
	return preferSession(os.Getpid())
}

// preferSession does the same for the session of a process. Where the kernel shares out by session, niceness counts
// within a session only; the bed has one of its own, and every guest makes one.
func preferSession(pid int) error {
	path := filepath.Join("/proc", strconv.Itoa(pid), "autogroup")
	if !exists(path) {
		return nil
	}
	return os.WriteFile(path, []byte(strconv.Itoa(niceness)), 0)
}

// check makes sure that the counter can be trusted, and notes what the bed stands on.
func (b *bed) check(ctx context.Context) error {
	var err error
	b.record.CPUs, b.record.Skew, b.record.SkewBound, err = counterSkew()
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, b.order.UML, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", b.order.UML, err)
	}
	b.record.Kernel = strings.TrimSpace(string(version))
	return nil
}

// network makes the bridge and one tap per guest.
func (b *bed) network(ctx context.Context) error {
	lines := []string{
		"link set lo up",
		// No snooping: it takes a querier to work, and a bridge without one floods anyway.
		"link add " + bridge + " type bridge mcast_snooping 0 forward_delay 0",
		"link set " + bridge + " up",
	}
	for i := range b.order.Plan.Nodes {
		lines = append(lines,
			"tuntap add "+tap(i)+" mode tap",
			"link set "+tap(i)+" master "+bridge+" up")
	}
	for _, line := range lines {
		if out, err := exec.CommandContext(ctx, b.order.IP, strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// tap is the name of guest i's tap.
func tap(i int) string { return "tap" + strconv.Itoa(i) }

// boot starts all guests and waits until they are up.
func (b *bed) boot(ctx context.Context) error {
	hz, err := counterRate()
	if err != nil {
		return err
	}
	wall, err := readPair(clockRealtime, skewTries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	began := time.Now()
	for i := range b.order.Plan.Nodes {
		own := guestOrder(b.work, &b.order, i)
		own.Wall, own.Hz = wall, hz
		g, err := startGuest(b.work, &b.order, own, i)
		if err != nil {
			return err
		}
		b.guests = append(b.guests, g)
	}
	for _, g := range b.guests {
		if err := g.await(ctx, fileReady); err != nil {
			return err
		}
		if err := preferSession(g.cmd.Process.Pid); err != nil {
			return err
		}
	}
	b.record.Boot = time.Since(began)
	fmt.Fprintf(os.Stderr, "lab: %d kernels (Linux %s) up in %.1f s\n", len(b.guests), b.record.Kernel, b.record.Boot.Seconds())
	return nil
}

// startFirst starts a command with a claim on the processor before all ordinary work, which what it starts inherits.
func startFirst(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine, and its claim with it.
		runtime.LockOSThread()
		if err := goFirst(); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// goFirst gives this thread that claim, and what it starts.
func goFirst() error {
	const roundRobin = 2 // SCHED_RR
	priority := int32(1) // the lowest of these: above all ordinary work is enough
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, roundRobin, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		return fmt.Errorf("sched_setscheduler: %w", errno)
	}
	return nil
}

// watch starts the programs, samples the machine's clocks while they run, and stops them.
func (b *bed) watch(ctx context.Context) error {
	stopSampler := sampler(filepath.Join(b.work, fileHost), "", nil)
	var err error
	if b.ether, err = sniff(filepath.Join(b.work, filePackets), b.order.Plan.Program, len(b.guests)); err != nil {
		return err
	}
	b.agenda = agenda{count: len(b.guests), faults: b.order.Plan.faults()}
	// The guest that was up last is to have samples from before the start, too.
	time.Sleep(2 * samplePeriod)
	before, err := readCounters(len(b.guests))
	if err != nil {
		return err
	}
	began := time.Now()
	if b.record.Start, err = readStart(); err != nil {
		return err
	}
	// At once, too: who drives guests of Debian looks in before the end.
	if err := writeJSON(filepath.Join(b.work, fileBed), &b.record); err != nil {
		return err
	}
	if err := touch(filepath.Join(b.work, fileGo)); err != nil {
		return err
	}
	running := b.wait(ctx, began)
	b.record.Ran = time.Since(began)
	after, err := readCounters(len(b.guests))
	if err != nil {
		return err
	}
	if err := touch(filepath.Join(b.work, fileStop)); err != nil {
		return err
	}
	b.record.count(before, after)
	b.end(ctx)
	if err := errors.Join(running, b.ether.stop(), stopSampler()); err != nil {
		b.record.Interrupted = err.Error()
	}
	if err := writeJSON(filepath.Join(b.work, fileBed), &b.record); err != nil {
		return err
	}
	return running
}

// readStart reads the machine's clocks, sharply, and then the counter.
func readStart() (s Start, err error) {
	var err1, err2 error
	s.Wall, err1 = readPair(clockRealtime, skewTries)
	s.Raw, err2 = readPair(clockMonotonicRaw, skewTries)
	s.TSC = rdtsc()
	return s, errors.Join(err1, err2)
}

// wait waits out the run, and deals out its faults: its time, or until all programs have ended where they are to end by themselves.
func (b *bed) wait(ctx context.Context, began time.Time) error {
	limit := time.NewTimer(b.order.Plan.For)
	defer limit.Stop()
	ticks := time.NewTicker(pollPeriod)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the run was broken off: %w", context.Cause(ctx))
		case <-limit.C:
			if b.order.Plan.untilExit() {
				return fmt.Errorf("the program had not ended after %v", b.order.Plan.For)
			}
			return nil
		case <-ticks.C:
		}
		if exists(filepath.Join(b.work, fileStop)) {
			return nil // who drives the guests has seen enough
		}
		if err := b.deal(ctx, time.Since(began)); err != nil {
			return err
		}
		ended := 0
		for _, g := range b.guests {
			if err := g.alive(); err != nil {
				return err
			}
			if g.has(fileExited) {
				ended++
			}
		}
		if b.order.Plan.untilExit() && ended == len(b.guests) {
			return nil
		}
	}
}

// deal does what the agenda has for this moment, or asks the guests to.
func (b *bed) deal(ctx context.Context, now time.Duration) error {
	for _, d := range b.agenda.due(now, b.ether.master) {
		g := b.guests[d.Node-1]
		if d.Verb == verbCut || d.Verb == verbMend {
			line := "link set " + tap(d.Node-1) + " nomaster"
			if d.Verb == verbMend {
				line = "link set " + tap(d.Node-1) + " master " + bridge
			}
			d.TSC = rdtsc()
			if out, err := exec.CommandContext(ctx, b.order.IP, strings.Fields(line)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
			}
			b.record.Deeds = append(b.record.Deeds, d)
			continue
		}
		g.deeds++
		if err := publish(filepath.Join(g.dir, fileDeed+strconv.Itoa(g.deeds)), &d); err != nil {
			return err
		}
	}
	return nil
}

// end waits until the guests have powered off and kills those that do not.
func (b *bed) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	for i, g := range b.guests {
		select {
		case <-g.done:
			continue
		case <-ctx.Done():
		}
		b.record.CutShort = append(b.record.CutShort, i+1)
		_ = g.cmd.Process.Kill() // it fails only for one that has just ended
		<-g.done
	}
}

// touch makes an empty file.
func touch(path string) error { return os.WriteFile(path, nil, 0o644) }
