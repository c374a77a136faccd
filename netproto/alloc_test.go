package netproto_test

import (
	"testing"

	"meantime/netproto"
)

// parse does what a node does with a received packet, without a look at the values.
func parse(ring *netproto.Ring, packet []byte, scratch []netproto.Entry) error {
	h, body, err := ring.Open(packet)
	if err != nil {
		return err
	}
	switch h.Kind {
	case netproto.KindPoll:
		_, err = netproto.ParsePoll(body)
	case netproto.KindReply:
		_, err = netproto.ParseReply(h, body)
	case netproto.KindAck:
		_, err = netproto.ParseAck(body)
	case netproto.KindAdjust:
		if _, err = netproto.ParseAdjust(body, scratch); err == nil {
			_, _, err = netproto.ParseEntry(body, 1)
		}
	case netproto.KindCandidate:
		_, err = netproto.ParseCandidate(body)
	case netproto.KindClaim:
		_, err = netproto.ParseClaim(body)
	case netproto.KindResign:
		_, err = netproto.ParseResign(body)
	case netproto.KindSetTime:
		_, err = netproto.ParseSetTime(body)
	default:
		panic("Open let kind " + h.Kind.String() + " through")
	}
	return err
}

// appenders returns one Append of each kind, of its fullest packet.
func appenders() map[netproto.Kind]func([]byte) []byte {
	h := fullHeader(netproto.FlagVoter)
	poll, reply, ack, adjust := fullPoll(), fullReply(), fullAck(), fullAdjust(netproto.MaxEntries)
	poll.Name, reply.Name, reply.Move = []byte("a-name"), []byte("a-name"), fullMove()
	adjust.Move = fullMove()
	candidate, claim, resign, set := fullCandidate(), fullClaim(), fullResign(), fullSetTime()
	return map[netproto.Kind]func([]byte) []byte{
		netproto.KindPoll:      func(dst []byte) []byte { return poll.Append(dst, h) },
		netproto.KindReply:     func(dst []byte) []byte { return reply.Append(dst, h) },
		netproto.KindAck:       func(dst []byte) []byte { return ack.Append(dst, h) },
		netproto.KindAdjust:    func(dst []byte) []byte { return adjust.Append(dst, h) },
		netproto.KindCandidate: func(dst []byte) []byte { return candidate.Append(dst, h) },
		netproto.KindClaim:     func(dst []byte) []byte { return claim.Append(dst, h) },
		netproto.KindResign:    func(dst []byte) []byte { return resign.Append(dst, h) },
		netproto.KindSetTime:   func(dst []byte) []byte { return set.Append(dst, h) },
	}
}

const allocRuns = 100

func TestAppendDoesNotAllocate(t *testing.T) {
	buffer := make([]byte, 0, netproto.MaxPacket)
	all := appenders()
	for _, kind := range kinds {
		if n := testing.AllocsPerRun(allocRuns, func() { buffer = all[kind](buffer[:0]) }); n != 0 {
			t.Errorf("%v: %v allocations", kind, n)
		}
	}
}

// TestParseDoesNotAllocate: neither for what is accepted nor for what is dropped.
func TestParseDoesNotAllocate(t *testing.T) {
	scratch := make([]netproto.Entry, 0, netproto.MaxEntries)
	for _, v := range goldenVectors() {
		packet := v.packet()
		var err error
		if n := testing.AllocsPerRun(allocRuns, func() { err = parse(nil, packet, scratch) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
	for _, v := range badVectors() {
		var err error
		if n := testing.AllocsPerRun(allocRuns, func() { err = parse(nil, v.bytes, scratch) }); n != 0 || err != v.reason {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	all := appenders()
	for _, kind := range kinds {
		b.Run(kind.String(), func(b *testing.B) {
			buffer := make([]byte, 0, netproto.MaxPacket)
			b.ReportAllocs()
			for b.Loop() {
				buffer = all[kind](buffer[:0])
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	all := appenders()
	scratch := make([]netproto.Entry, 0, netproto.MaxEntries)
	run := func(name string, packet []byte, want error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := parse(nil, packet, scratch); err != want {
					b.Fatal(err)
				}
			}
		})
	}
	for _, kind := range kinds {
		run(kind.String(), all[kind](nil), nil)
	}
	b.Run("entry", func(b *testing.B) { // as a slave does it; opened as for the others
		a := fullAdjust(netproto.MaxEntries)
		h, body, _ := netproto.Inspect(a.Append(nil, fullHeader(0)))
		b.ReportAllocs()
		for b.Loop() {
			if _, own, err := netproto.ParseEntry(body, a.Entries[netproto.MaxEntries-1].ID); own.ID == 0 || err != nil {
				b.Fatal(h, own, err)
			}
		}
	})
	hostile := all[netproto.KindAdjust](nil)
	hostile[netproto.HeaderLen+netproto.AdjustLen+netproto.MaxEntriesMoving*netproto.EntryLen-1] = 1
	run("hostile", hostile, netproto.ErrValue)
}
