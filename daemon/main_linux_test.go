package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meantime/configs"
	"meantime/daemon/confine"
	"meantime/sysclock"
)

const (
	// insideMainEnv tells the test binary that it runs in the namespaces of TestMainDescends; its value is the test's folder.
	insideMainEnv = "MEANTIME_TEST_MAIN"
	// daemonID is the service's user in there.
	daemonID = 1000
	// notifySocket is a service manager's, in the test's folder.
	notifySocket = "notify"
)

// TestMainDescends runs Main as root of a user namespace that knows one more user, on the real clock, which the kernel does not let root
// of such a namespace set. It must become that user, with the one capability, find its folders open to it, and fail no sooner than
// at the clock. Then it runs dry, on loopback, confined as an installed daemon is.
func TestMainDescends(t *testing.T) {
	if dir := os.Getenv(insideMainEnv); dir != "" {
		inMain(t, dir)
		return
	}
	t.Parallel()
	if os.Getuid() != 0 {
		skip(t, "userns", "needs root, who may give a namespace two users")
	}
	dir, cmd := mainChild(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, notifySocket)})
	if err == nil {
		err = os.Chmod(filepath.Join(dir, notifySocket), 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	log, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		skip(t, "userns", "no user namespace here: %v", err)
	}
	if err != nil || !bytes.Contains(log, []byte("--- PASS: TestMainDescends")) {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Logf("inside:\n%s", log)
	for _, want := range []string{
		`level=INFO msg="going on as another user" user=meantime uid=1000 gid=1000`,
		"level=INFO msg=confined capabilities=none no_new_privileges=true core_dumps=false landlock=",
	} {
		if !bytes.Contains(log, []byte(want)) {
			t.Errorf("the log does not say %s", want)
		}
	}
	// By a socket that was open before it was confined; the end alone proves that, however slow this machine is.
	told := strings.Join(heardBy(t, manager, "STOPPING=1\nSTATUS=stopping"), "; ")
	if !regexp.MustCompile(`^READY=1(; WATCHDOG=1(\nSTATUS=[a-z]+.*)?)*$`).MatchString(told) {
		t.Errorf("the service manager was told %q", told)
	}
	err = filepath.WalkDir(filepath.Join(dir, "state"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 || info.Sys().(*syscall.Stat_t).Uid != hostID(daemonID) {
			t.Errorf("%s is %v of user %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		}
		if !e.IsDir() && e.Name() != "trace" && !ours(e.Name()) {
			t.Errorf("%s is not among the files that are handed over at the next start", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// hostID is how this machine calls a user of the namespace: nobody and the one before.
func hostID(id int) uint32 {
	const nobody = 65534
	if id == 0 {
		return nobody
	}
	return nobody - 1
}

// mainChild is this test in its namespaces.
func mainChild(t *testing.T) (dir string, cmd *exec.Cmd) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = os.MkdirTemp("", "meantime-main-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	state := filepath.Join(dir, "state")
	syscall.ForkLock.RLock()                                        // whoever is forked meanwhile would keep the program busy
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(state, 0o755), // as root made it when it ran without a user
		os.WriteFile(filepath.Join(state, idFile), []byte("00c0ffee00c0ffee\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "passwd"), []byte("root:x:0:0:::\nmeantime:x:1000:1000:::\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "daemon.test"), self, 0o755),
		os.Mkdir(filepath.Join(dir, "closed"), 0o700),
		os.Rename(filepath.Join(dir, "daemon.test"), filepath.Join(dir, "closed", "daemon.test")), // as in root's own folder
	)
	syscall.ForkLock.RUnlock()
	for _, path := range []string{state, filepath.Join(state, idFile), filepath.Join(dir, "closed")} {
		err = errors.Join(err, os.Chown(path, int(hostID(0)), int(hostID(0))))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(filepath.Join(dir, "closed", "daemon.test"), "-test.run=^TestMainDescends$", "-test.count=1", "-test.v", "-test.timeout=60s")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), insideMainEnv+"="+dir)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(hostID(0)), Size: 1}, {ContainerID: daemonID, HostID: int(hostID(daemonID)), Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings:                ids,
		GidMappings:                ids,
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{},
	}
	return dir, cmd
}

// inMain runs Main on the real clock, at first as root and then as the user that it went on as.
func inMain(t *testing.T, dir string) {
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || len(strings.Fields(string(users))) != 6 {
		t.Fatalf("refused to run: not in a user namespace of two users: %q, %v", users, err)
	}
	log := NewLogger(os.Stdout, configs.Default().Log)
	cfg := configs.Default()
	cfg.Insecure, cfg.StateDir, cfg.Interfaces = true, filepath.Join(dir, "state"), []string{"lo"}
	if os.Getuid() == 0 {
		for what, f := range map[string]func() error{
			"/run of its own": func() error { return unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755") },
			"list of users":   func() error { return unix.Mount(filepath.Join(dir, "passwd"), "/etc/passwd", "", unix.MS_BIND, "") },
			"loopback":        loopbackUp,
		} {
			if err := f(); err != nil {
				t.Fatalf("refused to run: no %s: %v", what, err)
			}
		}
		unix.Umask(0)
		t.Fatal(Main(t.Context(), cfg, log, func() {})) // does not return, but starts this again
	}
	want := map[string]string{"Uid": "1000\t1000\t1000\t1000", "Gid": "1000\t1000\t1000\t1000", "Groups": "", "NoNewPrivs": "1"}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		want[set] = "0000000002000000" // CAP_SYS_TIME, as the unit has it
	}
	holds(t, want)
	if err := Main(t.Context(), cfg, log, func() {}); !errors.Is(err, sysclock.ErrPermission) || !strings.Contains(err.Error(), "adjtimex") {
		t.Errorf("Main gave %v", err)
	}
	open := cfg
	open.Confine = false
	if _, err := unix.PrctlRetInt(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Error(err)
	}
	runsDry(t, open, log, 100*time.Millisecond)
	if dump, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); dump != 0 || err != nil {
		t.Errorf("not confined, its memory can be dumped: %d, %v", dump, err)
	}
	holds(t, map[string]string{"Seccomp": "0", "CapEff": want["CapEff"]})
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, notifySocket))
	runsDry(t, cfg, log, 3500*time.Millisecond)
	var sets [2]unix.CapUserData // /proc is closed to a dry run
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil || sets != [2]unix.CapUserData{} {
		t.Errorf("capabilities after a dry run: %+v, %v", sets, err)
	}
	if _, err := syscall.ForkExec("/bin/true", []string{"true"}, nil); !errors.Is(err, unix.EPERM) {
		t.Errorf("a program started: %v", err)
	}
}

// runsDry founds a LAN of one on loopback, if it has the time.
func runsDry(t *testing.T, cfg configs.Config, log *slog.Logger, takes time.Duration) {
	t.Helper()
	cfg.DryRun, cfg.Role, cfg.FoundWait, cfg.Trace = true, configs.RoleMaster, time.Second, filepath.Join(cfg.StateDir, "trace")
	cfg.Poll = 250 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), takes)
	defer cancel()
	if err := Main(ctx, cfg, log, func() {}); err != nil {
		t.Errorf("dry: %v", err)
	}
}

