package model

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// size is how many nodes there are: A, B and C.
const size = 3

const (
	group    = 7
	interval = time.Second
	// birth is what the first clock shows when all begins, ns since the Unix epoch.
	birth = int64(1_800_000_000_000_000_000)
	// remembered bounds the packets of one path.
	remembered = 512
)

// record is a packet that was sent, as the attacker keeps it, and what the referee knows of how it came about: nothing of that is taken
// from what the packet claims, but for the nonces of Polls, which are all different here.
type record struct {
	index      int // in the log
	from, life int // which node sent it, in which of its lives
	at         time.Duration
	to         int // -1: to all
	data       []byte
	header     netproto.Header
	nonce      netproto.Nonce // of a Poll or a Candidate
	name       hash

	cause *record       // the packet in answer to which it was sent; nil where the time had come
	round *record       // the Poll that a Reply answers, or that began the sender's round
	basis [size]*record // Adjust: the last Reply of each node in this round that its sender had answered
}

func (r *record) String() string {
	s := fmt.Sprintf("%v of %s", r.header.Kind, letter(r.from))
	if r.life > 0 {
		s = fmt.Sprintf("%v of %s's life %d", r.header.Kind, letter(r.from), r.life+1)
	}
	return fmt.Sprintf("%s (sent at %v, round %d, term %d)", s, r.at, r.header.Seq, r.header.Term)
}

func letter(i int) string { return string(rune('A' + i)) }

// member is a node with its clock, its state directory, and what the referee remembers of it.
type member struct {
	node *node.Node // nil: down
	view view
	wall time.Duration // its clock less the time since the beginning

	id     netproto.ID
	life   int
	term   uint64 // on disk
	synced bool   // since the machine booted
	draws  uint64

	brought  [remembered / 64]uint64 // the packets that this life was brought
	poll     *record                 // the last one it sent
	question *record                 // its last Candidate
	answered [size]*record           // the last Reply of each that it has acked since its last Poll
	applied  *record                 // the round whose delta it took last
	proof    time.Duration           // when the last proof of its master was sent
	obeyed   []allegiance
}

// allegiance is whom a node obeyed under a term.
type allegiance struct {
	term   uint64
	master int
}

// flight is a packet on its way to one node.
type flight struct {
	*record
	to int
}

// world is a state of everything: small enough to be copied at each step. What it points to is never changed, but a node is copied
// before it is given anything.
type world struct {
	now     time.Duration
	members [size]member
	queue   []flight // oldest first
	log     []*record
	heap    hash // sum of the names of all records
	trail   *step
}

// step is one link of how a world came about, for the story.
type step struct {
	before *step
	text   string
	attack bool
}

func (w *world) tell(attack bool, format string, args ...any) {
	w.trail = &step{w.trail, fmt.Sprintf("%8v  ", w.now) + fmt.Sprintf(format, args...), attack}
}

