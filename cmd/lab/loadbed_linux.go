package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"meantime/daemon/control"
	"meantime/netproto"
)

// The names and addresses of a load's LAN.
const (
	loadDevice = "lan0"
	masterHost = "10.77.255.253/16"
	crowdHost  = "10.77.255.254/16"
	crowdRange = "10.77.0.0/17" // of the slaves: all of it is the crowd's own
	fileKey    = "key"
	fileState  = "state"
	fileSocket = "socket"
	fileMaster = "master.log"
)

var (
	loadAddress = netip.MustParseAddrPort("239.255.52.5:10525")
	loadPort    = uint16(10526)
)

// foundLimit is how long the master may take to have LAN time alone.
const foundLimit = 30 * time.Second

// load carries out one load. Everything it makes is gone when it returns.
func load(ctx context.Context, plan LoadPlan, progress io.Writer) (*LoadResult, error) {
	switch {
	case !haveTSC:
		return nil, errors.New("lab load needs a processor with a time stamp counter: it knows only amd64, this is " + runtime.GOARCH)
	case os.Geteuid() != 0:
		return nil, errors.New("lab load needs root: it makes network namespaces")
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		return nil, errors.New("lab load needs ip: apt-get install iproute2")
	}
	work, err := newWork()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	err = errors.Join(
		buildGo(ctx, "build", "-o", filepath.Join(work, fileLab), "./cmd/lab"),
		buildGo(ctx, "build", "-o", filepath.Join(work, fileProgram), "./cmd/meantime"),
		writeJSON(filepath.Join(work, fileOrder), &LoadOrder{plan, ip}))
	if err != nil {
		return nil, err
	}
	limit := foundLimit + plan.Coming + joinRounds*plan.Poll + settleRounds*plan.Poll + plan.For + 30*time.Second
	if err := spawnBed(ctx, stageLoad, work, limit, progress); err != nil {
		return nil, err
	}
	r := &LoadResult{}
	if err := readJSON(filepath.Join(work, fileResult), r); err != nil {
		return nil, err
	}
	return r, nil
}

// LoadOrder is what the bed is told.
type LoadOrder struct {
	Plan LoadPlan
	IP   string
}

// loadBed is the LAN of a load, in a process of its own that is the first of new PID, mount and network namespaces.
type loadBed struct {
	work   string
	order  LoadOrder
	master *exec.Cmd
	result LoadResult
	rounds chan Round
	next   chan struct{}
}

// loadMain is the bed's process.
func loadMain(work string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &loadBed{work: work, rounds: make(chan Round), next: make(chan struct{})}
	if err := readJSON(filepath.Join(work, fileOrder), &b.order); err != nil {
		return err
	}
	b.result.Plan = b.order.Plan
	if err := alone(); err != nil {
		return err
	}
	ring, err := b.makeKey()
	if err != nil {
		return err
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.founded(ctx); err != nil {
		return err
	}
	w, err := openWire(loadDevice, loadAddress, loadPort)
	if err != nil {
		return err
	}
	defer w.close()
	c := newCrowd(&b.order.Plan, w, ring, b.rounds, b.next)
	if err := c.now.begin(); err != nil {
		return err
	}
	crowdCtx, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := b.claim(); err != nil {
			ended <- err
			return
		}
		ended <- c.run(crowdCtx)
	}()
	err = b.watch(ctx, ended)
	end()
	err = errors.Join(err, <-ended)
	b.result.Warned = c.notes
	if err != nil {
		return fmt.Errorf("%w\n%s", err, b.log())
	}
	return writeJSON(filepath.Join(work, fileResult), &b.result)
}

// makeKey writes a key file, as meantime key new does, and returns the ring that it makes.
func (b *loadBed) makeKey() (*netproto.Ring, error) {
	secret := make([]byte, netproto.SecretLen)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	key, err := netproto.NewKey(secret)
	if err != nil {
		return nil, err
	}
	code := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	line := "mt1:" + code.EncodeToString(binary.BigEndian.AppendUint32(secret, crc32.ChecksumIEEE(secret))) + "\n"
	if err := os.WriteFile(filepath.Join(b.work, fileKey), []byte(line), 0o600); err != nil {
		return nil, err
	}
	return netproto.NewRing(netproto.GroupID(loadGroup), key)
}

