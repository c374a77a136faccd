package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of the virtual clocks in the tests: ±50 ppm, and a mean that is not zero, so that a LAN whose rate follows one
// clock or the host is told from one that follows the mean.
var (
	lanOffsets = []string{"2m", "-3m", "90s"}
	lanPPM     = []float64{50, -50, 15}
)

// startLAN makes a LAN of three with clocks minutes apart; the first host is the master's.
func startLAN(b *bed, config string, args ...string) []*process {
	var nodes []*process
	for i, h := range b.lan(len(lanPPM)) {
		own := []string{"--virtual-offset", lanOffsets[i], "--virtual-frequency", fmt.Sprintf("%gppm", lanPPM[i])}
		role := "slave" // elections have a test of their own
		if i == 0 {
			role = "master"
		}
		own = append(own, "--role", role)
		nodes = append(nodes, h.run(config, append(own, args...)...))
	}
	return nodes
}

// meanPPM is what the rate of a LAN of all the clocks should be.
func meanPPM() (mean float64) {
	for _, ppm := range lanPPM {
		mean += ppm / float64(len(lanPPM))
	}
	return mean
}

// TestLANSmoke: three nodes whose clocks stand minutes apart and drift agree within a millisecond after seconds.
func TestLANSmoke(t *testing.T) {
	t.Parallel()
	takes(t, 12*time.Second)
	b := enter(t, 30*time.Second)
	if b == nil {
		return
	}
	nodes := startLAN(b, "")
	time.Sleep(12 * time.Second)
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	f := all.last(3 * time.Second).figures()
	t.Logf("LAN of %d after 9 s: %v", len(nodes), f)
	for _, wrong := range append(f.disagree(3*time.Second, time.Millisecond, time.Millisecond), unstamped(nodes...)...) {
		t.Error(wrong)
	}
	if first := all[:1].figures().max; first < 4*time.Minute {
		t.Errorf("the clocks began %v apart, want about 5m: the test tests nothing", first)
	}
}

// TestLANAgrees is the measurement of record: how far three clocks at ±50 ppm are apart, after a minute of 1 s polls.
func TestLANAgrees(t *testing.T) {
	t.Parallel()
	const settle, span = 60 * time.Second, 20 * time.Second
	// goal is what the median should be; a shared machine may be a few times worse, more is a fault.
	const goal, factor = 20 * time.Microsecond, 5
	takes(t, 90*time.Second)
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	nodes := startLAN(b, "", "--poll", "1s")
	time.Sleep(settle + span)
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	f := all.last(span).figures()
	t.Logf("LAN of %d at ±50 ppm, 1 s polls, after %v: %v (goal: median %v)", len(nodes), settle, f, goal)
	within, ok := all.settled(time.Millisecond)
	t.Logf("below 1 ms for good after %.1f s", within.Seconds())
	t.Logf("LAN rate %+.3f ppm against the host, %+.3f ppm against the oscillators' mean of %+.3f ppm",
		f.rate*1e6, f.rate*1e6-meanPPM(), meanPPM())
	for _, wrong := range append(f.disagree(span, factor*goal, time.Millisecond), unstamped(nodes...)...) {
		t.Error(wrong)
	}
	if !ok {
		t.Error("the clocks never came within 1 ms for good")
	}
}

// TestLANCanFail: the checks of these tests see a LAN that does not agree, and one without kernel stamps.
func TestLANCanFail(t *testing.T) {
	t.Parallel()
	takes(t, 25*time.Second)
	b := enter(t, 50*time.Second)
	if b == nil {
		return
	}
	const span = 3 * time.Second
	nodes := startLAN(b, "kernel_stamps: false\n")
	time.Sleep(12 * time.Second)
	stopAll(t, nodes...)
	f := readMoments(t, nodes...).last(span).figures()
	wrong := unstamped(nodes...)
	t.Logf("with user stamps: %v; said of stamps: %q", f, wrong)
	if len(wrong) != len(nodes) {
		t.Errorf("stamps of user space are seen in %d nodes of %d", len(wrong), len(nodes))
	}
	// A slave of another group is on its own, with its clock.
	var apart []*process
	roles := []string{"master", "slave", "slave"}
	for i, h := range b.hosts {
		apart = append(apart, h.run(fmt.Sprintf("group: lan %d\n", i), "--role", roles[i],
			"--virtual-frequency", fmt.Sprintf("%gppm", lanPPM[i])))
	}
	time.Sleep(6 * time.Second)
	stopAll(t, apart...)
	list := readMoments(t, apart...)
	f = list.last(span).figures()
	wrong = f.disagree(span, 100*time.Microsecond, time.Millisecond)
	first, end := list[0], list[len(list)-1]
	ppm := float64(end.apart-first.apart) / float64(end.raw-first.raw) * 1e6
	t.Logf("on their own: %v, parting by %.2f ppm; said: %q", f, ppm, wrong)
	if len(wrong) == 0 {
		t.Error("clocks that run apart are not told from clocks that agree")
	}
	if ppm < 99 || ppm > 101 {
		t.Errorf("clocks at +50 and -50 ppm part by %.2f ppm", ppm)
	}
}