// story tells how it came to this: what the attacker did, and the notable things.
func (w *world) story() string {
	var lines []string
	for s := w.trail; s != nil; s = s.before {
		mark := "   "
		if s.attack {
			mark = " ! "
		}
		lines = append(lines, mark+s.text)
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// name is the name of the state.
func (w *world) name() hash {
	var h hash
	h.add(uint64(w.now))
	h.add(uint64(w.heap))
	for i := range w.members {
		m := &w.members[i]
		h.add(uint64(m.view.name))
		h.add(uint64(m.life))
		h.add(uint64(m.wall))
		for _, bits := range m.brought {
			h.add(bits)
		}
		h.add(uint64(m.proof))
	}
	for _, f := range w.queue {
		h.add(uint64(f.name))
		h.add(uint64(f.to))
	}
	return h
}

func (m *member) moment(now time.Duration) node.Moment {
	return node.Moment{Now: now, Raw: int64(now), Wall: birth + int64(now+m.wall), Width: 100}
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 10526)
}

// rules builds what does not change: the nodes' configuration, and the way they draw random numbers.
type rules struct {
	role   [size]node.Role
	ring   *netproto.Ring // of the whole group: the attacker has none
	acting *member        // whose draw is next
	index  int
}

// draw gives each node numbers of its own, all different, which spread its waits the same way whenever they are drawn: whether another
// packet took a number before makes no other state. The low part repeats with every 100 ms of a window, the high part is the fraction.
func (r *rules) draw() uint64 {
	r.acting.draws++
	const spacing = 100_000_000
	first := uint64(float64(math.MaxUint64)*(0.2+0.3*float64(r.index))) / spacing * spacing
	return first + uint64(20_000_000*(r.index+1)) + spacing*(r.acting.draws+1_000_000*uint64(r.acting.life))
}

// newRing makes the group's key.
func newRing() *netproto.Ring {
	key, err := netproto.NewKey(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	ring, err := netproto.NewRing(group, key)
	if err != nil {
		panic(err)
	}
	return ring
}

// begin starts a node's next life.
func (r *rules) begin(w *world, i int) {
	m := &w.members[i]
	cfg := node.Config{
		ID: m.id, Start: uint32(10*(i+1) + m.life), Group: group, Role: r.role[i], Priority: 100, Term: m.term,
		Interval: interval, MaxSkew: time.Hour, FoundWait: 10 * time.Second, MayStep: !m.synced, MaxSlew: 500e-6,
		Random: r.draw, Ring: r.ring,
	}
	if m.life > 0 && cfg.Role == node.RoleMaster { // else it would stand before it has listened
		cfg.Role = node.RoleAuto
	}
	r.acting, r.index = m, i
	n, err := node.New(cfg, m.moment(w.now))
	if err != nil {
		panic(err)
	}
	m.node = n
	m.look()
}

// end ends a node's life, and with it what it knew, but for its state directory.
func (m *member) end() {
	*m = member{wall: m.wall, id: m.id, life: m.life + 1, term: m.term, synced: m.synced, draws: m.draws}
}

// forget takes the state directory, too.
func (m *member) forget(i int) {
	m.id, m.term = netproto.ID(1000*m.life+i+1), 0
}

// give hands a node an input and carries out what it wants. cause is the packet that the input is.
func (r *rules) give(w *world, i int, in node.Input, cause *record) []node.Effect {
	m := &w.members[i]
	m.node = clone(m.node)
	effects := slices.Clone(r.handle(w, i, in)) // the node uses its own again
	var sent []uint64
	for _, e := range effects {
		switch e := e.(type) {
		case *node.Send:
			r.send(w, i, e, cause)
			sent = append(sent, e.Token)
		case node.Step:
			m.wall += time.Duration(e.Delta)
		case node.Synchronised:
			m.synced = true
		case node.NewTerm:
			m.term = e.Term
		case node.NewID:
			m.id = netproto.ID(e.ID)
		case node.Note:
			if e.Level > node.Debug {
				w.tell(false, "%s: %s", letter(i), e.Text)
			}
		}
	}
	for _, token := range sent {
		r.handle(w, i, &node.Sent{Token: token, Iface: 1, Stamp: m.moment(w.now).Wall, Kernel: true})
	}
	m.look()
	return effects
}

func (r *rules) handle(w *world, i int, in node.Input) []node.Effect {
	r.acting, r.index = &w.members[i], i
	return w.members[i].node.Handle(w.members[i].moment(w.now), in)
}

// send puts a packet into the log and on its way.
func (r *rules) send(w *world, i int, s *node.Send, cause *record) {
	m := &w.members[i]
	h, body, err := r.ring.Open(s.Data)
	if err != nil {
		panic(err)
	}
	rec := &record{
		index: len(w.log), from: i, life: m.life, at: w.now, to: -1, data: slices.Clone(s.Data), header: h, cause: cause, round: m.poll,
	}
	switch h.Kind {
	case netproto.KindPoll:
		p, _ := netproto.ParsePoll(body)
		rec.nonce = p.Nonce
		m.poll, m.answered = rec, [size]*record{}
	case netproto.KindReply:
		p, _ := netproto.ParseReply(h, body)
		rec.round = w.polled(p.Echo)
	case netproto.KindAck:
		m.answered[cause.from] = cause
	case netproto.KindAdjust:
		rec.basis = m.answered
	case netproto.KindCandidate:
		p, _ := netproto.ParseCandidate(body)
		rec.nonce = p.Nonce
		if cause == nil || cause.header.Sender != h.Sender { // else it asks who else has its id
			m.question = rec
		}
	}
	rec.name.add(uint64(i))
	rec.name.value(reflect.ValueOf(rec.data))
	if len(w.log) == remembered {
		panic("a path of so many packets: raise remembered")
	}
	w.log = append(w.log[:len(w.log):len(w.log)], rec)
	w.heap += rec.name
	for to := range size {
		if to != i && (s.Group || address(to) == s.To) {
			rec.to = to
			w.queue = append(w.queue[:len(w.queue):len(w.queue)], flight{rec, to})
		}
	}
	if s.Group {
		rec.to = -1
	}
}

// polled is the Poll with a nonce.
func (w *world) polled(nonce netproto.Nonce) *record {
	for _, r := range slices.Backward(w.log) {
		if r.header.Kind == netproto.KindPoll && r.nonce == nonce {
			return r
		}
	}
	return nil
}

// replied is the last Reply that a node has sent, in this life, to a master's life.
func (w *world) replied(i, master, life int) *record {
	for _, r := range slices.Backward(w.log) {
		if r.header.Kind == netproto.KindReply && r.from == i && r.life == w.members[i].life && r.round.from == master && r.round.life == life {
			return r
		}
	}
	return nil
}

// next is when the next node wants to be called.
func (w *world) next() time.Duration {
	at := time.Duration(math.MaxInt64)
	for i := range w.members {
		if n := w.members[i].node; n != nil {
			at = min(at, n.Deadline())
		}
	}
	return max(at, w.now)
}
