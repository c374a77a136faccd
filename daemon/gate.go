package daemon

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
)

const (
	// batchSize is how many datagrams are read and handed over at once at most: the costs of a call and of a wake-up are small beside
	// theirs then.
	batchSize = 32
	// backlog is how many batches wait for the driver. One that falls behind finds them full: a thousand datagrams. What
	// comes then waits in the sockets, whose buffers hold a round of a large LAN.
	backlog = 32
	// datagramSize is a little more than any packet of ours, so that a longer one shows as oversized.
	datagramSize = 1500
)

// gate stands between the sockets and the queue. What nobody with a key of the group has sent gets no place in the queue, and
// costs neither memory nor the driver's time. What does get in came from a member at some time: it may be a recording, and the
// node checks everything itself.
type gate struct {
	ring  atomic.Pointer[netproto.Ring] // verifies nothing itself: each reader has a clone
	drops [node.DropCount]atomic.Uint64
	began time.Time
	queue chan *batch
	spare chan *batch // free again, with their buffers
}

// batch is datagrams that were read at once. The first of them were let in.
type batch struct {
	room []udp.Packet // with a buffer each
	n    int          // how many were let in
}

// packets are those let in.
func (b *batch) packets() []udp.Packet { return b.room[:b.n] }

func newGate() *gate {
	return &gate{began: time.Now(), queue: make(chan *batch, backlog), spare: make(chan *batch, backlog)}
}

// hold changes the keys. Readers take them over with the next datagram.
func (g *gate) hold(ring *netproto.Ring) { g.ring.Store(ring.Clone()) }

// count adds what was not let in.
func (g *gate) count(to *node.Drops) {
	for reason := range g.drops {
		to[reason] += g.drops[reason].Load()
	}
}

// batch is a free one, a new one where there is none: as many are made as the queue was ever long, no more.
func (g *gate) batch() *batch {
	select {
	case b := <-g.spare:
		return b
	default:
		return &batch{}
	}
}

// release takes a batch back.
func (g *gate) release(b *batch) {
	select {
	case g.spare <- b:
	default:
	}
}

// upTo is room for n datagrams.
func (b *batch) upTo(n int) []udp.Packet {
	for len(b.room) < n {
		b.room = append(b.room, udp.Packet{Data: make([]byte, datagramSize)})
	}
	return b.room[:n]
}

// receive fills a batch with what is there, and waits for the first; it is a method of a link.
type receive func([]udp.Packet) (int, error)

// reader carries the datagrams of one socket to the queue.
type reader struct {
	*gate
	receive receive
	room    int            // for so many datagrams at once: twice as many each time that were too few
	held    *netproto.Ring // that of the gate, when keys was cloned
	keys    *netproto.Ring
	sources sources
	shown   node.Budget // of what is refused for its key
	thin    node.Budget // of what is handed over as it comes
}

func (g *gate) reader(receive receive) *reader {
	return &reader{gate: g, receive: receive, room: 1, sources: sources{seed: maphash.MakeSeed()}}
}

// read goes on until the socket is closed. What is not let in leaves its buffer to the next.
func (r *reader) read(ctx context.Context) error {
	b := r.batch()
	defer func() { r.release(b) }()
	for {
		got, err := r.receive(b.upTo(r.room))
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, udp.ErrTemporary) {
			continue // the socket is good: receive has rested, and counted
		}
		if err != nil {
			return err
		}
		if got == r.room {
			r.room = min(2*got, batchSize)
		}
		if r.admit(b, got); b.n == 0 {
			rest(b.room[got-1], restFor)
			continue
		}
		last := b.room[b.n-1]
		select {
		case r.queue <- b:
			b = r.batch()
		case <-ctx.Done():
			return nil
		}
		if r.thick(got) {
			rest(last, gatherFor)
		}
	}
}