// TestLANRejoins: a slave that loses its network says so, holds its time, and comes back by itself.
func TestLANRejoins(t *testing.T) {
	t.Parallel()
	takes(t, 30*time.Second)
	b := enter(t, 60*time.Second)
	if b == nil {
		return
	}
	nodes := startLAN(b, "", "--poll", "500ms")
	for _, n := range nodes[1:] {
		n.says("following a master", 1, 5*time.Second)
	}
	time.Sleep(8 * time.Second)
	down, gone := b.hosts[1], b.hosts[2]
	awayAndBack(t, nodes, 1, "its interface down",
		func() { down.ip("link set lan0 down") }, func() { down.ip("link set lan0 up") })
	awayAndBack(t, nodes, 2, "its interface re-created", gone.unplug, gone.plug)
	stopAll(t, nodes...)
}

// awayAndBack takes a node's network away for several polls and gives it back.
func awayAndBack(t *testing.T, nodes []*process, i int, what string, away, back func()) {
	t.Helper()
	const holdover = "master is silent: holding the frequency"
	n := nodes[i]
	left, silent, returned := len(n.entries("interface left")), len(n.entries(holdover)), len(n.entries("master is back"))
	begin := rawNow(t)
	away()
	n.says("interface left", left+1, 4*time.Second)
	n.says(holdover, silent+1, 4*time.Second)
	time.Sleep(time.Second)
	restored := rawNow(t)
	back()
	n.says("master is back", returned+1, 6*time.Second)
	found := rawNow(t)
	time.Sleep(4 * time.Second)
	all := readMoments(t, nodes...)
	absent, after := all.between(begin, restored).figures(), all.between(found+int64(2*time.Second), rawNow(t)).figures()
	t.Logf("%s: %s for %.1f s, back %.1f s after it was restored; away: %v; back for 2 s: %v", n.host.name, what,
		float64(restored-begin)/1e9, float64(found-restored)/1e9, absent, after)
	for _, wrong := range after.disagree(2*time.Second, time.Millisecond, time.Millisecond) {
		t.Errorf("back: %s", wrong)
	}
	for _, wrong := range absent.disagree(time.Duration(restored-begin), time.Millisecond, time.Millisecond) {
		t.Errorf("away: %s", wrong)
	}
}

