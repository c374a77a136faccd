package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
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

// The bed is a LAN on one machine: network namespaces as hosts, joined by veths to a bridge, with the real meantime in
// each, started as a user without any privilege. A test that enters the bed runs its own binary again as root of new
// user, network, mount and process namespaces. That takes no privilege, cannot touch the machine's network, and cannot
// set its clock: there the kernel refuses every clock write, even to user 0. When the test inside ends, in whatever way,
// the kernel ends every process in the bed.
//
// All clocks are virtual ones on the host's one oscillator, so their traces tell the true offsets.

const (
	// insideEnv tells the test binary that it runs in the namespaces; its value is the bed's folder.
	insideEnv = "MEANTIME_TEST_LAN"
	// nobody is whom the bed belongs to when the tests are run by root.
	nobody = 65534
	// startLimit is how long a command may take to end that refuses to start.
	startLimit = 2 * time.Second
	// stopLimit is how long a node may take to end when it is asked to.
	stopLimit = 3 * time.Second
)

// netnsRequired tells whether a test of the bed must not be skipped.
func netnsRequired() bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "netns")
}

// skipNetns skips a test that cannot be run here, or fails it where it is required.
func skipNetns(t *testing.T, format string, args ...any) {
	t.Helper()
	if netnsRequired() {
		t.Fatalf("MEANTIME_REQUIRE holds netns, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// takes skips a test that is too long for an ordinary run, unless it is required or named by -run. Every test of the bed is: what it runs
// is built as it is released, without C, which compiles net and all that uses it a second time.
func takes(t *testing.T, d time.Duration) {
	t.Helper()
	named := strings.Contains(flag.Lookup("test.run").Value.String(), t.Name())
	if !netnsRequired() && !named {
		t.Skipf("takes %v: run with MEANTIME_REQUIRE=netns", d)
	}
}

// built is the meantime binary, built once in a run of the tests.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "meantime-build-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "meantime")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// enter gives a test its bed. Outside the namespaces it runs the same test inside, reports, and returns nil: the
// test is done then. limit bounds the test inside.
func enter(t *testing.T, limit time.Duration) *bed {
	t.Helper()
	return enterThen(t, limit, func(string) {})
}

// enterThen is enter, and when the test inside has passed it looks at what that one left in its folder.
func enterThen(t *testing.T, limit time.Duration, then func(dir string)) *bed {
	t.Helper()
	if dir := os.Getenv(insideEnv); dir != "" {
		return newBed(t, dir)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		skipNetns(t, "the command ip (iproute2) is missing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit+10*time.Second)
	defer cancel()
	dir, uid, gid := bedFolder(t)
	cmd := inside(ctx, t, dir, uid, gid, limit)
	runtime.LockOSThread() // the parent whose death ends the child is this thread
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("not done within %v:\n%s", limit, out)
	}
	if _, started := errors.AsType[*exec.ExitError](err); err != nil && !started {
		skipNetns(t, "no user and network namespaces: %v", err)
	}
	t.Logf("inside:\n%s", out)
	switch {
	case err != nil:
		t.Error(err)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Skip("see above")
	default:
		then(filepath.Join(dir, "tmp"))
	}
	return nil
}

// bedFolder holds the binaries and whatever the test writes. The bed belongs to the returned user: whoever runs the test,
// but nobody in place of root, unless this root (a container's) knows no nobody.
func bedFolder(t *testing.T) (dir string, uid, gid int) {
	t.Helper()
	meantime, err := built()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err = os.MkdirTemp("", "meantime-lan-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tmp := filepath.Join(dir, "tmp")
	// What another test forks meanwhile would hold the files open for writing until it execs, and they would be busy.
	syscall.ForkLock.RLock()
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(tmp, 0o755),
		install(filepath.Join(dir, "meantime"), meantime),
		os.WriteFile(filepath.Join(dir, "lan.test"), self, 0o755))
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 && os.Chown(tmp, nobody, nobody) == nil {
		return dir, nobody, nobody
	}
	return dir, os.Getuid(), os.Getgid()
}

// install writes a program as a package's installer does, piece by piece. A kernel keeps a file that was written in one go in its cache in huge
// pages, each of which counts as resident as a whole.
func install(path string, program []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(program, 32<<10) {
		if _, err = f.Write(piece); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

// inside is the command that runs this test again in namespaces of its own.
func inside(ctx context.Context, t *testing.T, dir string, uid, gid int, limit time.Duration) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "lan.test"),
		"-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v", "-test.timeout="+limit.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), insideEnv+"="+dir, "TMPDIR="+filepath.Join(dir, "tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid != os.Getuid() { // become the one user that the namespace knows
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		cmd.SysProcAttr.Credential = &syscall.Credential{}
	}
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	return cmd
}

// bed is a LAN under test, seen from inside.
type bed struct {
	t     *testing.T
	dir   string
	hosts []*lanHost
}

// lanHost is a network namespace with an interface lan0 on the bridge.
type lanHost struct {
	bed  *bed
	name string
	port string // the bridge's end of the cable
	addr netip.Addr
	ns   *os.File
	uts  *os.File // where the host's name is
}

// newBed makes the bridge. It refuses to go on where it would be the machine's own root.
func newBed(t *testing.T, dir string) *bed {
	t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || len(strings.Fields(string(users))) != 3 || strings.Fields(string(users))[2] != "1" {
		t.Fatalf("not in a user namespace of one user, but in %q, error %v", users, err)
	}
	b := &bed{t: t, dir: dir}
	if err := ipCommands("link set lo up\n link add lan type bridge\n link set lan up"); err != nil {
		skipNetns(t, "no bridge in the namespaces: %v", err)
	}
	return b
}

// lan makes n hosts and joins them.
func (b *bed) lan(n int) []*lanHost {
	b.t.Helper()
	for range n {
		b.join()
	}
	return b.hosts
}

// join adds a host to the LAN.
func (b *bed) join() *lanHost {
	b.t.Helper()
	h := b.alone()
	h.plug()
	return h
}

// alone makes a host that has nothing but loopback.
func (b *bed) alone() *lanHost {
	b.t.Helper()
	n := len(b.hosts) + 1
	h := &lanHost{
		bed: b, name: fmt.Sprintf("host%d", n), port: fmt.Sprintf("port%d", n),
		addr: netip.AddrFrom4([4]byte{10, 99, 0, byte(n)}),
	}
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWUTS); err != nil {
			return
		}
		if err = unix.Sethostname([]byte(h.name)); err == nil {
			h.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			h.uts, err = os.Open("/proc/thread-self/ns/uts")
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _, _ = h.ns.Close(), h.uts.Close() })
	h.ip("link set lo up")
	b.hosts = append(b.hosts, h)
	return h
}

// onThread runs f on a thread that ends with it, and with it whatever f did to the thread.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		f()
	}()
	<-done
}

