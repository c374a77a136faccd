package netproto

import "encoding/binary"

const (
	// AdjustLen is the length of an Adjust's body in bytes, without its entries.
	AdjustLen = 64

	// EntryLen is the length of an entry in bytes.
	EntryLen = 32

	spare = MaxPacket - HeaderLen - AdjustLen - MaxEntries*EntryLen - TagLen // bytes the fullest Adjust leaves
)

// MaxEntries entries fit and one more does not: else this index is out of range and nothing compiles.
var _ = [EntryLen]byte{}[spare]

// Append appends the packet that carries p: header, body and tag. It sets the header's kind and key id itself and takes
// the rest of h as it is; it checks no value. Entries beyond MaxEntries, or MaxEntriesMoving, are not written: to their nodes it is as
// if this Adjust was lost, which changes nothing; a caller with more sends more parts. It allocates only if dst lacks room
// (MaxPacket bytes always suffice).
func (p *Adjust) Append(dst []byte, h Header) []byte {
	start := len(dst)
	h.Kind = KindAdjust
	entries := p.Entries[:min(len(p.Entries), p.room())]
	be, rest := binary.BigEndian, tail{move: p.Move}
	dst = appendHeader(dst, &h, AdjustLen+EntryLen*len(entries)+rest.len())
	dst = be.AppendUint64(dst, uint64(p.Rotation.Rate))
	dst = be.AppendUint64(dst, uint64(p.Rotation.Phase))
	dst = be.AppendUint64(dst, uint64(p.Rotation.Epoch))
	dst = be.AppendUint32(dst, p.Pace)
	dst = be.AppendUint32(dst, p.Spread)
	dst = be.AppendUint16(dst, p.Voters)
	dst = be.AppendUint16(dst, p.Members)
	dst = append(dst, p.Part, p.Parts, byte(p.Phase), byte(len(entries)))
	for _, id := range p.Successors {
		dst = be.AppendUint64(dst, uint64(id))
	}
	for i := range entries {
		dst = entries[i].append(dst)
	}
	return seal(rest.append(dst), start)
}

// room is how many entries fit.
func (p *Adjust) room() int {
	if p.Move.Lineage != 0 {
		return MaxEntriesMoving
	}
	return MaxEntries
}

func (e *Entry) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint64(dst, uint64(e.ID))
	dst = be.AppendUint64(dst, uint64(e.Nonce))
	dst = be.AppendUint64(dst, uint64(e.Delta))
	dst = be.AppendUint32(dst, e.Bound)
	dst = be.AppendUint16(dst, e.Slot)
	return append(dst, byte(e.Standing), 0)
}

// ParseAdjust reads the body of an Adjust. Its entries are appended to scratch[:0] and alias it until the next call;
// nothing is allocated if scratch has room for MaxEntries. After an error the contents of scratch mean nothing. It
// returns ErrTruncated for a body shorter than its count of entries needs, and ErrValue for a value outside the ranges of
// PROTOCOL.md section 6.
func ParseAdjust(body []byte, scratch []Entry) (Adjust, error) {
	p, entries, err := parseCommon(body)
	if err != nil {
		return Adjust{}, err
	}
	p.Entries = scratch[:0]
	for ; len(entries) > 0; entries = entries[EntryLen:] {
		e, err := parseEntry(entries[:EntryLen])
		if err != nil {
			return Adjust{}, err
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

// ParseEntry reads the body of an Adjust for one node: what is common in it, without Entries, and the first entry with the id of that
// node. The entry's ID is 0 where there is none. All others are passed over by their ids, and whatever else they hold: a slave in a
// LAN of ten thousand reads that of one in 34. Else it returns what ParseAdjust does.
func ParseEntry(body []byte, id ID) (Adjust, Entry, error) {
	p, entries, err := parseCommon(body)
	if err != nil {
		return Adjust{}, Entry{}, err
	}
	for ; len(entries) > 0; entries = entries[EntryLen:] {
		if ID(binary.BigEndian.Uint64(entries)) != id {
			continue
		}
		e, err := parseEntry(entries[:EntryLen])
		if err != nil {
			return Adjust{}, Entry{}, err
		}
		return p, e, nil
	}
	return p, Entry{}, nil
}

// parseCommon reads all of an Adjust but its entries, which it returns as they are.
func parseCommon(body []byte) (p Adjust, entries reader, err error) {
	if len(body) < AdjustLen {
		return Adjust{}, nil, ErrTruncated
	}
	r := reader(body)
	p = Adjust{
		Rotation: Rotation{Rate: Rate(r.u64()), Phase: int64(r.u64()), Epoch: Stamp(r.u64())},
		Pace:     r.u32(),
		Spread:   r.u32(),
		Voters:   r.u16(),
		Members:  r.u16(),
		Part:     r.u8(),
		Parts:    r.u8(),
		Phase:    Phase(r.u8()),
	}
	count := int(r.u8())
	for i := range p.Successors {
		p.Successors[i] = ID(r.u64())
	}
	if count > MaxEntries || !p.valid() {
		return Adjust{}, nil, ErrValue
	}
	if len(r) < count*EntryLen {
		return Adjust{}, nil, ErrTruncated
	}
	p.Move = parseTail(r[count*EntryLen:]).move
	return p, r[:count*EntryLen], nil
}

// valid checks the ranges, but for the entries.
func (p *Adjust) valid() bool {
	return p.Rotation.Rate.onWire() && spanOnWire(p.Rotation.Phase) && p.Rotation.Epoch.onWire() &&
		p.Members > 0 && p.Voters <= p.Members &&
		p.Part < p.Parts && // so parts is not zero either
		p.Phase.valid()
}

// parseEntry reads one entry from EntryLen bytes.
func parseEntry(r reader) (Entry, error) {
	e := Entry{
		ID:       ID(r.u64()),
		Nonce:    Nonce(r.u64()),
		Delta:    int64(r.u64()),
		Bound:    r.u32(),
		Slot:     r.u16(),
		Standing: Standing(r.u8()),
	}
	if r.u8() != 0 || e.ID == 0 || e.Nonce == 0 || !spanOnWire(e.Delta) || !e.Standing.valid() {
		return Entry{}, ErrValue
	}
	return e, nil
}
