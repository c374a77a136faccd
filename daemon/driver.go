package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

const (
	// stampWait is how long the driver waits for a kernel transmit stamp after a send. Half came within 10 µs and 99 %
	// within 100 µs; later ones still count when they come.
	stampWait = time.Millisecond
	// perMoment is how many packets of a batch are handled at one reading of the clock: some 20 µs, as much as a stamp taken in user space
	// is off by anyway.
	perMoment = 4
	// upkeepEvery is how often interfaces and other programs' writes are looked for, and a service manager hears of us: at what comes anyway
	// then, or upkeepGrace later. A timer for each would wake an idle node, and Go's monitor thread with it.
	upkeepEvery = 3 * time.Second
	upkeepGrace = 2 * time.Second
	// cheapReading (ns) is the width of a reading of the clock up to which it costs nothing worth saving. In a guest of the lab,
	// where each look at a clock is a system call of 68 µs, three of them take 200 µs.
	cheapReading = 20_000
	// justNow (ns) is how old a stamp may be when it is seen, on a busy host.
	justNow = 50_000_000
	// readEvery is how often the wall clock is read nevertheless: a jump is found at the next look.
	readEvery = 100 * time.Millisecond
	// idle is a wait where nothing is due.
	idle = time.Minute
)

// link is what the driver needs of the network; *udp.Conn is one.
type link interface {
	ReceiveGroup(batch []udp.Packet) (int, error)
	ReceiveUnicast(batch []udp.Packet) (int, error)
	Send(batch []udp.Datagram) error
	Stamps(dst []udp.Sent, wait time.Duration) []udp.Sent
	Refresh() ([]udp.Change, error)
	OnLink(addr netip.Addr, iface int) bool
	Shield(f netproto.Frame) error
	Dropped() udp.Dropped
	Holds() int
	Close() error
}

// driver turns one node's effects into deeds, and what happens into inputs. All of it but the two readers runs in one
// goroutine.
type driver struct {
	node  *node.Node
	clock sysclock.Clock
	link  link
	log   *slog.Logger
	zero  int64         // raw reading (ns) at the start
	at    time.Duration // the latest moment, since then
	due   time.Duration // when upkeep is

	sharp sysclock.Reading // the last that has the wall clock, too
	doubt bool             // the clock seems to have been set since
	state *state
	trace *trace
	watch func(node.Effect) // sees every effect; nil = nobody looks
	tap   tap
	heed  func(node.Input) // sees every input before the node does; nil = nobody looks

	alarm   sysclock.Alarm
	gate    *gate
	group   uint32
	asks    chan func()
	wishes  chan wish
	answer  node.Answer    // to the wish under way
	setting chan<- outcome // of who has ordered that LAN time be set, nil = nobody has
	ended   chan struct{}  // closed when run is over
	packet  node.Packet    // the input under way
	out     outbox         // what the node wants sent
	owed    int            // stamps of what was sent that are to come
	stamps  []udp.Sent     // as the link told them last
	queue   []node.Sent    // stamps to hand to the node
	stepped bool           // the clock was stepped since the last moment was read
	sendErr limiter

	keys    *keyring            // nil = there are none
	hangups <-chan os.Signal    // ask for the key file to be read again
	rings   chan *netproto.Ring // what it holds now
	control *controller         // answers whoever asks; nil = nobody can
	webs    webs                // serve whoever is let in over TCP
	notify  *notifier           // whoever started this and wants to know how it does; nil = nobody

	sets    chan struct{} // the clock was set, by whomever
	foreign foreign
	found   string // by other programs' hands, for the node to know; "" = nothing
	slept   int64  // ns, as the clock last told
	awake   bool   // slept has its beginning
	lookErr limiter

	host   string  // its name; "" = not known
	rivals []rival // that run beside this one
	events events

	others    uint64 // packets of other groups so far
	otherSaid limiter
	narrow    bool // the log knows that the sockets hold too little
}

