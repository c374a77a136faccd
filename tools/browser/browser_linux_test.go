// Package browser looks at the page of a real LAN with a real browser, headless Chromium, in a network namespace that nothing leaves.
package browser

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"meantime/daemon/control"
)

const (
	// insideEnv tells the test binary that it runs in the namespaces.
	insideEnv = "MEANTIME_TEST_BROWSER"
	// picturesEnv names a folder for the pictures, which else are looked at and thrown away.
	picturesEnv = "MEANTIME_PICTURES"
	// limit is how long the whole test may take, patience how long it waits for a thing of it: a machine that others keep busy may be
	// ten times as slow as an idle one, which takes less than a minute.
	limit, patience = 8 * time.Minute, 2 * time.Minute
	// goal is how late a page may say what its node knows. More than that is told; more than five times that is an error, since what
	// is measured is how long a browser waits for a processor, too.
	goal = time.Second
	// nodes is how many the LAN has.
	nodes = 5
	// candidates are how many of them may be its master, the first ones: whichever the master is, it is known who comes after it.
	candidates = 2
)

// names are what the hosts are called. The last one is not what a picture should show.
var names = []string{"altair", "vega", "deneb", "rigel", "<b>spica</b>"}

// required tells whether the test must not be skipped.
func required() bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "browser")
}

func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf("MEANTIME_REQUIRE holds browser, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestPage runs itself again as root of new user and network namespaces, which have a loopback interface and nothing else.
func TestPage(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		testPage(t)
		return
	}
	if !required() && os.Getenv(picturesEnv) == "" {
		t.Skipf("takes a minute: run with MEANTIME_REQUIRE=browser")
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		skip(t, "there is no chromium")
	}
	binary := filepath.Join(t.TempDir(), "meantime")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/meantime")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestPage$", "-test.v", "-test.timeout="+limit.String())
	cmd.Env = append(os.Environ(), insideEnv+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output() // as it comes: whatever ends this run, it says how far it came
	err := cmd.Run()
	if _, started := errors.AsType[*exec.ExitError](err); err != nil && !started {
		skip(t, "no user and network namespaces: %v", err)
	}
	if err != nil {
		t.Error(err)
	}
}

// host is a node with a page.
type host struct {
	t      *testing.T
	name   string
	dir    string
	page   string // its address
	client *control.Client
	cmd    *exec.Cmd
}

// start runs a node of a dry run; the candidates' earlier ones have the higher priority. Each has a name of its own, in a namespace of
// its own. A poll every other second has a LAN keep its master while a browser starts beside it on a busy machine.
func start(t *testing.T, i int) *host {
	t.Helper()
	h := &host{t: t, name: names[i], dir: t.TempDir(), page: fmt.Sprintf("127.0.0.1:%d", 10601+i)}
	socket := filepath.Join(h.dir, "socket")
	h.client = control.NewClient(socket)
	config := fmt.Sprintf("interfaces: [lo]\nunicast_port: 0\npoll: 2s\nfound_wait: 5s\nmax_slew: 50000ppm\ninsecure: true\nstate_dir: %s\ncontrol: %s\npage: %s\n"+
		"priority: %d\nvirtual:\n  offset: %dms\n  frequency: %dppm\n  seed: %d\n",
		h.dir, socket, h.page, max(0, candidates-i), 40*i, []int{30, -20, 45, 5, -40}[i], i+1)
	file := filepath.Join(h.dir, "meantime.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run()
	t.Cleanup(h.kill)
	return h
}

// run starts the process.
func (h *host) run() {
	h.t.Helper()
	out, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	h.cmd = exec.Command(os.Getenv(insideEnv), "run", "--dry-run", "--config", filepath.Join(h.dir, "meantime.yaml"))
	h.cmd.Stdout, h.cmd.Stderr = out, out
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its host name
		err := errors.Join(syscall.Unshare(syscall.CLONE_NEWUTS), syscall.Sethostname([]byte(h.name)))
		started <- errors.Join(err, h.cmd.Start())
	}()
	if err := <-started; err != nil {
		h.t.Fatal(err)
	}
}

// leads says whether the host is master of all, who vote.
func (h *host) leads() bool {
	s, err := h.client.Status(h.t.Context())
	return err == nil && s.State == "keeping" && s.Voters == nodes
}

// ranked waits for one of the candidates to lead, and returns it and who comes after it.
func ranked(t *testing.T, lan []*host) (first, next *host) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, h := range lan[:candidates] {
			if h.leads() {
				return h, lan[1-i]
			}
		}
	}
	t.Fatal("nobody is master of all")
	return nil, nil
}

// kill ends the process without a word.
func (h *host) kill() {
	if h.cmd.ProcessState == nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	}
	if h.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(h.dir, "log"))
		h.t.Logf("%s:\n%s", h.name, text)
	}
}

// until waits for a status.
func (h *host) until(what string, good func(control.Status) bool) time.Time {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		s, err := h.client.Status(h.t.Context())
		if err == nil && good(s) {
			return time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("%s: never %s", h.name, what)
	return time.Time{}
}

// chromium starts the browser. In this namespace it reaches loopback alone; the flags keep it from trying anything else.
func chromium(t *testing.T) context.Context {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.Env("HOME="+home), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // from here on every page is a tab of this one browser
		t.Fatal(err)
	}
	return ctx
}

