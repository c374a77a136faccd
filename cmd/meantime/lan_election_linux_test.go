package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meantime/netproto"
)

// What elections promise, in poll intervals; a shared machine may be a few times worse, beyond electionFactor it is a fault.
const (
	takeoverGoal   = 3.0 // from a killed master's last poll to the next one's first
	handoverGoal   = 1.0 // from the signal that ends a master to the next one's first poll
	healGoal       = 2.0 // from healing until one of two masters has given up
	followGoal     = 3.0 // from healing until everybody says it obeys that one
	apartGoal      = 1.0 // disagreement of the living over a takeover, as a multiple of that before
	electionFactor = 5

	// apartNoise is what a busy machine may do to any median: below it a ratio is shown, but tells nothing.
	apartNoise = 5 * time.Microsecond
)

// Clocks of the LAN that elects.
var (
	voterOffsets = []string{"2m", "-3m", "90s", "-40s", "5s"}
	voterPPM     = []float64{50, -50, 15, 30, -25}
)

// rateLimit is the fastest a clock may be off the host's oscillator without a step: its own error, the largest frequency
// correction, the largest slew.
const rateLimit = 50e-6 + 500e-6 + 500e-6

// sentPacket is a packet of ours that left a host.
type sentPacket struct {
	netproto.Header
	raw      int64                             // of the host's raw oscillator, by the kernel's stamp
	host     int                               // index
	obeys    netproto.ID                       // Reply
	voters   int                               // Adjust, Claim
	standing map[netproto.ID]netproto.Standing // Adjust
}

// tap hears what every host sends, at the host: a link that is down hides nothing from it.
type tap struct {
	t    *testing.T
	fds  []unix.PollFd // of the hosts
	mu   sync.Mutex
	sent []sentPacket
}

// newTap listens on all hosts until the test ends.
func newTap(b *bed) *tap {
	b.t.Helper()
	w := &tap{t: b.t}
	for _, h := range b.hosts {
		h.do(func() error {
			fd, err := openTap()
			w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			return err
		})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w.listen(stop)
	}()
	b.t.Cleanup(func() {
		close(stop)
		<-stopped
		for _, f := range w.fds {
			_ = unix.Close(int(f.Fd))
		}
	})
	return w
}

// openTap opens a socket that sees, with the kernel's stamps, every packet that passes lan0, either way.
func openTap() (int, error) {
	lan0, err := net.InterfaceByName("lan0")
	if err != nil {
		return -1, err
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fd, err
	}
	return fd, errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lan0.Index}))
}

func (w *tap) listen(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := unix.Poll(w.fds, 100); err != nil && !errors.Is(err, unix.EINTR) {
			w.t.Errorf("tap: %v", err)
			return
		}
		for host, f := range w.fds {
			if f.Revents != 0 {
				w.drain(host, int(f.Fd))
			}
		}
	}
}

// drain takes what a host has sent since.
func (w *tap) drain(host, fd int) {
	buf, oob := make([]byte, 2000), make([]byte, 200)
	for {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
		if err != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Pkttype != unix.PACKET_OUTGOING {
			continue
		}
		if p, ok := parseSent(buf[:n]); ok {
			p.host, p.raw = host, stampRaw(w.t, oob[:oobn])
			w.mu.Lock()
			w.sent = append(w.sent, p)
			w.mu.Unlock()
		}
	}
}

// rawWall reads the raw oscillator and the wall clock as one.
func rawWall(t *testing.T) (raw, wall int64) {
	width := int64(time.Hour)
	for range 10 { // one may be interrupted by whatever else the machine does
		before, now, after := rawNow(t), time.Now().UnixNano(), rawNow(t)
		if after-before < width {
			raw, wall, width = before+(after-before)/2, now, after-before
		}
	}
	return raw, wall
}

