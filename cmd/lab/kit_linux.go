package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Stages of the lab's own binary, asked for by the environment: the bed in its namespaces, init of a guest, a service in
// a guest of Debian, and the LAN of a load. The value is the directory to work in.
const (
	stageBed   = "MEANTIME_LAB_BED"
	stageGuest = "MEANTIME_LAB_GUEST"
	stageAgent = "MEANTIME_LAB_AGENT"
	stageLoad  = "MEANTIME_LAB_LOAD"
)

// confPlaceholder stands in a program's command for the path of the guest's configuration.
const confPlaceholder = "{conf}"

// killDelay is how long the bed may take to end after it was told to.
const killDelay = 5 * time.Second

//go:embed preload.c
var preloadSource []byte

// runStage does the work of a stage when this process is one.
func runStage() (code int, ok bool) {
	if dir := os.Getenv(stageGuest); dir != "" {
		guestMain(dir)
	}
	if dir := os.Getenv(stageAgent); dir != "" {
		agentMain(dir)
	}
	for stage, main := range map[string]func(string) error{stageBed: bedMain, stageLoad: loadMain} {
		dir := os.Getenv(stage)
		if dir == "" {
			continue
		}
		if err := main(dir); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			return exitUnable, true
		}
		return 0, true
	}
	return 0, false
}

// run carries out a plan and reports on it. Everything it makes is gone when it returns.
func run(ctx context.Context, plan Plan, out, progress io.Writer) (*Result, error) {
	if missing := missing(plan.Program); len(missing) != 0 {
		return nil, errors.New("cannot run here:\n  " + strings.Join(missing, "\n  "))
	}
	work, err := newWork()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if strings.ContainsAny(work, " \t,") {
		return nil, fmt.Errorf("%q: a kernel's command line cannot hold this path: set TMPDIR to one without spaces and commas", work)
	}
	return runIn(ctx, work, plan, out, progress)
}

// runIn is run in a directory that is there.
func runIn(ctx context.Context, work string, plan Plan, out, progress io.Writer) (*Result, error) {
	if err := prepare(ctx, plan, work); err != nil {
		return nil, err
	}
	ran := spawnBed(ctx, stageBed, work, hardLimit(&plan)+killDelay, progress)
	result, err := analyse(work)
	if ran != nil {
		// What the bed said of itself comes first: without it the analysis misses this file and that.
		result, err = nil, ran
	}
	if plan.untilExit() && ran == nil {
		err = errors.Join(err, printLog(work, out))
	}
	return result, errors.Join(err, keep(work, plan.Keep, result))
}

// newWork makes the directory of a run, and removes those of runs that were killed: the kernel cleans up all else after
// these, but no files. A living run holds its lock.
func newWork() (string, error) {
	const pattern = "meantime-lab-"
	old, err := filepath.Glob(filepath.Join(os.TempDir(), pattern+"*", fileLock))
	if err != nil {
		return "", err
	}
	for _, path := range old {
		if lock, err := lock(path, 0); err == nil {
			err = os.RemoveAll(filepath.Dir(path))
			lock.Close()
			if err != nil {
				return "", err
			}
		}
	}
	work, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(work, 0o755); err != nil { // a daemon in a guest may become somebody else, and reads its configuration here
		return "", errors.Join(err, os.RemoveAll(work))
	}
	// Not closed: the lock lasts as long as this process.
	if heldLock, err = lock(filepath.Join(work, fileLock), os.O_CREATE); err != nil {
		return "", errors.Join(err, os.RemoveAll(work))
	}
	return work, nil
}

// heldLock keeps the lock of the run in hand from being collected and so closed.
var heldLock *os.File

// lock opens a file and takes its lock, or fails at once where another process holds it.
func lock(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// missing lists what a run of the programs needs and this machine does not have, each with its remedy.
func missing(programs ...string) []string {
	var list []string
	if !haveTSC {
		list = append(list, "a processor with a time stamp counter: the lab knows only amd64, this is "+runtime.GOARCH)
	}
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err == nil && haveTSC {
		for _, flag := range []string{"constant_tsc", "nonstop_tsc"} {
			if !strings.Contains(string(cpu), " "+flag) {
				list = append(list, "a steady time stamp counter: /proc/cpuinfo does not show "+flag)
			}
		}
	}
	if os.Geteuid() != 0 {
		list = append(list, "root: it makes network namespaces and taps")
	}
	tools := []struct{ name, remedy string }{
		{"linux.uml", "apt-get install user-mode-linux"},
		{"gcc", "apt-get install gcc libc6-dev"},
		{"ip", "apt-get install iproute2"},
		{"go", "https://go.dev/dl"},
	}
	if slices.ContainsFunc(programs, isChrony) {
		tools = append(tools, struct{ name, remedy string }{"chronyd",
			"apt-get install chrony, and keep its service from this machine's clock: systemctl mask chrony before, or a policy-rc.d that denies"})
	}
	if slices.Contains(programs, programDebian) {
		tools = append(tools, struct{ name, remedy string }{"mmdebstrap", "apt-get install mmdebstrap"},
			struct{ name, remedy string }{"mke2fs", "apt-get install e2fsprogs"})
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool.name); err != nil {
			list = append(list, tool.name+": "+tool.remedy)
		}
	}
	if !exists("/dev/net/tun") {
		list = append(list, "/dev/net/tun: modprobe tun")
	}
	return list
}

