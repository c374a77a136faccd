package model

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// view is what the referee sees of a node.
type view struct {
	name hash // of its whole state

	id       netproto.ID
	term     uint64
	obeyed   netproto.ID // under whose term it stands
	master   netproto.ID // 0 where none is known
	heard    time.Duration
	office   bool
	asking   bool // a candidacy is under way
	lineage  uint64
	standing netproto.Standing
	rounds   uint64
	scale    hash // of the timescale, the rotation and the pace
}

// look takes a new view of the node.
func (m *member) look() {
	v := reflect.ValueOf(m.node).Elem()
	s := m.node.Status()
	m.view = view{
		name: name(m.node), id: s.ID, term: s.Term, master: s.Master, office: s.Master == s.ID, lineage: s.Lineage, standing: s.Standing,
		obeyed: netproto.ID(peek(v, "obeyed").Uint()), rounds: peek(v, "rounds").Uint(),
	}
	m.view.name.add(uint64(s.ID))
	if heard := peek(v, "follow", "master", "heard"); heard.IsValid() {
		m.view.heard = time.Duration(heard.Int())
	}
	if candidacy := peek(v, "follow", "candidacy"); candidacy.IsValid() {
		m.view.asking = candidacy.Uint() != 0
	}
	m.view.scale.value(peek(v, "servo"))
	m.view.scale.value(peek(v, "rotation"))
}

// proves says whether a packet answers what this node has asked for, in this life and in the round that runs, and for the first
// time. It knows that from who was brought what, not from what the packet says.
func (w *world) proves(i int, r *record) bool {
	m := &w.members[i]
	if m.brought[r.index/64]>>(r.index%64)&1 != 0 {
		return false
	}
	mine := func(q *record) bool { return q != nil && q.from == i && q.life == m.life }
	present := func(q *record) bool {
		last := w.replied(i, r.from, r.life)
		return mine(q) && last != nil && q.round == last.round
	}
	switch r.header.Kind {
	case netproto.KindReply:
		return mine(r.round) && r.round == m.poll
	case netproto.KindAck:
		return present(r.cause)
	case netproto.KindAdjust:
		return present(r.basis[i]) && r.basis[i].round == r.round
	case netproto.KindClaim:
		return mine(r.cause) && m.question != nil && r.cause.nonce == m.question.nonce
	}
	return false
}

// judge compares a node before and after it was brought a packet, and says what rule was broken.
func (w *world) judge(i int, r *record, proves bool, before view, effects []node.Effect) error {
	m := &w.members[i]
	after := m.view
	switch r.header.Kind {
	case netproto.KindPoll, netproto.KindCandidate, netproto.KindResign:
		return w.judgeHearsay(i, r, before, effects)
	}
	if r.header.Sender == before.id && !proves { // of an earlier life: it asks whether there is a clone
		return w.judgeHearsay(i, r, before, effects)
	}
	if !proves {
		if after.name != before.name || acts(effects) {
			return fmt.Errorf("a packet that answers nothing of this node's round changed it: %s", differences(before, after, effects))
		}
		return nil
	}
	kept := before
	kept.name, kept.asking = after.name, after.asking
	switch r.header.Kind {
	case netproto.KindAck:
		kept.master, kept.heard = after.master, after.heard
	case netproto.KindAdjust:
		if after.rounds > before.rounds && m.applied == r.round {
			return fmt.Errorf("the delta of one round was taken twice")
		}
		if after.rounds > before.rounds {
			m.applied = r.round
		}
		kept = after
		kept.id, kept.office, kept.master = before.id, before.office, before.master
	case netproto.KindReply:
		kept.term, kept.obeyed = after.term, after.obeyed
	case netproto.KindClaim:
		kept.term, kept.obeyed, kept.office, kept.master = after.term, after.obeyed, after.office, after.master
		if kept.heard, kept.standing = after.heard, after.standing; !before.office {
			kept.term, kept.master, kept.office, kept.heard = before.term, before.master, before.office, before.heard
		}
	}
	if kept != after {
		return fmt.Errorf("%v changed what it may not: %s", r.header.Kind, differences(kept, after, nil))
	}
	if after.master == 0 || after.office || after.heard == before.heard && after.master == before.master {
		return nil
	}
	m.proof = r.at
	return w.judgeProof(i, r, before)
}

// roundTime is how long a round takes here, from its Poll until its Adjust must have come (PROTOCOL.md 9.5).
const roundTime = 250 * time.Millisecond