// start makes the master's host, joins it to this one, and starts the daemon there.
func (b *loadBed) start(ctx context.Context) error {
	const form = "role: master\ngroup: %s\ninterfaces: [%s]\nkey_file: %s\nstate_dir: %s\ncontrol: %s\npoll: %v\nfound_wait: 1s\n%s\n"
	at := func(file string) string { return filepath.Join(b.work, file) }
	conf := fmt.Sprintf(form, loadGroup, loadDevice, at(fileKey), at(fileState), at(fileSocket), b.order.Plan.Poll,
		strings.Join(b.order.Plan.Set, "\n"))
	if err := os.WriteFile(filepath.Join(b.work, fileConf), []byte(conf), 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.work, fileMaster))
	if err != nil {
		return err
	}
	defer log.Close()
	b.master = exec.Command(filepath.Join(b.work, fileProgram), "run", "--dry-run", "--config", filepath.Join(b.work, fileConf))
	b.master.Stdout, b.master.Stderr = log, log
	here, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of another host
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			err := b.ip(ctx, here, "link set lo up", "link add "+loadDevice+" type veth peer name "+loadDevice+" netns /proc/self/fd/3",
				"addr add "+masterHost+" dev "+loadDevice, "link set "+loadDevice+" up")
			// The daemon has no privilege: it needs none, and could not set a clock if it tried.
			if err := errors.Join(err, b.claim(), dropPrivileges()); err != nil {
				return err
			}
			return b.master.Start()
		}()
	}()
	if err := <-done; err != nil {
		return err
	}
	return b.ip(ctx, nil, "link set lo up", "addr add "+crowdHost+" dev "+loadDevice, "link set "+loadDevice+" up",
		"route add local "+crowdRange+" dev lo")
}

// claim puts this thread, and what it starts, before all ordinary work where that was asked for.
func (b *loadBed) claim() error {
	if !b.order.Plan.Realtime {
		return nil
	}
	return goFirst()
}

// dropPrivileges takes from what this thread starts whatever root may do.
func dropPrivileges() error {
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

// ip runs ip's commands in the present network namespace.
func (b *loadBed) ip(ctx context.Context, file *os.File, lines ...string) error {
	for _, line := range lines {
		cmd := exec.CommandContext(ctx, b.order.IP, strings.Fields(line)...)
		if file != nil {
			cmd.ExtraFiles = []*os.File{file}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// stop ends the master.
func (b *loadBed) stop() error {
	_ = b.master.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopGrace, func() { _ = b.master.Process.Kill() })
	defer timer.Stop()
	if err := b.master.Wait(); err != nil {
		return fmt.Errorf("the master ended with %w\n%s", err, b.log())
	}
	return nil
}

// log is the end of what the master said.
func (b *loadBed) log() string {
	text, _ := os.ReadFile(filepath.Join(b.work, fileMaster))
	return string(text[max(0, len(text)-4000):])
}

// ask asks the master how it does.
func (b *loadBed) ask(ctx context.Context) (control.Status, error) {
	return control.NewClient(filepath.Join(b.work, fileSocket)).Status(ctx)
}

// founded waits until the master has LAN time, alone.
func (b *loadBed) founded(ctx context.Context) error {
	for began := time.Now(); ; {
		s, err := b.ask(ctx)
		if err == nil && s.State == "keeping" {
			return nil
		}
		if time.Since(began) > foundLimit || ctx.Err() != nil {
			return fmt.Errorf("the master has no LAN time after %v: it is %q, %w\n%s", foundLimit, s.State, err, b.log())
		}
		time.Sleep(pollPeriod)
	}
}

// reading is what was used and counted at an instant.
type loadReading struct {
	at            time.Time
	status        control.Status
	master, crowd time.Duration
	busy, total   uint64
	switches      uint64
	udp           map[string]uint64
}

// read takes a reading between two rounds; what asks the master for its counters is left out of its cost.
func (b *loadBed) read(ctx context.Context, before bool) (r loadReading, err error) {
	if before {
		r.status, err = b.ask(ctx)
	}
	pid := b.master.Process.Pid
	r.at = time.Now()
	r.master = time.Duration(processorTime(pid))
	r.crowd, _ = own()
	stat, err1 := os.ReadFile("/proc/stat")
	var err2 error
	r.udp, err2 = b.udp()
	if err := errors.Join(err, err1, err2); err != nil {
		return r, err
	}
	r.busy, r.total, err = parseBusy(string(stat))
	r.switches = switches(pid)
	if !before && err == nil {
		r.status, err = b.ask(ctx)
	}
	return r, err
}

// parseUDP reads the counters of UDP out of /proc/net/snmp: a line of names, and one of numbers.
func parseUDP(text string) map[string]uint64 {
	counts := map[string]uint64{}
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i := range min(len(names), len(words)) {
			counts[names[i]], _ = strconv.ParseUint(words[i], 10, 64)
		}
	}
	return counts
}

// switches is how often a process gave up the processor to wait.
func switches(pid int) (sum uint64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
				sum += n
			}
		}
	}
	return sum
}

