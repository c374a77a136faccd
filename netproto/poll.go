package netproto

import "encoding/binary"

// PollLen is the length of a Poll's body in bytes.
const PollLen = 24

// Append appends the packet that carries p: header, body and tag. It sets the header's kind and key id itself and takes
// the rest of h as it is; it checks no value. It allocates only if dst lacks room (MaxPacket bytes always suffice).
func (p *Poll) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindPoll
	be, rest := binary.BigEndian, tail{name: p.Name}
	dst = appendHeader(dst, &h, PollLen+rest.len())
	dst = be.AppendUint64(dst, uint64(p.Nonce))
	dst = be.AppendUint32(dst, p.Interval)
	dst = be.AppendUint32(dst, p.Window)
	dst = be.AppendUint16(dst, p.Slots)
	dst = be.AppendUint16(dst, p.Members)
	dst = append(dst, p.Priority, byte(p.Phase))
	dst = be.AppendUint16(dst, p.Turns)
	return seal(rest.append(dst), start)
}

// ParsePoll reads the body of a Poll. A longer body is read as far as it is known. It returns ErrTruncated for a
// shorter body and ErrValue for a value outside the ranges of PROTOCOL.md section 3.
func ParsePoll(body []byte) (Poll, error) {
	if len(body) < PollLen {
		return Poll{}, ErrTruncated
	}
	r := reader(body[:PollLen])
	p := Poll{
		Nonce:    Nonce(r.u64()),
		Interval: r.u32(),
		Window:   r.u32(),
		Slots:    r.u16(),
		Members:  r.u16(),
		Priority: r.u8(),
		Phase:    Phase(r.u8()),
		Turns:    r.u16(),
	}
	if !p.valid() {
		return Poll{}, ErrValue
	}
	p.Name = parseTail(body[PollLen:]).name
	return p, nil
}

// Turn says whether the slave with a slot has its turn in a round of so many turns: whether its master Acks what it replies (PROTOCOL.md
// 8.37). Both decide it by this.
func Turn(turns, slot uint16, seq uint32) bool {
	return turns < 2 || slot == NoSlot || (uint64(slot)+uint64(seq))%uint64(turns) == 0
}

// valid checks the ranges. The master is a member itself, so there is at least one.
func (p *Poll) valid() bool {
	return p.Nonce != 0 &&
		p.Window > 0 && p.Window <= p.Interval && // so the interval is not zero either
		p.Slots > 0 && p.Members > 0 &&
		p.Phase.valid()
}