// acts says whether there is more among effects than words for the log.
func acts(effects []node.Effect) bool {
	return slices.ContainsFunc(effects, func(e node.Effect) bool {
		_, note := e.(node.Note)
		return !note
	})
}

// judgeProof holds a node to what a proof proves: that its sender lived in the round in which it was sent, no later.
func (w *world) judgeProof(i int, r *record, before view) error {
	after := w.members[i].view
	switch {
	case after.heard > r.at+roundTime:
		return fmt.Errorf("%s takes its master for living at %v, who was proved at %v last", letter(i), after.heard, r.at)
	case after.master != before.master && w.now > r.at+roundTime+interval*3/2:
		return fmt.Errorf("%s follows a master who was proved at %v last", letter(i), r.at)
	}
	return nil
}

// judgeHearsay demands that a packet which proves nothing moves nothing. A Resign that its sender sent after it had proved itself last
// may put its successor into office at once.
func (w *world) judgeHearsay(i int, r *record, before view, effects []node.Effect) error {
	after := w.members[i].view
	kept := before
	kept.name = after.name
	if r.header.Kind == netproto.KindResign && after.office && !before.office && before.master == r.header.Sender &&
		r.at >= w.members[i].proof && r.round != nil {
		kept.office, kept.master, kept.term, kept.obeyed, kept.heard = true, after.id, before.term+1, after.id, 0
		return differ(r, kept, after, nil)
	}
	return differ(r, kept, after, effects)
}

func differ(r *record, want, got view, effects []node.Effect) error {
	for _, e := range effects {
		switch e.(type) {
		case node.Step, node.NewTerm, node.NewID, *node.Steer, node.Synchronised:
			return fmt.Errorf("a %v, which is hearsay, had the effect %T", r.header.Kind, e)
		}
	}
	if want != got {
		return fmt.Errorf("a %v, which is hearsay, changed its receiver: %s", r.header.Kind, differences(want, got, effects))
	}
	return nil
}

// judgeTick demands that the passing of time brings no proof of anybody: it may put a node into office, or out of it by its own decision.
func (w *world) judgeTick(i int, before view) error {
	after := w.members[i].view
	kept := before
	kept.name, kept.asking = after.name, after.asking
	switch {
	case after.office && !before.office:
		kept.office, kept.master, kept.heard, kept.term, kept.obeyed = true, after.id, 0, before.term+1, after.id
	case before.office && !after.office:
		kept.office, kept.master, kept.standing = false, 0, after.standing
	}
	if before.office {
		kept.scale, kept.standing, kept.lineage, kept.rounds = after.scale, after.standing, after.lineage, after.rounds
	}
	if kept != after {
		return fmt.Errorf("time alone changed %s: %s", letter(i), differences(kept, after, nil))
	}
	return nil
}

// judgeTerms holds for every step: terms do not go back, what is on disk keeps up, and under one term nobody obeys two masters.
func (w *world) judgeTerms(i int, before view) error {
	m := &w.members[i]
	switch {
	case m.view.term < before.term:
		return fmt.Errorf("%s goes back from term %d to %d", letter(i), before.term, m.view.term)
	case m.term < m.view.term:
		return fmt.Errorf("%s obeys term %d, and keeps %d for its next start", letter(i), m.view.term, m.term)
	case m.view.obeyed == 0 || m.view.term == before.term && m.view.obeyed == before.obeyed:
		return nil
	}
	master := w.owner(m.view.obeyed)
	for _, a := range m.obeyed {
		if a.term == m.view.term && a.master != master {
			return fmt.Errorf("%s obeys %s and %s under term %d", letter(i), letter(a.master), letter(master), a.term)
		}
	}
	m.obeyed = append(m.obeyed[:len(m.obeyed):len(m.obeyed)], allegiance{m.view.term, master})
	return nil
}

// owner is whose id one is.
func (w *world) owner(id netproto.ID) int { return (int(id) - 1) % 1000 }

// differences lists the fields in which two views differ, and the effects there were.
func differences(want, got view, effects []node.Effect) string {
	text := ""
	a, b := reflect.ValueOf(want), reflect.ValueOf(got)
	for i := range a.NumField() {
		if name := a.Type().Field(i).Name; !a.Field(i).Equal(b.Field(i)) && name != "name" {
			text += fmt.Sprintf("%s %v -> %v, ", name, a.Field(i), b.Field(i))
		}
	}
	for _, e := range effects {
		text += fmt.Sprintf("effect %T, ", e)
	}
	if text == "" {
		return "something within it"
	}
	return text[:len(text)-2]
}
