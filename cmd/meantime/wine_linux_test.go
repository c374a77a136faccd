package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The wine bed runs the Windows binary on one host of the LAN bed. wine is not Windows: its clock calls set nothing and its service
// manager knows no accounts, so what is shown here is that the program runs, talks and answers, and what it tells the system.
//
// Go's binaries need two things that wine 8 lacks, which are for tests only: ProcessPrng, which a library of a few lines has, and
// SIO_UDP_NETRESET, whose refusal package net takes for an error.

const (
	// wineEnv names the folder with what was built for wine.
	wineEnv = "MEANTIME_TEST_WINE"
	// wineLoader and wineServer are where Debian keeps them.
	wineLoader, wineServer = "/usr/lib/wine/wine64", "/usr/lib/wine/wineserver"
	// wineCommand is how long a command may take.
	wineCommand = 40 * time.Second
)

const prngSource = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, size); }
`

// buildForWine builds what the bed needs into a folder that anybody may read.
func buildForWine(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "meantime-wine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
		return out
	}
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	original := filepath.Join(strings.TrimSpace(string(run("go", "env", "GOROOT"))), "src", "net", "fd_windows.go")
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	ioctl := regexp.MustCompile(`(?s)(SIO_UDP_NETRESET,[^\n]*\n\s*if err != nil) \{`)
	if len(ioctl.FindAll(text, -1)) != 1 {
		t.Fatalf("%s is not as it was known: look whether wine needs the change still", original)
	}
	changed := write("fd_windows.go", ioctl.ReplaceAll(text, []byte("$1 && err != syscall.Errno(10045) {")))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	with := "-overlay=" + write("overlay.json", overlay)
	run("go", "build", "-buildvcs=false", with, "-o", filepath.Join(dir, "meantime.exe"), ".")
	for _, name := range []string{"sysclock", "daemon/service"} {
		run("go", "test", "-buildvcs=false", with, "-c", "-o", filepath.Join(dir, filepath.Base(name)+".test.exe"), "meantime/"+name)
	}
	run("x86_64-w64-mingw32-gcc", "-shared", "-o", filepath.Join(dir, "bcryptprimitives.dll"), write("prng.c", []byte(prngSource)), "-ladvapi32")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestWine runs the Windows binary: its command line, as a node of a LAN, and as a service.
func TestWine(t *testing.T) {
	required := slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "wine")
	if !required {
		t.Skip("takes 2 minutes, and wine: run with MEANTIME_REQUIRE=wine")
	}
	if os.Getenv(insideEnv) == "" {
		for _, program := range []string{wineLoader, wineServer, "x86_64-w64-mingw32-gcc"} {
			if _, err := exec.LookPath(program); err != nil {
				t.Fatalf("MEANTIME_REQUIRE holds wine, but %v: install wine64 and gcc-mingw-w64-x86-64", err)
			}
		}
		t.Setenv(wineEnv, buildForWine(t))
		t.Setenv("MEANTIME_REQUIRE", os.Getenv("MEANTIME_REQUIRE")+",netns")
	}
	b := enter(t, 5*time.Minute) // half of it where nothing else runs
	if b == nil {
		return
	}
	b.lan(3)
	w := newWine(b.hosts[2])
	defer w.end()
	t.Run("command line", w.commandLine)
	t.Run("clock", func(t *testing.T) { w.tests(t, "sysclock") })
	t.Run("answering", func(t *testing.T) { w.tests(t, "service") })
	t.Run("LAN", w.lan)
	t.Run("install", w.install)
	t.Run("service", w.service)
}

// wine is a host's wine, with a folder as its C drive.
type wine struct {
	host   *lanHost
	prefix string
	exe    string // the program as Windows names it
	kit    string // folder with what was built for wine
	events string // file: what wine's services wrote to the event log, among other things
	shell  *exec.Cmd
	keep   io.Closer // ends the shell
}

// newWine makes a Windows of its own on a host, with the program in a folder whose name has a space.
func newWine(h *lanHost) *wine {
	t := h.bed.t
	t.Helper()
	w := &wine{host: h, prefix: filepath.Join(t.TempDir(), "prefix"), exe: `C:\Program Files\meantime\meantime.exe`, kit: t.TempDir()}
	if err := os.CopyFS(w.kit, os.DirFS(os.Getenv(wineEnv))); err != nil {
		t.Fatal(err)
	}
	h.bed.coverTmp()
	begin := time.Now()
	w.boot(t)
	t.Logf("wine is there after %.1f s", time.Since(begin).Seconds())
	for name, folder := range map[string]string{"bcryptprimitives.dll": "windows/system32", "meantime.exe": "Program Files/meantime"} {
		text, err := os.ReadFile(filepath.Join(w.kit, name))
		if err == nil {
			err = errors.Join(os.MkdirAll(w.path(folder), 0o755), os.WriteFile(w.path(folder, name), text, 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// boot makes the C drive and starts what runs all the time, with a shell that keeps it running. wine has no event log: its services
// write what they would put there to standard error.
func (w *wine) boot(t *testing.T) {
	t.Helper()
	w.events = filepath.Join(filepath.Dir(w.prefix), "events")
	events, err := os.Create(w.events)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Close() }()
	boot, shell := exec.Command(wineLoader, "wineboot", "-i"), exec.Command(wineLoader, "cmd")
	for _, cmd := range []*exec.Cmd{boot, shell} {
		cmd.Stdout, cmd.Stderr = events, events
	}
	w.start(boot, "WINEDEBUG=-all,+eventlog")
	if err := boot.Wait(); err != nil {
		t.Fatalf("wineboot: %v", err)
	}
	w.server("-k")
	w.server("-w") // else there are two service managers for a while, of which each other call reaches another one
	if w.keep, err = shell.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	w.start(shell, "WINEDEBUG=-all,+eventlog")
	w.shell = shell
}

// logged sees that the service has written these words to the event log.
func (w *wine) logged(t *testing.T, words ...string) {
	t.Helper()
	text, err := os.ReadFile(w.events)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range words {
		if !strings.Contains(string(text), word) {
			t.Errorf("the event log has no %q:\n%s", word, text)
		}
	}
}

// coverTmp gives the bed a /tmp of its own: wine keeps its sockets there, in a folder by the user's number, which here is another user.
func (b *bed) coverTmp() {
	b.t.Helper()
	err := errors.Join(
		unix.Mount(b.dir, "/mnt", "", unix.MS_BIND, ""),
		unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"),
		os.MkdirAll(b.dir, 0o755),
		unix.Mount("/mnt", b.dir, "", unix.MS_BIND, ""))
	if err != nil {
		b.t.Fatal(err)
	}
}

// path is a file of the C drive.
func (w *wine) path(parts ...string) string {
	return filepath.Join(append([]string{w.prefix, "drive_c"}, parts...)...)
}

// start starts a Windows program on the host, without the power to set a clock.
func (w *wine) start(cmd *exec.Cmd, env ...string) {
	cmd.Dir = w.host.bed.dir
	cmd.Env = append(os.Environ(), "WINEPREFIX="+w.prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "HOME="+filepath.Dir(w.prefix),
		"DISPLAY=")
	cmd.Env = append(cmd.Env, env...)
	w.host.do(func() error {
		if err := dropCapabilities(); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// run runs a Windows program and gives what it wrote and its exit code.
func (w *wine) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wineCommand)
	defer cancel()
	cmd := exec.CommandContext(ctx, wineLoader, args...)
	out, err := os.CreateTemp(t.TempDir(), "out") // a pipe would be held by what wine leaves running
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	w.start(cmd)
	err = cmd.Wait()
	if ctx.Err() != nil {
		t.Errorf("%q: not done within %v", args, wineCommand)
	}
	text, failed := os.ReadFile(out.Name())
	if _, exited := errors.AsType[*exec.ExitError](err); failed != nil || err != nil && !exited {
		t.Fatal(err, failed)
	}
	return strings.ReplaceAll(string(text), "\r", ""), cmd.ProcessState.ExitCode()
}

// meantime runs the program, which must end with a code and say these words.
func (w *wine) meantime(t *testing.T, code int, words string, args ...string) string {
	t.Helper()
	text, got := w.run(t, append([]string{w.exe}, args...)...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, text)
	}
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q, but\n%s", args, word, text)
		}
	}
	return text
}

// end ends wine.
func (w *wine) end() {
	_ = w.keep.Close()
	_ = w.shell.Wait()
	w.server("-k")
	w.server("-w")
}

// server tells wine's server to end, or waits until it has.
func (w *wine) server(flag string) {
	cmd := exec.Command(wineServer, flag)
	w.start(cmd)
	_ = cmd.Wait()
}

// tests runs the tests of a package that were built for Windows.
func (w *wine) tests(t *testing.T, name string) {
	text, code := w.run(t, filepath.Join(w.kit, name+".test.exe"), "-test.v", "-test.skip=TestUntaggedFiles") // there is no source
	if code != 0 || name == "sysclock" && !strings.Contains(text, "--- PASS: TestWine ") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	t.Logf("%d passed, %d skipped", strings.Count(text, "--- PASS: "), strings.Count(text, "--- SKIP: "))
}

func (w *wine) commandLine(t *testing.T) {
	w.meantime(t, exitOK, "windows/amd64", "version")
	w.meantime(t, exitConfig, "key new", "config", "check")
	w.meantime(t, exitInsecure, "there is no key|meantime key new", "run")
	w.meantime(t, exitOK, `C:\ProgramData\meantime\key`, "key", "new")
	w.meantime(t, exitOK, "", "key", "show-id")
	w.meantime(t, exitOK, `C:\ProgramData\meantime\meantime.yaml does not exist`, "config", "check")
	w.meantime(t, exitUnsupported, "SetSystemTimeAdjustmentPrecise is missing|the adjustment has no effect|--dry-run", "run", "--interface", "lo")
}

// wineOffset and winePPM are the error of the virtual clock on wine; the Linux nodes have two others of a LAN of three.
const wineOffset, winePPM = "-4m", "15ppm"

// linuxNodes starts nodes on the other two hosts, with the key that was made on wine.
func (w *wine) linuxNodes(t *testing.T) (nodes []*process) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	text, err := os.ReadFile(w.path("ProgramData", "meantime", "key"))
	if err == nil {
		err = os.WriteFile(key, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range w.host.bed.hosts[:2] {
		nodes = append(nodes, h.run("", "--virtual-offset", lanOffsets[i], "--virtual-frequency", fmt.Sprintf("%gppm", lanPPM[i]),
			"--key-file", key))
	}
	return nodes
}

// agree sees that a node on wine and the Linux nodes have agreed, by what all their clocks truly showed.
func (w *wine) agree(t *testing.T, trace string, linux []*process) {
	t.Helper()
	all := readMoments(t, append(linux, &process{host: w.host, trace: trace})...)
	f := all.last(4 * time.Second).figures()
	within, ok := all.settled(2 * time.Millisecond)
	t.Logf("two Linux nodes and one on wine: %v; below 2 ms for good after %.1f s", f, within.Seconds())
	for _, wrong := range f.disagree(4*time.Second, time.Millisecond, 2*time.Millisecond) {
		t.Error(wrong)
	}
	if first := all[:1].figures().max; !ok || first < 4*time.Minute {
		t.Errorf("settled: %v; the clocks began %v apart", ok, first)
	}
}

// traces waits until a node on wine has begun its trace, and shows what it wrote where it does not.
func (w *wine) traces(t *testing.T, trace, log string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < wineCommand; time.Sleep(100 * time.Millisecond) {
		if info, err := os.Stat(trace); err == nil && info.Size() > 0 {
			return
		}
	}
	text, err := os.ReadFile(log)
	t.Fatalf("the node on wine does not run: %v\n%s", err, text)
}

// lan: a node on wine founds a LAN with two on Linux, and agrees with them.
func (w *wine) lan(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	const socket = `C:\ProgramData\meantime\state\asked`
	node := exec.Command(wineLoader, w.exe, "run", "--dry-run", "--interface", "lan0", "--trace", "Z:"+trace, "--control", socket,
		"--virtual-offset", wineOffset, "--virtual-frequency", winePPM)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	node.Stdout, node.Stderr = log, log
	w.start(node)
	linux := w.linuxNodes(t)
	for _, n := range linux {
		n.says("running", 1, 5*time.Second)
	}
	w.traces(t, trace, log.Name())
	time.Sleep(14 * time.Second)
	w.meantime(t, exitOK, "members       3", "status", "--socket", socket) // wine 8 has no Unix sockets
	w.meantime(t, exitOK, "warn", "log", "level", "warn", "--socket", socket)
	_ = node.Process.Kill()
	_ = node.Wait()
	stopAll(t, linux...)
	w.agree(t, trace, linux)
}

// registry gives the values of a key, as reg.exe prints them; "" if there is no such setting.
func (w *wine) registry(t *testing.T, key string) string {
	t.Helper()
	text, code := w.run(t, "reg", "query", `HKLM\SYSTEM\CurrentControlSet\Services\`+key)
	if code != 0 {
		return ""
	}
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(text, " ")
}

// holds sees that the registry has these values.
func (w *wine) holds(t *testing.T, key string, values ...string) {
	t.Helper()
	text := w.registry(t, key)
	for _, value := range values {
		if !strings.Contains(text, " "+value+"\n") {
			t.Errorf("%s: no %q in\n%s", key, value, text)
		}
	}
}

// install: the service manager's registry holds what was said, once or twice; a changed service is not taken over unasked; Windows'
// time service is stopped with consent and comes back; and in the end nothing is left but configuration and key.
func (w *wine) install(t *testing.T) {
	const source = `EventLog\Application\meantime`
	w.run(t, "sc", "create", "W32Time", "binPath=", `C:\windows\system32\rpcss.exe`, "start=", "auto")
	w.holds(t, "W32Time", "Start REG_DWORD 0x2")
	w.meantime(t, exitOK, `NT AUTHORITY\LocalService|SeSystemtimePrivilege|stop and disable W32Time`, "service", "install", "--dry-run", "--stop-w32time")
	if text := w.registry(t, "meantime"); text != "" {
		t.Errorf("only to be told, and done:\n%s", text)
	}
	w.meantime(t, exitFailed, "not installed", "service", "status")
	w.meantime(t, exitOK, "LocalService, at boot", "service", "install", "--stop-w32time")
	installed := []string{`ImagePath REG_SZ "C:\Program Files\meantime\meantime.exe" run --service`,
		`ObjectName REG_SZ NT AUTHORITY\LocalService`, "Start REG_DWORD 0x2", "Description REG_SZ One common time for the machines of this LAN"}
	w.holds(t, "meantime", installed...)
	w.holds(t, source, "TypesSupported REG_DWORD 0x7")
	w.holds(t, "W32Time", "Start REG_DWORD 0x4")
	w.meantime(t, exitOK, "keep    the service meantime", "service", "install")
	w.meantime(t, exitFailed, "state           stopped|starts at boot  yes", "service", "status")

	w.run(t, "sc", "config", "meantime", "start=", "demand")
	w.run(t, "reg", "add", `HKLM\SYSTEM\CurrentControlSet\Services\meantime`, "/v", "ImagePath", "/t", "REG_EXPAND_SZ", "/d", `C:\other.exe`, "/f")
	w.meantime(t, exitFailed, `somebody has changed|C:\other.exe|--force`, "service", "install")
	w.meantime(t, exitOK, "change it to", "service", "install", "--force")
	w.holds(t, "meantime", installed...)

	w.meantime(t, exitOK, `bring W32Time back as it was|keep    C:\ProgramData\meantime`, "service", "uninstall")
	w.holds(t, "W32Time", "Start REG_DWORD 0x2")
	for _, key := range []string{"meantime", source} {
		if text := w.registry(t, key); text != "" {
			t.Errorf("left behind:\n%s", text)
		}
	}
	w.meantime(t, exitFailed, "not installed", "service", "status")
	w.meantime(t, exitOK, "", "service", "uninstall")
	w.meantime(t, exitOK, "", "key", "show-id")
	w.run(t, "sc", "delete", "W32Time")
}

// service: the manager starts the service, which joins a LAN, and stops it in bounded time, by our command and by its own; a start
// that fails is told, with the reason where somebody can read it.
func (w *wine) service(t *testing.T) {
	// wine gives its services another ProgramData than its programs.
	config, trace := w.path("users", "Public", "meantime", "meantime.yaml"), filepath.Join(t.TempDir(), "trace")
	text := fmt.Sprintf("dry_run: true\nkey_file: C:\\ProgramData\\meantime\\key\ninterfaces: [lan0]\ntrace: 'Z:%s'\nvirtual:\n  offset: %s\n  frequency: %s\n", trace, wineOffset, winePPM)
	if err := errors.Join(os.MkdirAll(filepath.Dir(config), 0o755), os.WriteFile(config, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	w.meantime(t, exitOK, "", "service", "install")
	linux := w.linuxNodes(t)
	timed := func(limit time.Duration, what string, do func()) {
		t.Helper()
		begin := time.Now()
		do()
		if took := time.Since(begin); took > limit {
			t.Errorf("%s took %v", what, took)
		} else {
			t.Logf("%s took %.1f s", what, took.Seconds())
		}
	}
	timed(20*time.Second, "service start", func() { w.meantime(t, exitOK, "", "service", "start") })
	w.meantime(t, exitOK, "state           running|process", "service", "status")
	w.traces(t, trace, w.events)
	time.Sleep(14 * time.Second)
	w.logged(t, "msg=running role=auto")
	timed(10*time.Second, "service stop", func() { w.meantime(t, exitOK, "", "service", "stop") })
	stopAll(t, linux...)
	w.agree(t, trace, linux)
	w.meantime(t, exitFailed, "state           stopped", "service", "status")
	w.meantime(t, exitOK, "", "service", "stop")

	for _, deed := range []string{"start", "stop"} {
		timed(20*time.Second, "net "+deed, func() {
			if out, code := w.run(t, "net", deed, "meantime"); code != 0 {
				t.Errorf("net %s: exit code %d\n%s", deed, code, out)
			}
		})
	}
	if err := os.WriteFile(config, []byte("pol: 1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	timed(20*time.Second, "a start in vain", func() {
		w.meantime(t, exitFailed, "ended as it was started|service logs", "service", "start")
	})
	w.logged(t, "stopped: ", "meantime.yaml:1", "pol")
	w.meantime(t, exitFailed, "state           failed", "service", "status")
	w.meantime(t, exitOK, "take away the service meantime", "service", "uninstall") // wine 8 knows no way by which Go's RemoveAll would purge
}
