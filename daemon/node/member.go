package node

import (
	"math"
	"net/netip"
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

// Voice says whether a member's clock counted in the last round's mean, and why not, in a few words.
type Voice string

// The voices.
const (
	VoiceCounted  Voice = "counted"
	VoiceSilent   Voice = "not heard"
	VoiceUnknown  Voice = "heard, but not measured"
	VoiceNewcomer Voice = "newcomer, being brought to LAN time"
	VoiceFallen   Voice = "lost its vote: off the majority's time"
	VoiceDry      Voice = "dry run, steers no real clock"
	VoiceAbroad   Voice = "on another LAN's time still"
	VoiceDisloyal Voice = "obeys another master"
	VoiceSlow     Voice = "measured too badly"
	VoiceOff      Voice = "off the majority's time"
	VoiceHeld     Voice = "no majority agrees"
)

// Member is a plain copy of what a node knows of a member of its LAN. A master knows all of them; others know themselves and their
// master.
type Member struct {
	ID       netproto.ID
	Name     string // of its host, as it says: a label, never authority; "" = not known
	Self     bool
	Master   bool
	Addr     netip.AddrPort    // zero of the node itself
	Standing netproto.Standing // 0 where it is not known
	Voice    Voice             // "" where only the master knows
	Measured bool              // the four below are known, of the last round in which they were
	Offset   time.Duration     // of its clock from LAN time
	Delay    time.Duration     // there and back; 0 of the node itself
	Bound    time.Duration     // of the measurement
	Jitter   time.Duration     // by how much what is measured usually changes from a round to the next
	Residual time.Duration     // what its clock still has to be moved by to stand on its own timescale
	Rate     float64           // fractional: the correction of its oscillator
	Word     time.Duration     // how far from LAN time it may be by its own word; negative where unknown
	Priority uint8
	Rounds   int           // heard since it came
	Missed   int           // rounds in a row in which it was not heard
	Heard    time.Duration // moment of its last Reply, of a master of its last proof; negative where there was none, and of the node itself
	Key      uint32
}

// reading is what the last round said of a member.
type reading struct {
	at     time.Duration // last heard; of the master itself: when it sent its last poll
	voice  Voice
	seen   bool
	sample berkeley.Sample // Offset is its timescale's from LAN time
	jitter float64         // ns
}

// jitterGain is the weight of a round in the jitter: as in RFC 6298 for the variation of a delay.
const jitterGain = 1.0 / 4

// take files what a round said. Sample is against the master's timescale, from which LAN time is mean (ns) away.
func (r *reading) take(s berkeley.Sample, mean int64, voice Voice) {
	s.Offset -= mean
	if r.seen {
		r.jitter += jitterGain * (math.Abs(float64(s.Offset)-float64(r.sample.Offset)) - r.jitter)
	}
	r.voice, r.seen, r.sample = voice, true, s
}

// review files what the round said of every peer and of the master itself: the judgement as it was made, for whoever asks why.
func (n *Node) review(b ballot, mean berkeley.Mean, held bool, peers []*peer, samples []berkeley.Sample) {
	l := n.lead
	for _, p := range l.peers {
		p.reading.voice = VoiceUnknown
		if !p.heard {
			p.reading.voice = VoiceSilent
		}
	}
	for i, p := range peers {
		p.reading.take(samples[i], mean.Offset, n.voiceless(p))
	}
	l.reading.take(berkeley.Sample{}, mean.Offset, VoiceNewcomer)
	for i, who := range b.who {
		r := &l.reading
		if who >= 0 {
			r = &peers[who].reading
		}
		switch {
		case held:
			r.voice = VoiceHeld
		case mean.In[i]:
			r.voice = VoiceCounted
		default:
			r.voice = VoiceOff
		}
	}
}

// voiceless is why a peer that was measured is in no ballot.
func (n *Node) voiceless(p *peer) Voice {
	switch {
	case p.flags&netproto.FlagDry != 0 && !n.cfg.Dry:
		return VoiceDry
	case p.fallen && !p.voter():
		return VoiceFallen
	case !p.voter():
		return VoiceNewcomer
	case p.lineage != n.lead.lineage:
		return VoiceAbroad
	case !n.votes(p):
		return VoiceDisloyal
	}
	return VoiceSlow
}

// Members copies out what the node knows of the members of its LAN, itself first, then in the order of their ids.
func (n *Node) Members() []Member {
	rate, residual := n.steering()
	self := Member{
		ID: n.cfg.ID, Name: n.cfg.Name, Self: true, Master: n.lead != nil, Standing: n.standing, Rate: rate,
		Residual: time.Duration(residual), Word: -1, Heard: -1,
		Priority: n.cfg.Priority, Rounds: int(n.rounds), Key: n.key,
	}
	if _, ok := n.servo.Heard(); ok {
		self.Word = time.Duration(n.servo.Bound(n.at.Raw))
	}
	if n.lead == nil {
		members := []Member{self}
		if m := n.follow.master; m != nil {
			members = append(members, Member{ID: m.id, Name: m.name, Master: true, Addr: m.addr, Word: -1, Heard: m.heard})
		}
		return members
	}
	members := make([]Member, 0, len(n.lead.peers)+1)
	members = append(members, n.lead.reading.fill(self))
	for _, p := range n.lead.peers {
		members = append(members, p.reading.fill(Member{
			ID: p.id, Name: p.name, Addr: p.addr, Standing: p.standing, Rate: p.rate, Residual: time.Duration(p.residual),
			Word: time.Duration(p.bound), Priority: p.priority, Rounds: p.rounds, Missed: p.missed, Key: p.key,
			Heard: p.reading.at,
		}))
	}
	return members
}

// fill completes a member with its reading.
func (r *reading) fill(m Member) Member {
	m.Voice, m.Jitter = r.voice, time.Duration(r.jitter)
	if m.Measured = r.seen; r.seen {
		m.Offset, m.Delay = time.Duration(r.sample.Offset)-m.Residual, time.Duration(max(0, r.sample.Delay))
		m.Bound = time.Duration(r.sample.Bound)
	}
	return m
}
