package main

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// crowd is many slaves in one thread: each a node with a clock and a key as on a host of its own. They share a wire, the reading of the
// machine's clocks, and whoever wakes them.
type crowd struct {
	plan   *LoadPlan
	wire   *wire
	ring   *netproto.Ring
	now    instant
	slaves []slave
	alarms alarms
	census census
	rand   *rand.Rand
	rounds chan<- Round // each as it ends; nothing goes on before next says so
	next   <-chan struct{}
	quit   <-chan struct{}
	synced int

	poll     received         // the one that is being handed out
	polled   int              // to so many
	data     []byte           // of it
	awaiting [1 << 12]awaited // of what was sent, by the wire's numbers
	entries  [netproto.MaxEntries]netproto.Entry
	offsets  []int64
	in       node.Packet // the input under way
	stamp    node.Sent
	notes    map[string]int // what nodes warned of
}

// awaited is a datagram whose stamp is to come.
type awaited struct {
	number uint32
	slave  int32 // −1: it has come
	token  uint64
}

// instant is the host's clocks as they were last read, for all virtual clocks at once. Between two readings the time stamp counter tells:
// a look costs no system call, of which there would be three for each of a hundred thousand inputs a second.
type instant struct {
	sysclock.Reading
	hz   float64
	zero int64 // counter at the start of the raw oscillator
	pair Pair  // of the wall clock, as last read
}

// pairAge is how long a reading of the wall clock is good: a counter that is measured to a millionth is off by 10 ns then.
const pairAge = 10 * time.Millisecond

func (i *instant) Read() (sysclock.Reading, error) { return i.Reading, nil }

// begin measures the counter and starts the oscillator.
func (i *instant) begin() (err error) {
	i.hz, err = counterRate()
	i.zero = rdtsc()
	return errors.Join(err, i.look())
}

func (i *instant) ns(ticks int64) int64 { return int64(float64(ticks) / i.hz * 1e9) }

// look reads the host's clocks.
func (i *instant) look() error {
	now := rdtsc()
	if i.ns(now-i.pair.mid()) > int64(pairAge) {
		var err error
		if i.pair, err = readPair(clockRealtime, sampleTries); err != nil {
			return err
		}
		now = rdtsc()
	}
	i.Reading = sysclock.Reading{Raw: i.ns(now - i.zero), Wall: i.pair.NS + i.ns(now-i.pair.mid()), Width: i.ns(i.pair.width())}
	return nil
}

// slave is one member.
type slave struct {
	node   *node.Node
	clock  *sysclock.Virtual
	fast   float64 // of its oscillator, fractional
	number int
	source [4]byte
	zero   int64 // raw reading (ns) at its start
	due    int64 // raw time of the host (ns) at which it wants to be woken
	place  int   // among the alarms, −1 = none
	synced bool
	late   int64      // ns: the longest that a packet of this round waited to be handed to it
	width  int64      // ns: the widest reading of this round
	slews  [2]float64 // of its clock, as ordered last and before, fractional
}

// doubt is how far off (ns) the slave's stamps of this round may be: by the width of its readings, and by what its clock was slewed
// between a packet and the reading that goes with it. On a host of its own that is microseconds, in a crowd some ten thousand.
func (s *slave) doubt() int64 {
	return s.width + int64(max(s.slews[0], s.slews[1])*float64(s.late))
}

const (
	// clockPPM and clockOffset bound what a slave's clock is given: usual quartz, and a machine whose battery held.
	clockPPM    = 50e-6
	clockOffset = time.Second
	// share is how many nodes are served at a time with one thing before another has its turn.
	share = 32
	// longestWait bounds a sleep, so that whoever wants the crowd to end does not wait.
	longestWait = 50 * time.Millisecond
)

// newCrowd makes a crowd that has not come yet.
func newCrowd(plan *LoadPlan, w *wire, ring *netproto.Ring, rounds chan<- Round, next <-chan struct{}) *crowd {
	c := &crowd{plan: plan, wire: w, ring: ring, rounds: rounds, next: next, notes: map[string]int{}}
	c.rand = rand.New(rand.NewPCG(plan.Seed, 0))
	c.slaves, c.polled = make([]slave, plan.Slaves), plan.Slaves
	c.census.slaves = make([]enrolled, plan.Slaves)
	c.offsets = make([]int64, plan.Slaves)
	for i := range c.slaves {
		c.slaves[i] = slave{number: i, source: sourceOf(i / plan.PerAddress), place: -1}
	}
	for i := range c.awaiting {
		c.awaiting[i].slave = -1
	}
	return c
}

// sourceOf is the address of the nth host.
func sourceOf(n int) [4]byte { return [4]byte{10, 77, byte(n / 250), byte(1 + n%250)} }

