package main

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/netproto"
)

// update has the goldens written anew: go test -run TestLANOperator ./cmd/meantime -update
var update = flag.Bool("update", false, "write the goldens of what operators see")

// sights are the files of what an operator sees; each is a golden of that name.
const sights = "operator_*.golden"

// volatile is what differs from run to run, and what stands for it.
var volatile = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`[-+]?(\d+h)?(\d+m)?\d+(\.\d+)?(ns|µs|ms|s)\b`), "T"},
	{regexp.MustCompile(`[-+]\d+\.\d{3}\b`), "F"},
	{regexp.MustCompile(`(?m)^dropped .*\n`), ""},                             // a busy machine's packets come too late
	{regexp.MustCompile(`(?m)^.*  warn  no majority of the voters .*\n`), ""}, // so may its samples: three vote for a moment, and one lies
	{regexp.MustCompile(`(?m)^stamps  .*`), "stamps  S"},                      // of the last exchange, with whomever
	{regexp.MustCompile(`\bfe80::[0-9a-f:]+`), "fe80::X"},
	{regexp.MustCompile(`  +`), "  "},
}

// anID is a node's.
var anID = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// normal is what an operator sees without what differs from run to run: ids are numbered as they appear.
func normal(text string) string {
	ids := map[string]string{}
	text = anID.ReplaceAllStringFunc(text, func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("ID%d", len(ids)+1)
		}
		return ids[id]
	})
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.stands)
	}
	return text
}

// compareSights compares what was seen, in a folder, with the goldens.
func compareSights(t *testing.T, dir string) {
	seen, err := filepath.Glob(filepath.Join(dir, sights))
	golden, err2 := filepath.Glob(filepath.Join("testdata", sights))
	if err != nil || err2 != nil || len(seen) == 0 || len(golden) != len(seen) && !*update {
		t.Fatalf("%d sights, %d goldens, %v, %v", len(seen), len(golden), err, err2)
	}
	for _, path := range seen {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", filepath.Base(path))
		if *update {
			err = os.WriteFile(file, []byte(normal(string(text))), 0o644)
		}
		want, err2 := os.ReadFile(file)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if got := normal(string(text)); got != string(want) {
			t.Errorf("%s: got\n%swant\n%s", filepath.Base(path), got, want)
		}
	}
}