// begin makes a driver and its node, which starts from the clock's present reading.
func begin(cfg node.Config, clock sysclock.Clock, l link, log *slog.Logger) (*driver, error) {
	d := &driver{
		clock: clock, link: l, log: log, alarm: sysclock.TimerAlarm(), gate: newGate(), group: cfg.Group,
		asks: make(chan func()), wishes: make(chan wish), ended: make(chan struct{}),
		sendErr: limiter{every: time.Minute},
		rings:   make(chan *netproto.Ring), sets: make(chan struct{}), lookErr: limiter{every: time.Hour},
		otherSaid: limiter{every: 24 * time.Hour}, host: hostName(),
	}
	r, err := clock.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the clock: %w", err)
	}
	d.zero = r.Raw
	d.sharp = r
	at := d.moment(r)
	d.overslept() // from here on
	d.gate.hold(cfg.Ring)
	cfg.Name = d.host
	d.node, err = node.New(cfg, at)
	return d, err
}

// shield has the kernel refuse what is of no packet of the group, whatever its key: a host with another key file, which sends a packet
// a second, has to be named, and whoever means ill has heard the id of the right one.
func (d *driver) shield() {
	err := d.link.Shield(netproto.FrameOf(d.group))
	switch {
	case err == nil:
		d.log.Info("the kernel refuses what is not of this group")
	case errors.Is(err, errors.ErrUnsupported):
		d.log.Info("this system has no filters on sockets: a flood costs more")
	default:
		d.log.Warn("the kernel takes no filter: a flood costs more", "err", err)
	}
}

// status is the node's, with what was dropped before it got there.
func (d *driver) status() node.Status {
	s := d.node.Status()
	d.gate.count(&s.Drops)
	lost := d.link.Dropped()
	s.Drops[node.DropKernel] += lost.Kernel
	s.Drops[node.DropAstray] += lost.Destination + lost.Interface + lost.Unknown
	return s
}

// run serves the node until ctx ends or the clock or a socket fails for good. It closes the link. At a clean end a master hands
// over to its successor.
func (d *driver) run(ctx context.Context) error {
	defer close(d.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.shield()
	failed := make(chan error, 2)
	var readers sync.WaitGroup
	for _, receive := range []receive{d.link.ReceiveGroup, d.link.ReceiveUnicast} {
		readers.Go(func() {
			if err := d.gate.reader(receive).read(ctx); err != nil {
				failed <- err
			}
		})
	}
	notice := d.notice()
	if notice != nil {
		readers.Go(func() { d.await(ctx, notice) })
	}
	readers.Go(d.alarm.Watch)
	err := d.loop(ctx, failed)
	d.tap.silence()
	d.notify.stopping()
	if err == nil {
		err = d.handle(node.Stop{})
	}
	cancel()
	if notice != nil {
		err = errors.Join(err, notice.Close())
	}
	err = errors.Join(err, d.alarm.Close(), d.link.Close())
	readers.Wait()
	return err
}

// loop is the driver's one goroutine.
func (d *driver) loop(ctx context.Context, failed <-chan error) error {
	err := d.alarm.Set(0)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case err = <-failed:
			return fmt.Errorf("receiving: %w", err)
		case b := <-d.gate.queue:
			err = d.take(b.packets())
			d.gate.release(b)
		case <-d.alarm.Rings():
			if err = d.catchUp(); err == nil {
				err = d.tick()
			}
		case <-d.sets:
			d.doubt = true
			err = d.handle(node.Tick{})
		case ring := <-d.rings:
			err = d.rekey(ring)
		case w := <-d.wishes:
			err = d.fulfil(w)
		case ask := <-d.asks:
			ask()
			continue
		}
		if err == nil && d.at >= d.due {
			err = d.upkeep()
		}
		if err == nil {
			err = d.alarm.Set(d.untilNext())
		}
	}
	return err
}

// rekey puts other keys into force: first where packets come in, so that none under them is lost.
func (d *driver) rekey(ring *netproto.Ring) error {
	d.gate.hold(ring)
	return d.handle(node.Keys{Ring: ring})
}

