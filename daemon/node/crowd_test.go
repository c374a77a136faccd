package node

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meantime/netproto"
)

// crowd is a master under test with as many slaves as one likes, which allocate nothing: their clocks are right, they have been told LAN time,
// and each has a rate of its own. All that is measured is the master's.
type crowd struct {
	tb      testing.TB
	node    *Node
	now     time.Duration
	wire    time.Duration  // that a packet is under way
	ring    *netproto.Ring // of the slaves
	key     uint32
	members []extra
	poll    netproto.Header
	body    netproto.Poll
	polled  time.Duration
	packet  Packet
	stamp   Sent
	data    []byte
	replied meter
}

// meter finds what something takes that is done often: the least mean of ten in a row. Machines do other things, too.
type meter struct {
	spent time.Duration
	count int
	least float64 // ns
}

func (m *meter) add(d time.Duration) {
	m.spent, m.count = m.spent+d, m.count+1
	if m.count == 10 {
		if mean := float64(m.spent) / 10; m.least == 0 || mean < m.least {
			m.least = mean
		}
		m.spent, m.count = 0, 0
	}
}

// extra is a member of the crowd.
type extra struct {
	id      netproto.ID
	rate    netproto.Rate
	addr    netip.AddrPort
	nonce   netproto.Nonce
	earlier netproto.Earlier // the exchange before
	again   bool             // the master asks for another
}

// newCrowd is a crowd that has its LAN time and votes, under a key or, where that is 0, in the open.
func newCrowd(tb testing.TB, size int, key byte) *crowd {
	tb.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	c := &crowd{tb: tb, wire: wire, data: make([]byte, 0, netproto.MaxPacket)}
	cfg := Config{
		ID: 1, Start: 10, Group: group, Role: RoleMaster, Priority: 100, Interval: time.Second, MaxSkew: time.Hour, MaxSlew: 500e-6,
		FoundWait: 10 * time.Second, Random: rng.Uint64,
	}
	if key != 0 {
		cfg.Ring, c.ring = ringOf(tb, group, key), ringOf(tb, group, key)
		c.key = c.ring.Newest()
	}
	n, err := New(cfg, c.moment())
	if err != nil {
		tb.Fatal(err)
	}
	c.node = n
	for i := range size {
		c.members = append(c.members, extra{
			id: netproto.ID(rng.Uint64() | 2), rate: netproto.RateOf(20e-6 * rng.NormFloat64()),
			addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 10526),
		})
	}
	slices.SortFunc(c.members, func(a, b extra) int { return int(a.id>>1) - int(b.id>>1) }) // slots go by id
	for range 12 {
		c.round()
	}
	if s := n.Status(); s.State != StateKeeping || s.Members != size+1 || s.Voters < size {
		tb.Fatalf("a crowd of %d: %+v", size, s)
	}
	return c
}

func (c *crowd) moment() Moment {
	return Moment{Now: c.now, Raw: int64(c.now), Wall: wallStart + int64(c.now), Width: 100}
}

// round plays a whole round.
func (c *crowd) round() {
	c.ask()
	for i := range c.members {
		c.speak(&c.members[i])
	}
	c.close()
}

// ask has the master poll.
func (c *crowd) ask() {
	c.now = max(c.now, c.node.Deadline())
	for polled := false; !polled; c.now = max(c.now, c.node.Deadline()) {
		at := c.now
		for _, e := range c.node.Handle(c.moment(), Tick{}) {
			s, ok := e.(*Send)
			if !ok {
				continue
			}
			h, body, err := netproto.Inspect(s.Data)
			if err != nil {
				c.tb.Fatal(err)
			}
			if h.Kind == netproto.KindPoll {
				poll, err := netproto.ParsePoll(body)
				if err != nil {
					c.tb.Fatal(err)
				}
				c.poll, c.body, c.polled, polled = h, poll, at, true
				c.stamp = Sent{Token: s.Token, Iface: 1, Stamp: wallStart + int64(at), Kernel: true}
			}
		}
		if polled {
			break
		}
	}
	c.node.Handle(c.moment(), &c.stamp)
}

// speak gives the master all that a slave has to say in a round.
func (c *crowd) speak(m *extra) {
	m.again = true
	for repeat := uint8(0); m.again; repeat++ {
		c.write(m, repeat)
		c.hear(m)
	}
}