// TestReadmeTour: what README shows of the commands is what they print, but for the numbers.
func TestReadmeTour(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for command, sight := range map[string]string{
		"status": "status", "members": "members", "events": "events", "now": "now", "wait-sync --within 1ms": "wait_sync",
	} {
		golden, err := os.ReadFile(filepath.Join("testdata", "operator_"+sight+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		_, shown, ok := strings.Cut(string(readme), "\n$ meantime "+command+"\n")
		shown, _, _ = strings.Cut(shown, "\n```\n")
		shown, _, _ = strings.Cut(shown, "\n$ ")
		if got := normal(shown + "\n"); !ok || got != string(golden) {
			t.Errorf("README.md: meantime %s shows\n%swant\n%s", command, got, golden)
		}
	}
}

// operator looks at a LAN.
type operator struct {
	*bed
	nodes []*process // by host; nil = no meantime there
	keys  string     // file
	poll  time.Duration
}

// socket is where a host's daemon answers.
func (o *operator) socket(host int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s.sock", o.hosts[host].name))
}

// start starts a node.
func (o *operator) start(host int, role string) {
	o.nodes[host] = o.hosts[host].run("key_file: "+o.keys+"\n", "--role", role, "--poll", o.poll.String(), "--control", o.socket(host),
		"--virtual-offset", voterOffsets[host], "--virtual-frequency", fmt.Sprintf("%gppm", voterPPM[host]))
}

// sees files what a command prints, on the host whose daemon it asks.
func (o *operator) sees(name string, code, host int, args ...string) {
	o.t.Helper()
	o.keep(name, code, o.hosts[host].meantime(append(args, "--socket", o.socket(host))...))
}

// keep files what a command that ends has printed.
func (o *operator) keep(name string, code int, p *process) {
	o.t.Helper()
	if got := p.wait(30 * time.Second); got != code {
		o.t.Errorf("%s: exit code %d, want %d", name, got, code)
	}
	o.t.Logf("%s:\n%s", name, p.text())
	o.file(name, p.text())
}

// file files a sight.
func (o *operator) file(name, text string) {
	o.t.Helper()
	file := filepath.Join(os.TempDir(), "operator_"+name+".golden")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, os.TempDir(), "/tmp")), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// ofTheLAN are the doctor's findings that are of the LAN and not of the machine that it is on.
var ofTheLAN = regexp.MustCompile(`(?m)^  (pass|warn|fail|skip)  (daemon|interfaces|sockets|multicast|masters heard) .*\n(?: {9,}.*\n)*`)

// examines files what the doctor says on a host. Its exit code says that the clock may not be set: this is a user namespace.
func (o *operator) examines(host int) {
	o.t.Helper()
	config := filepath.Join(os.TempDir(), "doctor.yaml")
	text := fmt.Sprintf("key_file: %s\nstate_dir: %s\ncontrol: %s\n", o.keys, os.TempDir(), o.socket(host))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
	p := o.hosts[host].meantime("doctor", "--config", config, "--listen", "1500ms")
	if code := p.wait(2 * doctorLimit); code != exitFailed {
		o.t.Errorf("doctor: exit code %d", code)
	}
	o.t.Logf("doctor:\n%s", p.text())
	o.file("doctor", strings.Join(ofTheLAN.FindAllString(p.text(), -1), ""))
}

// until waits until the answers of a host's daemon are as is says.
func (o *operator) until(what string, host int, is func(control.Status, map[string]control.Member) bool) {
	o.t.Helper()
	client, began := control.NewClient(o.socket(host)), time.Now()
	for {
		ctx, cancel := context.WithTimeout(o.t.Context(), time.Second)
		s, err := client.Status(ctx)
		m, err2 := client.Members(ctx)
		cancel()
		byHost := map[string]control.Member{}
		for _, member := range m.Members {
			at, _ := netip.ParseAddrPort(member.Address)
			byHost[at.Addr().String()] = member
		}
		if err == nil && err2 == nil && is(s, byHost) {
			return
		}
		if time.Since(began) > 30*time.Second {
			o.t.Fatalf("%s: not within 30 s: %v, %v\n%s%s\n%s", what, err, err2, showStatus(overview{s, m}, screen{}),
				showMembers(m, screen{}, false), o.nodes[host].text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// why says whether a member is there, measured, and does not vote for a reason.
func (o *operator) why(members map[string]control.Member, host int, reason string) bool {
	m := members[o.hosts[host].addr.String()]
	return m.Votes != nil && !*m.Votes && m.Why == reason && m.Offset != nil
}

// TestLANOperator: what an operator sees of a LAN of five on which one host is stopped, one lies, and one has just come; and wait-sync on
// that one returns when its clock is on LAN time.
func TestLANOperator(t *testing.T) {
	t.Parallel()
	const limit, within = 90 * time.Second, time.Millisecond
	takes(t, limit)
	b := enterThen(t, limit, func(dir string) { compareSights(t, dir) })
	if b == nil {
		return
	}
	if err := os.Setenv("LC_ALL", "C.UTF-8"); err != nil { // of this process and of what it starts
		t.Fatal(err)
	}
	b.lan(5)
	secret := []byte("the same key in every run, so 32")
	code := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding).
		EncodeToString(binary.BigEndian.AppendUint32(slices.Clone(secret), crc32.ChecksumIEEE(secret)))
	o := &operator{bed: b, nodes: make([]*process, 5), keys: filepath.Join(os.TempDir(), "key"), poll: time.Second}
	if err := os.WriteFile(o.keys, []byte("mt1:"+code+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, role := range []string{"master", "slave", "slave"} {
		o.start(i, role)
		o.until("it is heard", 0, func(_ control.Status, m map[string]control.Member) bool { return len(m) == i+1 })
	}
	liar := newLiar(b.hosts[3], secret)
	o.until("all four vote", 0, func(s control.Status, _ map[string]control.Member) bool {
		return s.Voters == 4 && s.State == "keeping" && s.Spread != nil && s.Spread.Duration() < time.Millisecond
	})
	o.sees("agree", exitOK, 1, "status")
	liar.lie.Store(int64(80 * time.Millisecond))
	newcomer, fallen := "newcomer, being brought to LAN time", "lost its vote: off the majority's time"
	o.until("the liar has no vote", 0, func(_ control.Status, m map[string]control.Member) bool { return o.why(m, 3, fallen) })
	_ = o.nodes[2].cmd.Process.Signal(syscall.SIGSTOP)
	wait := b.hosts[4].meantime("wait-sync", "--within", within.String(), "--timeout", "30s", "--socket", o.socket(4))
	o.start(4, "slave")
	ended := make(chan int64, 1)
	go func() {
		<-wait.ended
		ended <- rawNow(t)
	}()
	o.until("one is stopped, one has just come", 0, func(s control.Status, m map[string]control.Member) bool {
		return s.Voters == 2 && o.why(m, 2, "not heard") && o.why(m, 4, newcomer)
	})
	o.sees("status", exitOK, 0, "status")
	o.sees("members", exitOK, 0, "members")
	o.sees("members_odd", exitOK, 0, "members", "--odd")
	o.sees("events", exitOK, 0, "events")
	o.sees("now", exitOK, 0, "now")
	o.examines(1)
	o.until("it follows", 4, func(s control.Status, _ map[string]control.Member) bool { return s.State == "following" })
	o.sees("status_newcomer", exitOK, 4, "status")
	o.sees("members_slave", exitOK, 1, "members")
	o.keep("wait_sync", exitOK, wait)
	o.sees("wait_sync_in_vain", exitUnsynced, 1, "wait-sync", "--within", "1ns", "--timeout", "300ms")
	o.sees("wait_sync_nobody", exitNoDaemon, 3, "wait-sync", "--timeout", "300ms")
	o.sees("status_nobody", exitNoDaemon, 3, "status")
	_ = o.nodes[2].cmd.Process.Signal(syscall.SIGCONT)
	returned := <-ended
	time.Sleep(o.poll) // the traces go on past that
	stopAll(t, o.nodes[0], o.nodes[1], o.nodes[2], o.nodes[4])
	o.believed(returned, within)
}

// believed compares when wait-sync returned on the last host with when its clock came within a limit of the master's for good.
func (o *operator) believed(returned int64, within time.Duration) {
	all := readMoments(o.t, o.nodes[0], o.nodes[4])
	after, ok := all.settled(within)
	if !ok {
		o.t.Fatalf("the clock that joined never came within %v", within)
	}
	late := time.Duration(returned - all[0].raw - int64(after))
	o.t.Logf("wait-sync --within %v returned %v (%.2f polls) after the clock was that close for good", within, late.Round(time.Millisecond), o.polls(late))
	// The traces are written and compared ten times a second, so it may look as if it had returned 0.2 s before the truth. A shared machine
	// may be a few times worse than a poll.
	if late < -o.poll || late > 5*o.poll {
		o.t.Errorf("wait-sync returned %v after the truth, want 0 to %v", late, o.poll)
	}
}

func (o *operator) polls(d time.Duration) float64 { return d.Seconds() / o.poll.Seconds() }

// liar is a member that is no meantime: it answers polls, is brought to LAN time, and then says that it is elsewhere.
type liar struct {
	lie   atomic.Int64 // ns
	shift int64        // ns from this machine's clock to the one it pretends to have
	ring  *netproto.Ring
	conn  *net.UDPConn
	base  netproto.Header
	nonce uint64
}

// newLiar lets one loose on a host.
func newLiar(h *lanHost, secret []byte) *liar {
	h.bed.t.Helper()
	const id = 0x11a7
	key, err := netproto.NewKey(secret)
	if err != nil {
		h.bed.t.Fatal(err)
	}
	ring, err := netproto.NewRing(netproto.GroupID(configs.Default().Group), key)
	if err != nil {
		h.bed.t.Fatal(err)
	}
	l := &liar{ring: ring, base: netproto.Header{
		Kind: netproto.KindReply, Group: ring.Group(), Sender: id, Start: 1,
		Flags: netproto.FlagDry | netproto.FlagVoter | netproto.FlagNeverMaster | netproto.FlagFitted | netproto.FlagKernelRX,
	}}
	group := configs.Default().Address
	var ear *net.UDPConn
	h.do(func() error {
		lan0, err := net.InterfaceByName("lan0")
		if err != nil {
			return err
		}
		if ear, err = net.ListenMulticastUDP("udp4", lan0, net.UDPAddrFromAddrPort(group)); err != nil {
			return err
		}
		raw, err := ear.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1) }); err != nil {
			return err
		}
		l.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.addr, configs.Default().UnicastPort)))
		if err == nil {
			err = ipv4.NewConn(l.conn).SetTTL(1)
		}
		return err
	})
	var done sync.WaitGroup
	done.Go(func() { l.listen(ear) })
	h.bed.t.Cleanup(func() { _, _ = ear.Close(), l.conn.Close(); done.Wait() })
	return l
}

