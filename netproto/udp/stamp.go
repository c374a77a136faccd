package udp

import "time"

// Transmit stamps come back later, on the socket's error queue, under an id that the kernel counts. The ledger
// keeps which packet has which id, which stamps are still to come, and on which interfaces the kernel gives none.
// It knows no socket and no clock, so that all of it can be tested as values. What each platform defines beside it
// (stamp_linux.go, stamp_other.go):
//
//	txStamper.start(raw)        ready the socket; false when the platform has no transmit stamps
//	txStamper.drain(report)     hand over every stamp that is there, without waiting
//	txStamper.wait(d)           wait at most d for a stamp
//	txStamper.restartIDs()      let the kernel count from 0 again

const (
	// stampPatience is how long after its sending a packet's stamp is waited for. The kernel has it 10 µs
	// after the send at the median and within 2.1 ms in the worst of 2,000 on a loaded machine.
	stampPatience = 2 * time.Millisecond
	// stampExpiry is how long after its sending a packet's stamp is still taken, should it come. After that it
	// counts as missed. A driver with a full queue may keep a packet for some hundred milliseconds.
	stampExpiry = time.Second
	// missesToGiveUp in a row on an interface, and its driver is taken to give no stamps. Some lost ones are normal (a full receive
	// buffer drops the report, a neighbour does not answer ARP), eight running are not. From then on packets are stamped as they come
	// to the interface's queue, which needs no driver: for a guest of the lab that is 100 µs nearer to the wire than what user space
	// reads before it sends. Eight more, and stamps are waited for no longer: an old kernel, or nothing leaves at all.
	missesToGiveUp = 8
	// askAgain is how many packets later a driver is asked again, and the first stamp that comes ends the matter. Where neither kind comes,
	// both are asked for as rarely: what is asked for has to be looked for, and where system calls are slow (68 µs in a guest of the lab)
	// that is what a packet costs.
	askAgain = 64
	// maxPending datagrams may wait for their stamps, and as many stamps for their collection: as many as a network card's longest
	// queue holds, which is where a stamp can be late. A caller that never collects loses the older half.
	maxPending = 4096
)

// asking is which of the kernel's stamps a packet asks for.
type asking uint8

const (
	askSent   asking = 1 << iota // as the driver is handed the packet
	askQueued                    // as it comes to the interface's queue
)

// pendingStamp is a packet whose kernel stamp is to come.
type pendingStamp struct {
	sent    Sent
	asks    asking
	at      time.Time // when it was sent, by the monotonic clock
	stamped bool      // it came, and no better one can
	queued  bool      // that of the queue came
	told    bool      // a stamp was told meanwhile, perhaps not as good
}

// ledger matches kernel stamps with the packets they belong to. Its zero value has stamping off.
type ledger struct {
	on      bool
	nextID  uint32
	pending []pendingStamp // in the order of sending: their ids are the last before nextID
	stamped int            // of them
	ready   []Sent         // to be collected
	ways    map[int]*way   // by interface
}

// way is what is known of an interface.
type way struct {
	misses int    // in a row: of the driver's stamps up to missesToGiveUp, and from there on of the queue's
	sent   uint32 // packets, by which it is known when to ask again
}

// way finds what is known of an interface, or begins with nothing.
func (l *ledger) way(iface int) *way {
	w := l.ways[iface]
	if w == nil {
		w = &way{}
		l.ways[iface] = w
	}
	return w
}

// asks tells which stamps to ask for.
func (l *ledger) asks(iface int) (want asking) {
	if !l.on {
		return 0
	}
	w := l.way(iface)
	w.sent++
	again := w.sent%askAgain == 0
	if w.misses < missesToGiveUp || again {
		want |= askSent
	}
	if w.misses >= missesToGiveUp && (again || !l.givenUp(iface)) {
		want |= askQueued
	}
	return want
}

// givenUp tells whether the kernel is taken to give no stamps on this interface, of either kind.
func (l *ledger) givenUp(iface int) bool {
	w := l.ways[iface]
	return w != nil && w.misses >= 2*missesToGiveUp
}

// posted notes what went out.
func (l *ledger) posted(list []parcel, at time.Time) {
	for i := range list {
		switch p := &list[i]; {
		case p.asks != 0:
			l.asked(p.sent, p.asks, at)
		case p.sent.Token != 0:
			l.tell(p.sent)
		}
	}
}

// asked notes that a packet went out for which a stamp was asked.
func (l *ledger) asked(s Sent, want asking, at time.Time) {
	if len(l.pending) >= maxPending {
		l.forget(maxPending / 2)
	}
	l.pending = append(l.pending, pendingStamp{sent: s, asks: want, at: at})
	l.nextID++
}