// stampRaw is the reading of the raw oscillator at the kernel's stamp, a moment ago.
func stampRaw(t *testing.T, oob []byte) int64 {
	raw, wall := rawWall(t)
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 || len(messages[0].Data) != 16 {
		t.Errorf("tap: a packet without a stamp: %v, error %v", messages, err)
		return raw
	}
	stamp := messages[0].Data
	return raw - wall + int64(binary.NativeEndian.Uint64(stamp))*1e9 + int64(binary.NativeEndian.Uint64(stamp[8:]))
}

// parseSent reads an IPv4 packet; false if it is none of ours.
func parseSent(b []byte) (p sentPacket, ok bool) {
	const udpLen = 8
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != unix.IPPROTO_UDP || len(b) < int(b[0]&15)*4+udpLen {
		return p, false
	}
	h, body, err := netproto.Inspect(b[int(b[0]&15)*4+udpLen:])
	if err != nil {
		return p, false
	}
	p.Header = h
	switch h.Kind {
	case netproto.KindReply:
		var r netproto.Reply
		r, err = netproto.ParseReply(h, body)
		p.obeys = r.Master
	case netproto.KindAdjust:
		var a netproto.Adjust
		a, err = netproto.ParseAdjust(body, nil)
		p.voters = int(a.Voters)
		p.standing = map[netproto.ID]netproto.Standing{}
		for _, e := range a.Entries {
			p.standing[e.ID] = e.Standing
		}
	case netproto.KindClaim:
		var c netproto.Claim
		c, err = netproto.ParseClaim(body)
		p.voters = int(c.Voters)
	}
	return p, err == nil
}

// since lists what was sent from a reading of the raw oscillator on, in order of time.
func (w *tap) since(raw int64, is func(sentPacket) bool) (list []sentPacket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.sent {
		if p.raw >= raw && is(p) {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b sentPacket) int { return int(a.raw - b.raw) })
	return list
}

