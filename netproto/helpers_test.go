package netproto_test

import (
	"encoding/binary"
	"fmt"

	"meantime/netproto"
)

// kinds lists the kinds of version 1. Where one is missing, TestEachKindIsKnown fails.
var kinds = []netproto.Kind{
	netproto.KindPoll, netproto.KindReply, netproto.KindAck, netproto.KindAdjust,
	netproto.KindCandidate, netproto.KindResign, netproto.KindSetTime, netproto.KindClaim,
}

// encode appends the packet for a body of any kind.
func encode(dst []byte, h netproto.Header, body any) []byte {
	switch b := body.(type) {
	case netproto.Poll:
		return b.Append(dst, h)
	case netproto.Reply:
		return b.Append(dst, h)
	case netproto.Ack:
		return b.Append(dst, h)
	case netproto.Adjust:
		return b.Append(dst, h)
	case netproto.Candidate:
		return b.Append(dst, h)
	case netproto.Claim:
		return b.Append(dst, h)
	case netproto.Resign:
		return b.Append(dst, h)
	case netproto.SetTime:
		return b.Append(dst, h)
	}
	panic(fmt.Sprintf("no such body: %T", body))
}

// decode opens, with a ring, and parses a packet; known is the length of the body as far as it is known.
func decode(ring *netproto.Ring, packet []byte) (h netproto.Header, body any, known int, err error) {
	h, raw, err := ring.Open(packet)
	if err != nil {
		return h, nil, 0, err
	}
	switch h.Kind {
	case netproto.KindPoll:
		body, err = netproto.ParsePoll(raw)
		known = netproto.PollLen
	case netproto.KindReply:
		body, err = netproto.ParseReply(h, raw)
		known = netproto.ReplyLen
	case netproto.KindAck:
		body, err = netproto.ParseAck(raw)
		known = netproto.AckLen
	case netproto.KindAdjust:
		var adjust netproto.Adjust
		adjust, err = netproto.ParseAdjust(raw, nil)
		body, known = adjust, netproto.AdjustLen+len(adjust.Entries)*netproto.EntryLen
	case netproto.KindCandidate:
		body, err = netproto.ParseCandidate(raw)
		known = netproto.CandidateLen
	case netproto.KindClaim:
		body, err = netproto.ParseClaim(raw)
		known = netproto.ClaimLen
	case netproto.KindResign:
		body, err = netproto.ParseResign(raw)
		known = netproto.ResignLen
	case netproto.KindSetTime:
		body, err = netproto.ParseSetTime(raw)
		known = netproto.SetTimeLen
	default:
		panic("Open let kind " + h.Kind.String() + " through")
	}
	return h, body, known, err
}

// bare is a body without what stands in blocks.
func bare(body any) any {
	switch b := body.(type) {
	case netproto.Poll:
		b.Name = nil
		return b
	case netproto.Reply:
		b.Name, b.Move = nil, netproto.Move{}
		return b
	case netproto.Adjust:
		b.Move = netproto.Move{}
		return b
	}
	return body
}

// withTail makes the body of a packet longer.
func withTail(packet []byte, tail ...byte) []byte {
	end := len(packet) - netproto.TagLen
	longer := append(append([]byte{}, packet[:end]...), tail...)
	return declare(append(longer, packet[end:]...))
}

// cut takes n bytes off the end of the body of a packet.
func cut(packet []byte, n int) []byte {
	end := len(packet) - netproto.TagLen
	return declare(append(append([]byte{}, packet[:end-n]...), packet[end:]...))
}

// declare writes the body length that the packet has.
func declare(packet []byte) []byte {
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-netproto.HeaderLen-netproto.TagLen))
	return packet
}

// fullHeader has another value in every byte, so that no two fields can be exchanged unseen.
func fullHeader(flags netproto.Flags) netproto.Header {
	return netproto.Header{
		Flags: flags, Group: 0xA0A1A2A3, Sender: 0x0102030405060708, Start: 0xB0B1B2B3, Seq: 0x00000107,
		Lineage: 0xC0C1C2C3C4C5C6C7, Term: 0x0000000000000012,
	}
}

// noon is 2026-01-01 12:00:00 UTC.
const noon netproto.Stamp = 1_767_268_800_000_000_000

func fullPoll() netproto.Poll {
	return netproto.Poll{
		Nonce: 0x1112131415161718, Interval: 1_000_000, Window: 400_000, Slots: 8, Members: 9, Priority: 100,
		Phase: netproto.PhaseKeeping, Turns: 10,
	}
}

func fullReply() netproto.Reply {
	return netproto.Reply{
		Echo: 0x1112131415161718, Nonce: 0x2122232425262728, T2: noon, T3: noon + 150_000_000,
		Residual: -1_234_567, Rate: -35_250_000_000, Bound: 45_678, Master: 0x3132333435363738, Repeat: 4, Priority: 50,
		Earlier: netproto.Earlier{Seq: 0x00000107, Repeat: 3, T3: noon + 149_000_001, T6: noon + 149_400_002},
		Held:    [netproto.HeldKeys]uint32{0x41424344, 0x51525354, 0x61626364, 0x71727374},
		Pace:    500_000, Moved: 1<<32 - 12_345,
	}
}

func fullAck() netproto.Ack { return netproto.Ack{Echo: 0x2122232425262728, Repeat: 1} }

func fullCandidate() netproto.Candidate {
	return netproto.Candidate{Nonce: 0x1112131415161718, Master: 0x3132333435363738, Rounds: 0x41424344, Priority: 100}
}

func fullClaim() netproto.Claim {
	return netproto.Claim{
		Echo: 0x1112131415161718, Master: 0x0102030405060708, Rounds: 0x51525354, Voters: 7, Priority: 50,
	}
}

func fullResign() netproto.Resign { return netproto.Resign{Successor: 0xD0D1D2D3D4D5D6D7} }

func fullSetTime() netproto.SetTime {
	return netproto.SetTime{
		Request: 0xA1A2A3A4A5A6A7A8, Echo: 0x1112131415161718, By: -90_000_000_000, Left: -89_500_000_000, Begins: noon, Pace: 437_500,
		Answer: netproto.AnswerYes,
	}
}

func fullMove() netproto.Move {
	return netproto.Move{
		Lineage: 0xA1A2A3A4A5A6A7A8, From: 0xC0C1C2C3C4C5C6C7, By: -90_000_000_000, Left: -89_500_000_000, Epoch: noon, Pace: 437_500,
	}
}

func fullEntry(i int) netproto.Entry {
	return netproto.Entry{
		ID: 0x8182838485868700 + netproto.ID(i), Nonce: 0x9192939495969700 + netproto.Nonce(i), Delta: 123_456 - 10_000*int64(i),
		Bound: 20_000 + uint32(i), Slot: uint16(i), Standing: netproto.Standing(1 + i%4),
	}
}

func fullAdjust(entries int) netproto.Adjust {
	a := netproto.Adjust{
		Rotation: netproto.Rotation{Rate: 12_290_000_000, Phase: 987_654_321, Epoch: noon - 60_000_000_000},
		Pace:     500_000, Spread: 31_000, Voters: 7, Members: 9, Part: 1, Parts: 2, Phase: netproto.PhaseKeeping,
		Successors: [netproto.Successors]netproto.ID{0xD0D1D2D3D4D5D6D7, 0xE0E1E2E3E4E5E6E7, 0xF0F1F2F3F4F5F6F7},
	}
	for i := range entries {
		a.Entries = append(a.Entries, fullEntry(i))
	}
	return a
}
