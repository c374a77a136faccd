package sim

import (
	"encoding/binary"
	"math"
	"slices"

	"meantime/netproto"
)

// latest is what the attacker knows of the moment: packets are not secret.
type latest struct {
	poll, reply            netproto.Header
	asked, answered, stood netproto.Nonce // their nonces
	repeat                 uint8          // of the last Reply
	keys                   []uint32       // key ids seen
}

// learn reads a packet that was heard and says of which kind it is.
func (l *latest) learn(data []byte) netproto.Kind {
	h, body, err := netproto.Inspect(data)
	if err != nil {
		return 0
	}
	if !slices.Contains(l.keys, h.KeyID) && len(l.keys) < netproto.HeldKeys {
		l.keys = append(l.keys, h.KeyID)
	}
	switch h.Kind {
	case netproto.KindPoll:
		if p, err := netproto.ParsePoll(body); err == nil {
			l.poll, l.asked = h, p.Nonce
		}
	case netproto.KindReply:
		if r, err := netproto.ParseReply(h, body); err == nil {
			l.reply, l.answered, l.repeat = h, r.Nonce, r.Repeat
		}
	case netproto.KindCandidate:
		if c, err := netproto.ParseCandidate(body); err == nil {
			l.stood = c.Nonce
		}
	}
	return h.Kind
}

// forge makes a packet up that only its tag tells from one that would be obeyed.
func (a *attacker) forge() []byte {
	l, dice := &a.latest, a.dice
	data := a.packet(a.world.plan.Node.Group)
	switch dice.IntN(3) { // what seals it
	case 0: // nothing: as a LAN without keys sends
		return data
	case 1:
		binary.BigEndian.PutUint32(data[keyIDAt:], dice.Uint32())
	default:
		binary.BigEndian.PutUint32(data[keyIDAt:], pick(dice, append(l.keys, nobodys)...))
	}
	a.fill(data[len(data)-netproto.TagLen:])
	return data
}

const (
	bodyLenAt = 4  // where a header holds the length of the body
	keyIDAt   = 12 // and the id of its key
	nobodys   = 1  // the id of a key that nobody holds
)

// packet builds a packet of any kind, in a group, as the master or another member would just now.
func (a *attacker) packet(group uint32) []byte {
	l, dice := &a.latest, a.dice
	h := l.poll
	h.Group, h.Sender, h.Seq = group, max(h.Sender, 1), max(h.Seq, 1)
	h.Seq += uint32(dice.IntN(2)) // this round's, or the next one's
	h.Term += uint64(dice.IntN(3))
	if dice.IntN(4) == 0 { // of nobody, who would take room if he were believed
		h.Sender, h.Start = netproto.ID(1+dice.Uint64()>>1), dice.Uint32()
	}
	wild := func() int64 { return int64(even(dice) * float64(a.world.plan.Node.MaxSkew)) }
	id := max(l.reply.Sender, 1)
	nonce := 1 + netproto.Nonce(dice.Uint64()>>1)
	switch netproto.Kind(1 + dice.IntN(int(netproto.KindClaim))) {
	case netproto.KindPoll:
		p := netproto.Poll{
			Nonce: nonce, Interval: 1_000_000, Window: 1 + uint32(dice.IntN(500_000)), Slots: 1, Members: 1, Priority: 255,
			Phase: netproto.PhaseKeeping, Turns: uint16(dice.IntN(3)),
		}
		return p.Append(nil, h)
	case netproto.KindReply:
		if h.Sender == l.poll.Sender {
			h.Sender, h.Start = id, l.reply.Start
		}
		at := netproto.Stamp(Epoch + a.world.now + wild())
		r := netproto.Reply{
			Echo: max(l.asked, 1), Nonce: nonce, T2: at, T3: at + 1000, Master: h.Sender, Priority: 255,
			Repeat: l.repeat + uint8(dice.IntN(2)),
		}
		return r.Append(nil, h)
	case netproto.KindAck:
		h.Flags |= netproto.FlagAgain | netproto.FlagLast*netproto.Flags(dice.IntN(2))
		p := netproto.Ack{Echo: max(l.answered, 1), Repeat: l.repeat}
		return p.Append(nil, h)
	case netproto.KindAdjust:
		p := netproto.Adjust{
			Voters: 5, Members: 5, Parts: 1, Phase: netproto.PhaseKeeping, Successors: [netproto.Successors]netproto.ID{id},
			Entries: []netproto.Entry{{ID: id, Nonce: max(l.answered, 1), Delta: wild(), Standing: netproto.StandingVoter}},
		}
		return p.Append(nil, h)
	case netproto.KindCandidate:
		p := netproto.Candidate{Nonce: nonce, Rounds: math.MaxUint32, Priority: 255}
		return p.Append(nil, h)
	case netproto.KindClaim:
		p := netproto.Claim{Echo: max(l.stood, 1), Master: h.Sender, Rounds: math.MaxUint32, Voters: 1000, Priority: 255}
		return p.Append(nil, h)
	default:
		p := netproto.Resign{Successor: id}
		return p.Append(nil, h)
	}
}

// mutate alters a recorded packet.
func (a *attacker) mutate() []byte {
	dice, origin := a.dice, a.pick().data
	data := slices.Clone(origin)
	switch dice.IntN(4) {
	case 0:
		data = data[:dice.IntN(len(data))]
	case 1:
		data = append(data, make([]byte, 1+dice.IntN(64))...)
		a.fill(data[len(origin):])
		if dice.IntN(2) == 0 { // with the length that it has now
			binary.BigEndian.PutUint16(data[bodyLenAt:], uint16(len(data)-netproto.HeaderLen-netproto.TagLen))
		}
	case 2: // this header and tag, that body
		other := a.pick().data
		body := other[netproto.HeaderLen : len(other)-netproto.TagLen]
		data = slices.Concat(origin[:netproto.HeaderLen], body, origin[len(origin)-netproto.TagLen:])
	}
	for slices.Equal(data, origin) || dice.IntN(2) == 0 && len(data) > 0 {
		data[dice.IntN(len(data))] ^= 1 << dice.IntN(8)
	}
	return data
}

// noise is no packet at all.
func (a *attacker) noise() []byte {
	const most = 9000 // a jumbo frame
	data := make([]byte, pick(a.dice, 0, a.dice.IntN(netproto.HeaderLen+netproto.TagLen), a.dice.IntN(netproto.MaxPacket), most))
	a.fill(data)
	return data
}

func (a *attacker) fill(data []byte) {
	var word [8]byte
	for len(data) > 0 {
		binary.LittleEndian.PutUint64(word[:], a.dice.Uint64())
		data = data[copy(data, word[:]):]
	}
}
