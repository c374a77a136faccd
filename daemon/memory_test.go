package daemon

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// The network of the driver's tests: links that hand datagrams to each other in memory, under the virtual time of
// testing/synctest. The driver itself, its goroutines and its timers are the real ones.

// bubbleHost is a host whose two clocks are the bubble's time.
type bubbleHost struct{ start time.Time }

// bubbleEpoch (ns since the Unix epoch) is when a bubble's host begins: a time at which this release is out.
const bubbleEpoch = release + int64(90*24*time.Hour)

func (h bubbleHost) Read() (sysclock.Reading, error) {
	raw := int64(time.Since(h.start))
	return sysclock.Reading{Raw: raw, Wall: bubbleEpoch + raw, Width: 100}, nil
}

// wall is a packet stamp of this host.
func (h bubbleHost) wall() int64 { return bubbleEpoch + int64(time.Since(h.start)) }

// stamping is what a link's kernel does about transmit stamps.
type stamping int

const (
	stampsAtOnce stamping = iota
	stampsLate            // after the driver has given up waiting
	stampsNever
)

func (s stamping) String() string { return [...]string{"at once", "late", "never"}[s] }

const (
	// memoryLag is how long a datagram is under way at least; as much again is drawn by lot.
	memoryLag = 40 * time.Microsecond
	// userLead is how long before a datagram leaves its user stamp is taken.
	userLead = 15 * time.Microsecond
	// socketRoom is how many datagrams wait in a socket.
	socketRoom = 512
	// lateBy is how long a late kernel stamp takes.
	lateBy = 3 * stampWait
)

// memoryLAN joins links.
type memoryLAN struct {
	slaves bool // no member stands for office, but the first
	host   bubbleHost
	mu     sync.Mutex
	rng    *rand.Rand
	links  []*memoryLink
	ring   *netproto.Ring // its members' keys; nil = the null key
}

func newMemoryLAN() *memoryLAN {
	return &memoryLAN{host: bubbleHost{time.Now()}, rng: rand.New(rand.NewPCG(1, 2))}
}

// lag draws how long a datagram is under way.
func (n *memoryLAN) lag() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return memoryLag + time.Duration(n.rng.Int64N(int64(memoryLag)))
}

// sending is a datagram that was sent.
type sending struct {
	group bool
	to    netip.AddrPort
	size  int
}

// memoryLink is a link in memory.
type memoryLink struct {
	lan            *memoryLAN
	addr           netip.AddrPort
	stamping       stamping
	group, unicast chan udp.Packet
	faults         chan error // what the next ReceiveUnicasts return
	closed         chan struct{}
	once           sync.Once
	reading        atomic.Int32 // readers that are inside

	mu       sync.Mutex
	pending  []memoryStamp // to come
	sendings []sending
	failing  error // of every send
	strange  bool  // everybody else is off-link
	changes  []udp.Change
	refusal  error // of Refresh
	closing  error // of Close
	frames   []netproto.Frame
	exposed  error // of Shield
	holds    int   // packets, of its sockets
}

// link adds a link to the LAN.
func (n *memoryLAN) link(s stamping) *memoryLink {
	l := &memoryLink{
		lan: n, stamping: s, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(len(n.links) + 1)}), 10526),
		group: make(chan udp.Packet, socketRoom), unicast: make(chan udp.Packet, socketRoom),
		faults: make(chan error, 4*socketRoom), closed: make(chan struct{}),
	}
	n.links = append(n.links, l)
	return l
}

func (l *memoryLink) ReceiveGroup(batch []udp.Packet) (int, error) {
	return l.receive(l.group, nil, batch)
}

func (l *memoryLink) ReceiveUnicast(batch []udp.Packet) (int, error) {
	return l.receive(l.unicast, l.faults, batch)
}

func (l *memoryLink) receive(from <-chan udp.Packet, faults <-chan error, batch []udp.Packet) (int, error) {
	l.reading.Add(1)
	defer l.reading.Add(-1)
	fill := func(i int, p udp.Packet) {
		p.Data = append(batch[i].Data[:0], p.Data...)
		batch[i] = p
	}
	select {
	case <-l.closed:
		time.Sleep(time.Millisecond) // a reader wakes up late
		return 0, net.ErrClosed
	case err := <-faults:
		return 0, err
	case p := <-from:
		fill(0, p)
	}
	for n := 1; n < len(batch); n++ {
		select {
		case p := <-from:
			fill(n, p)
		default:
			return n, nil
		}
	}
	return len(batch), nil
}

