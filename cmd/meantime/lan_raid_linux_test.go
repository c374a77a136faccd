package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"meantime/configs"
	"meantime/netproto"
)

// heard is a datagram as it went over the wire.
type heard struct {
	at       time.Time
	from, to netip.AddrPort
	data     []byte
}

// recorder hears everything that hosts send, whoever it is for, at their ports of the bridge.
type recorder struct {
	mu  sync.Mutex
	all []heard
}

// record listens to the hosts until the test ends. What others send to them it does not see, so that no flood is in its way.
func record(b *bed, hosts ...*lanHost) *recorder {
	b.t.Helper()
	r := &recorder{}
	for _, h := range hosts {
		port, err := net.InterfaceByName(h.port)
		if err != nil {
			b.t.Fatal(err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		const all = unix.ETH_P_ALL>>8&0xFF | unix.ETH_P_ALL&0xFF<<8 // in the network's byte order
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: port.Index})
		}
		if err != nil {
			b.t.Fatal(err)
		}
		ear := os.NewFile(uintptr(fd), h.port)
		b.t.Cleanup(func() { _ = ear.Close() })
		go r.listen(ear)
	}
	return r
}

func (r *recorder) listen(ear *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := ear.Read(buf)
		if err != nil {
			return
		}
		if h, ok := dissect(buf[:n]); ok {
			r.mu.Lock()
			r.all = append(r.all, h)
			r.mu.Unlock()
		}
	}
}

// dissect takes a frame of Ethernet, IPv4 and UDP apart that a meantime sent.
func dissect(frame []byte) (h heard, ok bool) {
	const ethernet = 14
	if len(frame) < ethernet+28 || frame[12] != 8 || frame[13] != 0 || frame[ethernet] != 0x45 || frame[ethernet+9] != unix.IPPROTO_UDP {
		return h, false
	}
	ip, udp := frame[ethernet:], frame[ethernet+20:]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if size < 8 || size > len(udp) {
		return h, false
	}
	port := func(at int) uint16 { return binary.BigEndian.Uint16(udp[at:]) }
	h = heard{
		at: time.Now(), data: slices.Clone(udp[8:size]),
		from: netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), port(0)),
		to:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), port(2)),
	}
	return h, true
}

// since gives what was heard since an instant.
func (r *recorder) since(begin time.Time) (part []heard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.all {
		if !h.at.Before(begin) {
			part = append(part, h)
		}
	}
	return part
}

// tally is what a LAN's packets say of how it did.
type tally struct {
	polls, served, replies, acks int
	term                         uint64 // the highest
	masters                      map[netproto.ID]bool
}

func tallyOf(t *testing.T, all []heard) tally {
	c := tally{masters: map[netproto.ID]bool{}}
	for _, one := range all {
		h, body, err := netproto.Inspect(one.data)
		if err != nil {
			t.Errorf("a node sent %x: %v", one.data, err)
			continue
		}
		c.term = max(c.term, h.Term)
		switch h.Kind {
		case netproto.KindPoll:
			c.polls++
			c.masters[h.Sender] = true
		case netproto.KindReply:
			c.replies++
		case netproto.KindAck:
			c.acks++
		case netproto.KindAdjust:
			if a, err := netproto.ParseAdjust(body, nil); err == nil {
				c.served += len(a.Entries)
			}
		}
	}
	return c
}

// shot is a datagram to be sent under any address.
type shot struct {
	from, to netip.AddrPort
	data     []byte
}

// raider is an attacker on a host of its own, with a raw socket.
type raider struct {
	t     *testing.T
	raw   *ipv4.RawConn
	host  *lanHost
	batch []ipv4.Message
	rand  *rand.Rand
}

// raiderBatch is how many datagrams go with one system call.
const raiderBatch = 64

// newRaider adds a host to the LAN.
func newRaider(b *bed) *raider {
	b.t.Helper()
	o := &raider{t: b.t, host: b.join(), batch: make([]ipv4.Message, raiderBatch), rand: rand.New(rand.NewPCG(1, 2))}
	o.host.ip("route add 224.0.0.0/4 dev lan0")
	o.host.do(func() error {
		c, err := net.ListenPacket("ip4:udp", "0.0.0.0")
		if err != nil {
			return err
		}
		b.t.Cleanup(func() { _ = c.Close() })
		o.raw, err = ipv4.NewRawConn(c)
		return err
	})
	for i := range o.batch {
		o.batch[i].Buffers = [][]byte{make([]byte, 0, 2048)}
		o.batch[i].Addr = &net.IPAddr{IP: make(net.IP, 4)}
	}
	return o
}

