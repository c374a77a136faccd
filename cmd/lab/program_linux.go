package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deedPeriod is how often a guest looks for what is to be done to it; it bounds how late a deed comes. Its true time is noted.
const deedPeriod = 100 * time.Millisecond

// setPatience is how long an operator waits for what comes of setting the time: a little longer than the command does itself.
const setPatience = 12 * time.Second

// program is what runs in a guest; without a command it is nothing that never ends.
type program struct {
	dir   string
	order *GuestOrder
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	pid   atomic.Int32  // 0 while it is down
	down  bool          // a deed has ended it
	deeds []Deed        // that were done
}

// newProgram is the guest's program, not started yet.
func newProgram(dir string, order *GuestOrder) *program {
	return &program{dir: dir, order: order, done: make(chan struct{})}
}

// preload reads the program into this kernel's memory, so that a start does not wait for the machine's files: page by page, that took
// a guest seconds, and one guest other seconds than the next.
func (p *program) preload() error {
	if len(p.order.Argv) == 0 {
		return nil
	}
	f, err := os.Open(p.order.Argv[0])
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// start starts the guest's program, its output behind what is in its file.
func (p *program) start() error {
	p.done, p.down = make(chan struct{}), false
	if len(p.order.Argv) == 0 {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(p.dir, fileLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, done := exec.Command(p.order.Argv[0], p.order.Argv[1:]...), p.done
	cmd.Env, cmd.Dir = p.order.Env, p.dir
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd = cmd
	p.pid.Store(int32(cmd.Process.Pid))
	go func() {
		_ = cmd.Wait() // its state is looked at when it is stopped
		close(done)
	}()
	return nil
}

// ended says that the program has ended.
func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// early says that the program has ended though nobody wanted it.
func (p *program) early() bool { return p.ended() && !p.down }

// signal sends a signal and, if it is to end the program, waits for that.
func (p *program) signal(s syscall.Signal, deadly bool) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	if !deadly {
		return nil
	}
	p.down = true
	p.pid.Store(0)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopGrace):
		return fmt.Errorf("still there %v after %v", stopGrace, s)
	}
}

// stop ends the program, by force if need be, and notes how it ended.
func (p *program) stop(record *GuestRecord) {
	record.Deeds, record.Down = p.deeds, p.down
	if p.cmd == nil || p.down {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it fails only for one that has ended
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may be frozen
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		record.Killed = true
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		record.Exit = signalled + int(status.Signal())
		return
	}
	record.Exit = p.cmd.ProcessState.ExitCode()
}

// suffer does what the bed asks for, in the order of the numbers, as long as there is something.
func (p *program) suffer() error {
	for {
		path := filepath.Join(p.dir, fileDeed+strconv.Itoa(len(p.deeds)+1))
		if !exists(path) {
			return nil
		}
		var d Deed
		if err := readJSON(path, &d); err != nil {
			return err
		}
		d.TSC = rdtsc()
		if err := p.do(&d); err != nil {
			d.Error = err.Error()
		}
		p.deeds = append(p.deeds, d)
	}
}

// do does one deed.
func (p *program) do(d *Deed) error {
	if p.cmd == nil && d.Verb != verbStep {
		return errors.New("there is no program")
	}
	switch d.Verb {
	case verbKill:
		return p.signal(syscall.SIGKILL, true)
	case verbStop:
		return p.signal(syscall.SIGTERM, true)
	case verbWipe:
		err := p.signal(syscall.SIGKILL, true)
		for _, path := range p.order.Memory {
			err = errors.Join(err, os.RemoveAll(path))
		}
		return err
	case verbPower:
		return errors.Join(p.signal(syscall.SIGKILL, true), forgetClock(), stepClock(d.Amount), forgetBoot(d.TSC))
	case verbStart:
		if !p.ended() {
			return errors.New("it is running")
		}
		return p.start()
	case verbFreeze:
		return p.signal(syscall.SIGSTOP, false)
	case verbThaw:
		return p.signal(syscall.SIGCONT, false)
	case verbStep:
		return stepClock(d.Amount)
	case verbSet:
		return p.setTime(d)
	}
	return fmt.Errorf("no such deed: %s", d.Verb)
}

// setTime is an operator who has the daemon set the time of the LAN, and notes how long he is told that it takes.
func (p *program) setTime(d *Deed) error {
	ctx, cancel := context.WithTimeout(context.Background(), setPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.order.Argv[0], "set-time", "--by", d.Amount.String(), "--socket", controlSocket, "--json")
	var told, complaint bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = p.order.Env, &told, &complaint
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("meantime set-time: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	var answer struct {
		Begins float64 `json:"begins_s"`
		Takes  float64 `json:"takes_s"`
	}
	if err := json.Unmarshal(told.Bytes(), &answer); err != nil {
		return fmt.Errorf("meantime set-time: %w: %s", err, told.Bytes())
	}
	d.Told = time.Since(began) + time.Duration((answer.Begins+answer.Takes)*1e9)
	return nil
}

// stepClock sets this kernel's wall clock off by an amount, with the call that date -s makes.
func stepClock(by time.Duration) error {
	if !inGuest() {
		return errors.New("this is not a guest of the lab: its clock is left alone")
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("clock_gettime: %w", err)
	}
	to := unix.NsecToTimespec(now.Nano() + int64(by))
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &to); err != nil {
		return fmt.Errorf("clock_settime: %w", err)
	}
	return nil
}

// forgetClock leaves this kernel's clock as a boot does: free, at its nominal rate, unsynchronised.
func forgetClock() error {
	if !inGuest() {
		return errors.New("this is not a guest of the lab: its clock is left alone")
	}
	const nominalTick = 10_000 // µs: a guest counts 100 ticks a second
	// The PLL first, for it would take an offset that is left along; what remains is written without it.
	for _, t := range []unix.Timex{
		{Modes: unix.ADJ_STATUS | unix.ADJ_OFFSET | unix.ADJ_NANO, Status: unix.STA_PLL | unix.STA_FREQHOLD},
		{
			Modes: unix.ADJ_STATUS | unix.ADJ_FREQUENCY | unix.ADJ_TICK | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR |
				unix.ADJ_TIMECONST | unix.ADJ_MICRO,
			Status: unix.STA_UNSYNC, Tick: nominalTick, Maxerror: 16_000_000, Esterror: 16_000_000, Constant: 2,
		},
	} {
		if _, err := unix.Adjtimex(&t); err != nil {
			return fmt.Errorf("adjtimex: %w", err)
		}
	}
	return nil
}

// forgetBoot gives this kernel another boot id, by which a daemon knows whether the system was booted since.
func forgetBoot(number int64) error {
	const path = "/proc/sys/kernel/random/boot_id"
	other := filepath.Join("/run", "boot_id"+strconv.FormatInt(number, 10))
	if err := os.WriteFile(other, fmt.Appendf(nil, "5252c0de-0000-4000-8000-%012x\n", number&(1<<48-1)), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(other, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting over %s: %w", path, err)
	}
	return nil
}
