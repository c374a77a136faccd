package node

import (
	"slices"
	"time"

	"meantime/netproto"
)

const (
	// askEvery is how often an operator's order is sent until the master answers, and askFor is for how long: an election may be under way.
	askEvery = 250 * time.Millisecond
	askFor   = 8 * time.Second
)

// asking is an operator's order that the master has not answered yet.
type asking struct {
	by      int64
	request uint64
	next    time.Duration
	until   time.Duration
}

// setTime takes an operator's order. It is given to the master, whoever that is: this node, perhaps.
func (n *Node) setTime(in SetTime) {
	if n.asking != nil {
		n.do(TimeSet{Answer: netproto.AnswerBusy, By: in.By})
		return
	}
	n.note(Info, "an operator here orders that the LAN's time be set", Attr{"by", in.By}, Attr{"who", in.Who})
	n.asking = &asking{by: int64(in.By), request: n.random(), next: n.at.Now, until: n.at.Now + askFor}
}

// askDue gives the order to the master, again and again until it answers or nobody does.
func (n *Node) askDue() {
	a := n.asking
	if a == nil || n.at.Now < a.next {
		return
	}
	if n.at.Now >= a.until {
		n.answered(netproto.SetTime{By: a.by})
		return
	}
	a.next = n.at.Now + askEvery
	if n.lead != nil {
		if answer, ok := n.decree(a.request, a.by, n.cfg.ID); ok {
			n.answered(answer)
		}
		return
	}
	if m := n.follow.master; m != nil && m.living(n.at.Now) && n.tellable() {
		p := netproto.SetTime{Request: a.request, Echo: m.poll, By: a.by}
		n.send(Send{Data: p.Append(n.paper(), n.header(m.seq, n.term)), To: m.addr, Iface: m.iface}, m.key)
	}
}

// answered tells the operator what came of the order.
func (n *Node) answered(p netproto.SetTime) {
	set := TimeSet{Answer: p.Answer, By: time.Duration(p.By)}
	if p.Answer == netproto.AnswerYes {
		c := course{left: p.Left, pace: max(float64(p.Pace), slowestPace) / 1e9}
		set.Begins = max(0, time.Duration(p.Begins-n.stamp(n.at.Raw)))
		set.Takes = c.takes()
		set.Steps = n.cfg.Step == StepAlways && max(p.Left, -p.Left) > int64(n.cfg.StepThreshold)
	}
	n.asking = nil
	n.do(set)
}

// onSetTime takes another node's order, or the master's answer to the own one.
func (n *Node) onSetTime(h netproto.Header, p netproto.SetTime, from Packet) {
	if p.Answer != netproto.AnswerNone {
		if n.asking == nil || n.lead != nil || n.follow.master == nil || n.follow.master.id != h.Sender || p.Request != n.asking.request {
			n.drop(DropUnasked)
			return
		}
		n.answered(p)
		return
	}
	switch l := n.lead; {
	case l == nil:
		n.drop(DropRole)
	case h.Flags&netproto.FlagDry != 0 && !n.cfg.Dry:
		n.drop(DropDry)
	case h.Seq != l.seq || !l.polled(p.Echo): // an old one, perhaps
		n.drop(DropStale)
	case !n.mayAnswer(h.Sender):
		n.drop(DropBusy)
	default:
		answer, ok := n.decree(p.Request, p.By, h.Sender)
		if answer.Echo = p.Echo; ok {
			n.send(Send{Data: answer.Append(n.paper(), n.header(l.seq, l.term)), To: from.From, Iface: from.Iface}, h.KeyID)
		}
	}
}

// decree decides on an order, in the master. Who asks again, or asks another master who knows of it, gets the same answer. ok is false
// while a new master does not know yet what its members know.
func (n *Node) decree(request uint64, by int64, asker netproto.ID) (answer netproto.SetTime, ok bool) {
	l := n.lead
	answer = netproto.SetTime{Request: request, By: by, Answer: netproto.AnswerYes}
	switch {
	case n.order.known && request == n.order.move.Lineage || request == n.lineage:
	case l.resuming > 0:
		return answer, false
	case !n.trusted(asker):
		answer.Answer = netproto.AnswerUntrusted
	case l.phase != netproto.PhaseKeeping || !n.synced:
		answer.Answer = netproto.AnswerNoTime
	case n.awaited():
		answer.Answer = netproto.AnswerBusy
	case !n.possible(by):
		answer.Answer = netproto.AnswerRange
	default:
		n.announceMove(request, by, asker)
	}
	if m := n.order.move; answer.Answer == netproto.AnswerYes && m.Lineage == request {
		answer.Left, answer.Begins, answer.Pace = m.Left, m.Epoch, m.Pace
	}
	return answer, true
}

// announceMove makes an order known. It is carried out between two rounds, so far ahead that every member has heard of it by then.
func (n *Node) announceMove(request uint64, by int64, asker netproto.ID) {
	l := n.lead
	if l.interval > n.cfg.Interval {
		l.interval, l.calm = n.cfg.Interval, 0
		l.pollAt = min(l.pollAt, n.at.Now+l.interval)
	}
	wait := l.pollAt - n.at.Now + announced*l.interval - l.interval/8
	at := n.servo.Line().At(n.at.Raw) + int64(wait)
	pace := max((1-spare)*float64(n.leastPace()), slowestPace)
	n.note(Warn, "an operator's order", Attr{"by", time.Duration(by)}, Attr{"asked_by", asker.String()})
	n.learn(netproto.Move{
		Lineage: request, From: n.lineage, By: by, Left: by + n.course.rest(at), Epoch: netproto.Stamp(at), Pace: uint32(pace),
	}, n.lineage)
}

// polled says whether a nonce is of the last Poll, or of a copy of it.
func (l *leader) polled(nonce netproto.Nonce) bool {
	return nonce == l.nonce || slices.Contains(l.copies, nonce)
}