// come starts a slave.
func (c *crowd) come(s *slave) error {
	s.fast = (2*c.rand.Float64() - 1) * clockPPM
	s.clock = sysclock.NewVirtual(sysclock.VirtualConfig{
		Offset: int64((2*c.rand.Float64() - 1) * float64(clockOffset)), Frequency: s.fast,
	}, &c.now)
	r, err := s.clock.Read()
	if err != nil {
		return err
	}
	s.zero = r.Raw
	s.node, err = node.New(node.Config{
		ID: netproto.ID(marked(c.rand.Uint64(), s.number)), Start: c.rand.Uint32(), Group: netproto.GroupID(loadGroup), Ring: c.ring,
		Role: node.RoleSlave, Dry: true, Priority: 100, Interval: c.plan.Poll, MaxSkew: time.Hour, FoundWait: 10 * time.Second,
		Step: node.StepBoot, MayStep: true, MaxSlew: 500e-6, PanicForward: 1000 * time.Second, PanicBackward: 1000 * time.Second,
		Random: func() uint64 { return marked(c.rand.Uint64(), s.number) },
	}, s.moment(r))
	c.arm(s, 0)
	return err
}

func (s *slave) moment(r sysclock.Reading) node.Moment {
	return node.Moment{Now: time.Duration(r.Raw - s.zero), Raw: r.Raw, Wall: r.Wall, Width: r.Width}
}

// run has the slaves come, each at its time, and lives their lives until the context ends.
func (c *crowd) run(ctx context.Context) error {
	began := c.now.Raw
	c.quit = ctx.Done()
	for came := 0; ctx.Err() == nil; {
		if err := c.now.look(); err != nil {
			return err
		}
		for ; came < len(c.slaves) && c.now.Raw-began >= int64(c.plan.Coming)*int64(came)/int64(len(c.slaves)); came++ {
			if err := c.come(&c.slaves[came]); err != nil {
				return err
			}
		}
		if err := c.turn(); err != nil {
			return err
		}
	}
	return nil
}

// turn does a little of everything: alarms that are due, what has come, and the Poll to a few more.
func (c *crowd) turn() error {
	for n := 0; n < share && len(c.alarms) > 0 && c.alarms[0].due <= c.now.Raw; n++ {
		if err := c.handle(c.alarms[0], node.Tick{}); err != nil {
			return err
		}
	}
	for n := 0; n < share && c.polled < len(c.slaves); n++ {
		s := &c.slaves[c.polled]
		c.polled++
		if s.late, s.width = 0, 0; s.node == nil {
			continue
		}
		if err := c.packet(s, c.poll, true); err != nil {
			return err
		}
	}
	ready, err := c.wire.wait(c.untilNext())
	if err != nil {
		return err
	}
	if ready.stamps {
		err = c.wire.stamps(c.stamped)
	}
	if ready.own {
		err = cmp.Or(err, c.wire.read(c.wire.own, c.unicast))
	}
	if ready.group {
		err = cmp.Or(err, c.wire.read(c.wire.group, c.multicast))
	}
	return err
}

// untilNext is how long nothing is to be done unless something comes.
func (c *crowd) untilNext() time.Duration {
	if c.polled < len(c.slaves) {
		return 0
	}
	wait := longestWait
	if len(c.alarms) > 0 {
		wait = min(wait, time.Duration(c.alarms[0].due-c.now.Raw))
	}
	return max(0, wait)
}

// stamped brings the stamp of what was sent.
func (c *crowd) stamped(number uint32, at int64) error {
	a := &c.awaiting[number%uint32(len(c.awaiting))]
	if a.slave < 0 || a.number != number {
		return nil
	}
	s := &c.slaves[a.slave]
	a.slave = -1
	c.stamp = node.Sent{Token: a.token, Iface: c.wire.iface, Stamp: s.clock.FromHost(at), Kernel: true}
	return c.handle(s, &c.stamp)
}

// unicast takes an Ack, or whatever else is for one slave, to whom it belongs. Its echo says who that is.
func (c *crowd) unicast(p received) error {
	h, body, err := c.ring.Open(p.data)
	if err != nil || h.Kind != netproto.KindAck {
		return nil
	}
	ack, err := netproto.ParseAck(body)
	if err != nil {
		return nil
	}
	if i := slaveOf(uint64(ack.Echo)); i >= 0 && i < len(c.slaves) && c.slaves[i].node != nil {
		c.census.acknowledged(i, h.Seq)
		return c.packet(&c.slaves[i], p, false)
	}
	return nil
}

// multicast takes what all are sent: a Poll to everybody, but by and by; an Adjust to those whom it has an entry for, since to all others
// it is nothing (PROTOCOL.md 8.12).
func (c *crowd) multicast(p received) error {
	h, body, err := c.ring.Open(p.data)
	if err != nil {
		return nil
	}
	switch h.Kind {
	case netproto.KindPoll:
		c.endRound()
		c.data = append(c.data[:0], p.data...)
		c.poll, c.polled = received{data: c.data, from: p.from, stamp: p.stamp}, 0
		c.census.begin(h.Seq, p.stamp)
	case netproto.KindAdjust:
		adjust, err := netproto.ParseAdjust(body, c.entries[:0])
		if err != nil {
			return nil
		}
		if c.census.adjusted(h.Seq, adjust, p.stamp); h.Seq != c.census.round.Seq {
			return nil // to whom the next Poll was not handed yet, it would come before that
		}
		for _, e := range adjust.Entries {
			if i := slaveOf(uint64(e.ID)); i >= 0 && i < len(c.slaves) && c.slaves[i].node != nil {
				if err := c.packet(&c.slaves[i], p, true); err != nil {
					return err
				}
			}
		}
		if c.census.complete() {
			c.endRound()
		}
	}
	return nil
}