// ip runs ip commands, one a line, in the namespace of the bridge.
func (b *bed) ip(lines string, files ...*os.File) {
	b.t.Helper()
	if err := ipCommands(lines, files...); err != nil {
		b.t.Fatal(err)
	}
}

func ipCommands(lines string, files ...*os.File) error {
	for line := range strings.Lines(lines) {
		cmd := exec.Command("ip", strings.Fields(line)...)
		cmd.ExtraFiles = files
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w\n%s", strings.TrimSpace(line), err, out)
		}
	}
	return nil
}

// do runs f in the host's namespace. A socket stays in the namespace in which it was opened.
func (h *lanHost) do(f func() error) {
	h.bed.t.Helper()
	var err error
	onThread(func() {
		if err = unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err == nil {
			err = unix.Setns(int(h.uts.Fd()), unix.CLONE_NEWUTS)
		}
		if err == nil {
			err = f()
		}
	})
	if err != nil {
		h.bed.t.Fatalf("%s: %v", h.name, err)
	}
}

// ip runs ip commands, one a line, on the host.
func (h *lanHost) ip(lines string) {
	h.bed.t.Helper()
	h.do(func() error { return ipCommands(lines) })
}

// plug gives the host its interface lan0, new, with a cable to the bridge.
func (h *lanHost) plug() {
	h.bed.t.Helper()
	h.bed.ip(fmt.Sprintf(`link add %[1]s type veth peer name lan0 netns /proc/self/fd/3
		link set %[1]s master lan
		link set %[1]s up`, h.port), h.ns)
	h.ip(fmt.Sprintf("addr add %s/24 brd + dev lan0\n link set lan0 up", h.addr))
}

