package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// answered is how many bytes a node sends to single addresses for each byte of a packet that asks.
func answered(ask []byte, effects []Effect) float64 {
	size := 0
	for _, s := range of[*Send](effects) {
		if !s.Group {
			size += len(s.Data)
		}
	}
	return float64(size) / float64(len(ask))
}

// What a node sends to an address because of a packet is at most twice as long as that packet: a Reply for a Poll of 88 bytes has 176. Only for
// a master that has proved itself in this start, which no recording does, a Reply that nobody acknowledges is sent up to four times.
func TestNobodyIsAnsweredMuch(t *testing.T) {
	stranger := newBench(t, RoleSlave, nil)
	poll := pollOf(1, nil)
	known := newBench(t, RoleSlave, nil)
	for seq := uint32(1); seq <= 3; seq++ {
		known.packet(masterAddr, adjustOf(seq, known.exchange(seq), 0, nil))
		known.after(time.Second)
	}
	next := pollOf(4, func(_ *netproto.Header, p *netproto.Poll) { p.Window = 500_000 })
	master := newBench(t, RoleMaster, nil)
	master.founded(following(2, 3)...)
	h := header(1)
	h.Sender = 99
	candidate := netproto.Candidate{Nonce: 77, Priority: 100}
	asks := candidate.Append(nil, h)
	rival := pollOf(9, func(h *netproto.Header, _ *netproto.Poll) { h.Sender = 98 })
	for _, test := range []struct {
		name    string
		ask     []byte
		effects []Effect
		factor  float64
	}{
		{"a stranger's Poll", poll, append(stranger.packet(masterAddr, poll), stranger.after(5*time.Second)...), 2},
		{"the same Poll again", poll, append(stranger.packet(masterAddr, poll), stranger.after(5*time.Second)...), 0},
		{"the master's Poll, never acknowledged", next, append(known.packet(masterAddr, next), known.after(2*time.Second)...), 8},
		{"a Candidate", asks, master.packet(slaveAddr, asks), 1},
		{"another master's Poll", rival, master.packet(slaveAddr, rival), 1},
	} {
		got := answered(test.ask, test.effects)
		t.Logf("%s: %.2f bytes for each", test.name, got)
		if got != test.factor {
			t.Errorf("%s: %.2f bytes for each, want %v", test.name, got, test.factor)
		}
	}
	if f := float64(netproto.AckLen) / float64(netproto.ReplyLen); f > 1 {
		t.Errorf("an Ack is longer than a Reply: %v", f)
	}
}
