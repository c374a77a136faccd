package node

import (
	"time"

	"meantime/netproto"
)

const (
	// announced is how many rounds an operator's order is announced before it is carried out: with a tenth of all datagrams lost, a member
	// misses all of them once in a hundred thousand orders.
	announced = 8
	// retold is for how long after it was carried out an order is told on where no clock is slewed: whoever takes office then may have
	// missed it.
	retold = 30 * time.Second
	// farthest is how far ahead an order's instant may be: announced rounds of the longest interval take 40 minutes.
	farthest = time.Hour
)

// order is an operator's word that LAN time is to be moved, as far as this node knows of one.
type order struct {
	move  netproto.Move
	at    time.Duration // when it is to be carried out; afterwards when it was
	raw   int64         // raw reading at which it was
	known bool          // there is one: it is awaited, under way, or was carried out just now
}

// awaited says whether there is an order that is still to be carried out.
func (n *Node) awaited() bool {
	return n.order.known && n.lineage == n.order.move.From
}

// news is the order as other members have to know it: none where it is long over.
func (n *Node) news() (m netproto.Move) {
	if n.order.known && (n.awaited() || n.course.left != 0 || n.at.Now < n.order.at+retold) {
		m = n.order.move
	}
	return m
}

// learn takes in an order that a member of a lineage tells of: to a slave its master, to a new master whoever knows. One that is
// announced is awaited until LAN time shows its epoch. Where the LAN has carried it out already, a slave is told the time anyway, and
// needs the course.
func (n *Node) learn(m netproto.Move, lineage uint64) {
	known := n.order.known && m.Lineage == n.order.move.Lineage || m.Lineage == n.lineage
	if m.Lineage == 0 || known || !n.possible(m.By) || m.Epoch-n.stamp(n.at.Raw) > netproto.Stamp(farthest) ||
		n.lead != nil && n.lineage != m.From {
		return
	}
	switch lineage {
	case m.From:
		n.note(Warn, "an operator sets the LAN's time: all clocks are to be moved", Attr{"by", time.Duration(m.By)},
			Attr{"in", time.Duration(m.Epoch - n.stamp(n.at.Raw))})
		n.order = order{move: m, known: true, at: n.at.Now}
	case m.Lineage:
		n.order = order{move: m, known: true, at: n.at.Now}
		if n.lead == nil { // else it is still to be carried out here
			n.order.raw = n.at.Raw
			n.embark()
		}
	}
}

// possible says whether LAN time can be moved so far (ns): it must stay where it can be told.
func (n *Node) possible(by int64) bool {
	t := n.stamp(n.at.Raw) + netproto.Stamp(by) // both are below 2^62
	return by != 0 && t >= 0 && t <= netproto.MaxStamp-brink
}

// carryOut moves the timescale as ordered, once LAN time shows the order's epoch. It is as if it had always stood there: neither its line
// nor anybody's vote is touched. The clock follows, stepped where the policy of this host is to, else slewed on the common course.
func (n *Node) carryOut() {
	if !n.awaited() {
		return
	}
	m := n.order.move
	if wait := m.Epoch - n.stamp(n.at.Raw); wait > 0 {
		n.order.at = n.at.Now + time.Duration(wait)
		return
	}
	n.servo.Shift(m.By)
	n.lineage, n.order.at, n.order.raw = m.Lineage, n.at.Now, n.at.Raw
	if l := n.lead; l != nil {
		l.lineage = m.Lineage
		for _, p := range l.peers { // a sample may be from before and after
			p.filter.Renew()
		}
	}
	n.embark()
	n.settle(!n.together)
}

// embark sets out on the order's course, as this clock does if it is slewed.
func (n *Node) embark() {
	m := n.order.move
	left := m.Left
	if rest := n.course.rest(int64(m.Epoch)); rest != 0 { // a master that was stepped before knows of no way that is still to go
		left = m.By + rest
	}
	n.course = course{left: left, from: int64(m.Epoch) + m.By, pace: max(float64(m.Pace), slowestPace) / 1e9}
	n.away = true // the log knows
	n.note(Warn, "LAN time was set by an operator", Attr{"by", time.Duration(m.By)},
		Attr{"slewing_takes", n.course.takes().Round(time.Second)})
}

// wayLeft is what clocks on the common course have still to go (ns).
func (n *Node) wayLeft() int64 { return n.course.rest(n.servo.Line().At(n.at.Raw)) }

// gap is what this clock has to go (ns), less what all that are on the course have to.
func (n *Node) gap() int64 {
	_, phase := n.steering()
	return phase - n.wayLeft()
}

// behind says whether a lineage is this LAN's before it was moved: whoever still belongs to it has missed the order.
func (n *Node) behind(lineage uint64) bool {
	return n.order.known && lineage == n.order.move.From && n.lineage == n.order.move.Lineage
}