// listen answers polls until the socket closes.
func (l *liar) listen(ear *net.UDPConn) {
	buf, oob := make([]byte, 2048), make([]byte, 200)
	for {
		n, oobn, _, from, err := ear.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return
		}
		heard := time.Now().UnixNano()
		if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) == 1 {
			stamp := messages[0].Data // the kernel's: without it, it would be measured too badly to be believed at all
			heard = int64(binary.NativeEndian.Uint64(stamp))*1e9 + int64(binary.NativeEndian.Uint64(stamp[8:]))
		}
		h, body, err := l.ring.Open(buf[:n])
		if err != nil {
			continue
		}
		switch h.Kind {
		case netproto.KindPoll:
			if p, err := netproto.ParsePoll(body); err == nil {
				l.reply(h, p, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), heard)
			}
		case netproto.KindAdjust:
			a, err := netproto.ParseAdjust(body, nil)
			for _, e := range a.Entries {
				if err == nil && e.ID == l.base.Sender && l.lie.Load() == 0 {
					l.shift += e.Delta
				}
			}
		}
	}
}

// reply says when a poll was heard, by the clock that it pretends to have.
func (l *liar) reply(h netproto.Header, p netproto.Poll, to netip.AddrPort, heard int64) {
	head := l.base
	head.Seq, head.Lineage, head.Term = h.Seq, h.Lineage, h.Term
	l.nonce++
	ahead := l.shift + l.lie.Load()
	r := netproto.Reply{
		Echo: p.Nonce, Nonce: netproto.Nonce(l.nonce), T2: netproto.Stamp(heard + ahead), T3: netproto.Stamp(time.Now().UnixNano() + ahead),
		Bound: int64(50 * time.Microsecond), Master: h.Sender,
		Held: [netproto.HeldKeys]uint32{l.ring.Newest()},
	}
	packet := r.Append(nil, head)
	l.ring.Seal(packet, l.ring.Newest())
	_, _ = l.conn.WriteToUDPAddrPort(packet, to)
}