// packet hands a datagram to a slave.
func (c *crowd) packet(s *slave, p received, toGroup bool) error {
	s.late = max(s.late, c.now.Wall-p.stamp)
	c.in = node.Packet{
		Data: p.data, From: p.from, Iface: c.wire.iface, ToGroup: toGroup, Stamp: s.clock.FromHost(p.stamp), Kernel: p.stamp != 0,
	}
	return c.handle(s, &c.in)
}

// handle gives a slave an input and carries out what it wants.
func (c *crowd) handle(s *slave, in node.Input) error {
	if err := c.now.look(); err != nil {
		return err
	}
	s.width = max(s.width, c.now.Width)
	r, err := s.clock.Read()
	if err != nil {
		return err
	}
	at := s.moment(r)
	if _, tick := in.(node.Tick); !tick || at.Now >= s.node.Deadline() {
		for _, e := range s.node.Handle(at, in) {
			if err := c.do(s, e); err != nil {
				return err
			}
		}
	}
	c.arm(s, at.Now)
	return nil
}

// do carries out one effect.
func (c *crowd) do(s *slave, e node.Effect) error {
	switch e := e.(type) {
	case *node.Send:
		return c.send(s, e)
	case *node.Steer:
		s.slews = [2]float64{min(e.MaxSlew, math.Abs(float64(e.Phase))/float64(time.Second)), s.slews[0]}
		return s.clock.Steer(sysclock.Steering{Frequency: e.Frequency, Phase: e.Phase, MaxSlew: e.MaxSlew})
	case node.Step:
		return s.clock.Step(e.Delta)
	case node.Synchronised:
		if !s.synced {
			s.synced = true
			c.synced++
		}
	case node.Note:
		if e.Level >= node.Warn {
			c.notes[e.Text]++
		}
	}
	return nil
}

// send sends a slave's datagram.
func (c *crowd) send(s *slave, e *node.Send) error {
	if e.Group {
		return fmt.Errorf("slave %d speaks to all", s.number)
	}
	h, body, err := c.ring.Open(e.Data)
	if err != nil {
		return err
	}
	reply, err := netproto.ParseReply(h, body)
	if err != nil {
		return err
	}
	sent := c.now.Wall // as the node saw it
	number, err := c.wire.send(e.Data, s.source, e.To)
	if err != nil {
		c.notes[err.Error()]++
		return nil
	}
	c.awaiting[number%uint32(len(c.awaiting))] = awaited{number: number, slave: int32(s.number), token: e.Token}
	c.census.replied(s.number, h.Seq, reply, sent, s.doubt(), s.fast)
	return nil
}

// endRound closes the round, when everybody was served or the Poll of the next one has come, and looks at all clocks in one instant.
func (c *crowd) endRound() {
	if c.census.round.Seq == 0 || c.census.closed {
		return
	}
	r := c.census.close()
	r.Synced = c.synced
	offsets := c.offsets[:0]
	for i := range c.slaves {
		if s := &c.slaves[i]; s.synced {
			if now, err := s.clock.Read(); err == nil {
				offsets = append(offsets, now.Wall-c.now.Wall)
			}
		}
	}
	r.Apart = distances(offsets)
	select {
	case c.rounds <- r:
	case <-c.quit:
		return
	}
	select {
	case <-c.next:
	case <-c.quit:
	}
}

// distances are how far (µs) half of the offsets (ns) are from their median, 95 % of them, and all.
func distances(offsets []int64) (far [3]float64) {
	if len(offsets) == 0 {
		return far
	}
	slices.Sort(offsets)
	middle := offsets[len(offsets)/2]
	for i, o := range offsets {
		offsets[i] = max(o-middle, middle-o)
	}
	slices.Sort(offsets)
	for i, q := range []int{50, 95, 100} {
		far[i] = float64(offsets[(len(offsets)-1)*q/100]) / 1e3
	}
	return far
}

// arm sets a slave's alarm to its node's deadline. The two seconds differ by some millionths, and an alarm that is early is set again.
func (c *crowd) arm(s *slave, now time.Duration) {
	s.due = c.now.Raw + max(0, int64(min(s.node.Deadline(), now+time.Hour)-now)) + 1
	if s.place < 0 {
		heap.Push(&c.alarms, s)
		return
	}
	heap.Fix(&c.alarms, s.place)
}

// alarms are the slaves in the order of their deadlines.
type alarms []*slave

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].due < a[j].due }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}
func (a *alarms) Push(x any) {
	s := x.(*slave)
	s.place = len(*a)
	*a = append(*a, s)
}
func (a *alarms) Pop() any { return nil } // nobody goes

// own is what this process took so far: processor time and the largest memory.
func own() (cpu time.Duration, memory int64) {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), int64(u.Maxrss) << 10
}
