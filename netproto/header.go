package netproto

import (
	"encoding/binary"
	"slices"
)

const (
	// Version is the wire version this package speaks. A packet of another version is dropped.
	Version = 1

	// HeaderLen is the length of the header in bytes.
	HeaderLen = 48

	// MaxPacket is the length of the largest packet in bytes: the smallest MTU an IPv6 link may have (1280, RFC 8200
	// section 5) less the headers of IPv6 (40) and UDP (8). So no packet is ever fragmented.
	MaxPacket = 1280 - 40 - 8

	magic   = 0x4D54 // "MT"; tells a stray packet of another program on the port from a damaged one of ours
	groupAt = 8      // where the header holds the group and the key id: they choose the key before the header is parsed
	keyIDAt = 12
)

// Largest magnitudes on the wire. Both end at 2^62 so that no formula of the round overflows an int64: the sum of two
// differences of stamps, and a stamp plus a delta, stay inside.
const (
	// MaxStamp is the largest Stamp that travels: 2116-02-20.
	MaxStamp Stamp = 1<<62 - 1

	// MaxTerm is the highest term believed. Terms rise by one at an election, so nobody comes near it, and adding one to a term
	// never wraps.
	MaxTerm uint64 = 1 << 62

	// MaxSpan is the largest magnitude in ns of a span of time that travels (a delta, a residual, a bound): 146 years.
	MaxSpan int64 = 1<<62 - 1
)

// Open opens a packet under the null key, as a nil Ring does: whoever sent it.
func Open(packet []byte) (h Header, body []byte, err error) { return (*Ring)(nil).Open(packet) }

// Open checks one received packet and takes it apart: length, magic, version, declared length, group, key, tag, and only
// then the header's fields. The body aliases packet. On an error, one of this package's unwrapped, header and body are zero.
// The body still has to be parsed by the Parse function for h.Kind.
func (r *Ring) Open(packet []byte) (h Header, body []byte, err error) {
	if err := r.Verify(packet); err != nil {
		return Header{}, nil, err
	}
	return take(packet)
}

// Inspect takes a packet apart as Open does, but believes any group, key and tag: for those who look on, such as a trace. What it
// returns must never be obeyed.
func Inspect(packet []byte) (h Header, body []byte, err error) {
	if err := checkFrame(packet); err != nil {
		return Header{}, nil, err
	}
	return take(packet)
}

// take takes a packet apart whose frame is checked.
func take(packet []byte) (h Header, body []byte, err error) {
	h = parseHeader(packet)
	if !h.Kind.known() {
		return Header{}, nil, ErrKind
	}
	if h.Sender == 0 || h.Seq == 0 {
		return Header{}, nil, ErrValue
	}
	end := len(packet) - TagLen
	return h, packet[HeaderLen:end:end], nil
}

// checkFrame checks what has to be right before the tag can be found and computed.
func checkFrame(packet []byte) error {
	if len(packet) > MaxPacket {
		return ErrOversized
	}
	if len(packet) < HeaderLen+TagLen {
		return ErrTruncated
	}
	r := reader(packet)
	if r.u16() != magic {
		return ErrMagic
	}
	if r.u8() != Version {
		return ErrVersion
	}
	_ = r.u8() // the kind: it counts only once the tag is verified
	if int(r.u16()) != len(packet)-HeaderLen-TagLen {
		return ErrLength
	}
	return nil
}

// parseHeader reads the fields of a header whose frame is checked.
func parseHeader(packet []byte) Header {
	r := reader(packet[:HeaderLen])
	_, _ = r.u16(), r.u8() // magic, version
	kind := Kind(r.u8())
	_ = r.u16() // body length
	return Header{
		Kind:    kind,
		Flags:   Flags(r.u16()),
		Group:   r.u32(),
		KeyID:   r.u32(),
		Sender:  ID(r.u64()),
		Start:   r.u32(),
		Seq:     r.u32(),
		Lineage: r.u64(),
		Term:    r.u64(),
	}
}

// appendHeader appends h with a body length. The key id is left to seal.
func appendHeader(dst []byte, h *Header, bodyLen int) []byte {
	be := binary.BigEndian
	dst = slices.Grow(dst, HeaderLen+bodyLen+TagLen) // the whole packet at once
	dst = be.AppendUint16(dst, magic)
	dst = append(dst, Version, byte(h.Kind))
	dst = be.AppendUint16(dst, uint16(bodyLen))
	dst = be.AppendUint16(dst, uint16(h.Flags))
	dst = be.AppendUint32(dst, h.Group)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint64(dst, uint64(h.Sender))
	dst = be.AppendUint32(dst, h.Start)
	dst = be.AppendUint32(dst, h.Seq)
	dst = be.AppendUint64(dst, h.Lineage)
	return be.AppendUint64(dst, h.Term)
}

// reader takes big-endian numbers off the front of a slice. Whoever makes one has checked the length: it panics when
// it runs dry, as any index does.
type reader []byte

func (r *reader) u8() uint8 {
	v := (*r)[0]
	*r = (*r)[1:]
	return v
}

func (r *reader) u16() uint16 {
	v := binary.BigEndian.Uint16(*r)
	*r = (*r)[2:]
	return v
}

func (r *reader) u32() uint32 {
	v := binary.BigEndian.Uint32(*r)
	*r = (*r)[4:]
	return v
}

func (r *reader) u64() uint64 {
	v := binary.BigEndian.Uint64(*r)
	*r = (*r)[8:]
	return v
}

// onWire reports whether s may travel.
func (s Stamp) onWire() bool { return s >= 0 && s <= MaxStamp }

// onWire reports whether r may travel.
func (r Rate) onWire() bool { return r >= -MaxRate && r <= MaxRate }

// spanOnWire reports whether a span of ns may travel.
func spanOnWire(ns int64) bool { return ns >= -MaxSpan && ns <= MaxSpan }

// valid reports whether p is a phase of version 1.
func (p Phase) valid() bool { return p >= PhaseGathering && p <= PhaseHolding }

// valid reports whether s is a standing of version 1.
func (s Standing) valid() bool { return s >= StandingFounder && s <= StandingLeftOut }