// untilNext is how long the driver may sleep from its latest moment on. Only what the node has handled makes a new one.
func (d *driver) untilNext() time.Duration {
	wait := min(d.node.Deadline(), d.due+upkeepGrace) - d.at
	return max(0, min(wait, d.trace.due(d.clock)))
}

// catchUp gives the node what waits, as much as there is room for: what came before its time is up is not late because of this driver.
func (d *driver) catchUp() error {
	for range backlog {
		select {
		case b := <-d.gate.queue:
			err := d.take(b.packets())
			if d.gate.release(b); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// tick gives the node its time, if it is due, and writes the trace.
func (d *driver) tick() error {
	if err := d.trace.write(d.clock); err != nil {
		return err
	}
	at, err := d.now(true)
	if err != nil || at.Now < d.node.Deadline() {
		return err
	}
	if at, err = d.awoken(at); err != nil {
		return err
	}
	return d.handleAt(at, node.Tick{})
}

// now makes a moment. Timers run on the raw oscillator, so that one reading does for both. The wall clock is read with it where that
// costs little, where it has not been read for long, and where sharp wants it.
func (d *driver) now(sharp bool) (node.Moment, error) {
	if raw, ok := d.clock.(sysclock.RawReader); ok && !sharp && !d.doubt && d.sharp.Width > cheapReading {
		now, err := raw.ReadRaw()
		if err != nil {
			return node.Moment{}, fmt.Errorf("reading the oscillator: %w", err)
		}
		if now-d.sharp.Raw < int64(readEvery) && time.Duration(now-d.zero) < d.node.Deadline() {
			return d.moment(sysclock.Reading{Raw: now, Width: node.Unread}), nil
		}
	}
	r, err := d.clock.Read()
	if err != nil {
		return node.Moment{}, fmt.Errorf("reading the clock: %w", err)
	}
	d.sharp, d.doubt = r, false
	return d.moment(r), nil
}

// check has the wall clock read at the next look where a stamp of the host is not from just now: the clock was set since it was
// read last.
func (d *driver) check(stamp int64) {
	if d.sharp.Width <= cheapReading {
		return // it is read each time
	}
	away := d.clock.FromHost(stamp) - d.sharp.Wall
	d.doubt = d.doubt || away < -justNow || away > justNow+int64(readEvery)
}

// moment is a reading of the clock as the node sees it.
func (d *driver) moment(r sysclock.Reading) node.Moment {
	d.at = max(d.at, time.Duration(r.Raw-d.zero))
	return node.Moment{Now: d.at, Raw: r.Raw, Wall: r.Wall, Width: r.Width}
}

// take gives the node packets that came together. What they cause is sent together, and the kernel's stamps are waited for at the end,
// and only if no more packets wait. A packet's stamp is mapped to the kept clock after that clock has been read.
func (d *driver) take(packets []udp.Packet) error {
	var at node.Moment
	for i := range packets {
		p := &packets[i]
		d.check(p.Stamp)
		var err error
		if i%perMoment == 0 || d.doubt {
			at, err = d.begun()
		} else {
			at, err = d.renewed(at)
		}
		if err != nil {
			return err
		}
		d.packet = node.Packet{
			Data: p.Data, From: p.From, Iface: p.Iface, ToGroup: p.ToGroup,
			Stamp: d.clock.FromHost(p.Stamp), Kernel: p.Kernel,
		}
		if err := d.once(at, &d.packet); err != nil {
			return err
		}
	}
	wait := stampWait
	if len(d.gate.queue) > 0 {
		wait = 0
	}
	return d.settle(at, wait)
}

// handle gives the node one input, and carries out what comes of it.
func (d *driver) handle(input node.Input) error {
	at, err := d.begun()
	if err != nil {
		return err
	}
	return d.handleAt(at, input)
}

// handleAt is handle at a moment that has been read.
func (d *driver) handleAt(at node.Moment, input node.Input) error {
	if err := d.once(at, input); err != nil {
		return err
	}
	return d.settle(at, stampWait)
}

// begun is the present moment, at which the node knows of a suspend before: stamps from before one mean something else after it.
func (d *driver) begun() (node.Moment, error) {
	at, err := d.now(false)
	if err != nil {
		return at, err
	}
	return d.awoken(at)
}

// awoken is a moment that has been read, or a later one if the machine slept before it.
func (d *driver) awoken(at node.Moment) (node.Moment, error) {
	slept := d.overslept()
	if slept == 0 {
		return at, nil
	}
	if err := d.once(at, node.Suspended{For: slept}); err != nil {
		return at, err
	}
	return d.renewed(at)
}

// settle sends what the node wants sent, and feeds the stamps back to it until there are no more. They are as of the same moment: reading a
// clock takes tens of µs where system calls are slow, and the node maps them through a pair it keeps anyway. wait is for the kernel's.
func (d *driver) settle(at node.Moment, wait time.Duration) (err error) {
	next := 0 // in the queue
	for checked := false; d.unsettled(next, wait); {
		if at, err = d.renewed(at); err != nil {
			return err
		}
		if err := d.tellForeign(at); err != nil {
			return err
		}
		if next == len(d.queue) {
			continue
		}
		s := &d.queue[next]
		if d.check(s.Stamp); d.doubt && !checked {
			checked, d.stepped = true, true // a late stamp is as old as one from before the clock was set
			continue
		}
		next++
		s.Stamp = d.clock.FromHost(s.Stamp)
		if err := d.once(at, s); err != nil {
			return err
		}
	}
	d.queue, d.stepped = d.queue[:0], false
	return nil
}

// unsettled says whether there is something to hand to the node, of the queue from next on or by other programs' hands. Where
// there is not, it sends what waits and looks for stamps.
func (d *driver) unsettled(next int, wait time.Duration) bool {
	if next < len(d.queue) || d.found != "" {
		return true
	}
	if d.send(); d.owed > 0 {
		d.collect(wait)
	}
	return next < len(d.queue)
}

// renewed is the moment, read again if the clock was stepped since: it is of the clock before.
func (d *driver) renewed(at node.Moment) (node.Moment, error) {
	if !d.stepped {
		return at, nil
	}
	d.stepped = false
	return d.now(true)
}

func (d *driver) once(at node.Moment, in node.Input) error {
	if d.heed != nil {
		d.heed(in)
	}
	for _, e := range d.tapIn(at, in) {
		if err := d.perform(e); err != nil {
			return err
		}
		if d.watch != nil {
			d.watch(e)
		}
	}
	return nil
}

// perform carries one effect out. Only a clock that cannot be set ends the daemon: packets get lost anyway.
func (d *driver) perform(e node.Effect) error {
	switch e := e.(type) {
	case *node.Send:
		d.post(e)
	case *node.Steer:
		d.look() // for other programs' writes, which this one covers up
		err := d.clock.Steer(sysclock.Steering{
			Frequency: e.Frequency, Phase: e.Phase, MaxSlew: e.MaxSlew,
			MaxError: e.MaxError, EstError: e.EstError, Synchronised: e.Synchronised,
		})
		logFindings(d.log, d.clock)
		if err != nil {
			return fmt.Errorf("steering the clock: %w", err)
		}
	case node.Step:
		d.send() // what was wanted before is of the time before
		d.stepped = true
		if err := d.clock.Step(e.Delta); err != nil {
			return fmt.Errorf("stepping the clock by %v: %w", time.Duration(e.Delta), err)
		}
	case node.Synchronised:
		d.state.synchronised(d.log)
	case node.Remember:
		d.state.remember(e, d.log)
	case node.NewID:
		d.state.newID(e.ID, d.log)
	case node.NewTerm:
		d.state.newTerm(e.Term, d.log)
	case node.Answer:
		d.answer = e
	case node.TimeSet:
		d.wasSet(e)
	case node.Note:
		d.say(e)
	}
	return nil
}

// say writes a note to the log, and files it among what happened.
func (d *driver) say(n node.Note) {
	logNote(d.log, n)
	d.events.add(time.Now(), n)
}

// outbox is what is to be sent together. The bytes are its own: the node uses its own again.
type outbox struct {
	list  []udp.Datagram
	bytes []byte
}

// put adds a datagram.
func (o *outbox) put(s *node.Send) {
	at := len(o.bytes)
	o.bytes = append(o.bytes, s.Data...)
	o.list = append(o.list, udp.Datagram{Data: o.bytes[at:], Group: s.Group, To: s.To, Iface: s.Iface, Token: s.Token})
}

// post puts a datagram into the outbox, unless it is for nobody on this link.
func (d *driver) post(s *node.Send) {
	d.tapOut(s)
	if !s.Group && !d.link.OnLink(s.To.Addr(), s.Iface) {
		return
	}
	if d.out.put(s); len(d.out.list) == batchSize {
		d.send()
	}
}

// send empties the outbox.
func (d *driver) send() {
	if len(d.out.list) == 0 {
		return
	}
	if err := d.link.Send(d.out.list); err != nil && d.sendErr.allow() {
		d.log.Warn("sending failed", "err", err)
	}
	d.owed += len(d.out.list)
	d.out.list, d.out.bytes = d.out.list[:0], d.out.bytes[:0]
}

// collect queues the stamps of what was sent: the kernel's where it came in time, else the one taken before the send, and the kernel's
// once more should it come late.
func (d *driver) collect(wait time.Duration) {
	d.stamps = d.link.Stamps(d.stamps[:0], wait)
	for _, s := range d.stamps {
		d.queue = append(d.queue, node.Sent{Token: s.Token, Iface: s.Iface, Stamp: s.Stamp, Kernel: s.Kernel})
	}
	if d.owed = max(0, d.owed-len(d.stamps)); wait > 0 {
		d.owed = 0
	}
}

// upkeep is what is done now and then. The loop does it itself: who watches it hears that it turns.
func (d *driver) upkeep() error {
	d.due = d.at + upkeepEvery
	d.refresh()
	d.notify.alive(d.status())
	if d.look(); d.found == "" {
		return nil
	}
	return d.handle(node.Tick{})
}

// refresh looks after the interfaces.
func (d *driver) refresh() {
	changes, err := d.link.Refresh()
	for _, c := range changes {
		d.say(changeNote(c))
	}
	if err != nil && d.sendErr.allow() {
		d.log.Warn("looking at the network interfaces failed", "err", err)
	}
	d.collect(0)
	s := d.status()
	d.tellOthers(s)
	d.tellNarrow(s)
}

// tellOthers says that another group is on the wire, which may be meant, or a name that is not the same everywhere.
func (d *driver) tellOthers(s node.Status) {
	dropped := s.Drops[node.DropGroup]
	if dropped > d.others && d.otherSaid.allow() {
		d.log.Info("nodes of another group are on this network, and are not heard: if they belong to this LAN, give all the same group",
			"dropped", dropped)
	}
	d.others = dropped
}

// waitShare: replies of a large LAN come within half a second, and a busy host may keep a reader waiting for a tenth: a fifth of them.
const waitShare = 5

// tellNarrow says once that a master's sockets hold too little for its LAN.
func (d *driver) tellNarrow(s node.Status) {
	if holds := d.link.Holds(); !d.narrow && holds > 0 && s.State == node.StateKeeping && s.Members > waitShare*holds {
		d.narrow = true
		d.log.Warn("the receive buffers are small for so many members, whose replies get lost while this host is busy: "+
			"let the system give 4194304 bytes (net.core.rmem_max on Linux) and restart", "members", s.Members, "packets_fit", holds)
	}
}

// ask runs f in the driver's goroutine and waits for it. It is false if the driver or ctx ended first: then f never runs.
func (d *driver) ask(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case d.asks <- func() { f(); close(done) }:
		<-done
		return true
	case <-d.ended:
	case <-ctx.Done():
	}
	return false
}
