package node

import (
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

// PROTOCOL.md 8.24. Recordings of one sender, however many, take nobody else's answers. One budget for all was used up by 64 of them, and a
// starting host, objected to by nobody, became a second master.
func TestRecordingsOfOneSenderSilenceNobodyElse(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	b.founded(following(2, 3)...)
	stands := func(sender netproto.ID, nonce netproto.Nonce) int {
		h := header(1)
		h.Sender, h.Start = sender, uint32(10*sender)
		_, cs := claims(t, b.packet(slaveAddr, (&netproto.Candidate{Nonce: nonce, Priority: 1}).Append(nil, h)))
		return len(cs)
	}
	answered := 0
	for range 8 * budgetBurst {
		answered += stands(8, 77)
	}
	if answered != budgetBurst {
		t.Errorf("an old Candidate was answered %d times, want %d", answered, budgetBurst)
	}
	if stands(9, 78) != 1 {
		t.Error("a fresh candidate got no objection")
	}
}

// pollFrom is a Poll of a master, of its start number 10·id, with a window of 8 ms.
func pollFrom(id int, seq uint32) []byte {
	return pollOf(seq, func(h *netproto.Header, p *netproto.Poll) {
		h.Sender, h.Start, p.Window = netproto.ID(id), uint32(10*id), 8_000
	})
}

// PROTOCOL.md 8.24. Old Polls of one former master use up its own answers, and the living one's are there.
func TestOldPollsUseUpNobodyElsesAnswers(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	busy := func() uint64 { return b.node.Dropped()[DropBusy] }
	for seq := range uint32(200) {
		b.packet(masterAddr, pollFrom(20, seq+1))
		b.after(10 * time.Millisecond) // the slot is over
	}
	if busy() == 0 {
		t.Error("every old Poll was answered")
	}
	before := busy()
	b.packet(masterAddr, pollFrom(1, 1))
	if _, rs := replies(t, b.after(500*time.Millisecond)); len(rs) != 1 || busy() != before {
		t.Errorf("%d replies to the living master, busy %d times", len(rs), busy()-before)
	}
}

// Recordings of as many former masters as a LAN has do not push out the living one's session before it is answered.
func TestRecordingsPushNoMasterOut(t *testing.T) {
	b := newBench(t, RoleSlave, nil)
	heard := 0
	for round := uint32(1); round <= 20; round++ {
		b.packet(masterAddr, pollFrom(1, round))
		for id := 20; id < 20+maxSessions-1; id++ {
			b.packet(masterAddr, pollFrom(id, 5))
		}
		hs, rs := replies(t, b.after(500*time.Millisecond))
		for i, h := range hs {
			if rs[i].Echo == netproto.Nonce(1000+round) && h.Seq == round {
				heard++
			}
		}
		b.after(500 * time.Millisecond)
	}
	if heard != 20 {
		t.Errorf("the living master was answered in %d of 20 rounds", heard)
	}
}

// told lists what the log was told with these words in it.
func told(es []Effect, words string) (list []Note) {
	for _, n := range of[Note](es) {
		if strings.Contains(n.Text, words) {
			list = append(list, n)
		}
	}
	return list
}

// PROTOCOL.md 1.16. Members that lack the newest key and are silent for long, as where a switch starts anew, do not make it one that all hold.
func TestAbsenceIsNoKey(t *testing.T) {
	b := keyed(t, RoleMaster, newer, older)
	ring := ringOf(t, group, older)
	for range 8 {
		b.keyedRound(following(2, 3), ring, ring)
	}
	if said := told(b.after(20*time.Second), "hold the newest key"); len(said) != 0 {
		t.Errorf("told %+v, though nobody is there", said)
	}
	both := ringOf(t, group, newer, older)
	var said []Note
	for range 8 {
		said = append(said, told(b.keyedRound(following(4, 5), both, both), "hold the newest key")...)
	}
	if len(said) != 1 || said[0].Level != Warn {
		t.Errorf("told %+v, want one warning of those that left", said)
	}
}

// A master that starts when all members hold the new key says so, once, though it never sent under another.
func TestHoldersAreToldByANewMaster(t *testing.T) {
	b := keyed(t, RoleMaster, newer, older)
	both := ringOf(t, group, newer, older)
	var said []Note
	for range 20 {
		said = append(said, told(b.keyedRound(following(2, 3), both, both), "all members hold")...)
	}
	if len(said) != 1 || said[0].Level != Info {
		t.Errorf("told %+v, want it once", said)
	}
}
