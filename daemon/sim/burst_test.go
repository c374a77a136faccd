package sim

import (
	"testing"
	"time"

	"meantime/daemon/node"
)

// Power is back: 300 slaves start at one moment under a master that gives 30 of them all their exchanges in a round. All are on LAN time within three
// polls, and in no round are there more packets than a Reply and an Ack of each, four more of those 30, and the Adjusts.
func TestBurstOfNewcomers(t *testing.T) {
	const slaves, full, start = 300, 30, 20 * time.Second
	o := Default()
	o.Nodes, o.For, o.FullRounds = slaves+1, time.Minute, full
	p := o.Plan()
	p.Members[0].Role = node.RoleMaster
	for i := range slaves {
		p.Members[i+1].Role, p.Members[i+1].Start = node.RoleSlave, start
	}
	w, err := New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := node.Status{}
	for at := start; at < start+12*time.Second; at += time.Second {
		if err := w.Run(at); err != nil {
			t.Fatal(err)
		}
		s, following := w.Hosts()[0].Node.Status(), 0
		for _, h := range w.Hosts()[1:] {
			if h.Node != nil && h.Node.Status().State == node.StateFollowing {
				following++
			}
		}
		taken, sent := s.Traffic.Replies-before.Traffic.Replies, s.Traffic.Sent-before.Traffic.Sent
		if most := uint64(slaves + 4*full); taken > most || sent > most+20 {
			t.Errorf("%v after the start: %d Replies and %d packets of the master in a second, want %d at most", at-start, taken, sent, most)
		}
		if at >= start+3*time.Second && (following < slaves || s.Lost > 0 || s.Turns != slaves/full) {
			t.Errorf("%v after the start: %d of %d follow, %d replies lost, %d turns", at-start, following, slaves, s.Lost, s.Turns)
		}
		before = s
	}
}