// fire sends what next gives, rate a second at most, until it gives no more or the time is over.
func (o *raider) fire(rate int, limit time.Duration, next func() (shot, bool)) (sent int) {
	o.t.Helper()
	begin := time.Now()
	for more := true; more && time.Since(begin) < limit; {
		n := 0
		for n < min(raiderBatch, max(1, rate/1000)) {
			s, ok := next()
			if more = ok; !ok {
				break
			}
			m := &o.batch[n]
			m.Buffers[0] = s.wire(m.Buffers[0][:0])
			to := s.to.Addr().As4()
			copy(m.Addr.(*net.IPAddr).IP, to[:])
			n++
		}
		for done := 0; done < n; {
			k, err := o.raw.WriteBatch(o.batch[done:n], 0)
			if err != nil {
				o.t.Fatalf("the raider: %v", err)
			}
			done += k
		}
		sent += n
		time.Sleep(time.Until(begin.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
	}
	return sent
}

// wire appends the IPv4 packet. The kernel fills in id and checksum; UDP does without one.
func (s shot) wire(dst []byte) []byte {
	be := binary.BigEndian
	dst = append(dst, 0x45, 0)
	dst = be.AppendUint16(dst, uint16(28+len(s.data)))
	dst = append(dst, 0, 0, 0, 0, 1, unix.IPPROTO_UDP, 0, 0) // hop limit 1
	from, to := s.from.Addr().As4(), s.to.Addr().As4()
	dst = append(append(dst, from[:]...), to[:]...)
	dst = be.AppendUint16(be.AppendUint16(dst, s.from.Port()), s.to.Port())
	dst = be.AppendUint16(be.AppendUint16(dst, uint16(8+len(s.data))), 0)
	return append(dst, s.data...)
}

// targets are the group and every node's own port.
func targets(nodes []*process) []netip.AddrPort {
	to := []netip.AddrPort{configs.Default().Address}
	for _, n := range nodes {
		to = append(to, netip.AddrPortFrom(n.host.addr, configs.Default().UnicastPort))
	}
	return to
}

// cpuTime is what nodes have used of processors so far, by the clocks that the kernel keeps for each process: the /proc in view is that of
// other process ids.
func cpuTime(t *testing.T, nodes []*process) (sum time.Duration) {
	t.Helper()
	const whole = 2 // CPUCLOCK_SCHED: of all threads, user and system
	for _, n := range nodes {
		var ts unix.Timespec
		if err := unix.ClockGettime(^int32(n.cmd.Process.Pid)<<3|whole, &ts); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum
}

// peak is the most memory (KiB) that any of the nodes, which have ended, had resident.
func peak(nodes []*process) (most int64) {
	for _, n := range nodes {
		most = max(most, int64(n.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss))
	}
	return most
}

// obeyed are the lines by which a node says that it did what a packet wanted.
var obeyed = []string{
	"master now", "following a master", "yielding office", "two masters met", "a second master is on this LAN: staying with the first",
	"founding: LAN time is the mean of the clocks that agree", "resuming a LAN that has its time", "standing for master",
	"LAN time is elsewhere than this clock's past says: history dropped", "stepped the clock", "slewing the clock",
	"another host uses this node's id, as after cloning a disk: taking a new one",
	"two nodes use one id, as after cloning a disk: give one another state directory, or remove the file id in it",
}

// deeds counts those lines, and who came: on a machine that has no time for a flood members leave and come again, but no others.
func deeds(nodes []*process) map[string]int {
	count := map[string]int{}
	for _, n := range nodes {
		for _, words := range obeyed {
			if k := len(n.entries(words)); k > 0 {
				count[n.host.name+": "+words] = k
			}
		}
		for _, e := range n.entries("member came") {
			count[n.host.name+": member came: "+e.ID] = 1
		}
	}
	return count
}

// tell logs what nodes dropped and, where something is wrong, what else they said.
func tell(t *testing.T, nodes []*process) {
	t.Helper()
	for _, n := range nodes {
		t.Logf("%s dropped %v", n.host.name, n.dropped())
		for line := range strings.Lines(n.text()) {
			if t.Failed() && !strings.Contains(line, `"msg":"status"`) && !strings.Contains(line, `"msg":"dropped"`) {
				t.Logf("%s: %s", n.host.name, strings.TrimSpace(line))
			}
		}
	}
}

// disobeyed demands that between two counts of deeds, and two tallies of a LAN's packets, no node obeyed anything.
func disobeyed(t *testing.T, before, after map[string]int, was, is tally) {
	t.Helper()
	for words, n := range after {
		if n != before[words] {
			t.Errorf("%s: %d times more", words, n-before[words])
		}
	}
	if is.term != was.term || len(is.masters) != 1 || len(was.masters) != 1 {
		t.Errorf("term %d, masters %v; before: term %d, masters %v", is.term, is.masters, was.term, was.masters)
	}
	for id := range is.masters {
		if !was.masters[id] {
			t.Errorf("the master is %v now, was %v", is.masters, was.masters)
		}
	}
}

// keyed gives the LAN a key and the line of the configuration that names it.
func keyed(b *bed) string {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "key")
	if out, err := exec.Command(filepath.Join(b.dir, "meantime"), "key", "new", "--file", file).CombinedOutput(); err != nil {
		b.t.Fatalf("key new: %v: %s", err, out)
	}
	return fmt.Sprintf("key_file: %s\n", file)
}
