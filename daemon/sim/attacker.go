package sim

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// Hostility is a class of hostile datagrams.
type Hostility uint8

// The classes.
const (
	Forged      Hostility = iota // made up: every kind, plausible fields, nonces that were just heard; the tag is a guess
	Mutated                      // recorded and altered: bits flipped, cut off, made longer, spliced with another
	Replayed                     // recorded, of this moment or of any earlier one, sent again as it was
	Reflected                    // recorded, sent back to who sent it
	Stranger                     // sealed as it should be, in another group or with another key
	Malformed                    // empty, too long, noise
	Hostilities                  // how many there are
)

var hostilityNames = [Hostilities]string{"forged", "mutated", "replayed", "reflected", "stranger's", "malformed"}

// String names the class.
func (h Hostility) String() string {
	if h < Hostilities {
		return hostilityNames[h]
	}
	return "unknown"
}

// Tally counts one class of hostile datagrams.
type Tally struct {
	Sent  uint64     // datagrams
	Heard uint64     // copies that a node was given; one to the group is heard by all
	Drops node.Drops // of those heard, by reason
}

// Fate is what became of so many datagrams.
type Fate struct {
	What  string // a reason for which nodes drop, or "kept"
	Count uint64
}

// Fates tells what became of the datagrams that nodes heard. Those kept were answered, or noted as anybody's would be.
func (t Tally) Fates() (fates []Fate) {
	kept := t.Heard
	for d, n := range t.Drops {
		if n > 0 {
			fates = append(fates, Fate{node.Drop(d).String(), n})
			kept -= n
		}
	}
	if kept > 0 {
		fates = append(fates, Fate{"kept", kept})
	}
	return fates
}

// attacker is an outsider on the LAN. He holds no key, hears everything, unicast too, forgets nothing, and sends what he likes to
// whom he likes, under any address of the link. His random numbers are his own: the LAN's draws are what they would be without him.
type attacker struct {
	world   *World
	dice    *rand.Rand
	book    []recorded
	latest  latest
	foreign [2]*netproto.Ring // of another group, and of another key
	tally   [Hostilities]Tally
}

// recorded is a datagram that was sent on the LAN.
type recorded struct {
	data   []byte
	at     int64 // ns: when
	over   int64 // ns: when sending it again is a replay
	from   int32
	to     int32   // All for the group
	missed []int32 // those whom it was meant for and did not reach
}

const (
	// bookLimit bounds what the attacker keeps: a day of a LAN of five at a poll each 16 s, and some.
	bookLimit = 1 << 18
	// freshest is among how many of the last packets he looks for one of this moment.
	freshest = 64
	// liveRounds is after how many rounds a packet is surely of the past: whoever comes then does not take it for the
	// present one.
	liveRounds = 3
	// openFor is how long a Candidate asks for objections at most. Its sender repeats it meanwhile; who else does is no recorder either.
	openFor = 250 * time.Millisecond
)

// longAgo (ns) is before any run: nobody was there.
const longAgo = math.MinInt64 / 2

// outsider is the attacker's own address.
var outsider = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 254}), 10526)

func newAttacker(w *World) *attacker {
	return &attacker{world: w, dice: rand.New(rand.NewPCG(w.plan.Seed, streamFoe)), foreign: strangers(w)}
}

// hear records a datagram.
func (a *attacker) hear(from *Host, s *node.Send, data []byte) {
	r := recorded{data: data, at: a.world.now, over: a.world.now + a.world.plan.inFlight(), from: int32(from.index), to: All}
	if !s.Group {
		r.to = int32(a.world.index(s.To))
	}
	if a.latest.learn(data) == netproto.KindCandidate {
		r.over += int64(openFor)
	}
	if len(a.book) < bookLimit {
		a.book = append(a.book, r)
		return
	}
	kept := a.book[:0] // of the older half, every other packet will do
	for i, old := range a.book {
		if i%2 == 0 || i >= bookLimit/2 {
			kept = append(kept, old)
		}
	}
	clear(a.book[len(kept):])
	a.book = append(kept, r)
}

// missed notes that the datagram just heard does not reach a host.
func (a *attacker) missed(to *Host) {
	if last := len(a.book) - 1; last >= 0 {
		a.book[last].missed = append(a.book[last].missed, int32(to.index))
	}
}

