package netproto

import "encoding/binary"

// ReplyLen is the length of a Reply's body in bytes.
const ReplyLen = 112

// Append appends the packet that carries p: header, body and tag. It sets the header's kind, key id and FlagEarlier
// itself (the flag stands exactly if Earlier.Seq is not zero; else the block is written as zeros) and takes the rest of h
// as it is; it checks no value. It allocates only if dst lacks room (MaxPacket bytes always suffice).
func (p *Reply) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindReply
	h.Flags |= FlagEarlier
	earlier := p.Earlier
	if earlier.Seq == 0 {
		h.Flags &^= FlagEarlier
		earlier = Earlier{}
	}
	be, rest := binary.BigEndian, tail{p.Name, p.Move}
	dst = appendHeader(dst, &h, ReplyLen+rest.len())
	dst = be.AppendUint64(dst, uint64(p.Echo))
	dst = be.AppendUint64(dst, uint64(p.Nonce))
	dst = be.AppendUint64(dst, uint64(p.T2))
	dst = be.AppendUint64(dst, uint64(p.T3))
	dst = be.AppendUint64(dst, uint64(p.Residual))
	dst = be.AppendUint64(dst, uint64(p.Rate))
	dst = be.AppendUint64(dst, uint64(p.Bound))
	dst = be.AppendUint64(dst, uint64(p.Master))
	dst = be.AppendUint32(dst, earlier.Seq)
	dst = append(dst, earlier.Repeat, p.Repeat, p.Priority, 0)
	dst = be.AppendUint64(dst, uint64(earlier.T3))
	dst = be.AppendUint64(dst, uint64(earlier.T6))
	for _, id := range p.Held {
		dst = be.AppendUint32(dst, id)
	}
	dst = be.AppendUint32(dst, p.Pace)
	dst = be.AppendUint32(dst, p.Moved)
	return seal(rest.append(dst), start)
}

// ParseReply reads the body of a Reply; of its header it needs FlagEarlier, which has to agree with the Earlier block.
// A longer body is read as far as it is known. It returns ErrTruncated for a shorter body and ErrValue for a value
// outside the ranges of PROTOCOL.md section 4.
func ParseReply(h Header, body []byte) (Reply, error) {
	if len(body) < ReplyLen {
		return Reply{}, ErrTruncated
	}
	r := reader(body[:ReplyLen])
	p := Reply{
		Echo:     Nonce(r.u64()),
		Nonce:    Nonce(r.u64()),
		T2:       Stamp(r.u64()),
		T3:       Stamp(r.u64()),
		Residual: int64(r.u64()),
		Rate:     Rate(r.u64()),
		Bound:    int64(r.u64()),
		Master:   ID(r.u64()),
	}
	p.Earlier.Seq = r.u32()
	p.Earlier.Repeat, p.Repeat, p.Priority = r.u8(), r.u8(), r.u8()
	reserved := r.u8()
	p.Earlier.T3, p.Earlier.T6 = Stamp(r.u64()), Stamp(r.u64())
	for i := range p.Held {
		p.Held[i] = r.u32()
	}
	p.Pace, p.Moved = r.u32(), r.u32()
	if reserved != 0 || !p.valid() || !p.Earlier.valid(h.Flags&FlagEarlier != 0) {
		return Reply{}, ErrValue
	}
	rest := parseTail(body[ReplyLen:])
	p.Name, p.Move = rest.name, rest.move
	return p, nil
}

// valid checks the ranges, but for the Earlier block. That T3 follows T2 is not checked: an Adjust that is applied while
// the Reply waits for its slot moves the timescale, backwards too.
func (p *Reply) valid() bool {
	return p.Echo != 0 && p.Nonce != 0 &&
		p.T2.onWire() && p.T3.onWire() &&
		spanOnWire(p.Residual) && p.Rate.onWire() &&
		p.Bound >= 0 && spanOnWire(p.Bound)
}

// valid checks the block against the header's flag. Without the flag all of it is zero, so that each Reply has one encoding.
func (e *Earlier) valid(filled bool) bool {
	if !filled {
		return *e == Earlier{}
	}
	return e.Seq != 0 && e.T3.onWire() && e.T6.onWire()
}
