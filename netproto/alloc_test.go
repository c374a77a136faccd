package netproto_test

import (
	"testing"

	"meantime/netproto"
)

// parse does what a node does with a received packet, without a look at the values.
func parse(packet []byte, scratch []netproto.Entry) error {
	h, body, err := netproto.Open(packet)
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
		_, err = netproto.ParseAdjust(body, scratch)
	}
	return err
}

// appenders returns one Append of each kind, of its fullest packet.
func appenders() map[string]func([]byte) []byte {
	h := fullHeader(netproto.FlagVoter)
	poll, reply, ack, adjust := fullPoll(), fullReply(), fullAck(), fullAdjust(netproto.MaxEntries)
	return map[string]func([]byte) []byte{
		"poll":   func(dst []byte) []byte { return poll.Append(dst, h) },
		"reply":  func(dst []byte) []byte { return reply.Append(dst, h) },
		"ack":    func(dst []byte) []byte { return ack.Append(dst, h) },
		"adjust": func(dst []byte) []byte { return adjust.Append(dst, h) },
	}
}

const allocRuns = 100

func TestAppendDoesNotAllocate(t *testing.T) {
	buffer := make([]byte, 0, netproto.MaxPacket)
	for name, appendTo := range appenders() {
		if n := testing.AllocsPerRun(allocRuns, func() { buffer = appendTo(buffer[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestParseDoesNotAllocate: neither for what is accepted nor for what is dropped.
func TestParseDoesNotAllocate(t *testing.T) {
	scratch := make([]netproto.Entry, 0, netproto.MaxEntries)
	for _, v := range goldenVectors() {
		packet := v.packet()
		var err error
		if n := testing.AllocsPerRun(allocRuns, func() { err = parse(packet, scratch) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
	for _, v := range badVectors() {
		var err error
		if n := testing.AllocsPerRun(allocRuns, func() { err = parse(v.bytes, scratch) }); n != 0 || err != v.reason {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	all := appenders()
	for _, name := range []string{"poll", "reply", "ack", "adjust"} {
		b.Run(name, func(b *testing.B) {
			buffer := make([]byte, 0, netproto.MaxPacket)
			b.ReportAllocs()
			for b.Loop() {
				buffer = all[name](buffer[:0])
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
				if err := parse(packet, scratch); err != want {
					b.Fatal(err)
				}
			}
		})
	}
	for _, name := range []string{"poll", "reply", "ack", "adjust"} {
		run(name, all[name](nil), nil)
	}
	hostile := all["adjust"](nil)
	hostile[netproto.HeaderLen+netproto.AdjustLen+netproto.MaxEntries*netproto.EntryLen-1] = 1
	run("hostile", hostile, netproto.ErrValue)
}