// annex makes a second bridge, with a cable to the first one.
func (b *bed) annex() {
	b.t.Helper()
	b.ip(`link add lan2 type bridge
		link set lan2 up
		link add trunk1 type veth peer name trunk2
		link set trunk1 master lan
		link set trunk2 master lan2
		link set trunk2 up
		link set trunk1 up`)
}

// replug moves the host's cable to a bridge.
func (h *lanHost) replug(bridge string) {
	h.bed.t.Helper()
	h.bed.ip(fmt.Sprintf("link set %s master %s", h.port, bridge))
}

// unplug takes the interface away altogether.
func (h *lanHost) unplug() {
	h.bed.t.Helper()
	h.ip("link del lan0")
}

// process is a meantime process on a host.
type process struct {
	host  *lanHost
	trace string // file
	log   string // file: what it wrote, standard output and standard error
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of its end
}

// meantime starts the program on the host with these arguments, without any privilege.
func (h *lanHost) meantime(args ...string) *process {
	h.bed.t.Helper()
	return h.program(filepath.Join(h.bed.dir, "meantime"), args...)
}

// program starts any program in the same way.
func (h *lanHost) program(path string, args ...string) *process {
	t := h.bed.t
	t.Helper()
	dir := t.TempDir()
	p := &process{host: h, trace: filepath.Join(dir, "trace"), log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	h.do(func() error {
		if err := dropCapabilities(); err != nil {
			return err
		}
		return p.cmd.Start()
	})
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.ended })
	return p
}

// dropCapabilities takes from this thread what its children could inherit: root of the namespaces is nobody in them then.
func dropCapabilities() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last one
			return nil
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
}

// run starts a node of a dry run. config is its configuration file's text.
func (h *lanHost) run(config string, args ...string) *process {
	h.bed.t.Helper()
	file := filepath.Join(h.bed.t.TempDir(), "meantime.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		h.bed.t.Fatal(err)
	}
	return h.meantime(append([]string{"run", "--config", file, "--dry-run", "--trace", "trace", "--log-format", "json",
		"--log-level", "debug"}, args...)...)
}

// alive tells whether the process runs still.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// wait waits for the process to end by itself and gives its exit code; −1 if it had to be killed.
func (p *process) wait(limit time.Duration) int {
	select {
	case <-p.ended:
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.cmd.ProcessState.ExitCode()
}

// stopAll asks processes to end, as a service manager does, and sees that they do.
func stopAll(t *testing.T, nodes ...*process) {
	t.Helper()
	for _, n := range nodes {
		if !n.alive() {
			t.Errorf("%s: meantime ended too early: %v\n%s", n.host.name, n.err, n.text())
			return
		}
	}
	for _, n := range nodes {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range nodes {
		if code := n.wait(stopLimit); code != exitOK {
			t.Errorf("%s: exit code %d after SIGTERM\n%s", n.host.name, code, n.text())
		}
	}
}

// text is what the process has written so far.
func (p *process) text() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.host.bed.t.Error(err)
	}
	return string(b)
}

// logEntry is a line of a node's log.
type logEntry struct {
	Level, Msg   string
	KernelStamps bool `json:"kernel_stamps"`
	Reason       string
	ID           string
	Count        int
}

// entries are the lines of the log so far whose message is msg.
func (p *process) entries(msg string) (list []logEntry) {
	dec := json.NewDecoder(strings.NewReader(p.text()))
	for {
		var e logEntry
		if err := dec.Decode(&e); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) { // a line may be half written
				p.host.bed.t.Errorf("%s: log: %v\n%s", p.host.name, err, p.text())
			}
			return list
		}
		if e.Msg == msg {
			list = append(list, e)
		}
	}
}

// says waits until the log holds at least count lines with this message.
func (p *process) says(msg string, count int, limit time.Duration) {
	t := p.host.bed.t
	t.Helper()
	begin := time.Now()
	for len(p.entries(msg)) < count {
		if time.Since(begin) > limit || !p.alive() {
			t.Fatalf("%s: no %d × %q within %v\n%s", p.host.name, count, msg, limit, p.text())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