// deliver brings a datagram after its time under way.
func (l *memoryLink) deliver(b []byte, from netip.AddrPort, toGroup bool) {
	data, to := slices.Clone(b), l.unicast
	if toGroup {
		to = l.group
	}
	time.AfterFunc(l.lan.lag(), func() {
		p := udp.Packet{Data: data, From: from, Iface: 1, ToGroup: toGroup, Stamp: l.lan.host.wall(), Kernel: true}
		select {
		case to <- p:
		default: // the socket's buffer is full
		}
	})
}

// memoryStamp is a datagram whose kernel stamp is to come.
type memoryStamp struct {
	udp.Sent
	told bool // its user stamp was
}

// leave notes a sending and its stamps.
func (l *memoryLink) leave(s sending, token uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing != nil {
		return l.failing
	}
	l.sendings = append(l.sendings, s)
	l.pending = append(l.pending, memoryStamp{Sent: udp.Sent{Token: token, Iface: 1, Stamp: l.lan.host.wall(), Kernel: true}})
	return nil
}

func (l *memoryLink) Send(batch []udp.Datagram) error {
	var errs []error
	for _, d := range batch {
		if err := l.leave(sending{group: d.Group, to: d.To, size: len(d.Data)}, d.Token); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, other := range l.lan.links {
			if d.Group || other.addr == d.To {
				other.deliver(d.Data, l.addr, d.Group)
			}
		}
	}
	return errors.Join(errs...)
}

func (l *memoryLink) Stamps(dst []udp.Sent, wait time.Duration) []udp.Sent {
	if l.stamping != stampsAtOnce {
		time.Sleep(wait)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ripe := l.lan.host.wall()
	if l.stamping == stampsLate {
		ripe -= int64(lateBy)
	}
	rest := l.pending[:0]
	for _, s := range l.pending {
		switch {
		case l.stamping != stampsNever && s.Stamp <= ripe:
			dst = append(dst, s.Sent)
			continue
		case wait > 0 && !s.told:
			dst = append(dst, udp.Sent{Token: s.Token, Iface: 1, Stamp: s.Stamp - int64(userLead)})
			if s.told = true; l.stamping == stampsNever {
				continue
			}
		}
		rest = append(rest, s)
	}
	l.pending = rest
	return dst
}

func (l *memoryLink) Refresh() ([]udp.Change, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := l.changes
	l.changes = nil
	return changes, l.refusal
}

func (l *memoryLink) OnLink(netip.Addr, int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.strange
}

// Shield shields nothing: what comes is checked all the same.
func (l *memoryLink) Shield(f netproto.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = append(l.frames, f)
	return l.exposed
}

func (l *memoryLink) Dropped() udp.Dropped {
	return udp.Dropped{Kernel: 5, Interface: 2, Destination: 1}
}

func (l *memoryLink) Holds() int { return l.holds }

func (l *memoryLink) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.closing
}

// fail makes every send fail from now on; nil heals it.
func (l *memoryLink) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = err
}

// estrange makes everybody else off-link from now on.
func (l *memoryLink) estrange() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strange = true
}

// sent returns what was sent so far.
func (l *memoryLink) sent() []sending {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sendings)
}

// member is a driver on the LAN with what it was made of.
type member struct {
	*driver
	link    *memoryLink
	virtual *sysclock.Virtual
	journal *journal
	done    chan struct{}
	err     error // of run, once done is closed
}

