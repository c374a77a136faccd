package daemon

import (
	"cmp"
	"fmt"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/node"
)

var roleNames = map[node.Role]string{node.RoleAuto: "auto", node.RoleSlave: "slave", node.RoleMaster: "master"}

// known is a duration that may be unknown: nil then.
func known(d time.Duration, ok bool) *control.Seconds {
	if !ok {
		return nil
	}
	s := control.SecondsOf(d)
	return &s
}

// name shows an id, "" for none.
func name[T ~uint64](id T) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", uint64(id))
}

// since tells ages: how long ago moments were, nil of those that never were. It reads the clock aside: the node learns nothing of it.
func (d *driver) since() (func(moment time.Duration) *control.Seconds, error) {
	r, err := d.clock.Read()
	now := time.Duration(r.Raw - d.zero)
	return func(moment time.Duration) *control.Seconds { return known(max(0, now-moment), moment >= 0) }, err
}

// statusAnswer is the node's status in the words of the control socket.
func (d *driver) statusAnswer() (control.Status, error) {
	s := d.status()
	since, err := d.since()
	if err != nil {
		return control.Status{}, err
	}
	a := control.Status{
		ID: s.ID.String(), Role: roleNames[s.Role], State: string(s.State), DryRun: s.Dry, Master: name(s.Master), Lineage: name(s.Lineage),
		Term: s.Term, Round: s.Seq, Members: s.Members, Voters: s.Voters, Spread: known(s.Spread, s.Voters > 1),
		Offset: control.SecondsOf(-s.Residual), Bound: known(s.Bound+s.Residual.Abs(), s.Bound >= 0),
		Frequency: shortPPM(s.Rate), Scatter: known(s.Scatter, s.Fitted), KernelStamps: s.Kernel, KeysHeld: heldKeys(s),
		Name: d.host, Interval: control.SecondsOf(s.Interval), LastPoll: since(s.LastPoll), Interference: d.interference(time.Now()),
		Uptime: control.SecondsOf(d.at),
		Packets: map[string]uint64{
			"polls": s.Traffic.Polls, "replies": s.Traffic.Replies, "acks": s.Traffic.Acks, "adjusts": s.Traffic.Adjusts,
			"elections": s.Traffic.Elections, "sent": s.Traffic.Sent,
		},
		Dropped: map[string]uint64{},
	}
	if s.Standing != 0 {
		a.Standing = s.Standing.String()
	}
	if s.Turns > 0 { // a master
		a.Turns, a.Window, a.Expected, a.Lost = s.Turns, known(s.Window, s.Window > 0), &s.Expected, &s.Lost
	}
	for _, m := range d.node.Members()[1:] {
		if m.Master {
			a.MasterAddr, a.MasterName = m.Addr.Addr().String(), m.Name
		}
	}
	if s.Key != 0 {
		a.Key = keyName(s.Key)
	}
	for reason, count := range s.Drops {
		if count > 0 && node.Drop(reason) != node.DropOwn {
			a.Dropped[node.Drop(reason).String()] = count
		}
	}
	return a, nil
}

// membersAnswer is what the node knows of its LAN's members.
func (d *driver) membersAnswer() (control.Members, error) {
	var a control.Members
	since, err := d.since()
	if err != nil {
		return a, err
	}
	for _, m := range d.node.Members() {
		if a.Complete = a.Complete || m.Self && m.Master; m.Master && !m.Self {
			a.Master = m.Addr.Addr().String()
		}
		one := memberAnswer(m)
		one.Heard = since(m.Heard)
		a.Members = append(a.Members, one)
	}
	return a, nil
}

// memberAnswer is one of them. Of a master a slave knows little more than that it is there.
func memberAnswer(m node.Member) control.Member {
	c := control.Member{
		ID: m.ID.String(), Name: m.Name, Self: m.Self, Master: m.Master,
		Offset: known(m.Offset, m.Measured), Delay: known(m.Delay, m.Measured && !m.Self),
		Bound: known(m.Bound, m.Measured && !m.Self), Jitter: known(m.Jitter, m.Measured), Word: known(m.Word, m.Word >= 0),
	}
	if m.Voice != "" {
		if c.Votes = new(m.Voice == node.VoiceCounted); !*c.Votes {
			c.Why = string(m.Voice)
		}
	}
	if m.Addr.IsValid() {
		c.Address = m.Addr.String()
	}
	if m.Standing != 0 {
		c.Standing = m.Standing.String()
	}
	if m.Self || m.Standing != 0 {
		c.Frequency, c.Priority, c.Rounds = new(shortPPM(m.Rate)), new(int(m.Priority)), new(m.Rounds)
	}
	if m.Standing != 0 && !m.Self {
		c.Missed = new(m.Missed)
	}
	return c
}

// eventsAnswer is what happened lately.
func (d *driver) eventsAnswer() (control.Events, error) { return d.events.list(), nil }

// nowAnswer is LAN time at one reading of the clock.
func (d *driver) nowAnswer() (control.Now, error) {
	at, err := d.now(true)
	if err != nil {
		return control.Now{}, err
	}
	d.doubt = true // the node has not seen this reading, and what is sharp is to be what it saw
	best, bound, ok := d.node.LANTime(at)
	a := control.Now{Synchronised: ok, Best: instant(cmp.Or(best, at.Wall)), Clock: instant(at.Wall)}
	if ok {
		a.Earliest, a.Latest = instant(best-bound), instant(best+bound)
	}
	return a, nil
}

// instant is a count of ns since the Unix epoch as JSON has it.
func instant(ns int64) time.Time { return time.Unix(0, ns).UTC() }
