package netproto

import "encoding/binary"

// Blocks stand behind the body that the first packets of version 1 had (PROTOCOL.md 7.7).
const (
	blockName = 2
	blockMove = 3

	blockHead = 8  // type, length, reserved
	moveLen   = 48 // of a move's value

	// MaxName is the length of the longest name in bytes: what POSIX calls a host's is no longer than a label of DNS, 63.
	MaxName = 63

	// MaxEntriesMoving is how many entries an Adjust has room for beside a move.
	MaxEntriesMoving = (MaxPacket - HeaderLen - AdjustLen - TagLen - blockHead - moveLen) / EntryLen
)

// tail is what stands in blocks behind a body: what is not there is zero.
type tail struct {
	name []byte
	move Move
}

// len is the length of the tail in bytes.
func (t *tail) len() (n int) {
	if name := t.label(); len(name) > 0 {
		n += blockHead + len(name)
	}
	if t.move.Lineage != 0 {
		n += blockHead + moveLen
	}
	return n
}

// label is the name as far as it fits.
func (t *tail) label() []byte { return t.name[:min(len(t.name), MaxName)] }

// append appends the blocks that are filled.
func (t *tail) append(dst []byte) []byte {
	if name := t.label(); len(name) > 0 {
		dst = append(appendBlock(dst, blockName, len(name)), name...)
	}
	m := &t.move
	if m.Lineage == 0 {
		return dst
	}
	be := binary.BigEndian
	dst = appendBlock(dst, blockMove, moveLen)
	dst = be.AppendUint64(dst, m.Lineage)
	dst = be.AppendUint64(dst, m.From)
	dst = be.AppendUint64(dst, uint64(m.By))
	dst = be.AppendUint64(dst, uint64(m.Left))
	dst = be.AppendUint64(dst, uint64(m.Epoch))
	dst = be.AppendUint32(dst, m.Pace)
	return be.AppendUint32(dst, 0)
}

func appendBlock(dst []byte, kind uint16, length int) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, kind)
	dst = be.AppendUint16(dst, uint16(length))
	return be.AppendUint32(dst, 0)
}

// parseTail reads the blocks behind a body; the name aliases them. A block that it does not know, or that holds what it may not, is passed
// over, and what is no block ends the reading: nothing in a tail makes a packet invalid.
func parseTail(rest []byte) (t tail) {
	for len(rest) >= blockHead {
		r := reader(rest)
		kind, length := r.u16(), int(r.u16())
		if r.u32() != 0 || length > len(r) {
			break
		}
		value := r[:length:length]
		switch kind {
		case blockName:
			if length > 0 && length <= MaxName {
				t.name = value
			}
		case blockMove:
			if m := parseMove(value); m.Lineage != 0 {
				t.move = m
			}
		}
		rest = r[length:]
	}
	return t
}

// parseMove reads the value of a move's block. It is the zero Move where a value is outside the ranges of PROTOCOL.md section 7.
func parseMove(value reader) Move {
	if len(value) < moveLen {
		return Move{}
	}
	m := Move{
		Lineage: value.u64(),
		From:    value.u64(),
		By:      int64(value.u64()),
		Left:    int64(value.u64()),
		Epoch:   Stamp(value.u64()),
		Pace:    value.u32(),
	}
	if m.From == 0 || m.From == m.Lineage || m.By == 0 || !spanOnWire(m.By) || !spanOnWire(m.Left) || !m.Epoch.onWire() || m.Pace == 0 {
		return Move{}
	}
	return m
}
