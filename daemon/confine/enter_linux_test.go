package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stageEnv tells this test binary that it is a child which confines itself, for good; its value is the test's folder.
const stageEnv = "MEANTIME_TEST_CONFINED"

// required tells whether the environment says that this kind of test must not be skipped.
func required(kind string) bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), kind)
}

// child runs this test again in a process of its own and reports what it says.
func child(t *testing.T, dir string, change func(*exec.Cmd)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), stageEnv+"="+dir)
	cmd.Dir = dir
	if change != nil {
		change(cmd)
	}
	out, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		if required("userns") || change == nil {
			t.Fatal(err)
		}
		t.Skipf("no user namespace here: %v", err)
	}
	t.Logf("inside:\n%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the child: %v", err)
	}
}

// places are the folders of a test: two that the plan names and one that it does not, and files in each.
func places(dir string) (read, write, other string) {
	return filepath.Join(dir, "read"), filepath.Join(dir, "write"), filepath.Join(dir, "other")
}

// What is in force after Enter, in every thread, is what the report says; what the plan names still works, and little else. It needs no
// privilege and takes any that there is.
func TestEnter(t *testing.T) {
	if dir := os.Getenv(stageEnv); dir != "" {
		entered(t, dir)
		return
	}
	dir := t.TempDir()
	for _, d := range []string{"read", "write", "other"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, d), 0o777), os.WriteFile(filepath.Join(dir, d, "file"), []byte(d), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	// The smallest file of a time zone: one type of local time, 3 h 25 min east, called LAN.
	zone := append([]byte("TZif"), make([]byte, 40)...)
	zone[39], zone[43] = 1, 4 // types, characters
	zone = append(zone, 0, 0, 0x30, 0x0c, 0, 0, 'L', 'A', 'N', 0)
	if err := os.WriteFile(filepath.Join(dir, "zone"), zone, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", filepath.Join(dir, "zone"))
	child(t, dir, nil)
}

func entered(t *testing.T, dir string) {
	read, write, other := places(dir)
	open, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	before := cost(t)
	release := crowd(8)
	defer release()
	r, err := Enter(Plan{Clock: true, Read: []string{read, "/proc/self", filepath.Join(dir, "missing")}, Write: []string{write}})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(r)
	t.Logf("%s; a system call takes %v, and took %v", text, cost(t), before)
	const filters = "2"
	for name, want := range map[string]string{"NoNewPrivs": "1", "CapInh": "", "CapAmb": "", "Seccomp": filters} {
		for id, got := range threads(t, name) {
			if want == "" {
				want = "0000000000000000"
			}
			if got != want && !(name == "Seccomp" && r.DeniedCalls == 0) {
				t.Errorf("thread %s: %s is %s, want %s", id, name, got, want)
			}
		}
	}
	for _, name := range []string{"CapEff", "CapPrm"} {
		for id, got := range threads(t, name) {
			if got != "0000000000000000" && got != "0000000002000000" {
				t.Errorf("thread %s: %s is %s", id, name, got)
			}
			if (got == "0000000002000000") != (r.Capabilities == "cap_sys_time") {
				t.Errorf("thread %s: %s is %s, the report says %q", id, name, got, r.Capabilities)
			}
		}
	}
	if !r.NoNewPrivs || r.CoreDumps {
		t.Errorf("%+v", r)
	}
	stillWorks(t, open, read, write)
	refusedFiles(t, r, read, write, other)
	refusedCalls(t, r)
	if name, east := time.Now().Zone(); name != "LAN" || east != 12300 {
		t.Errorf("the time zone is %s, %d s: its file was read too late", name, east)
	}
}

// cost is what the cheapest of many system calls takes, of the kind of which a node makes most.
func cost(t *testing.T) time.Duration {
	t.Helper()
	least := time.Hour
	for range 200 {
		var now unix.Timespec
		start := time.Now()
		for range 100 {
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now); err != nil {
				t.Fatal(err)
			}
		}
		least = min(least, time.Since(start)/100)
	}
	return least
}

// crowd makes threads that live until release: the restrictions must reach them, too.
func crowd(n int) (release func()) {
	var there sync.WaitGroup
	gone := make(chan struct{})
	for range n {
		there.Add(1)
		go func() {
			runtime.LockOSThread()
			there.Done()
			<-gone
		}()
	}
	there.Wait()
	return func() { close(gone) }
}

