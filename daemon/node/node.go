package node

import (
	"math"
	"slices"
	"time"

	"meantime/daemon/servo"
	"meantime/netproto"
)

// Node is one member of the LAN. Its methods are called from one goroutine.
type Node struct {
	cfg   Config
	name  []byte // of this host
	at    Moment
	clock clockwork
	servo *servo.Servo // the timescale
	out   outbox
	drops Drops
	seen  Traffic
	token uint64

	key       uint32 // under which a master sends: as this one does, or the one obeyed
	laggards  int    // how many members the log has named that lack the newest key
	told      uint32 // the newest key of which the log knows that all members hold it
	strangers strangers

	lineage  uint64      // founding this node belongs to, 0 before one
	term     uint64      // highest term obeyed
	obeyed   netproto.ID // whose it was
	rounds   uint32      // rounds of LAN time taken part in
	age      int         // rounds since the LAN's founding, as far as this node can tell
	seq      uint32      // last round led
	standing netproto.Standing
	together bool // LAN time has been adopted together with somebody
	synced   bool // LAN time has been adopted since the start
	mayStep  bool
	wait     wait
	merging  bool // another LAN's time has been adopted, and the clock is not there yet
	pace     uint32
	refused  bool // the log knows that the master's deltas are not taken
	panic    bool // the clock is beyond the panic limits and left alone
	away     bool // the log knows that the clock is on a long way
	jumped   bool // somebody else moved the clock since the last Reply
	deaf     time.Duration
	steerAt  time.Duration
	rest     time.Duration // until when it does not stand, as an operator wished; never = it may

	rememberAt time.Duration
	double     double
	mute       bool // the log knows that the clock's date cannot be told

	rotation rotation
	order    order     // of an operator
	course   course    // on which this clock is slewed for it
	asking   *asking   // of this node's operator, nil = none
	lag      lag       // of replies
	follow   *follower // without office: nil in a master
	quotas   quotas    // of answers to packets that anybody may send
	lead     *leader   // in office: nil in all others
}

// rotation is the sum of common moves that the timescale has taken in, and whose sum it is.
type rotation struct {
	sum    netproto.Rotation
	master netproto.ID
	start  uint32
	term   uint64
}

// Traffic counts datagrams by kind, kept ones only.
type Traffic struct{ Polls, Replies, Acks, Adjusts, Elections, Sent uint64 }

// New returns a node at its first moment. It has moved nothing yet.
func New(cfg Config, at Moment) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, name: []byte(Label(cfg.Name)), at: at, mayStep: cfg.MayStep, steerAt: never, rest: never, term: cfg.Term}
	n.clock.start(at, cfg.Frequency)
	n.servo = servo.New(at.Raw, at.Wall, cfg.Frequency, cfg.FrequencyError)
	if cfg.PhaseOnly {
		n.servo = servo.NewPlain(at.Raw, at.Wall)
	}
	n.key = cfg.Ring.Newest()
	n.follow = n.newFollower(cfg.Role == RoleMaster)
	return n, nil
}

// never is a deadline that does not come.
const never = time.Duration(math.MaxInt64)

// Handle takes one input, seen at a moment, and returns what to do. Moments must not go back. The effects and all that they point to are
// the node's: they hold until the next Handle, and who keeps them longer copies them. The input is the caller's again.
func (n *Node) Handle(at Moment, in Input) []Effect {
	n.out.empty()
	n.overdue(at.Now)
	n.at = at
	_, slept := in.(Suspended)
	if jump := n.clock.read(at); jump != 0 && !slept {
		n.startled()
		n.note(Warn, "another program moved the clock", Attr{"by", time.Duration(jump)})
	}
	if n.lead != nil {
		n.lead.lapse(at.Now)
	}
	n.carryOut()
	switch in := in.(type) {
	case *Packet:
		n.packet(*in)
	case Refused:
		n.drops[in.Drop] += in.Count
		if in.Drop == DropKey {
			n.refuse(in.From, in.Key)
		}
	case Keys:
		n.rekey(in.Ring)
	case *Sent:
		n.sent(*in)
	case Suspended:
		n.suspended(in)
	case Foreign:
		n.note(Warn, "another program disciplines this clock too: stop it", Attr{"found", in.What})
		if n.steers() { // what it wrote is written over
			n.steerAt = at.Now
		}
	case SetTime:
		n.setTime(in)
	case Elect:
		n.elect(in)
	case StepDown:
		n.stepDown(in)
	case Stop:
		n.resign(n.firstSuccessor())
		n.rememberAt = at.Now
		n.remember()
		return n.out.effects
	}
	n.due()
	return n.out.effects
}

// late is how long after its deadline a node on a busy machine may run and still have listened: longer than a scheduler usually lets it
// wait, and a fraction of the shortest interval.
const late = 50 * time.Millisecond

// overdue notes that this node was not run when it was due: what has come meanwhile it is about to see, and until then it cannot tell
// who is silent. On a starved machine several nodes at once took office beside a master that lived.
func (n *Node) overdue(now time.Duration) {
	if n.follow == nil {
		return
	}
	if by := now - max(n.Deadline(), n.at.Now); by > late {
		n.follow.watch.HeldUp(by)
	}
}

// startled notes that this clock, or this whole machine, was moved from outside: where two voters part, that decides.
// What was measured in this round may be from before and after.
func (n *Node) startled() {
	n.jumped = true
	if n.lead != nil {
		n.lead.jumped = patience
		for _, p := range n.lead.peers {
			p.filter.Renew()
		}
		return
	}
	for _, s := range n.follow.sessions {
		s.due, s.replies, s.acked = never, 0, 0
	}
}