// TestAccount: that there is no such user is one answer, that nobody could tell is another, and root is no user to go on as.
func TestAccount(t *testing.T) {
	unreadable := &fs.PathError{Op: "open", Path: "/etc/passwd", Err: syscall.EMFILE}
	for name, tt := range map[string]struct {
		found   *user.User
		err     error
		unknown bool
		says    string
	}{
		"known":      {found: &user.User{Uid: "1000", Gid: "1001"}},
		"unknown":    {err: user.UnknownUserError("unknown"), unknown: true, says: "--user"},
		"unreadable": {err: unreadable, says: `user: ""`},
		"root":       {found: &user.User{Uid: "0", Gid: "0"}, says: `user: ""`},
		"odd":        {found: &user.User{Uid: "S-1-5"}, says: "the id of user odd"},
	} {
		uid, gid, err := account(name, func(string) (*user.User, error) { return tt.found, tt.err })
		if tt.says == "" {
			if uid != 1000 || gid != 1001 || err != nil {
				t.Errorf("%s: %d:%d, %v", name, uid, gid, err)
			}
			continue
		}
		_, unknown := errors.AsType[user.UnknownUserError](err)
		if !errors.Is(err, confine.ErrAccount) || !strings.Contains(err.Error(), tt.says) || unknown != tt.unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnknownUser: root stays root only where the usual user is known not to exist.
func TestUnknownUser(t *testing.T) {
	for name, staying := range map[string]bool{configs.Default().User: true, "no-such-user": false, "root": false} {
		if _, err := user.Lookup(name); err == nil && staying {
			continue // this host has the account: to go on as it would end the test
		}
		cfg, j := configs.Default(), &journal{}
		cfg.User = name
		err := goOnAs(cfg, slog.New(j))
		if (err == nil) != staying || staying != (len(j.find("staying root")) == 1) {
			t.Errorf("%s: %v, warned %q", name, err, j.warnings())
		}
	}
}

// holds compares lines of this process' status.
func holds(t *testing.T, want map[string]string) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if w, ok := want[name]; ok && strings.TrimSpace(value) != w {
			t.Errorf("%s is %q, want %q", name, strings.TrimSpace(value), w)
		}
	}
}

// loopbackUp brings lo up, which a new namespace has down.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
