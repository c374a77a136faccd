package netproto

import "encoding/binary"

const (
	// AckLen is the length of an Ack's body in bytes.
	AckLen = 16

	ackReserved = 7 // bytes that fill the body up to a multiple of 8
)

// Append appends the packet that carries p: header, body and tag. It sets the header's kind and key id itself and takes
// the rest of h as it is; it checks no value. It allocates only if dst lacks HeaderLen+AckLen+TagLen bytes of room.
func (p *Ack) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindAck
	dst = appendHeader(dst, &h, AckLen)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Echo))
	dst = append(dst, p.Repeat)
	dst = append(dst, make([]byte, ackReserved)...)
	return seal(dst, start)
}

// ParseAck reads the body of an Ack. A longer body is read as far as it is known. It returns ErrTruncated for a shorter
// body and ErrValue for a value outside the ranges of PROTOCOL.md section 5.
func ParseAck(body []byte) (Ack, error) {
	if len(body) < AckLen {
		return Ack{}, ErrTruncated
	}
	r := reader(body[:AckLen])
	p := Ack{Echo: Nonce(r.u64()), Repeat: r.u8()}
	var reserved byte
	for _, b := range r {
		reserved |= b
	}
	if reserved != 0 || p.Echo == 0 {
		return Ack{}, ErrValue
	}
	return p, nil
}