// prepare fills the run's directory: the bent clock, the lab's own binary, the program, the order.
func prepare(ctx context.Context, plan Plan, work string) error {
	source := filepath.Join(work, "preload.c")
	if err := os.WriteFile(source, preloadSource, 0o644); err != nil {
		return err
	}
	gcc := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
		"-o", filepath.Join(work, filePreload), source, "-ldl")
	if out, err := gcc.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc (with libc6-dev?): %w\n%s", err, out)
	}
	if err := buildGo(ctx, "build", "-o", filepath.Join(work, fileLab), "./cmd/lab"); err != nil {
		return err
	}
	if plan.Program == programDebian {
		if err := makeDisk(ctx, filepath.Join(work, fileDisk)); err != nil {
			return err
		}
	}
	order := Order{Plan: plan}
	var err1, err2, err3 error
	order.Argv, err1 = buildProgram(ctx, plan, filepath.Join(work, fileProgram))
	order.UML, err2 = exec.LookPath("linux.uml")
	order.IP, err3 = exec.LookPath("ip")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if err := checkConf(ctx, &plan, order.Argv, filepath.Join(work, fileConf)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(work, fileOrder), &order)
}

// checkConf lets the daemon look at its configuration before any kernel is booted for it. A rival runs in guests only.
func checkConf(ctx context.Context, plan *Plan, argv []string, path string) error {
	if !isMeantime(plan.Program) {
		return nil
	}
	for node := 1; node <= plan.Count; node++ {
		if err := os.WriteFile(path, []byte(daemonConf(plan, node)), 0o644); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, argv[0], "config", "check", "--config", path).CombinedOutput(); err != nil {
			return fmt.Errorf("--program %s, node %d: %w\n%s", plan.Program, node, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// buildProgram builds what the guests are to run and returns its command.
func buildProgram(ctx context.Context, plan Plan, path string) ([]string, error) {
	switch plan.Program {
	case programMeantime, programPhase:
		return []string{path, "run", "--config", confPlaceholder}, buildGo(ctx, "build", "-o", path, "./cmd/meantime")
	case programChrony, programOrphan:
		chronyd, err := exec.LookPath("chronyd")
		// In the foreground, its log on stderr; as root, for there is nobody else in a guest.
		return []string{chronyd, "-d", "-u", "root", "-f", confPlaceholder}, err
	case programSysclock:
		return []string{path, "-test.run", "Kernel|ContractReal", "-test.v"},
			buildGo(ctx, "test", "-c", "-o", path, "./sysclock")
	case programExec:
		// Copied, because most of the machine's writable places look different in a guest.
		source, err := exec.LookPath(plan.Command[0])
		if err != nil {
			return nil, err
		}
		return append([]string{path}, plan.Command[1:]...), copyFile(path, source, 0o755)
	}
	return nil, nil
}

// buildGo runs the go tool in the root of this module. Without cgo the result is static and the same everywhere.
func buildGo(ctx context.Context, args ...string) error {
	mod, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	path, root, _ := strings.Cut(strings.TrimSpace(string(mod)), " ")
	if path != "meantime" {
		return fmt.Errorf("run the lab inside its repository: this is module %q", path)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	// Asked, not killed, to break off: it has a directory to clean up and compilers to wait for.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killDelay
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// spawnBed runs a stage that is a bed to its end, at most for limit.
func spawnBed(ctx context.Context, stage, work string, limit time.Duration, progress io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(work, fileLab))
	cmd.Env = append(os.Environ(), stage+"="+work)
	cmd.Stdout, cmd.Stderr = progress, progress
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Setsid:     true, // an interrupt from the keyboard reaches the bed through the lab, in order
		Pdeathsig:  syscall.SIGKILL,
	}
	// The kernel takes the thread that started the bed for its parent: when that ends, so does the bed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the run was broken off: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("the bed broke: %w", err)
	}
	return nil
}

// printLog prints what the programs printed.
func printLog(work string, out io.Writer) error {
	logs, err := filepath.Glob(filepath.Join(work, "g*", fileLog))
	if err != nil {
		return err
	}
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// keep copies the evidence of a run to dir, and what was concluded from it.
func keep(work, dir string, result *Result) error {
	if dir == "" {
		return nil
	}
	var files []string
	for _, pattern := range []string{fileOrder, fileBed, fileHost, filePackets, "g*/*"} {
		found, err := filepath.Glob(filepath.Join(work, pattern))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	for _, path := range files {
		name, err := filepath.Rel(work, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(to, path, 0o644)); err != nil {
			return err
		}
	}
	if result == nil {
		return nil
	}
	return errors.Join(
		writeJSON(filepath.Join(dir, fileResult), result),
		os.WriteFile(filepath.Join(dir, fileTimeline), result.csv(), 0o644))
}

// copyFile copies a file's content into a new one.
func copyFile(to, from string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}