// TestLANHammered: a hundred clients that ask the master and the slaves without a pause do not move the clocks.
func TestLANHammered(t *testing.T) {
	t.Parallel()
	const settle, span, clients = 16 * time.Second, 6 * time.Second, 100
	// Nothing is to be noticed; a shared machine, on which clients and daemons take all there is, may be this many times worse.
	const factor = 10
	takes(t, time.Minute)
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	var doors []door
	var nodes []*process
	for i, h := range b.lan(len(lanPPM)) {
		socket := filepath.Join(os.TempDir(), fmt.Sprintf("hammered%d.sock", i))
		nodes = append(nodes, h.run("page: "+metricsAddress+"\n", "--insecure", "--poll", "500ms", "--role", []string{"master", "slave", "slave"}[i],
			"--control", socket, "--virtual-offset", lanOffsets[i], "--virtual-frequency", fmt.Sprintf("%gppm", lanPPM[i])))
		doors = append(doors, door{h, "unix", socket, []string{control.PathStatus, control.PathMembers, control.PathEvents, control.PathNow, "/metrics"}},
			door{h, "tcp", metricsAddress, []string{"/", "/page.js", "/history"}})
	}
	time.Sleep(settle)
	from, idle := rawNow(t), cpuTime(t, nodes)
	answered := hammer(t, clients, span, doors)
	to, busy := rawNow(t), cpuTime(t, nodes)
	time.Sleep(time.Second)
	stopAll(t, nodes...)
	all := readMoments(t, nodes...)
	before, during := all.between(from-int64(span), from).figures(), all.between(from, to).figures()
	t.Logf("%d clients, %.0f answers a second of %d daemons, %.0f %% of a processor: before %v; during %v; ratio of medians %.2f", clients,
		float64(answered)/span.Seconds(), len(nodes), 100*(busy-idle).Seconds()/span.Seconds(), before, during, float64(during.median)/float64(before.median))
	if answered < clients || before.instants == 0 || during.instants == 0 {
		t.Errorf("%d answers, %d and %d instants: nothing was tested", answered, before.instants, during.instants)
	}
	if during.median > factor*max(before.median, apartNoise) {
		t.Errorf("while it was asked, the LAN disagreed by %v, before by %v", during.median, before.median)
	}
}

// door is where a host's daemon is asked, and for what.
type door struct {
	host             *lanHost
	network, address string
	paths            []string
}

// dial connects from the host itself.
func (d door) dial(context.Context, string, string) (conn net.Conn, err error) {
	d.host.do(func() error {
		conn, err = net.Dial(d.network, d.address)
		return nil // a connection that is refused is no answer
	})
	return conn, err
}

// hammer has clients ask for all paths at all doors, one after the other, for a while, and counts the answers.
func hammer(t *testing.T, clients int, span time.Duration, doors []door) (answered int64) {
	var count atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(span)
	for i := range clients {
		all.Go(func() {
			d := doors[i%len(doors)]
			client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true}}
			for n := i; time.Now().Before(end); n++ {
				answer, err := client.Get("http://" + metricsAddress + d.paths[n%len(d.paths)])
				if err != nil {
					continue
				}
				if _, err := io.Copy(io.Discard, answer.Body); err == nil && answer.StatusCode == http.StatusOK {
					count.Add(1)
				}
				_ = answer.Body.Close()
			}
		})
	}
	all.Wait()
	return count.Load()
}
