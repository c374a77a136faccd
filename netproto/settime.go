package netproto

import "encoding/binary"

// SetTimeLen is the length of a SetTime's body in bytes.
const SetTimeLen = 48

// Append appends the packet that carries p: header, body and tag. It sets the header's kind and key id itself and takes
// the rest of h as it is; it checks no value. It allocates only if dst lacks HeaderLen+SetTimeLen+TagLen bytes of room.
func (p *SetTime) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindSetTime
	be := binary.BigEndian
	dst = appendHeader(dst, &h, SetTimeLen)
	dst = be.AppendUint64(dst, p.Request)
	dst = be.AppendUint64(dst, uint64(p.Echo))
	dst = be.AppendUint64(dst, uint64(p.By))
	dst = be.AppendUint64(dst, uint64(p.Left))
	dst = be.AppendUint64(dst, uint64(p.Begins))
	dst = be.AppendUint32(dst, p.Pace)
	dst = append(dst, byte(p.Answer), 0, 0, 0)
	return seal(dst, start)
}

// ParseSetTime reads the body of a SetTime. A longer body is read as far as it is known. It returns ErrTruncated for a
// shorter body and ErrValue for a value outside the ranges of PROTOCOL.md section 15.
func ParseSetTime(body []byte) (SetTime, error) {
	if len(body) < SetTimeLen {
		return SetTime{}, ErrTruncated
	}
	r := reader(body[:SetTimeLen])
	p := SetTime{
		Request: r.u64(),
		Echo:    Nonce(r.u64()),
		By:      int64(r.u64()),
		Left:    int64(r.u64()),
		Begins:  Stamp(r.u64()),
		Pace:    r.u32(),
		Answer:  Answer(r.u8()),
	}
	if reserved := uint32(r.u8())<<16 | uint32(r.u16()); reserved != 0 || !p.valid() {
		return SetTime{}, ErrValue
	}
	return p, nil
}

// valid checks the ranges.
func (p *SetTime) valid() bool {
	return p.Request != 0 && p.Echo != 0 && p.By != 0 && spanOnWire(p.By) && spanOnWire(p.Left) && p.Begins.onWire() &&
		p.Answer <= AnswerUntrusted
}
