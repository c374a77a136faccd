package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/packaging"
)

const (
	// metricsAddress is where each node of these tests serves, on its own loopback.
	metricsAddress = "127.0.0.1:10527"
	// scrapeEvery stands for the minute quarter of a Prometheus; the rules' times are shortened alike.
	scrapeEvery = time.Second
	served      = "found_wait: 1s\nmetrics: " + metricsAddress + "\npage: " + metricsAddress + "\n"
)

// get asks a host's listener, from the host itself.
func (h *lanHost) get(path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		h.do(func() error { c, err = (&net.Dialer{}).DialContext(ctx, network, address); return nil })
		return c, err
	}}
	answer, err := (&http.Client{Transport: transport, Timeout: time.Second}).Get("http://" + metricsAddress + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

// metricsRequired tells whether a test of the metrics must not be skipped.
func metricsRequired() bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "metrics")
}

// takesMetrics skips a test that is too long for an ordinary run, unless it is required or named by -run.
func takesMetrics(t *testing.T, d time.Duration) {
	t.Helper()
	if named := strings.Contains(flag.Lookup("test.run").Value.String(), t.Name()); !metricsRequired() && !named {
		t.Skipf("takes %v: run with MEANTIME_REQUIRE=metrics", d)
	}
}

// prometheusTool is a program of Debian's prometheus package, or a skip.
func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && metricsRequired() {
		t.Fatalf("MEANTIME_REQUIRE holds metrics, but %v", err)
	}
	if err != nil {
		t.Skipf("%v: it is in Debian's package prometheus", err)
	}
	return path
}