// assail sends a hostile datagram and plans the next.
func (a *attacker) assail(fault int) {
	w := a.world
	f := &w.plan.Faults[fault]
	if f.For > 0 && w.now >= int64(f.At+f.For) {
		return
	}
	w.queue.push(w.now+1+int64(a.dice.ExpFloat64()*float64(time.Second)/f.Rate)).mishap(assails, fault)
	class := Replayed
	if f.Kind == Attack {
		class = Hostility(a.dice.IntN(int(Hostilities)))
	}
	if class >= Mutated && class <= Reflected && (len(a.book) == 0 || w.now < a.book[0].over) {
		class = Forged // nothing has been said yet that would be over
	}
	a.send(class)
}

// send sends a datagram of a class.
func (a *attacker) send(class Hostility) {
	source := &recorded{at: longAgo, to: int32(a.dice.IntN(len(a.world.hosts)))}
	if a.dice.IntN(2) == 0 {
		source.to = All
	}
	var data []byte
	switch class {
	case Forged:
		data = a.forge()
	case Mutated:
		data = a.mutate()
	case Replayed:
		source = a.pick()
		data = source.data
		if a.dice.IntN(4) == 0 { // to others than it was meant for
			source.to = int32(a.dice.IntN(len(a.world.hosts)))
		}
	case Reflected:
		source = a.pick()
		data, source.to = source.data, source.from
	case Stranger:
		ring := a.foreign[a.dice.IntN(len(a.foreign))]
		data = a.packet(ring.Group())
		ring.Seal(data, 0)
	default:
		data = a.noise()
	}
	a.tally[class].Sent++
	claimed := a.dice.IntN(len(a.world.hosts)+1) - 1 // whose address it comes from, −1 for his own
	for _, to := range a.world.hosts {
		if source.to == All || source.to == int32(to.index) {
			a.deliver(class, source, to, data, claimed)
		}
	}
}

// pick takes a copy of a recorded packet: half the time one of this moment, as soon as all have had it.
func (a *attacker) pick() *recorded {
	n := len(a.book)
	at := a.dice.IntN(n)
	if a.dice.IntN(2) == 0 {
		at = n - 1 - a.dice.IntN(min(n, freshest))
	}
	for at > 0 && a.world.now < a.book[at].over {
		at--
	}
	r := a.book[at]
	return &r
}

// inFlight is how long (ns) a packet may be under way. A copy that comes before it is no replay: it is the packet, brought by a better
// link.
func (p *Plan) inFlight() int64 {
	const tail = 40 // means: an exponential delay is longer once in 10^17
	flight := int64(p.Link.Delay.Least+p.Asymmetry+p.Latency.Least) + tail*int64(p.Link.Delay.Spread+p.Latency.Spread)
	if p.Link.Reorder > 0 {
		flight += tail * int64(heldBack)
	}
	return flight
}

// deliver brings a hostile datagram to a host. A packet that did not reach the host, or one of the present when the host was not there, is
// no replay either, but a late delivery of the packet: that is the delayer's trade (fault delay).
func (a *attacker) deliver(class Hostility, r *recorded, to *Host, data []byte, claimed int) {
	w := a.world
	live := w.now-r.at < int64(w.plan.rounds(liveRounds))
	if to.deaf > 0 || live && to.start > r.at || slices.Contains(r.missed, int32(to.index)) {
		return
	}
	arrived := w.now + w.plan.Link.Delay.draw(a.dice)
	e := w.queue.push(arrived + w.plan.Latency.draw(a.dice))
	*e = event{
		what: arrives, host: int32(to.index), from: int32(claimed), life: to.life, stamp: arrived, kernel: !w.plan.UserStamps,
		group: r.to == All, data: data, foe: true, class: class,
	}
}

// strike gives a host's node a hostile packet and counts what becomes of it.
func (a *attacker) strike(class Hostility, h *Host, at node.Moment, p *node.Packet) error {
	before := h.Node.Dropped()
	effects := h.Node.Handle(at, p)
	t := &a.tally[class]
	t.Heard++
	for i, count := range h.Node.Dropped() {
		t.Drops[i] += count - before[i]
	}
	return h.perform(effects)
}