// tell has a stamp collected.
func (l *ledger) tell(s Sent) {
	if len(l.ready) >= maxPending {
		l.ready = append(l.ready[:0], l.ready[maxPending/2:]...)
	}
	l.ready = append(l.ready, s)
}

// forget strikes off the n oldest; those whose stamp did not come are missed.
func (l *ledger) forget(n int) {
	if n == 0 {
		return
	}
	for i := range l.pending[:n] {
		if p := &l.pending[i]; p.stamped {
			l.stamped--
		} else {
			l.way(p.sent.Iface).missed(p)
		}
	}
	l.pending = append(l.pending[:0], l.pending[n:]...)
}

// missed counts a packet whose stamps did not come, if it asked for the one that misses are counted of. Where that of the queue came the
// driver's is known not to.
func (w *way) missed(p *pendingStamp) {
	counted := askSent
	if w.misses >= missesToGiveUp {
		counted = askQueued
	}
	if !p.queued && p.asks&counted != 0 {
		w.misses++
	}
}

// restarted notes that the kernel counts from 0 again: after a failed send it cannot be known whether the kernel
// counted that packet. The stamps still to come are given up.
func (l *ledger) restarted() {
	l.tellUser(func(*pendingStamp) bool { return true })
	l.pending, l.stamped, l.nextID = l.pending[:0], 0, 0
}

// report takes what the kernel tells of a packet, read when the clock stood at now. It tells whether ids still fit; if not, the kernel
// counted a packet of which the ledger knows nothing, and its counting must be restarted.
func (l *ledger) report(r report, now int64) (inStep bool) {
	back := l.nextID - r.id // 1 is the youngest
	if int32(back) <= 0 {
		return false
	}
	if int64(back) > int64(len(l.pending)) {
		return true // expired
	}
	p := &l.pending[len(l.pending)-int(back)]
	if p.stamped {
		return true
	}
	if p.queued = p.queued || r.queued; !r.queued || p.asks&askSent == 0 { // else a better one may follow
		p.stamped = true
		l.stamped++
	}
	// A stamp from before the packet was handed over, or from the future, is another packet's, left over from
	// before a restart of the counting; or the clock was stepped meanwhile. Useless either way.
	if r.stamp < p.sent.Stamp || r.stamp > now {
		if !p.told {
			l.tell(p.sent)
		}
		p.told = true
		return true
	}
	w := l.way(p.sent.Iface)
	if w.misses = min(w.misses, missesToGiveUp); !r.queued {
		w.misses = 0
	}
	p.told = true
	l.tell(Sent{Token: p.sent.Token, Iface: p.sent.Iface, Stamp: r.stamp, Kernel: true})
	return true
}

// expire counts as missed what is older than stampExpiry.
func (l *ledger) expire(now time.Time) {
	n := 0
	for n < len(l.pending) && now.Sub(l.pending[n].at) > stampExpiry {
		n++
	}
	l.forget(n)
}

// giveUp tells the user stamps of what has waited long enough for the kernel's, of all if so wanted, and forgets the oldest.
func (l *ledger) giveUp(now time.Time, all bool) {
	l.tellUser(func(p *pendingStamp) bool {
		return all || now.Sub(p.at) > stampPatience || l.givenUp(p.sent.Iface)
	})
	l.expire(now)
}

// tellUser tells the user stamps of those packets that have neither stamp yet.
func (l *ledger) tellUser(which func(*pendingStamp) bool) {
	for i := range l.pending {
		if p := &l.pending[i]; !p.stamped && !p.told && which(p) {
			p.told = true
			l.tell(p.sent)
		}
	}
}

// patience is how long waiting for stamps is still worth it: until the youngest packet is stampPatience old. What is on
// interfaces given up is not waited for, nor what has a stamp.
func (l *ledger) patience(now time.Time) time.Duration {
	for i := len(l.pending) - 1; i >= 0; i-- {
		if p := &l.pending[i]; !p.stamped && !p.told && !l.givenUp(p.sent.Iface) {
			return stampPatience - now.Sub(p.at)
		}
	}
	return 0
}

// collect appends the stamps that are ready to dst.
func (l *ledger) collect(dst []Sent) []Sent {
	dst = append(dst, l.ready...)
	l.ready = l.ready[:0]
	n := 0
	for n < len(l.pending) && l.pending[n].stamped {
		n++
	}
	l.forget(n)
	return dst
}