// admit lets in what may have a place in the queue, of so many that came, and counts the others.
func (r *reader) admit(b *batch, got int) {
	b.n = 0
	for i := range got {
		if drop, ok := r.check(&b.room[i]); !ok {
			r.drops[drop].Add(1)
			continue
		}
		b.room[b.n], b.room[i] = b.room[i], b.room[b.n]
		b.n++
	}
}

// thick says whether datagrams come as thick as the replies of a large LAN, so many of them at last: then they are let gather as a flood
// is. Ten thousand slaves woke their master 11,000 times a second, which took half of its time.
func (r *reader) thick(got int) (yes bool) {
	now := time.Since(r.began)
	for range got {
		yes = !r.thin.Take(now, thinBurst, thinRate)
	}
	return yes
}

const (
	// thinRate (a second) is what comes of a thousand slaves that are asked thrice each in half a second, and a little more: their exchanges
	// are to follow at once. thinBurst is more than any one of them causes.
	thinRate  = 8000
	thinBurst = 64
	// gatherFor is how long: a sixth of what a slave waits for an Ack before it replies once more, and nothing beside the grace. Ten thousand
	// send a hundred replies in that time, for which a smallest buffer has room.
	gatherFor = 4 * time.Millisecond
)

const (
	// restFor is how long a reader that keeps up with a flood lets it gather, so that it is woken for many datagrams at once. In that time
	// even the smallest usual buffer, of 256, takes 250,000 a second.
	restFor = time.Millisecond
	// keepsUp is how young a datagram is that did not wait behind others.
	keepsUp = restFor / 4
)

// rest waits after a datagram that was refused, or one of many, unless more of them wait already, as its age tells. What a member sends
// meanwhile waits, too, but has its stamp from the kernel; where the kernel gives none, nobody rests.
func rest(p udp.Packet, span time.Duration) {
	if p.Kernel && time.Duration(time.Now().UnixNano()-p.Stamp) < keepsUp {
		time.Sleep(span)
		return
	}
	runtime.Gosched() // the driver has its turn, also where there is one processor
}

// check says whether a datagram may have a place in the queue, or why not. Some that are refused for their key may, for the node to name
// and to count. A source that sends more than a member needs loses its
// claim where the queue is half full, and only there: whoever plays recordings under a member's address could else silence it.
func (r *reader) check(p *udp.Packet) (node.Drop, bool) {
	if held := r.ring.Load(); held != r.held {
		r.held, r.keys = held, held.Clone()
	}
	if err := r.keys.Verify(p.Data); err != nil {
		drop := node.DropOf(err)
		return drop, drop == node.DropKey && r.shown.Take(time.Since(r.began), shownBurst, shownRate)
	}
	if !r.sources.take(p.From.Addr(), time.Since(r.began)) && len(r.queue) >= backlog/2 {
		return node.DropCrowding, false
	}
	return 0, true
}

// shownBurst and shownRate (a second) are how many datagrams under a wrong key the node is shown nevertheless, so that it can name who
// sends them: a handful of hosts with another key file, and no flood.
const (
	shownBurst = 8
	shownRate  = 8
)

const (
	// sourceBurst and sourceRate (a second) are what a source may send to one socket. The busiest is the master of 16384 members at the
	// shortest interval: 482 parts of an Adjust and a Poll under each of four keys, four times a second, are 1944 a second. Twice
	// that, and two rounds at once.
	sourceBurst = 1024
	sourceRate  = 4096
	// sourceCells is how many budgets there are. 16384 members share them by up to three dozen, each of whom sends a dozen packets a
	// round; one that has gone mad takes a thousandth of the others with it.
	sourceCells = 1024
)

// sources are the budgets of everybody who sends, found by a keyed hash of the address: no table can fill up, and nobody chooses
// whose budget it shares.
type sources struct {
	seed  maphash.Seed
	cells [sourceCells]node.Budget
}

// take spends of a source's budget, if anything is left of it.
func (s *sources) take(from netip.Addr, now time.Duration) bool {
	a := from.As16()
	return s.cells[maphash.Bytes(s.seed, a[:])%sourceCells].Take(now, sourceBurst, sourceRate)
}