// write writes a slave's next reply.
func (c *crowd) write(m *extra, repeat uint8) {
	m.nonce = netproto.Nonce(uint64(c.poll.Seq)<<32 | uint64(m.id)>>40<<8 | uint64(repeat) | 1<<63)
	flags := netproto.FlagKernelRX | netproto.FlagKernelTX | netproto.FlagFitted
	if c.poll.Lineage != 0 {
		flags |= netproto.FlagVoter
	}
	h := netproto.Header{
		Group: group, Sender: m.id, Start: 7, Seq: c.poll.Seq, Lineage: c.poll.Lineage, Term: c.poll.Term, Flags: flags,
	}
	t2 := netproto.Stamp(wallStart + int64(c.polled+c.wire))
	t3 := netproto.Stamp(wallStart + int64(c.now))
	r := netproto.Reply{
		Echo: c.body.Nonce, Nonce: m.nonce, T2: t2, T3: t3, Rate: m.rate, Bound: 5000, Priority: 100, Pace: 500_000,
		Repeat: repeat, Master: 1, Held: [netproto.HeldKeys]uint32{c.key},
	}
	if repeat > 0 {
		r.Earlier = m.earlier
	}
	m.earlier = netproto.Earlier{Seq: c.poll.Seq, Repeat: repeat, T3: t3}
	c.data = r.Append(c.data[:0], h)
	c.ring.Seal(c.data, c.key)
}

// hear gives the master the reply that was written, and the slave the answer.
func (c *crowd) hear(m *extra) {
	c.now += c.step()
	c.packet = Packet{Data: c.data, From: m.addr, Iface: 1, Stamp: wallStart + int64(c.now), Kernel: true}
	m.again = false
	var token uint64
	at, start := c.moment(), time.Now()
	effects := c.node.Handle(at, &c.packet)
	c.replied.add(time.Since(start))
	for _, e := range effects {
		if s, ok := e.(*Send); ok && !s.Group {
			h, _, err := netproto.Inspect(s.Data)
			if err != nil {
				c.tb.Fatal(err)
			}
			m.again, token = h.Flags&netproto.FlagAgain != 0, s.Token
		}
	}
	if token != 0 {
		c.stamp = Sent{Token: token, Iface: 1, Stamp: wallStart + int64(c.now), Kernel: true}
		c.node.Handle(c.moment(), &c.stamp)
	}
	c.now += c.step()
	m.earlier.T6 = netproto.Stamp(wallStart + int64(c.now))
}

// step is how long a packet is under way: so short that a round's fit into any window.
func (c *crowd) step() time.Duration {
	return min(c.wire, leastWindow/time.Duration(8*len(c.members)))
}

// close has the master end its round.
func (c *crowd) close() {
	for l := c.node.lead; l.closeAt != never; {
		c.now = max(c.now, c.node.Deadline())
		c.node.Handle(c.moment(), Tick{})
	}
}

// TestMasterAllocatesNothing for a reply, the stamp of its Ack and the Ack.
func TestMasterAllocatesNothing(t *testing.T) {
	for _, key := range []byte{0, 1} {
		c := newCrowd(t, 101, key)
		c.ask()
		next, replies := 0, c.node.seen.Replies
		n := testing.AllocsPerRun(len(c.members)-1, func() { // and one more to warm up
			c.speak(&c.members[next])
			next++
		})
		if n != 0 || c.node.seen.Replies-replies < uint64(2*len(c.members)) {
			t.Errorf("key %d: %v allocations for a member, %d replies", key, n, c.node.seen.Replies-replies)
		}
	}
}

// TestSlaveAllocatesNothing in a whole round: Poll, Reply, its stamp, Ack, Adjust, and steering in between.
func TestSlaveAllocatesNothing(t *testing.T) {
	for _, key := range []byte{0, 1} {
		s := newServed(t, key)
		for range 100 {
			s.round()
		}
		before := s.node.seen
		n := testing.AllocsPerRun(100, s.round)
		if n != 0 || s.node.seen.Adjusts-before.Adjusts != 101 || s.node.seen.Acks-before.Acks != 2*101 {
			t.Errorf("key %d: %v allocations a round; before %+v, after %+v", key, n, before, s.node.seen)
		}
	}
}