// tab is a page in the browser, with what its console complained of.
type tab struct {
	t      *testing.T
	ctx    context.Context
	mutex  sync.Mutex
	errors []string
}

// open opens the page of a host, and notes from the first line on when its verdict changes.
func open(t *testing.T, parent context.Context, h *host) *tab {
	t.Helper()
	b := &tab{t: t}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(parent)
	t.Cleanup(cancel)
	b.do(chromedp.Navigate("about:blank"))
	if err := chromedp.Listen(b.ctx, b.heard); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate("http://" + h.page + "/"))
	run[bool](b, `addEventListener("securitypolicyviolation", (e) => console.error("policy: " + e.violatedDirective + " " + e.blockedURI));
		window.verdicts = [];
		new MutationObserver(() => verdicts.push({at: Date.now(), text: document.getElementById("verdict").innerText}))
			.observe(document.getElementById("verdict"), {childList: true, characterData: true, subtree: true}); true`)
	return b
}

// heard keeps what the console complains of.
func (b *tab) heard(event any) {
	text := ""
	switch e := event.(type) {
	case *cdpruntime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == cdpruntime.ConsoleAPICalledTypeError {
			text = fmt.Sprintf("console.error: %s", e.Args[0].Value)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text != "" {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		if !slices.Contains(b.errors, text) {
			b.errors = append(b.errors, text)
		}
	}
}

// complaints are what was heard so far.
func (b *tab) complaints() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return slices.Clone(b.errors)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// run evaluates an expression on the page.
func run[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until an expression is true on the page.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if run[bool](b, expression) {
			return
		}
	}
	b.t.Fatalf("never: %s\n%s\n%q", expression, run[string](b, "document.body.innerText"), b.complaints())
}

// canvas is what is drawn, in short.
func (b *tab) canvas() [32]byte {
	b.t.Helper()
	return sha256.Sum256([]byte(run[string](b, `document.querySelector("canvas").toDataURL()`)))
}

// picture takes a picture of a page in a theme and a width, and sees that nothing sticks out.
func (b *tab) picture(name, scheme string, width, height int64) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height))
	run[bool](b, "document.activeElement.blur(); scrollTo(0, 0); true")
	before := run[float64](b, "lan.times.length")
	b.until(fmt.Sprintf("lan.times.length > %v", before))         // it was drawn anew
	b.until("document.documentElement.scrollWidth <= innerWidth") // once it has its new size, which comes after the viewport's
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	dir := os.Getenv(picturesEnv)
	if dir == "" {
		dir = b.t.TempDir()
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Error(err)
	}
	b.t.Logf("%s.png: %d bytes", name, len(png))
}

// testPage is the test inside.
func testPage(t *testing.T) {
	if err := alone(); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(picturesEnv) != "" {
		names[nodes-1] = "spica"
	}
	browser := chromium(t) // before there is a LAN that it would starve
	lan := []*host{start(t, 0)}
	lan[0].until("master", func(s control.Status) bool { return s.State == "gathering" })
	for i := 1; i < nodes; i++ {
		lan = append(lan, start(t, i))
	}
	first, next := ranked(t, lan)
	slave := lan[candidates]
	for _, h := range append(lan[candidates:], next) {
		h.until("on LAN time", func(s control.Status) bool { return s.State == "following" && s.Voters == nodes })
	}
	tabs := []*tab{open(t, browser, next), open(t, browser, slave)}
	for _, b := range tabs {
		b.until(`lan.times.length > 3 && plot !== null && document.getElementById("verdict-text").textContent.startsWith("5 hosts agree")`)
	}
	testPlotMoves(t, tabs[0])
	testTakeover(t, first, []*host{next, slave}, tabs)
	first.run() // joins again, as a newcomer
	next.until("master of five again", func(control.Status) bool { return next.leads() })
	for _, b := range tabs {
		b.until(`document.getElementById("verdict-text").textContent.startsWith("5 hosts agree")`)
	}
	tabs[0].until(`document.querySelectorAll("#rows tr").length === 5 && lan.curves.length === 5`)
	if got := run[float64](tabs[1], `document.querySelectorAll("#rows tr").length`); got != 2 {
		t.Errorf("a slave shows %v members, itself and its master expected", got)
	}
	testKeys(t, tabs[0])
	testHostile(t, tabs[0])
	if os.Getenv(picturesEnv) != "" {
		tabs[0].do(chromedp.Sleep(30 * time.Second)) // curves that are worth looking at
	}
	for scheme, ending := range map[string]string{"light": "", "dark": "-dark"} {
		tabs[0].picture("page"+ending, scheme, 1160, 1290)
		tabs[0].picture("page-phone"+ending, scheme, 390, 1900)
	}
	tabs[1].picture("page-slave", "light", 1160, 900)
	for _, b := range tabs {
		if errors := b.complaints(); len(errors) > 0 {
			t.Errorf("the console complains: %q", errors)
		}
	}
	testWithoutScripts(t, browser, next)
	testRestart(t, slave, tabs[1])
}

