package sim

import (
	"strings"
	"testing"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// ringOf draws a ring of the keys of a seed: a number for each, the newest first. 1 is the key that was there first, 2 the next.
func ringOf(p Plan, numbers ...uint64) *netproto.Ring {
	return drawRing(p.Node.Group, p.Seed, numbers...)
}

// rekey gives hosts other keys, one every ten seconds.
func rekey(t *testing.T, w *World, order []int, numbers ...uint64) {
	t.Helper()
	for _, i := range order {
		if err := w.Hosts()[i].Rekey(ringOf(w.plan, numbers...)); err != nil {
			t.Fatal(err)
		}
		run(t, w, w.Now()+10*time.Second)
	}
}

// masters lists who holds office, and demands that all others that run obey it.
func masters(t *testing.T, w *World) (found []int) {
	t.Helper()
	obeyed := map[netproto.ID]bool{}
	for i, h := range w.Hosts() {
		if !h.up() {
			continue
		}
		s := h.Node.Status()
		obeyed[s.Master] = true
		if s.Master == s.ID {
			found = append(found, i)
		}
	}
	if len(obeyed) != len(found) || obeyed[0] {
		t.Errorf("masters %v, obeyed %v", found, obeyed)
	}
	return found
}

// TestKeysChangeWithoutAGap: PROTOCOL.md 1.21, on a LAN that runs. The same LAN without a change stands beside it.
func TestKeysChangeWithoutAGap(t *testing.T) {
	o := Default()
	p := o.Plan()
	p.Node.Ring = ringOf(p, 1)
	w, still := start(t, p), start(t, p)
	const settled = 5 * time.Minute
	run(t, w, settled)
	run(t, still, settled)
	statuses := func(w *World) (all []node.Status) {
		for _, h := range w.Hosts() {
			all = append(all, h.Node.Status())
		}
		return all
	}
	steps := func() (n int) {
		for _, h := range w.Hosts() {
			n += len(h.Steps)
		}
		return n
	}
	office, before, stepsBefore := masters(t, w), statuses(w), steps()
	if len(office) != 1 {
		t.Fatalf("masters %v", office)
	}
	master := office[0]
	key := func() uint32 { return w.Hosts()[master].Node.Status().Key }

	rekey(t, w, []int{3, 0, 4, 1, 2}, 2, 1)
	run(t, w, w.Now()+5*time.Second)
	if s := w.Hosts()[master].Node.Status(); s.Holders != o.Nodes || s.Key != ringOf(p, 2).Newest() {
		t.Errorf("%d members hold the newest key, polls go under %08x", s.Holders, s.Key)
	}
	rekey(t, w, []int{2, 4, 0, 3, 1}, 2)
	if key() != ringOf(p, 2).Newest() {
		t.Errorf("polls go under %08x", key())
	}
	changed := w.Now() - settled

	after, lost := statuses(w), uint64(0) // at the same phase of a second as before, so of a round
	rounds := uint64(after[master].Seq - before[master].Seq)
	for i, s := range after {
		polls, adjusts := s.Traffic.Polls-before[i].Traffic.Polls, s.Traffic.Adjusts-before[i].Traffic.Adjusts
		if i == master {
			continue
		}
		if lost += 2*rounds - polls - adjusts; polls != rounds || adjusts != rounds {
			t.Errorf("host %d took %d polls and %d Adjusts in %d rounds", i, polls, adjusts, rounds)
		}
		if s.Master != before[master].ID || s.Term != before[master].Term {
			t.Errorf("host %d obeys %v under term %d", i, s.Master, s.Term)
		}
	}
	stepped := steps() - stepsBefore
	if stepped != 0 {
		t.Errorf("%d steps", stepped)
	}
	run(t, still, w.Now())
	with, without := apart(t, w, w.Now(), 120), apart(t, still, still.Now(), 120)
	if with > without+without/10 {
		t.Errorf("disagreement %v after the change, %v without one", with, without)
	}
	t.Logf("%d rounds in %v: %d polls and Adjusts lost of %d, %d steps; disagreement %v after it, %v without a change",
		rounds, changed, lost, 2*rounds*uint64(o.Nodes-1), stepped, with, without)
	for i, h := range w.Hosts() {
		for _, n := range h.Notes {
			if strings.HasPrefix(n.Text, "packets ") {
				t.Errorf("host %d complains: %v", i, n)
			}
		}
	}
}

// TestDisagreementWhileKeysChange: with two keys held and the copies of every Poll under way for good, the clocks agree as well.
func TestDisagreementWhileKeysChange(t *testing.T) {
	medians := map[string]time.Duration{}
	for name, numbers := range map[string][]uint64{"one key": {1}, "two keys": {2, 1}} {
		p := Default().Plan()
		p.Node.Ring = ringOf(p, numbers...)
		w := start(t, p)
		run(t, w, 5*time.Minute)
		medians[name] = apart(t, w, 5*time.Minute, 300)
	}
	t.Logf("disagreement %v", medians)
	if medians["two keys"] > medians["one key"]*3/2 {
		t.Errorf("disagreement %v", medians)
	}
}

// TestColdStartWithinAChange: PROTOCOL.md 1.21. Power comes back in the middle of a change of keys: before all hold the new one, and after
// the first have none but that.
func TestColdStartWithinAChange(t *testing.T) {
	old, both, fresh := []uint64{1}, []uint64{2, 1}, []uint64{2}
	for name, rings := range map[string][][]uint64{
		"half way in":  {old, both, old, both, both},
		"one by one":   {both, old, old, old, old},
		"half way out": {fresh, both, fresh, both, fresh},
		"the last out": {fresh, fresh, fresh, fresh, both},
	} {
		for seed := range seeds(t, 3) {
			o := Default()
			o.Seed = seed + 1
			p := o.Plan()
			for i := range p.Members {
				p.Members[i].Ring = ringOf(p, rings[i]...)
			}
			w := start(t, p)
			run(t, w, 2*time.Minute)
			office := masters(t, w)
			if len(office) != 1 {
				t.Fatalf("%s, seed %d: masters %v", name, o.Seed, office)
			}
			if s := w.Hosts()[office[0]].Node.Status(); s.Voters != o.Nodes {
				t.Errorf("%s, seed %d: %d voters", name, o.Seed, s.Voters)
			}
			if apart := spread(errorsOf(t, w)); apart > time.Millisecond {
				t.Errorf("%s, seed %d: the clocks are %v apart", name, o.Seed, apart)
			}
		}
	}
}

// TestWhoHoldsOneKeyIsFound, whichever it is, by a master that holds both; and who holds a foreign one never is, and is named once.
func TestWhoHoldsOneKeyIsFound(t *testing.T) {
	o := Default()
	o.Nodes = 6
	p := o.Plan()
	p.Node.Ring = ringOf(p, 2, 1)
	for i, numbers := range [][]uint64{{1}, {2}, {9}} {
		m := &p.Members[3+i]
		m.Ring, m.Start = ringOf(p, numbers...), time.Minute
	}
	w := start(t, p)
	if err := w.Run(10 * time.Minute); err != nil { // two LANs, two masters: the judge sees one
		t.Fatal(err)
	}
	lan := w.Hosts()[:5]
	for i, h := range lan {
		if s := h.Node.Status(); s.Standing != netproto.StandingVoter || s.Members != 5 || s.Voters != 5 {
			t.Errorf("host %d: standing %d, %d voters of %d members", i, s.Standing, s.Voters, s.Members)
		}
	}
	if apart := spread(errorsOf(t, w, 0, 1, 2, 3, 4)); apart > time.Millisecond {
		t.Errorf("the clocks are %v apart", apart)
	}
	if s := w.Hosts()[5].Node.Status(); s.Master != s.ID || s.Members != 1 {
		t.Errorf("the foreign host obeys %v, %d members", s.Master, s.Members)
	}
	for i, h := range lan {
		var named []string
		for _, n := range h.Notes {
			if strings.HasPrefix(n.Text, "packets ") {
				named = append(named, n.Text+" "+n.Attrs[0].Value.(string))
			}
		}
		if len(named) != 1 || !strings.Contains(named[0], "the same key file") || !strings.Contains(named[0], address(5).String()) {
			t.Errorf("host %d named %q", i, named)
		}
	}
}

// A keyed run is the run without keys, but for its tags: nothing is decided by them.
func TestKeyedRunIsTheSame(t *testing.T) {
	o := Default()
	o.For = 3 * time.Minute
	o.Faults, _ = ParseFaults("kill:master@60s+10s")
	plain, err := Run(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Keyed = true
	if !strings.Contains(o.String(), " --keyed ") {
		t.Errorf("%q does not say --keyed", o)
	}
	keyed, err := Run(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if keyed.TraceHash == plain.TraceHash {
		t.Error("no packet was sealed")
	}
	keyed.TraceHash = plain.TraceHash
	if len(keyed.Violations) > 0 || keyed.Disagreement != plain.Disagreement || keyed.Packets != plain.Packets ||
		keyed.LANRatePPM != plain.LANRatePPM {
		t.Errorf("without keys\n%+v\nwith\n%+v", plain, keyed)
	}
}

// A liar holds the key: what it says is sealed, or its lies would not be heard at all.
func TestALiarHoldsTheKey(t *testing.T) {
	for _, kind := range []LieKind{Fixed, BadMaster} {
		p := Default().Plan()
		p.For, p.Node.Ring = 3*time.Minute, ringOf(p, 1)
		for i := range p.Members {
			if kind == BadMaster || i == 1 {
				p.Members[i].Lie = Lie{Kind: kind, Amount: time.Second, From: time.Minute}
			}
		}
		w := start(t, p)
		if err := w.Run(p.For); err != nil {
			t.Fatal(err)
		}
		for i, h := range w.Hosts() {
			if s := h.Node.Status(); s.Drops[node.DropKey] > 0 {
				t.Errorf("lie %d: host %d refused %d packets for their key", kind, i, s.Drops[node.DropKey])
			}
		}
	}
}

// TestTakeoverWithinAChange: the master dies in the middle of a change of keys, on the way in and on the way out, whoever it was; three poll
// intervals later there is another, whom all obey. PROTOCOL.md 1.16 and 1.19.
func TestTakeoverWithinAChange(t *testing.T) {
	for name, rings := range map[string][2][]uint64{"in": {{1}, {2, 1}}, "out": {{2, 1}, {2}}} {
		for victim := range 5 {
			p := Default().Plan()
			for i := range p.Members {
				p.Members[i].Ring = ringOf(p, rings[0]...)
			}
			p.Members[victim].Priority = 150 // so that it is master
			w := start(t, p)
			run(t, w, 2*time.Minute)
			rekey(t, w, []int{0, 2, 4}, rings[1]...)
			office := masters(t, w)
			if len(office) != 1 {
				t.Fatalf("%s: masters %v", name, office)
			}
			w.Hosts()[office[0]].Halt()
			died := w.Now()
			run(t, w, died+4*time.Second) // three intervals, and a round for all to be told
			next := masters(t, w)
			if len(next) != 1 || next[0] == office[0] {
				t.Fatalf("%s: masters %v after host %d died", name, next, office[0])
			}
			run(t, w, died+time.Minute)
			if s := w.Hosts()[next[0]].Node.Status(); s.Voters != 4 {
				t.Errorf("%s: %d voters after host %d died", name, s.Voters, office[0])
			}
		}
	}
}
