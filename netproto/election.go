package netproto

import "encoding/binary"

// Lengths in bytes of the bodies by which masters are chosen.
const (
	CandidateLen = 24
	ClaimLen     = 24
	ResignLen    = 8
)

// Append appends the packet that carries p: header, body and tag. It sets the header's kind and key id itself and takes
// the rest of h as it is; it checks no value. It allocates only if dst lacks HeaderLen+CandidateLen+TagLen bytes of room.
func (p *Candidate) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindCandidate
	be := binary.BigEndian
	dst = appendHeader(dst, &h, CandidateLen)
	dst = be.AppendUint64(dst, uint64(p.Nonce))
	dst = be.AppendUint64(dst, uint64(p.Master))
	dst = be.AppendUint32(dst, p.Rounds)
	dst = append(dst, p.Priority, 0, 0, 0)
	return seal(dst, start)
}

// ParseCandidate reads the body of a Candidate. A longer body is read as far as it is known. It returns ErrTruncated for
// a shorter body and ErrValue for a value outside the ranges of PROTOCOL.md section 10.
func ParseCandidate(body []byte) (Candidate, error) {
	if len(body) < CandidateLen {
		return Candidate{}, ErrTruncated
	}
	r := reader(body[:CandidateLen])
	p := Candidate{Nonce: Nonce(r.u64()), Master: ID(r.u64()), Rounds: r.u32(), Priority: r.u8()}
	if reserved := uint32(r.u8())<<16 | uint32(r.u16()); reserved != 0 || p.Nonce == 0 || p.Priority == 0 {
		return Candidate{}, ErrValue
	}
	return p, nil
}

// Append appends the packet that carries p, as Candidate.Append does with its own.
func (p *Claim) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindClaim
	be := binary.BigEndian
	dst = appendHeader(dst, &h, ClaimLen)
	dst = be.AppendUint64(dst, uint64(p.Echo))
	dst = be.AppendUint64(dst, uint64(p.Master))
	dst = be.AppendUint32(dst, p.Rounds)
	dst = be.AppendUint16(dst, p.Voters)
	dst = append(dst, p.Priority, 0)
	return seal(dst, start)
}

// ParseClaim reads the body of a Claim. A longer body is read as far as it is known. It returns ErrTruncated for a shorter
// body and ErrValue for a value outside the ranges of PROTOCOL.md section 11.
func ParseClaim(body []byte) (Claim, error) {
	if len(body) < ClaimLen {
		return Claim{}, ErrTruncated
	}
	r := reader(body[:ClaimLen])
	p := Claim{Echo: Nonce(r.u64()), Master: ID(r.u64()), Rounds: r.u32(), Voters: r.u16(), Priority: r.u8()}
	if r.u8() != 0 || p.Echo == 0 {
		return Claim{}, ErrValue
	}
	return p, nil
}

// Append appends the packet that carries p, as Candidate.Append does with its own.
func (p *Resign) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindResign
	dst = appendHeader(dst, &h, ResignLen)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Successor))
	return seal(dst, start)
}

// ParseResign reads the body of a Resign. A longer body is read as far as it is known. It returns ErrTruncated for a
// shorter body; every value is in the range of PROTOCOL.md section 12.
func ParseResign(body []byte) (Resign, error) {
	if len(body) < ResignLen {
		return Resign{}, ErrTruncated
	}
	r := reader(body[:ResignLen])
	return Resign{Successor: ID(r.u64())}, nil
}
