package daemon

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
)

// The highest term obeyed outlives the process; a damaged file is no reason not to start.
func TestTermIsKept(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func() *state {
		s, err := openState(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if s.term != 0 {
		t.Errorf("a new node has term %d", s.term)
	}
	s.newTerm(41, log)
	s.newTerm(42, log)
	if again := open(); again.term != 42 || again.id != s.id {
		t.Errorf("after a restart: term %d, id %v; want 42 and %v", again.term, again.id, s.id)
	}
	if err := os.WriteFile(filepath.Join(dir, termFile), []byte("4x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := open(); again.term != 0 {
		t.Errorf("a damaged file gave term %d", again.term)
	}
}

// PROTOCOL.md 9.21. What a node obeyed before a restart is what it is fenced by after one, the directory between them: no older term, the
// same one from any master, and a higher one, which is kept in its place.
func TestARestartObeysNoOlderTerm(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	restart := func() (*driver, *node.Node) {
		st, err := openState(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		cfg := configs.Default()
		cfg.Role = configs.RoleSlave
		n, err := node.New(nodeConfig(cfg, st, nil), node.Moment{Wall: release})
		if err != nil {
			t.Fatal(err)
		}
		return &driver{state: st, log: log}, n
	}
	for i, c := range []struct {
		master netproto.ID
		term   uint64
		taken  bool
	}{{1, 40, true}, {2, 39, false}, {2, 40, true}, {1, 42, true}, {1, 41, false}, {1, 0, false}, {3, 42, true}} {
		d, n := restart()
		for _, e := range obeyed(t, n, c.master, c.term) {
			if _, ok := e.(node.NewTerm); ok {
				if err := d.perform(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s := n.Status(); (s.Lineage == lineage) != c.taken || s.Drops[node.DropStale] != 0 == c.taken {
			t.Errorf("start %d: an Adjust of term %d from master %v taken: %v, want %v", i+1, c.term, c.master, s.Lineage == lineage, c.taken)
		}
	}
}

// lineage is the LAN's in these tests.
const lineage = 99

// obeyed plays a round of a master with a node that has just started, and returns what the Adjust caused.
func obeyed(t *testing.T, n *node.Node, master netproto.ID, term uint64) (effects []node.Effect) {
	t.Helper()
	from := netip.MustParseAddrPort("192.0.2.1:10526")
	h := netproto.Header{
		Group: netproto.GroupID(configs.Default().Group), Sender: master, Start: 1, Seq: 1, Lineage: lineage, Term: term,
	}
	now := time.Duration(0)
	give := func(data []byte) []node.Effect {
		now += time.Second
		at := node.Moment{Now: now, Raw: int64(now), Wall: release + int64(now)}
		return n.Handle(at, &node.Packet{Data: data, From: from, Iface: 1, Stamp: at.Wall})
	}
	give((&netproto.Poll{
		Nonce: 1, Interval: 10_000_000, Window: 1, Slots: 1, Members: 2, Phase: netproto.PhaseKeeping,
	}).Append(nil, h))
	now += time.Second
	for _, e := range n.Handle(node.Moment{Now: now, Raw: int64(now), Wall: release + int64(now)}, node.Tick{}) {
		s, ok := e.(*node.Send)
		if !ok {
			continue
		}
		rh, body, err := netproto.Open(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		r, err := netproto.ParseReply(rh, body)
		if err != nil {
			t.Fatal(err)
		}
		give((&netproto.Ack{Echo: r.Nonce}).Append(nil, h))
		return give((&netproto.Adjust{
			Voters: 2, Members: 2, Parts: 1, Phase: netproto.PhaseKeeping,
			Rotation: netproto.Rotation{Epoch: netproto.Stamp(release)},
			Entries:  []netproto.Entry{{ID: rh.Sender, Nonce: r.Nonce, Bound: 1000, Standing: netproto.StandingVoter}},
		}).Append(nil, h))
	}
	t.Fatal("no Reply")
	return nil
}