// served is a slave under test whose master, which is always right, allocates nothing.
type served struct {
	tb     testing.TB
	node   *Node
	now    time.Duration
	ring   *netproto.Ring // of the master
	key    uint32
	seq    uint32
	reply  netproto.Reply // the slave's last
	token  uint64         // of its stamp
	data   []byte
	packet Packet
	stamp  Sent
	entry  [1]netproto.Entry

	took [inputs]meter
}

// Kinds of input to a slave.
const (
	inputPoll = iota
	inputAck
	inputAdjust
	inputSent
	inputTick
	inputs
)

// handle gives the slave an input of a kind.
func (s *served) handle(kind int, in Input) []Effect {
	at, start := s.moment(), time.Now()
	effects := s.node.Handle(at, in)
	s.took[kind].add(time.Since(start))
	return effects
}

func newServed(tb testing.TB, key byte) *served {
	tb.Helper()
	s := &served{tb: tb, data: make([]byte, 0, netproto.MaxPacket)}
	cfg := Config{
		ID: 2, Start: 20, Group: group, Role: RoleSlave, Priority: 100, Interval: time.Second, MaxSkew: time.Hour, MaxSlew: 500e-6,
		Random: rand.New(rand.NewPCG(1, 2)).Uint64,
	}
	if key != 0 {
		cfg.Ring, s.ring = ringOf(tb, group, key), ringOf(tb, group, key)
		s.key = s.ring.Newest()
	}
	var err error
	if s.node, err = New(cfg, s.moment()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *served) moment() Moment {
	return Moment{Now: s.now, Raw: int64(s.now), Wall: wallStart + int64(s.now), Width: 100}
}

// round plays a whole round, with two exchanges.
func (s *served) round() {
	s.pass(time.Second)
	s.seq++
	poll := netproto.Poll{
		Nonce: netproto.Nonce(1000 + s.seq), Interval: 1_000_000, Window: 100_000, Slots: 1, Members: 2, Priority: 100,
		Phase: netproto.PhaseKeeping,
	}
	s.reply.Nonce = 0
	for s.give(inputPoll, poll.Append(s.data[:0], header(s.seq))); s.reply.Nonce == 0; {
		s.pass(time.Millisecond) // until its slot
	}
	s.ack(netproto.FlagAgain)
	s.ack(0)
	s.entry[0] = netproto.Entry{ID: 2, Nonce: s.reply.Nonce, Delta: int64(s.seq % 7), Bound: 1000, Standing: netproto.StandingVoter}
	a := netproto.Adjust{
		Voters: 2, Members: 2, Parts: 1, Phase: netproto.PhaseKeeping, Entries: s.entry[:],
		Rotation: netproto.Rotation{Rate: 1000, Epoch: netproto.Stamp(wallStart + int64(s.now))},
	}
	s.give(inputAdjust, a.Append(s.data[:0], header(s.seq)))
}

// pass lets time pass.
func (s *served) pass(d time.Duration) {
	for end := s.now + d; ; {
		next := s.node.Deadline()
		if next > end {
			s.now = end
			return
		}
		s.now = max(s.now, next)
		s.take(s.handle(inputTick, Tick{}))
	}
}

// ack answers the slave's last reply.
func (s *served) ack(flags netproto.Flags) {
	s.now += 2 * wire
	h := header(s.seq)
	h.Flags = flags
	a := netproto.Ack{Echo: s.reply.Nonce, Repeat: s.reply.Repeat}
	s.give(inputAck, a.Append(s.data[:0], h))
}

// give gives the slave a packet.
func (s *served) give(kind int, data []byte) {
	s.ring.Seal(data, s.key)
	s.packet = Packet{
		Data: data, From: masterAddr, Iface: 1, ToGroup: kind != inputAck, Stamp: wallStart + int64(s.now), Kernel: true,
	}
	s.take(s.handle(kind, &s.packet))
}

// take reads the reply that is among effects, and gives its stamp back.
func (s *served) take(effects []Effect) {
	s.token = 0
	for _, e := range effects {
		sent, ok := e.(*Send)
		if !ok {
			continue
		}
		h, body, err := netproto.Inspect(sent.Data)
		if err == nil {
			s.reply, err = netproto.ParseReply(h, body)
		}
		if err != nil {
			s.tb.Fatal(err)
		}
		s.token = sent.Token
	}
	if s.token != 0 {
		s.stamp = Sent{Token: s.token, Iface: 1, Stamp: wallStart + int64(s.now), Kernel: true}
		s.handle(inputSent, &s.stamp)
	}
}