// promtool runs it with an input, and fails unless it is content.
func promtool(t *testing.T, dir, input string, args ...string) {
	t.Helper()
	cmd := exec.Command(prometheusTool(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestPromtool: Prometheus' own checks of what is packaged.
func TestPromtool(t *testing.T) {
	t.Parallel()
	takesMetrics(t, 5*time.Second)
	const dir = "../../packaging/prometheus"
	promtool(t, dir, "", "check", "rules", "--lint-fatal", "meantime.rules.yml")
	promtool(t, dir, "", "test", "rules", "meantime.rules.test.yml")
}

// recording is what a Prometheus would have kept: per series a value each second, or _ where there was none.
type recording struct {
	values map[string][]string
	rounds int
}

// scrape takes one round of the metrics of all hosts. A target that does not answer is down.
func (r *recording) scrape(hosts []*lanHost) {
	for _, h := range hosts {
		text, err := h.get("/metrics")
		up := "1"
		if err != nil {
			up = "0"
		}
		r.add("up", "", h.name, up)
		for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
			r.add(m[1], m[3], h.name, m[4])
		}
	}
	r.rounds++
}

var sampleLine = regexp.MustCompile(`(?m)^(meantime_\w+)({(.*)})? (\S+)$`)

func (r *recording) add(name, labels, instance, value string) {
	if labels != "" {
		labels += ","
	}
	series := fmt.Sprintf(`%s{%sinstance="%s",job="meantime"}`, name, labels, instance)
	for len(r.values[series]) < r.rounds {
		r.values[series] = append(r.values[series], "_")
	}
	r.values[series] = append(r.values[series], value)
}

// alerts asks promtool, with the packaged rules and what was recorded, each second a quarter of a minute, for the alerts that fire in
// the end: they are to be these.
func (r *recording) alerts(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("rule_files: [rules.yml]\nevaluation_interval: 15s\ntests:\n- interval: 15s\n  input_series:\n")
	for series, values := range r.values {
		fmt.Fprintf(&text, "  - {series: %s, values: %s}\n", strconv.Quote(series), strconv.Quote(strings.Join(values, " ")))
	}
	fmt.Fprintf(&text, "  promql_expr_test:\n  - expr: count by (alertname) (ALERTS{alertstate=\"firing\"}) * 0 + 1\n    eval_time: %ds\n", 15*(r.rounds-1))
	if len(names) > 0 {
		text.WriteString("    exp_samples:\n")
	}
	for _, name := range names {
		fmt.Fprintf(&text, "    - {labels: '{alertname=\"%s\"}', value: 1}\n", name)
	}
	err := errors.Join(os.WriteFile(filepath.Join(dir, "recorded.yml"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(packaging.AlertRules), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "", "test", "rules", "recorded.yml")
}

// watch records the hosts for so many rounds, one each second.
func watch(hosts []*lanHost, rounds int) *recording {
	r := &recording{values: map[string][]string{}}
	for range rounds {
		began := time.Now()
		r.scrape(hosts)
		time.Sleep(scrapeEvery - time.Since(began))
	}
	return r
}

// TestLANAlerts: a LAN of three whose clocks stand apart and may not be stepped raises the alert of a disagreement, none once it agrees, and
// those of a lost member once one is stopped. The rules are those that are packaged and the series a real LAN's; promtool stands for
// Prometheus, and a second of the bed for a quarter of a minute, so that nobody waits for the rules' minutes.
func TestLANAlerts(t *testing.T) {
	t.Parallel()
	takesMetrics(t, time.Minute)
	prometheusTool(t, "promtool")
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	hosts, nodes := b.lan(3), []*process{}
	for i, h := range hosts {
		role := "slave"
		if i == 0 {
			role = "master"
		}
		nodes = append(nodes, h.run(served+"step: never\n", "--role", role, "--poll", "250ms", "--virtual-offset", fmt.Sprintf("%dms", 10*i)))
	}
	for _, n := range nodes[1:] {
		n.says("following a master", 1, 20*time.Second)
	}
	apart := watch(hosts, 7)
	apart.alerts(t, "MeantimeDisagreement")
	for began := time.Now(); !agreed(hosts[0]); time.Sleep(scrapeEvery) {
		if time.Since(began) > 40*time.Second {
			t.Fatalf("the LAN does not agree\n%s", nodes[0].text())
		}
	}
	watch(hosts, 8).alerts(t)
	text, err := hosts[0].get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "", text, "check", "metrics")
	for _, name := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"} { // in a confined process
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
	if err := nodes[2].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	watch(hosts, 12).alerts(t, "MeantimeDown", "MeantimeMemberLost")
	if err := nodes[2].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stopAll(t, nodes...)
}

// agreed says whether the master finds all clocks within a tenth of the alert's threshold.
func agreed(master *lanHost) bool {
	text, err := master.get("/metrics")
	var offsets []float64
	for _, m := range regexp.MustCompile(`(?m)^meantime_member_offset_seconds{.*} (\S+)$`).FindAllStringSubmatch(text, -1) {
		offset, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return false
		}
		offsets = append(offsets, offset)
	}
	return err == nil && len(offsets) == 3 && slices.Max(offsets)-slices.Min(offsets) < 1e-4
}

const (
	// idleRSS (bytes) and idleCPU are what an idle slave is to stay within at a poll each second. The bed's machines are slow and
	// shared, so only five times the processor fails; memory does not depend on them.
	idleRSS = 16 << 20
	idleCPU = 0.001
	// idleAfter is when what they begin with is over: a LAN settles after 64 rounds, and needs up to sixteen more until its polls follow the turn
	// of the second (PROTOCOL.md 8.44, 8.45).
	idleAfter = 90 * time.Second
)

// TestLANIdle tells what idle processes take: a master, a slave, a slave with a page and metrics that are collected each quarter of a minute,
// and a chronyd that asks another each second, all at the same time. For two minutes, or for an hour with MEANTIME_LONG=1.
func TestLANIdle(t *testing.T) {
	t.Parallel()
	span := 2 * time.Minute // a forced collection of garbage comes that often: one is in it
	if os.Getenv("MEANTIME_LONG") != "" {
		span = time.Hour
	}
	takesMetrics(t, span)
	b := enter(t, span+idleAfter+time.Minute)
	if b == nil {
		return
	}
	hosts := b.lan(5)
	start := func(h *lanHost, config, role string) *process { // a trace would wake it ten times a second
		return h.run(config, "--log-level", "info", "--trace=", "--role", role)
	}
	const plain = "found_wait: 1s\n"
	master, slave, asked := start(hosts[0], plain, "master"), start(hosts[1], plain, "slave"), start(hosts[2], served, "slave")
	all := []*process{master, slave, asked}
	names := []string{"master", "slave", "slave with page and metrics"}
	for began := time.Now(); !hosts[2].synchronised() && time.Since(began) < 30*time.Second; time.Sleep(scrapeEvery) {
	}
	if chrony := chronyPair(hosts[3], hosts[4]); chrony != nil {
		all, names = append(all, chrony), append(names, "chronyd")
	}
	time.Sleep(idleAfter)
	began, before := time.Now(), make([]usage, len(all))
	for i, p := range all {
		before[i] = p.usage()
	}
	for time.Since(began) < span {
		time.Sleep(min(15*time.Second, span-time.Since(began)))
		if _, err := hosts[2].get("/metrics"); err != nil {
			t.Errorf("%s: %v", hosts[2].name, err)
		}
	}
	for i, p := range all {
		u, took := p.usage(), time.Since(began).Seconds()
		share := (u.ran - before[i].ran).Seconds() / took
		t.Logf("%s, idle for %.0f s: %.1f MiB resident, %.1f MiB of it private; %.3f %% of a processor; %.1f wake-ups a second", names[i], took,
			float64(u.resident)/(1<<20), float64(u.private)/(1<<20), 100*share, float64(u.wakes-before[i].wakes)/took)
		if names[i] != "chronyd" && u.resident > 9*idleRSS/4 {
			t.Errorf("%s holds %d bytes", names[i], u.resident)
		}
		if p == slave && (u.resident > idleRSS || share > 5*idleCPU) {
			t.Errorf("the slave takes more than %d MiB or five times %.1f %%", idleRSS>>20, 100*idleCPU)
		}
	}
	if info, err := os.Stat(filepath.Join(b.dir, "meantime")); err == nil {
		t.Logf("the program has %.1f MB, with its symbols", float64(info.Size())/1e6)
	}
	stopAll(t, master, slave, asked)
}

// chronyPair has a chronyd on one host ask one on another each second, and returns the one that asks; nil where there is none. With -x it sets no
// clock, and it has no right to.
func chronyPair(server, client *lanHost) *process {
	t := server.bed.t
	path, err := exec.LookPath("chronyd")
	if err != nil && metricsRequired() {
		t.Fatalf("MEANTIME_REQUIRE holds metrics, but %v", err)
	}
	if err != nil {
		t.Logf("%v: nothing to compare with; it is in Debian's package chrony", err)
		return nil
	}
	start := func(h *lanHost, config string) *process {
		dir := t.TempDir()
		file := filepath.Join(dir, "chrony.conf")
		config += "cmdport 0\nbindcmdaddress /\npidfile " + filepath.Join(dir, "pid") + "\n"
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		return h.program(path, "-x", "-U", "-d", "-u", "root", "-f", file)
	}
	start(server, "port 11123\nlocal stratum 5\nallow\n")
	return start(client, fmt.Sprintf("port 0\nserver %v port 11123 minpoll 0 maxpoll 0 iburst\n", server.addr))
}

// synchronised says whether the host's node is on LAN time.
func (h *lanHost) synchronised() bool {
	text, err := h.get("/metrics")
	return err == nil && strings.Contains(text, "\nmeantime_synchronised 1\n")
}

// usage is what a process takes.
type usage struct {
	resident, private int           // bytes
	ran               time.Duration // on processors, by the scheduler's own count
	wakes             int           // waits that are over
}

func (p *process) usage() (u usage) {
	t := p.host.bed.t
	t.Helper()
	dir := procOf(t, p.cmd.Process.Pid)
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes int
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS":
			_, _ = fmt.Sscan(value, &kilobytes)
			u.resident = kilobytes << 10
		case "RssAnon":
			_, _ = fmt.Sscan(value, &kilobytes)
			u.private = kilobytes << 10
		}
	}
	threads, _ := filepath.Glob(filepath.Join(dir, "task", "*", "schedstat"))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // of one that has ended there is nothing left to count
		var ran int64
		_, _ = fmt.Sscan(string(text), &ran)
		u.ran += time.Duration(ran)
		text, _ = os.ReadFile(filepath.Join(filepath.Dir(thread), "status"))
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, "voluntary_ctxt_switches:"); found {
				wakes, _ := strconv.Atoi(strings.TrimSpace(value))
				u.wakes += wakes
			}
		}
	}
	return u
}