// alone sees that there is no way out of this namespace, and brings loopback up.
func alone() error {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) != 1 || interfaces[0].Flags&net.FlagLoopback == 0 {
		return fmt.Errorf("not alone in a network namespace: %v, %w", interfaces, err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	_ = syscall.Mount("proc", "/proc", "proc", 0, "") // of these processes; where it is refused, the browser does without
	return nil
}

// testPlotMoves demands that what is drawn changes with what is known.
func testPlotMoves(t *testing.T, b *tab) {
	t.Helper()
	drawn, points := b.canvas(), run[float64](b, "lan.times.length")
	b.until(fmt.Sprintf("lan.times.length >= %v + 3", points))
	if b.canvas() == drawn {
		t.Error("three seconds later the plot is the same")
	}
}

// testTakeover kills the master and demands that every page says so within a second of its node knowing, and then who is master. A node
// knows from the first event on that it notes after the kill.
func testTakeover(t *testing.T, first *host, watched []*host, tabs []*tab) {
	t.Helper()
	s, err := first.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	first.kill()
	for i, h := range watched {
		gone := fmt.Sprintf(`verdicts.find((v) => !v.text.includes(%q) && !v.text.includes(%q))`, s.ID+" is master", first.name+" is master")
		tabs[i].until(gone + " !== undefined")
		var knew time.Time
		h.until("aware that the master is gone", func(control.Status) bool { knew = h.eventAfter(killed); return !knew.IsZero() })
		late := time.UnixMilli(run[int64](tabs[i], gone+".at")).Sub(knew)
		t.Logf("%s showed that the master is gone %v after it knew, goal %v: %q",
			h.name, late.Round(time.Millisecond), goal, run[string](tabs[i], gone+".text"))
		if late > 5*goal {
			t.Errorf("%s showed %v late that the master is gone", h.name, late)
		}
	}
	watched[0].until("master", func(s control.Status) bool { return s.State == "keeping" })
	tabs[0].until(`document.querySelector("#rows tr .chief:not([hidden])") !== null && lan.marks.some((m) => m.kind === "master")`)
}

// testRestart kills the page's own daemon and demands that the page says so, and goes on by itself with the next one's history.
func testRestart(t *testing.T, h *host, b *tab) {
	t.Helper()
	h.kill()
	b.until(`document.getElementById("verdict-text").textContent.startsWith("No word")`)
	before := run[float64](b, "lan.n")
	h.run()
	b.until(fmt.Sprintf(`lan.n > 0 && lan.n < %v && document.getElementById("line").textContent === "live"`, before))
	b.until(`document.getElementById("verdict-text").textContent.includes("hosts agree")`)
}

// eventAfter is when the node noted the first event after an instant; zero before it has.
func (h *host) eventAfter(at time.Time) time.Time {
	h.t.Helper()
	e, err := h.client.Events(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, event := range e.Events {
		if event.At.After(at) {
			return event.At
		}
	}
	return time.Time{}
}

// testKeys zooms by the keyboard alone.
func testKeys(t *testing.T, b *tab) {
	t.Helper()
	span := func() float64 { return run[float64](b, "look.span") }
	run[bool](b, `document.getElementById("plot").focus(); true`)
	whole := span()
	b.do(chromedp.KeyEvent("+"))
	if got := span(); got >= whole {
		t.Errorf("after + %v s are shown, %v s before", got, whole)
	}
	b.do(chromedp.KeyEvent(kb.ArrowLeft))
	if run[bool](b, "look.end === null") {
		t.Error("the left arrow does not move the plot")
	}
	b.do(chromedp.KeyEvent("0"))
	if got := span(); got != whole || !run[bool](b, "look.end === null") {
		t.Errorf("after 0 %v s are shown, and live is %v", got, run[bool](b, "look.end === null"))
	}
	run[bool](b, `document.querySelector("#legend button").focus(); true`)
	b.do(chromedp.KeyEvent(" "))
	b.until("hidden.size === 1 && !plot.series[1].show")
	run[bool](b, `document.querySelector("#legend button").focus(); true`)
	b.do(chromedp.KeyEvent(" "))
	b.until("hidden.size === 0 && plot.series[1].show")
}

// testHostile sees that a host's name is a text.
func testHostile(t *testing.T, b *tab) {
	t.Helper()
	if got := run[float64](b, `document.querySelectorAll("#rows b b, #legend b b, h1 b").length`); got != 0 {
		t.Errorf("a host's name made %v elements", got)
	}
}

// testWithoutScripts wants the verdict and the members without any script.
func testWithoutScripts(t *testing.T, browser context.Context, h *host) {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	b := &tab{t: t, ctx: ctx}
	_, err := chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate("http://" + h.page + "/"))
	text := run[string](b, "document.body.innerText")
	if !strings.Contains(text, "5 hosts agree") || run[float64](b, `document.querySelectorAll("#rows tr").length`) != nodes {
		t.Errorf("without scripts the page says:\n%s", text)
	}
}