// threads are the values of one line of status, by thread.
func threads(t *testing.T, name string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	values := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, name+":"); found {
				values[file] = strings.TrimSpace(value)
			}
		}
	}
	if len(values) == 0 {
		t.Fatalf("no %s", name)
	}
	return values
}

// stillWorks does what a running node does.
func stillWorks(t *testing.T, open *net.UDPConn, read, write string) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(read, "file")); err != nil || string(b) != "read" {
		t.Errorf("reading: %q, %v", b, err)
	}
	f, err := os.CreateTemp(write, "new.*")
	if err != nil {
		t.Fatalf("writing: %v", err)
	}
	_, err = f.WriteString("new")
	err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(write, "file")))
	if b, err2 := os.ReadFile(filepath.Join(write, "file")); err != nil || err2 != nil || string(b) != "new" {
		t.Errorf("replacing: %q, %v, %v", b, err, err2)
	}
	if err := os.Truncate(filepath.Join(write, "file"), 0); err != nil {
		t.Error(err)
	}
	if all, err := net.Interfaces(); err != nil || len(all) == 0 {
		t.Errorf("interfaces: %v, %v", all, err)
	}
	if _, err := open.WriteTo([]byte("hello"), open.LocalAddr()); err != nil {
		t.Error(err)
	}
	_ = open.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, _, err := open.ReadFrom(make([]byte, 16)); n != 5 {
		t.Errorf("received %d bytes, %v", n, err)
	}
	more := crowd(50) // new threads can be made
	more()
	runtime.GC()
}

// refusedFiles opens what the plan does not name.
func refusedFiles(t *testing.T, r Report, read, write, other string) {
	t.Helper()
	if r.Landlock == 0 {
		if required("userns") {
			t.Errorf("MEANTIME_REQUIRE holds userns, but %v", r.Lacks)
		}
		t.Logf("files not tried: %v", r.Lacks)
		return
	}
	deny := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EXDEV) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, path := range []string{"/etc/passwd", "/etc/shadow", filepath.Join(other, "file"), "/dev/null"} {
		_, err := os.ReadFile(path)
		deny("reading "+path, err)
	}
	deny("writing where only reading is planned", os.WriteFile(filepath.Join(read, "file"), nil, 0o600))
	deny("making where only reading is planned", os.WriteFile(filepath.Join(read, "new"), nil, 0o600))
	deny("writing elsewhere", os.WriteFile(filepath.Join(other, "file"), nil, 0o600))
	deny("removing elsewhere", os.Remove(filepath.Join(other, "file")))
	deny("moving elsewhere", os.Rename(filepath.Join(write, "file"), filepath.Join(other, "file")))
	deny("a link", os.Symlink("/etc/shadow", filepath.Join(write, "link")))
	deny("a socket", unix.Mknod(filepath.Join(write, "socket"), unix.S_IFSOCK|0o600, 0))
	deny("a folder", os.Mkdir(filepath.Join(write, "folder"), 0o700))
}

// refusedCalls makes calls that start, look into or reach something else.
func refusedCalls(t *testing.T, r Report) {
	t.Helper()
	if r.DeniedCalls == 0 {
		if required("userns") {
			t.Errorf("MEANTIME_REQUIRE holds userns, but %v", r.Lacks)
		}
		t.Logf("calls not tried: %v", r.Lacks)
		return
	}
	eperm := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v", what, err)
		}
	}
	eperm("execve", syscall.Exec("/bin/true", []string{"true"}, nil))
	_, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
	eperm("fork and exec", err)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_PACKET} {
		_, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
		eperm(fmt.Sprintf("socket of family %d", family), err)
	}
	eperm("ptrace", unix.PtraceAttach(os.Getppid()))
	eperm("unshare", unix.Unshare(unix.CLONE_NEWUSER))
	eperm("mount", unix.Mount("none", "/", "tmpfs", 0, ""))
	eperm("chroot", unix.Chroot("."))
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
	eperm("io_uring", errno)
	_, _, errno = unix.Syscall(unix.SYS_BPF, 0, 0, 0)
	eperm("bpf", errno)
	_, _, errno = unix.Syscall(unix.SYS_CLONE3, 0, 0, 0)
	if errno != unix.ENOSYS {
		t.Errorf("clone3: %v", errno)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Max != 0 {
		t.Errorf("core dumps of %d bytes, %v", limit.Max, err)
	}
}
