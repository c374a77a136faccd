package node

import (
	"math"
	"time"

	"meantime/netproto"
)

// load is what the round costs a master that has many members, and what it does about it.
type load struct {
	turns  int           // rounds in which every member has its turn of Acks once
	served int           // newcomers that this round's spare exchanges went to
	window time.Duration // of this round
	slots  uint16        // in it
	crowd  bool          // the usual window's slots are short
	late   time.Duration // the latest that a reply of it was seen by this node after the kernel had it
	behind time.Duration // by how much windows are longer than the usual one
	due    int           // members that were heard in the round before, and should be in this one

	exchange time.Duration // with one member, from its slot on: what most rounds stay within
	longest  time.Duration // of them in this round

	expected, lost uint64 // of all rounds: replies that were due, and members that gave none
}

const (
	// leastSlot is what Linux needs to wake a process of an idle machine and to have its answer, twice over.
	leastSlot = time.Millisecond
	// crowded is a slot so short that a master which is late with one reply is late with the next: of 250 members and more, at a poll a
	// second. In larger slots what is lost is lost on its way, and no window helps.
	crowded = 2 * time.Millisecond
	// tolerated is how late a reply may be seen in a crowd without anything being the matter: half of the grace, so that the last ones are
	// taken nevertheless. A longer window takes from the time that late slaves and the Adjusts have: at 10 ms, a time slice of the scheduler
	// or two, a busy machine's windows were all at their longest, and what was lost came after them.
	tolerated = grace / 2
	// lossShare is the part of the replies due (its inverse) of which more are lost by a queue that is full than by cables.
	lossShare = 1000
	// easing is the part (its inverse) of what the window has grown by that a good round takes off again: a minute's work at a poll a second.
	easing = 32
)

// plan begins a round: it settles how many turns there are, and how long its replies may take. LAN time is moved an eighth of an interval
// before a poll: the round has to be over by then.
func (l *leader) plan(fullRoundsTo int, moving bool) (window time.Duration) {
	d := &l.load
	d.turns, d.served, d.late, d.due = 1, 0, 0, 0
	if fullRoundsTo > 0 {
		d.turns = max(1, (len(l.peers)+fullRoundsTo-1)/fullRoundsTo)
	}
	for _, p := range l.peers {
		if p.missed == 0 {
			d.due++
		}
	}
	slots := time.Duration(len(l.peers) + 1)
	usual := min(l.interval/2, max(leastWindow, slotTime*slots))
	d.crowd = usual/slots <= crowded
	spare := l.interval / 8 // at least for the Adjusts
	if moving {
		spare *= 2
	}
	d.window = min(usual+d.behind, l.interval-spare-l.grace())
	d.pack(int(slots), l.established())
	return d.window
}

// pack divides the window into slots. In an established LAN they are as short as its exchanges allow, so that the round is over soon and
// nobody falls asleep in it.
func (d *load) pack(least int, established bool) {
	d.longest = 0
	if established && !d.crowd {
		short := max(leastSlot, min(d.exchange*2, slotTime))
		least = max(least, int(d.window/short))
	}
	d.slots = uint16(min(least, math.MaxUint16))
}

// took notes when an exchange was over, after the poll.
func (d *load) took(after time.Duration, slot uint16) {
	d.longest = max(d.longest, after-d.window*time.Duration(slot)/time.Duration(d.slots))
}

// learn ends a round: an exchange is what seven of eight rounds stay within. One that takes longer counts by that it does, not by how much.
func (d *load) learn() {
	switch {
	case d.longest == 0:
	case d.longest > d.exchange:
		d.exchange = min(d.longest, d.exchange*25/16, slotTime)
	default:
		d.exchange = max(d.longest, d.exchange*15/16)
	}
}

// tellTurns logs that turns begin or end.
func (n *Node) tellTurns(before int) {
	members, turns := Attr{"members", len(n.lead.peers) + 1}, Attr{"turns", n.lead.load.turns}
	switch now := n.lead.load.turns; {
	case now > 1 && before == 1:
		n.note(Info, "more members than full_rounds_to: each has all its exchanges in its turn, and one in the other rounds", members, turns)
	case now == 1 && before > 1:
		n.note(Info, "every member has all its exchanges in each round again", members)
	}
}

// told is the number of turns as a Poll tells it: 0, as nodes that know no turns write it, where there are none.
func (d *load) told() uint16 {
	if d.turns == 1 {
		return 0
	}
	return uint16(d.turns)
}

// settle ends a round. A master that is a while behind when the last replies come takes so much more than the window for them, so the next
// window is so much longer; where its queue was full, it learns that by what was lost.
func (l *leader) settle() {
	d, lost := &l.load, 0
	d.learn()
	for _, p := range l.peers {
		if p.missed == 0 && !p.heard {
			lost++
		}
	}
	d.expected, d.lost = d.expected+uint64(d.due), d.lost+uint64(lost)
	if !d.crowd {
		d.behind = 0
		return
	}
	switch {
	case d.late > tolerated:
		d.behind = min(d.behind+d.late, l.interval/2)
	case lost*lossShare > d.due:
		d.behind = min(d.behind+l.interval/16, l.interval/2)
	default:
		d.behind -= d.behind / easing
	}
}

// serves says whether a reply is Acked: to whom it is the turn of; to who repeats it, because it took itself for that; to who does not obey
// this master yet, since nothing else proves it; and to who gave no sample, and would be told no delta (PROTOCOL.md 8.6).
func (l *leader) serves(me netproto.ID, p *peer, r netproto.Reply) bool {
	return netproto.Turn(l.load.told(), p.slot, l.seq) || r.Repeat > 0 || r.Master != me || !p.measured()
}

// admits says whether a member may have more than one exchange. Who has been given a slot has them in its turn, or while it has
// given no sample. Newcomers have them as far as one round's number of them goes: where ten thousand come at once, one exchange proves this
// master to each.
func (l *leader) admits(p *peer, fullRoundsTo int) bool {
	if p.slot != netproto.NoSlot {
		return netproto.Turn(l.load.told(), p.slot, l.seq) || !p.measured()
	}
	if p.exchanges == 1 {
		l.load.served++
	}
	return fullRoundsTo == 0 || l.load.served <= fullRoundsTo
}