// watch follows the rounds until enough of them are judged. While it looks at one the slaves are silent, so that what the master has
// counted is of whole rounds.
func (b *loadBed) watch(ctx context.Context, ended <-chan error) error {
	m := milestones{began: time.Now(), all: -1, joined: -1, judged: -1}
	udp, err := b.udp()
	if err != nil {
		return err
	}
	for {
		var round Round
		select {
		case round = <-b.rounds:
		case err := <-ended:
			return errors.Join(errors.New("the slaves ended"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		last := udp
		if udp, err = b.udp(); err != nil {
			return err
		}
		round.In, round.Out = udp["InDatagrams"]-last["InDatagrams"], udp["OutDatagrams"]-last["OutDatagrams"]
		b.result.Rounds = append(b.result.Rounds, round)
		if done, err := b.pass(ctx, &m, round); done || err != nil {
			return err
		}
		b.next <- struct{}{}
	}
}

// milestones are the indices of the rounds in which something was reached first, −1 before.
type milestones struct {
	began  time.Time
	all    int // all slaves had come when it ended
	joined int // all were synchronised
	judged int // judging begins
	before loadReading
}

// pass notes what a round, the last one, has reached.
func (b *loadBed) pass(ctx context.Context, m *milestones, round Round) (done bool, err error) {
	r, p := &b.result, &b.order.Plan
	at := len(r.Rounds) - 1
	r.Master.Memory = max(r.Master.Memory, float64(memory(b.master.Process.Pid))/(1<<20))
	if m.all < 0 && time.Since(m.began) >= p.Coming {
		m.all = at
	}
	switch {
	case m.all < 0:
	case m.joined < 0 && round.Synced == p.Slaves:
		m.joined, r.Joining = at, time.Since(m.began)-p.Coming
	case m.joined < 0 && at-m.all > joinRounds:
		return false, fmt.Errorf("%d of %d slaves are synchronised after %d rounds", round.Synced, p.Slaves, at-m.all)
	case m.joined >= 0 && m.judged < 0 && at == m.joined+settleRounds:
		m.judged = at + 1
		m.before, err = b.read(ctx, true)
	case m.judged >= 0 && time.Since(m.before.at) >= p.For:
		return true, b.conclude(ctx, m)
	}
	return false, err
}

// udp reads the master's counters.
func (b *loadBed) udp() (map[string]uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", b.master.Process.Pid))
	return parseUDP(string(text)), err
}

// conclude takes the second reading and the figures.
func (b *loadBed) conclude(ctx context.Context, m *milestones) error {
	r, before := &b.result, &m.before
	after, err := b.read(ctx, false)
	if err != nil {
		return err
	}
	r.Span = after.at.Sub(before.at)
	seconds := r.Span.Seconds()
	r.Dropped = map[string]uint64{}
	for reason, n := range after.status.Dropped {
		if n -= before.status.Dropped[reason]; n > 0 {
			r.Dropped[reason] = n
		}
	}
	udp := func(name string) uint64 { return after.udp[name] - before.udp[name] }
	r.Taken = after.status.Packets["replies"] - before.status.Packets["replies"]
	r.conclude(m.all, m.joined, m.judged)
	share := func(t *Taken, used time.Duration) {
		t.CPU = 100 * used.Seconds() / seconds
		t.PerMember = float64(used) / 1e3 / float64(r.Judged*r.Plan.Slaves)
	}
	share(&r.Master, after.master-before.master)
	share(&r.Crowd, after.crowd-before.crowd)
	_, used := own()
	r.Crowd.Memory = float64(used) / (1 << 20)
	r.Master.Switches = float64(after.switches-before.switches) / seconds
	r.Master.In, r.Master.Out = float64(udp("InDatagrams"))/seconds, float64(udp("OutDatagrams"))/seconds
	r.Master.Overflow = udp("RcvbufErrors")
	busy := float64(after.busy-before.busy) / float64(after.total-before.total) * 100
	r.Others = busy - (r.Master.CPU+r.Crowd.CPU)/float64(runtime.NumCPU())
	return nil
}