// memberOf makes a driver; the first of a LAN is its master. broken, if not nil, stands between the driver and its clock.
func memberOf(t *testing.T, l *memoryLink, clock sysclock.VirtualConfig, broken *brokenClock) *member {
	t.Helper()
	i := slices.Index(l.lan.links, l)
	m := &member{link: l, virtual: sysclock.NewVirtual(clock, l.lan.host), journal: &journal{}, done: make(chan struct{})}
	cfg := configs.Default()
	cfg.DryRun = true
	if i == 0 {
		cfg.Role = configs.RoleMaster
	} else if l.lan.slaves {
		cfg.Role = configs.RoleSlave
	}
	var kept sysclock.Clock = m.virtual
	if broken != nil {
		broken.Clock = m.virtual
		kept = broken
	}
	rng := rand.New(rand.NewPCG(7, uint64(i)))
	n := nodeConfig(cfg, &state{id: netproto.ID(i + 1), boot: "test"}, m.virtual)
	n.Start, n.Random, n.Ring = uint32(i+1), rng.Uint64, l.lan.ring.Clone()
	var err error
	if m.driver, err = begin(n, kept, l, slog.New(m.journal)); err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs the driver until ctx ends.
func (m *member) start(ctx context.Context) {
	go func() {
		defer close(m.done)
		m.err = m.run(ctx)
	}()
}

// wait waits for the end of run.
func (m *member) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-m.done:
	case <-time.After(time.Minute):
		t.Fatal("run does not end")
	}
	if n := m.link.reading.Load(); n != 0 {
		t.Errorf("run has ended, but %d readers are at the link", n)
	}
	return m.err
}

// look asks a driver for its true offset, its clock minus the host's, and its status.
func (m *member) look(ctx context.Context, t *testing.T) (offset time.Duration, s node.Status) {
	t.Helper()
	if !m.ask(ctx, func() {
		if _, err := m.virtual.Read(); err != nil {
			t.Error(err)
		}
		host, wall := m.virtual.Pair()
		offset, s = time.Duration(wall-host.Wall), m.node.Status()
	}) {
		t.Fatal("a driver has ended")
	}
	return offset, s
}

// brokenClock is a clock of which some calls fail.
type brokenClock struct {
	sysclock.Clock
	read, steer, step error
}

func (c *brokenClock) Read() (sysclock.Reading, error) {
	if c.read != nil {
		return sysclock.Reading{}, c.read
	}
	return c.Clock.Read()
}

func (c *brokenClock) Steer(s sysclock.Steering) error {
	if c.steer != nil {
		return c.steer
	}
	return c.Clock.Steer(s)
}

func (c *brokenClock) Step(delta int64) error {
	if c.step != nil {
		return c.step
	}
	return c.Clock.Step(delta)
}

// fourClocks are minutes apart and run apart.
var fourClocks = []sysclock.VirtualConfig{
	{Offset: int64(time.Minute), Frequency: 20e-6},
	{Offset: int64(-4 * time.Minute), Frequency: -40e-6},
	{Offset: int64(3*time.Minute + 17*time.Second), Frequency: 50e-6},
	{Offset: int64(-9 * time.Second), Frequency: -5e-6},
}

// startLAN starts a LAN of these clocks.
func startLAN(ctx context.Context, t *testing.T, lan *memoryLAN, s stamping, clocks []sysclock.VirtualConfig) []*member {
	t.Helper()
	var all []*member
	for range clocks { // all links first: a datagram finds everybody
		lan.link(s)
	}
	for i, c := range clocks {
		all = append(all, memberOf(t, lan.links[i], c, nil))
	}
	for _, m := range all {
		m.start(ctx)
	}
	return all
}

// apart is the disagreement of the members, and the mean of their offsets.
func apart(ctx context.Context, t *testing.T, all []*member) (spread, mean time.Duration) {
	t.Helper()
	var offsets []time.Duration
	for _, m := range all {
		o, _ := m.look(ctx, t)
		offsets, mean = append(offsets, o), mean+o/time.Duration(len(all))
	}
	return slices.Max(offsets) - slices.Min(offsets), mean
}

// endLAN ends the LAN and demands that every driver ends well.
func endLAN(t *testing.T, cancel context.CancelFunc, all []*member) {
	t.Helper()
	cancel()
	for i, m := range all {
		if err := m.wait(t); err != nil {
			t.Errorf("driver %d: %v", i, err)
		}
	}
}

// toOne counts the sendings that were not to the group.
func toOne(all []sending) (n int) {
	for _, s := range all {
		if !s.group {
			n++
		}
	}
	return n
}