// Deadline is when Handle wants a Tick if nothing else comes before.
func (n *Node) Deadline() time.Duration {
	d := min(n.steerAt, n.rest)
	if n.awaited() {
		d = min(d, n.order.at)
	}
	if n.asking != nil {
		d = min(d, n.asking.next)
	}
	if n.lead != nil {
		return min(d, n.lead.deadline())
	}
	return min(d, n.follow.deadline())
}

// due does everything whose time has come.
func (n *Node) due() {
	n.rested()
	if n.follow != nil {
		n.followDue()
	}
	if n.lead != nil { // a moment ago perhaps not yet
		n.leadDue()
	}
	n.askDue()
	n.carryOut()
	if n.at.Now >= n.steerAt {
		n.steer()
	}
}

// packet opens a datagram and hands it on by kind.
func (n *Node) packet(p Packet) {
	if n.at.Now < n.deaf {
		n.drop(DropStepping)
		return
	}
	h, body, err := n.cfg.Ring.Open(p.Data)
	if err != nil {
		n.drop(DropOf(err))
		if DropOf(err) == DropKey {
			n.refuse(p.From, netproto.KeyOf(p.Data))
		}
		return
	}
	n.strangers.met(p.From)
	if h.Term > netproto.MaxTerm {
		n.drop(DropValue)
		return
	}
	if h.Group != n.cfg.Group {
		n.drop(DropGroup)
		return
	}
	if h.Sender == n.cfg.ID {
		n.own(h, body, p)
		return
	}
	if slices.Contains(n.cfg.Excluded, h.Sender) {
		n.drop(DropExcluded)
		return
	}
	if !n.trusts(h) {
		n.drop(DropUntrusted)
		return
	}
	if err := n.dispatch(h, body, p); err != nil {
		n.drop(DropOf(err))
	}
}

func (n *Node) dispatch(h netproto.Header, body []byte, p Packet) error {
	switch h.Kind {
	case netproto.KindPoll:
		poll, err := netproto.ParsePoll(body)
		if err != nil {
			return err
		}
		n.onPoll(h, poll, p)
	case netproto.KindReply:
		reply, err := netproto.ParseReply(h, body)
		if err != nil {
			return err
		}
		n.onReply(h, reply, p)
	case netproto.KindAck:
		ack, err := netproto.ParseAck(body)
		if err != nil {
			return err
		}
		n.onAck(h, ack, p)
	case netproto.KindAdjust:
		adjust, own, err := netproto.ParseEntry(body, n.cfg.ID)
		if err != nil {
			return err
		}
		n.onAdjust(h, adjust, own)
	case netproto.KindSetTime:
		set, err := netproto.ParseSetTime(body)
		if err != nil {
			return err
		}
		n.onSetTime(h, set, p)
	default:
		return n.dispatchElection(h, body, p)
	}
	return nil
}

func (n *Node) dispatchElection(h netproto.Header, body []byte, p Packet) error {
	switch h.Kind {
	case netproto.KindCandidate:
		candidate, err := netproto.ParseCandidate(body)
		if err != nil {
			return err
		}
		n.onCandidate(h, candidate, p)
	case netproto.KindClaim:
		claim, err := netproto.ParseClaim(body)
		if err != nil {
			return err
		}
		n.onClaim(h, claim, p)
	case netproto.KindResign:
		resign, err := netproto.ParseResign(body)
		if err != nil {
			return err
		}
		n.onResign(h, resign)
	}
	return nil
}

// sent files a transmit stamp where its packet is remembered.
func (n *Node) sent(s Sent) {
	if n.lead != nil {
		n.leadSent(s)
		return
	}
	n.followSent(s)
}

// drop counts a datagram that is not used.
func (n *Node) drop(d Drop) { n.drops[d]++ }

// random draws a number that is not zero: zero means none on the wire.
func (n *Node) random() uint64 {
	for {
		if r := n.cfg.Random(); r != 0 {
			return r
		}
	}
}

// stamp is the node's timescale at a raw reading, as it goes on the wire.
func (n *Node) stamp(raw int64) netproto.Stamp { return netproto.Stamp(n.servo.Line().At(raw)) }

// header is what every packet of this node begins with.
func (n *Node) header(seq uint32, term uint64) netproto.Header {
	h := netproto.Header{
		Group: n.cfg.Group, Sender: n.cfg.ID, Start: n.cfg.Start, Seq: seq, Lineage: n.lineage, Term: term,
	}
	if n.cfg.Dry {
		h.Flags |= netproto.FlagDry
	}
	if n.voter() {
		h.Flags |= netproto.FlagVoter
	}
	if !n.mayStand() {
		h.Flags |= netproto.FlagNeverMaster
	}
	return h
}

// tellable says whether the timescale can be told on the wire (PROTOCOL.md 1.10). A node whose clock cannot be keeps silent.
func (n *Node) tellable() bool {
	t := n.stamp(n.at.Raw)
	if t >= 0 && t <= netproto.MaxStamp {
		return true
	}
	if !n.mute {
		n.mute = true
		n.note(Warn, "this clock shows a date that the protocol cannot carry: set it to this century first")
	}
	return false
}

// voter says whether this node holds itself for a voting member.
func (n *Node) voter() bool {
	return n.standing == netproto.StandingVoter || n.standing == netproto.StandingLeftOut // for one round
}
