package daemon

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
)

// gate stands between the sockets and the queue. What nobody with a key of the group has sent gets no place in the queue, and
// costs neither memory nor the driver's time. What does get in came from a member at some time: it may be a recording, and the
// node checks everything itself.
type gate struct {
	ring  atomic.Pointer[netproto.Ring] // verifies nothing itself: each reader has a clone
	drops [node.DropCount]atomic.Uint64
	began time.Time
	queue chan udp.Packet
	spare chan []byte // buffers that are free again
}

func newGate() *gate {
	return &gate{began: time.Now(), queue: make(chan udp.Packet, backlog), spare: make(chan []byte, backlog)}
}

// hold changes the keys. Readers take them over with the next datagram.
func (g *gate) hold(ring *netproto.Ring) { g.ring.Store(ring.Clone()) }

// count adds what was not let in.
func (g *gate) count(to *node.Drops) {
	for reason := range g.drops {
		to[reason] += g.drops[reason].Load()
	}
}

// buffer is a free buffer, a new one where there is none: as many are made as the queue was ever long, no more.
func (g *gate) buffer() []byte {
	select {
	case b := <-g.spare:
		return b
	default:
		return make([]byte, datagramSize)
	}
}

// release gives a datagram's buffer back.
func (g *gate) release(p udp.Packet) {
	if cap(p.Data) < datagramSize {
		return // none of ours
	}
	select {
	case g.spare <- p.Data[:datagramSize]:
	default:
	}
}

// reader carries the datagrams of one socket to the queue.
type reader struct {
	*gate
	receive func([]byte) (udp.Packet, error)
	held    *netproto.Ring // that of the gate, when keys was cloned
	keys    *netproto.Ring
	sources sources
	shown   node.Budget // of what is refused for its key
}

func (g *gate) reader(receive func([]byte) (udp.Packet, error)) *reader {
	return &reader{gate: g, receive: receive, sources: sources{seed: maphash.MakeSeed()}}
}

// read goes on until the socket is closed. A datagram that is not let in leaves its buffer to the next one.
func (r *reader) read(ctx context.Context) error {
	buf := r.buffer()
	for {
		p, err := r.receive(buf)
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, udp.ErrTemporary) {
			continue // the socket is good: receive has rested, and counted
		}
		if err != nil {
			return err
		}
		if drop, ok := r.check(p); !ok {
			r.drops[drop].Add(1)
			rest(p)
			continue
		}
		select {
		case r.queue <- p:
			buf = r.buffer()
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	// restFor is how long a reader that keeps up with a flood lets it gather, so that it is woken for many datagrams at once. In that time
	// even the smallest usual buffer, of 256, takes 250,000 a second.
	restFor = time.Millisecond
	// keepsUp is how young a datagram is that did not wait behind others.
	keepsUp = restFor / 4
)

// rest waits after a datagram that was refused, unless more of them wait already, as its age tells. What a member sends meanwhile
// waits, too, but has its stamp from the kernel; where the kernel gives none, nobody rests.
func rest(p udp.Packet) {
	if p.Kernel && time.Duration(time.Now().UnixNano()-p.Stamp) < keepsUp {
		time.Sleep(restFor)
	}
}

// check says whether a datagram may have a place in the queue, or why not. Some that are refused for their key may, for the node to name
// and to count. A source that sends more than a member needs loses its
// claim where the queue is half full, and only there: whoever plays recordings under a member's address could else silence it.
func (r *reader) check(p udp.Packet) (node.Drop, bool) {
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
	// sourceBurst and sourceRate (a second) are what a source may send to one socket. The busiest is the master of 4096 members at the
	// shortest interval: 121 parts of an Adjust and a Poll under each of four keys, four times a second, are 500 a second. Twice
	// that, and two rounds at once.
	sourceBurst = 256
	sourceRate  = 1024
	// sourceCells is how many budgets there are. 4096 members share them by up to a dozen, each of whom sends a dozen packets a
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