// rawNow reads the oscillator that traces are written against.
func rawNow(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// refusal is a start that must fail.
type refusal struct {
	name    string
	prepare func(*lanHost)
	args    []string
	code    int
	says    []string
}

// refusals are the wrong networks, files and rights that a user meets.
func refusals(dir string) []refusal {
	empty, wrong := filepath.Join(dir, "empty.yaml"), filepath.Join(dir, "wrong.yaml")
	dry := []string{"run", "--config", empty, "--dry-run"}
	lan0 := append(dry[:len(dry):len(dry)], "--interface", "lan0")
	whole := []string{"run", "--config", empty, "--insecure", "--state-dir", dir}
	return []refusal{
		{"interface missing", nil, append(dry[:len(dry):len(dry)], "--interface", "lan7"), exitNetwork,
			[]string{"lan7", "no such interface", "lan0"}},
		{"interface down", func(h *lanHost) { h.ip("link set lan0 down") }, lan0, exitNetwork, []string{"lan0", "down", "bring it up"}},
		{"interface without multicast", func(h *lanHost) { h.ip("link set lan0 multicast off") }, lan0, exitNetwork,
			[]string{"lan0", "no multicast", "broadcast"}},
		{"interface without address", func(h *lanHost) { h.ip("addr flush dev lan0") }, lan0, exitNetwork, []string{"lan0", "address"}},
		{"no interface", func(h *lanHost) { h.unplug() }, dry, exitNetwork, []string{"no network interface is usable"}},
		{"group port held", func(h *lanHost) { h.hold(10525) }, dry, exitNetwork, []string{"group port", "another program"}},
		{"wrong file", nil, []string{"run", "--config", wrong, "--dry-run"}, exitConfig, []string{wrong + `:1: "pol"`, "hint: "}},
		{"wrong flag", nil, append(dry[:len(dry):len(dry)], "--poll", "5"), exitUsage, []string{"--poll", "5s", "hint: "}},
		{"no key", nil, []string{"run", "--config", empty, "--key-file", filepath.Join(dir, "none")}, exitInsecure,
			[]string{"there is no key", "meantime key new", "hint: ", "--insecure"}},
		{"no file of keys", nil, []string{"run", "--config", empty, "--key-file", empty}, exitConfig,
			[]string{"key file cannot be used: " + empty}},
		{"lock not allowed", func(h *lanHost) { h.bed.coverRun("555") }, whole, exitPermission,
			[]string{"not allowed to set the clock", "--dry-run"}},
		{"clock not allowed", func(h *lanHost) { h.bed.coverRun("755") }, whole, exitPermission,
			[]string{"not allowed to set the clock", "--dry-run"}},
		{"clock held", func(h *lanHost) { h.bed.coverRun("755"); h.bed.holdClock() }, whole, exitClockHeld,
			[]string{"another meantime", "stop it first"}},
	}
}

// TestLANErrors: what a user may meet at the start is refused at once, with the exit code and words of the contract.
func TestLANErrors(t *testing.T) {
	t.Parallel()
	takes(t, 12*time.Second)
	b := enter(t, 40*time.Second)
	if b == nil {
		return
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"empty.yaml": "", "wrong.yaml": "pol: 1s\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range refusals(dir) {
		h := b.join()
		if r.prepare != nil {
			r.prepare(h)
		}
		begin := time.Now()
		p := h.meantime(r.args...)
		code := p.wait(startLimit)
		text := p.text()
		t.Logf("%s: exit code %d after %d ms: %s", r.name, code, time.Since(begin).Milliseconds(), strings.TrimSpace(text))
		if code != r.code {
			t.Errorf("%s: exit code %d, want %d", r.name, code, r.code)
		}
		for _, word := range r.says {
			if !strings.Contains(text, word) {
				t.Errorf("%s: it does not say %q", r.name, word)
			}
		}
	}
	portTaken(t, b)
}

// portTaken: a unicast port that another program holds is not an error, but worth a word.
func portTaken(t *testing.T, b *bed) {
	t.Helper()
	master, slave := b.join(), b.join()
	slave.hold(10526)
	nodes := []*process{master.run("", "--role", "master"), slave.run("")}
	nodes[1].says("unicast port is taken: using another; firewalls must let that one through", 1, startLimit)
	nodes[1].says("following a master", 1, 5*time.Second)
	stopAll(t, nodes...)
}

// hold lets another program hold a UDP port on the host.
func (h *lanHost) hold(port int) {
	h.bed.t.Helper()
	h.do(func() error {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err == nil {
			h.bed.t.Cleanup(func() { _ = c.Close() })
		}
		return err
	})
}

// coverRun gives the bed an empty /run of its own, so that the clock's lock is made there, if mode lets it, and the host's is not
// in the way.
func (b *bed) coverRun(mode string) {
	b.t.Helper()
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode="+mode); err != nil {
		b.t.Fatal(err)
	}
}

// holdClock holds the lock on the clock, as another meantime would.
func (b *bed) holdClock() {
	b.t.Helper()
	if err := os.Mkdir("/run/meantime", 0o755); err != nil {
		b.t.Fatal(err)
	}
	f, err := os.Create("/run/meantime/clock.lock")
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = f.Close() })
}

// TestDemoRuns: the demos that the documentation promises end well, and one that has no time to agree says so.
func TestDemoRuns(t *testing.T) {
	t.Parallel()
	takes(t, 15*time.Second)
	b := enter(t, 30*time.Second)
	if b == nil {
		return
	}
	demo := func(args ...string) *process { return b.alone().meantime(append([]string{"demo"}, args...)...) }
	seed, drift, hasty := demo("--preset", "seed", "--plain"), demo("--for", "14s"), demo("--for", "1s", "--plain")
	for _, d := range []struct {
		process *process
		code    int
		says    map[string]int
	}{
		{seed, exitOK, map[string]int{"3:00:00": 1, "3:25:00": 1, "2:50:00": 1, "+0:05:00": 1, "-0:20:00": 1, "+0:15:00": 1,
			" 3:05:00": 3}},
		{drift, exitOK, map[string]int{"below 1ms": 1, "never for good": 0}},
		{hasty, exitFailed, map[string]int{"never for good": 1, "did not agree": 1, "hint: ": 1}},
	} {
		code, text := d.process.wait(15*time.Second), d.process.text()
		t.Logf("exit code %d:\n%s", code, text)
		if code != d.code {
			t.Errorf("exit code %d, want %d", code, d.code)
		}
		for words, want := range d.says {
			if got := strings.Count(text, words); got != want {
				t.Errorf("%q stands there %d times, want %d", words, got, want)
			}
		}
	}
}