// first waits for such a packet; false if none was sent within the limit.
func (w *tap) first(raw int64, limit time.Duration, is func(sentPacket) bool) (sentPacket, bool) {
	for {
		late := rawNow(w.t) > raw+int64(limit)+int64(300*time.Millisecond) // it is listened to a little later
		if list := w.since(raw, is); len(list) > 0 {
			return list[0], true
		}
		if late {
			return sentPacket{}, false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func isPoll(p sentPacket) bool { return p.Kind == netproto.KindPoll }

// pollBy tells the polls of some hosts.
func pollBy(hosts ...int) func(sentPacket) bool {
	return func(p sentPacket) bool { return isPoll(p) && slices.Contains(hosts, p.host) }
}

// electorate is a LAN that elects its master.
type electorate struct {
	t        *testing.T
	bed      *bed
	tap      *tap
	interval time.Duration
	roles    []string
	keys     []string   // key files; nil = there are none
	nodes    []*process // of the hosts; nil where it was ended
	courses  []voting
}

// voting is a node's time as a voter.
type voting struct {
	node *process
	from int64
}

// elect starts a node on each host of the bed, each with its key file if there are any.
func elect(b *bed, w *tap, interval time.Duration, roles []string, keys ...string) *electorate {
	e := &electorate{t: b.t, bed: b, tap: w, interval: interval, roles: roles, keys: keys, nodes: make([]*process, len(roles))}
	for i := range roles {
		e.start(i)
	}
	return e
}

func (e *electorate) start(i int) {
	e.t.Helper()
	args := []string{"--role", e.roles[i], "--poll", e.interval.String(),
		"--virtual-offset", voterOffsets[i], "--virtual-frequency", fmt.Sprintf("%gppm", voterPPM[i])}
	if e.keys != nil {
		args = append(args, "--key-file", e.keys[i])
	}
	e.nodes[i] = e.bed.hosts[i].run("", args...)
}

// living lists the hosts whose node runs.
func (e *electorate) living() (hosts []int) {
	for i, n := range e.nodes {
		if n != nil {
			hosts = append(hosts, i)
		}
	}
	return hosts
}

// moments compares the clocks of the living.
func (e *electorate) moments() moments {
	e.t.Helper()
	var nodes []*process
	for _, i := range e.living() {
		nodes = append(nodes, e.nodes[i])
	}
	return readMoments(e.t, nodes...)
}

// master is the host that polled last.
func (e *electorate) master() sentPacket {
	e.t.Helper()
	polls := e.tap.since(0, isPoll)
	if len(polls) == 0 {
		e.t.Fatal("nobody polls")
	}
	return polls[len(polls)-1]
}

func (e *electorate) name(host int) string { return e.bed.hosts[host].name }

// polls is a span in poll intervals.
func (e *electorate) polls(from, to int64) float64 { return float64(to-from) / float64(e.interval) }

// times is so many poll intervals.
func (e *electorate) times(polls float64) time.Duration {
	return time.Duration(polls * float64(e.interval))
}

// vote waits until a master says that all the living vote, and itself does. It gives up after limit.
func (e *electorate) vote(limit time.Duration) (at sentPacket, ok bool) {
	e.t.Helper()
	n := len(e.living())
	return e.tap.first(rawNow(e.t), limit, func(p sentPacket) bool {
		voters := 0
		for _, s := range p.standing {
			if s == netproto.StandingVoter {
				voters++
			}
		}
		return p.Kind == netproto.KindAdjust && p.Flags&netproto.FlagVoter != 0 && voters == n-1 && len(p.standing) == n-1
	})
}

// votes notes that a host's node votes from now on: its clock must not be stepped any more.
func (e *electorate) votes(host int, from int64) {
	e.courses = append(e.courses, voting{e.nodes[host], from})
}

// agree waits until all vote and their clocks are within limit for some polls.
func (e *electorate) agree(limit time.Duration, wait time.Duration) {
	e.t.Helper()
	begin := rawNow(e.t)
	if _, ok := e.vote(wait); !ok {
		e.t.Fatalf("not all vote within %v\n%s", wait, e.logs())
	}
	span := e.times(4)
	for {
		f := e.moments().last(span).figures()
		now := rawNow(e.t)
		if len(f.disagree(span, limit, 2*limit)) == 0 {
			e.t.Logf("LAN of %d, polls every %v, master %s: all vote and agree after %.1f s: %v", len(e.living()), e.interval,
				e.name(e.master().host), float64(now-begin)/1e9, f)
			for _, i := range e.living() {
				e.votes(i, now)
			}
			return
		}
		if now-begin > int64(wait) {
			e.t.Fatalf("no agreement within %v: %v\n%s", wait, f, e.logs())
		}
		time.Sleep(e.interval)
	}
}

func (e *electorate) logs() string {
	var text strings.Builder
	for i, n := range e.nodes {
		if n != nil {
			fmt.Fprintf(&text, "%s:\n%s\n", e.name(i), n.text())
		}
	}
	return text.String()
}

// calm is how long the living are watched before and after a master is gone.
func (e *electorate) calm() time.Duration { return e.times(6) }

// lose takes the master away by what end does and waits for the next. The goal is counted from the master's last poll, or from its
// end, which then is a clean one. It tells what was far beyond the goal.
func (e *electorate) lose(what string, goal float64, fromEnd bool, end func(*process)) (gone int, wrong []string) {
	e.t.Helper()
	begin := rawNow(e.t)
	time.Sleep(e.calm())
	old := e.master().host
	at := rawNow(e.t)
	end(e.nodes[old])
	e.nodes[old] = nil
	next, ok := e.tap.first(at, e.times(electionFactor*goal)+e.interval, pollBy(e.living()...))
	before := e.tap.since(0, pollBy(old))
	last := before[len(before)-1].raw
	if !ok {
		return old, append(wrong, fmt.Sprintf("%s %s: no poll in the %.1f intervals after its last", e.name(old), what,
			e.polls(last, rawNow(e.t))))
	}
	took := e.polls(last, next.raw)
	told := fmt.Sprintf("%.3f intervals after the last poll (goal: %g)", took, goal)
	if fromEnd {
		took = e.polls(at, next.raw)
		told = fmt.Sprintf("%.3f intervals after the signal (goal: %g), %.3f after the last poll", took, goal, e.polls(last, next.raw))
	}
	time.Sleep(time.Duration(at - rawNow(e.t) + int64(e.calm())))
	resigned := e.tap.since(at, func(p sentPacket) bool { return p.Kind == netproto.KindResign && p.host == old })
	if fromEnd && len(resigned) == 0 {
		wrong = append(wrong, fmt.Sprintf("%s %s: no Resign", e.name(old), what))
	}
	all := e.moments()
	steady, during := all.between(begin, at).figures(), all.between(at, at+int64(e.calm())).figures()
	ratio := float64(during.median) / float64(max(steady.median, 1))
	e.t.Logf("%s %s: %s polls under term %d %s", e.name(old), what, e.name(next.host), next.Term, told)
	e.t.Logf("  the living, %v before: %v; %v from then on: %v; ratio of medians %.2f (goal: %g)",
		e.calm(), steady, e.calm(), during, ratio, apartGoal)
	if took > electionFactor*goal {
		wrong = append(wrong, fmt.Sprintf("%s %s: %.3f intervals without a poll", e.name(old), what, took))
	}
	if ratio > electionFactor*apartGoal && during.median > apartNoise {
		wrong = append(wrong, fmt.Sprintf("%s %s: %v, before: %v", e.name(old), what, during, steady))
	}
	return old, append(wrong, e.oneMaster(next.host)...)
}

// oneMaster tells if others than a host have polled of late.
func (e *electorate) oneMaster(master int) (wrong []string) {
	var polled []string
	for _, p := range e.tap.since(rawNow(e.t)-int64(e.times(3)), isPoll) {
		polled = append(polled, e.name(p.host))
	}
	slices.Sort(polled)
	if polled = slices.Compact(polled); len(polled) != 1 || polled[0] != e.name(master) {
		wrong = append(wrong, fmt.Sprintf("in the last 3 intervals %q polled, want only %s", polled, e.name(master)))
	}
	return wrong
}

// kill ends a node as a power cut does.
func kill(p *process) {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// revive starts nodes again that were ended, and waits until they vote.
func (e *electorate) revive(limit time.Duration, hosts ...int) (wrong []string) {
	e.t.Helper()
	begin := rawNow(e.t)
	var names []string
	for _, i := range hosts {
		e.start(i)
		names = append(names, e.name(i))
	}
	adjust, ok := e.vote(limit)
	if !ok {
		return []string{fmt.Sprintf("%s started again: not all vote within %v", strings.Join(names, ", "), limit)}
	}
	for _, i := range hosts {
		e.votes(i, adjust.raw)
	}
	e.t.Logf("%s started again: all %d vote after %.1f s; master %s", strings.Join(names, ", "), len(e.living()),
		float64(adjust.raw-begin)/1e9, e.name(adjust.host))
	return nil
}

// split puts the master and the next living host apart from the others, and waits until the others have a master as well.
func (e *electorate) split() (wrong []string) {
	e.t.Helper()
	few, many := []int{e.master().host}, []int(nil)
	for _, i := range e.living() {
		switch {
		case i == few[0]:
		case len(few) == 1 && len(e.living()) > 3:
			few = append(few, i)
		default:
			many = append(many, i)
		}
	}
	e.bed.annex()
	for _, i := range few {
		e.bed.hosts[i].replug("lan2")
	}
	time.Sleep(e.times(4))
	at := rawNow(e.t)
	e.bed.ip("link set trunk1 down")
	next, ok := e.tap.first(at, e.times(electionFactor*takeoverGoal), pollBy(many...))
	if !ok {
		return []string{fmt.Sprintf("parted: no poll among %d of %d", len(many), len(e.living()))}
	}
	time.Sleep(e.times(5)) // its rounds count voters now
	e.t.Logf("parted into %d and %d: master %s in the smaller part, %s in the larger after %.3f intervals", len(few), len(many),
		e.name(few[0]), e.name(next.host), e.polls(at, next.raw))
	for _, part := range [][]int{few, many} {
		if len(e.tap.since(rawNow(e.t)-int64(e.times(3)), pollBy(part...))) == 0 {
			wrong = append(wrong, "parted: a part has no master any more")
		}
	}
	apart := e.moments().between(at, rawNow(e.t)).figures()
	e.t.Logf("  all clocks while parted: %v", apart)
	return wrong
}

// heal is what became of two masters since healing.
type heal struct {
	master  int
	office  int64 // when the last packet of another master left, its Resign among them; 0 = there was none
	follows int64 // when the last host said that it obeys the master
	all     bool  // all said so
}

// healed tells how far a LAN that was healed at a reading of the raw oscillator has come.
func (e *electorate) healed(at int64) heal {
	e.t.Helper()
	m := e.master()
	h := heal{master: m.host, all: true}
	for _, p := range e.tap.since(at, func(p sentPacket) bool { return p.host != m.host }) {
		switch p.Kind {
		case netproto.KindPoll, netproto.KindAdjust, netproto.KindResign:
			h.office = p.raw
		}
	}
	for _, i := range e.living() {
		if i == m.host {
			continue
		}
		var said int64
		for _, r := range e.tap.since(at, func(p sentPacket) bool { return p.Kind == netproto.KindReply && p.host == i }) {
			switch {
			case r.obeys != m.Sender:
				said = 0
			case said == 0:
				said = r.raw
			}
		}
		h.all = h.all && said > 0
		h.follows = max(h.follows, said)
	}
	return h
}

// unite heals the LAN by what mend does, and waits until one master is left and all say that they obey it.
func (e *electorate) unite(mend func()) (wrong []string) {
	e.t.Helper()
	at := rawNow(e.t)
	mend()
	for end := at + int64(e.times(electionFactor*followGoal)); rawNow(e.t) < end; time.Sleep(e.interval / 4) {
		if h := e.healed(at); h.all && h.office < rawNow(e.t)-int64(e.times(3)) && h.follows < rawNow(e.t)-int64(e.times(3)) {
			break
		}
	}
	h := e.healed(at)
	wrong = e.oneMaster(h.master)
	if !h.all {
		wrong = append(wrong, fmt.Sprintf("healed: not everybody obeys %s after %.1f intervals", e.name(h.master), e.polls(at, rawNow(e.t))))
	}
	office, follows := e.polls(at, max(at, h.office)), e.polls(at, h.follows)
	if office > electionFactor*healGoal || follows > electionFactor*followGoal {
		wrong = append(wrong, fmt.Sprintf("healed: another master for %.3f intervals, not obeyed by all for %.3f", office, follows))
	}
	wrong = append(wrong, e.fewerYield(at)...)
	if len(wrong) == 0 {
		e.t.Logf("healed: one master, %s, after %.3f intervals (goal: %g); obeyed by all %d after %.3f (goal: %g)", e.name(h.master),
			office, healGoal, len(e.living()), follows, followGoal)
	}
	return wrong
}

// fewerYield tells if a master that gave up since healing had more voters than the one that asked it to.
func (e *electorate) fewerYield(at int64) (wrong []string) {
	e.t.Helper()
	counts := e.tap.since(at-int64(e.times(2)), func(p sentPacket) bool {
		return p.Kind == netproto.KindAdjust || p.Kind == netproto.KindClaim && p.voters > 0 || p.Kind == netproto.KindResign
	})
	voters := map[int]int{}
	for _, p := range counts {
		if p.Kind != netproto.KindResign {
			voters[p.host] = p.voters
			continue
		}
		other := e.master().host
		e.t.Logf("%s yields with %d voters to %s with %d", e.name(p.host), voters[p.host], e.name(other), voters[other])
		if voters[p.host] > voters[other] {
			wrong = append(wrong, fmt.Sprintf("healed: %s yields, though it has more voters", e.name(p.host)))
		}
	}
	return wrong
}

// straight tells of clocks that were stepped or did not go forward while their nodes voted.
func (e *electorate) straight() (wrong []string) {
	e.t.Helper()
	lines, worst := 0, 0.0
	for _, v := range e.courses {
		c := v.node.shown().course(v.from, rateLimit)
		lines, worst = lines+c.lines, max(worst, c.worst)
		if c.lines == 0 || c.back > 0 || c.steps > 0 {
			wrong = append(wrong, fmt.Sprintf("%s's clock, a voter's: %+v", v.node.host.name, c))
		}
	}
	e.t.Logf("clocks of voters, %d of them, %d lines of traces: rate off the host's by %.1f ppm at most (limit %.0f ppm)",
		len(e.courses), lines, worst*1e6, rateLimit*1e6)
	return wrong
}

// stop ends all nodes.
func (e *electorate) stop() {
	e.t.Helper()
	for _, i := range e.living() {
		stopAll(e.t, e.nodes[i])
		e.nodes[i] = nil
	}
}

// complain fails the test for what is wrong.
func complain(t *testing.T, wrong []string) {
	t.Helper()
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestLANElections is the measurement of record of masters that go: five nodes, whose master is killed twice, stopped once, and cut
// off with another.
func TestLANElections(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Minute
	takes(t, limit)
	b := enter(t, limit)
	if b == nil {
		return
	}
	b.lan(len(voterPPM))
	e := elect(b, newTap(b), time.Second, slices.Repeat([]string{"auto"}, len(voterPPM)))
	e.agree(20*time.Microsecond, 40*time.Second)
	first, wrong := e.lose("killed", takeoverGoal, false, kill)
	complain(t, wrong)
	second, wrong := e.lose("killed", takeoverGoal, false, kill)
	complain(t, wrong)
	complain(t, e.revive(25*time.Second, first, second))
	stopped, wrong := e.lose("stopped", handoverGoal, true, func(p *process) { stopAll(t, p) })
	complain(t, wrong)
	complain(t, e.revive(25*time.Second, stopped))
	complain(t, e.split())
	complain(t, e.unite(func() { b.ip("link set trunk1 up") }))
	time.Sleep(e.calm() / 2)
	complain(t, e.straight())
	e.stop()
}

// TestLANElectionsCanFail: the checks of TestLANElections see a master whom nobody succeeds, two masters, and a clock that is stepped.
func TestLANElectionsCanFail(t *testing.T) {
	t.Parallel()
	const limit, interval = 45 * time.Second, 250 * time.Millisecond
	takes(t, limit)
	b := enter(t, limit)
	if b == nil {
		return
	}
	b.lan(3)
	w := newTap(b)
	e := elect(b, w, interval, []string{"auto", "slave", "slave"})
	e.agree(time.Millisecond, 15*time.Second)
	_, wrong := e.lose("killed among slaves", takeoverGoal, false, kill)
	t.Logf("said: %q", wrong)
	if len(wrong) == 0 {
		t.Error("a master whom nobody succeeds is not seen")
	}
	e.courses = append(e.courses, voting{e.nodes[1], 0}) // with its start: the first synchronisation
	wrong = e.straight()
	t.Logf("said: %q", wrong)
	if len(wrong) != 1 {
		t.Error("a step is not seen, or one too many")
	}
	e.stop()
	e = elect(b, w, interval, []string{"auto", "auto", "auto"})
	e.agree(time.Millisecond, 15*time.Second)
	complain(t, e.split())
	wrong = e.unite(func() {}) // the trunk stays down
	t.Logf("said: %q", wrong)
	if len(wrong) == 0 {
		t.Error("two masters are not seen")
	}
	e.stop()
}
