package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"meantime/netproto"
)

// The tests here take the sentences of PROTOCOL.md one by one, where no other test of this package does.

// ruler is a master played by the test against a node under test.
type ruler struct {
	id      netproto.ID
	start   uint32
	term    uint64
	lineage uint64
	flags   netproto.Flags
	seq     uint32 // last round
}

func (r *ruler) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.id)}), 10526)
}

func (r *ruler) header() netproto.Header {
	return netproto.Header{
		Group: group, Sender: r.id, Start: r.start, Seq: r.seq, Lineage: r.lineage, Term: r.term, Flags: r.flags,
	}
}

// polls begins a round with a node, and returns its Reply.
func (r *ruler) polls(b *bench) netproto.Reply {
	b.t.Helper()
	r.seq++
	p := netproto.Poll{
		Nonce: netproto.Nonce(1000 + r.seq), Interval: 1_000_000, Window: 100_000, Slots: 1, Members: 2, Priority: 100,
		Phase: netproto.PhaseKeeping,
	}
	_, rs := replies(b.t, b.packet(r.addr(), p.Append(nil, r.header())))
	for end := b.now + 100*time.Millisecond; len(rs) == 0 && b.now < end; {
		_, rs = replies(b.t, b.after(5*time.Millisecond))
	}
	if len(rs) != 1 {
		b.t.Fatalf("%d replies to a poll of node %v, want 1", len(rs), r.id)
	}
	return rs[0]
}

// acks proves that a ruler lives.
func (r *ruler) acks(b *bench, to netproto.Reply) []Effect {
	a := netproto.Ack{Echo: to.Nonce, Repeat: to.Repeat}
	return b.packet(r.addr(), a.Append(nil, r.header()))
}

// adjust is a round's Adjust for node 2, without a delta.
func (r *ruler) adjust(to netproto.Reply, change func(*netproto.Adjust)) []byte {
	a := netproto.Adjust{
		Voters: 2, Members: 2, Parts: 1, Phase: netproto.PhaseKeeping,
		Rotation: netproto.Rotation{Epoch: netproto.Stamp(wallStart)},
		Entries:  []netproto.Entry{{ID: 2, Nonce: to.Nonce, Bound: 1000, Standing: netproto.StandingVoter}},
	}
	if change != nil {
		change(&a)
	}
	return a.Append(nil, r.header())
}

// leads plays a whole round with a node.
func (r *ruler) leads(b *bench, change func(*netproto.Adjust)) []Effect {
	b.t.Helper()
	reply := r.polls(b)
	r.acks(b, reply)
	return b.packet(r.addr(), r.adjust(reply, change))
}

// first and second are the rulers of these tests.
func first() *ruler  { return &ruler{id: 1, start: 10, term: 1, lineage: 99, seq: 1} }
func second() *ruler { return &ruler{id: 5, start: 50, term: 2, lineage: 99, seq: 1} }

// member is a node that first rules, and has named its successor.
func member(t *testing.T, role Role, successor netproto.ID, change func(*Config)) (*bench, *ruler) {
	t.Helper()
	b, r := newBench(t, role, change), first()
	r.leads(b, func(a *netproto.Adjust) { a.Successors[0] = successor })
	return b, r
}

// candidacy is what node 5 stands with.
func candidacy(b *bench, from netip.AddrPort, change func(*netproto.Header, *netproto.Candidate)) []Effect {
	h := netproto.Header{Group: group, Sender: 5, Start: 50, Seq: 1, Lineage: 99, Term: 2}
	c := netproto.Candidate{Nonce: 77, Master: 1, Priority: 100}
	if change != nil {
		change(&h, &c)
	}
	return b.packet(from, c.Append(nil, h))
}

// PROTOCOL.md 9.2. The list is of masters: what others send as members is taken from anybody.
func TestATrustedListIsOfMastersAlone(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.Trusted = []netproto.ID{1} })
	b.founded(following(2, 3)...)
	b.wantDrop(DropUntrusted, (&ruler{id: 5, start: 50, term: 9, seq: 3}).adjust(netproto.Reply{Nonce: 5}, nil))
	if effects := candidacy(b, slaveAddr, nil); len(effects) != 0 || b.node.Status().Drops[DropUntrusted] != 2 {
		t.Errorf("a master answers who may not be one: %+v", effects)
	}
	s := auto(t, func(c *Config) { c.Trusted = []netproto.ID{1, 2} })
	_, effects := s.upTo(netproto.KindCandidate, 10*time.Second)
	_, cs := candidates(t, effects)
	h := header(1)
	h.Sender = 3
	unknown := netproto.Claim{Echo: cs[0].Nonce, Master: 3, Priority: 100}
	s.wantDrop(DropUnasked, unknown.Append(nil, h))
	claim := netproto.Claim{Echo: cs[0].Nonce, Master: 1, Priority: 100}
	if s.packet(slaveAddr, claim.Append(nil, h)); s.node.follow.candidacy != 0 {
		t.Error("an objection on behalf of a trusted master does not count")
	}
}

// PROTOCOL.md 9.5. Whatever else a living master sends puts off no timer.
func TestWhatIsNoProof(t *testing.T) {
	for name, c := range map[string]struct {
		data  func(r *ruler, last netproto.Reply) []byte
		proof bool
	}{
		"Ack": {func(r *ruler, last netproto.Reply) []byte {
			return (&netproto.Ack{Echo: last.Nonce}).Append(nil, r.header())
		}, true},
		"Adjust": {func(r *ruler, last netproto.Reply) []byte { return r.adjust(last, nil) }, true},
		"Ack of no nonce": {func(r *ruler, last netproto.Reply) []byte {
			return (&netproto.Ack{Echo: last.Nonce + 1}).Append(nil, r.header())
		}, false},
		"Adjust with no nonce": {func(r *ruler, last netproto.Reply) []byte { last.Nonce++; return r.adjust(last, nil) }, false},
		"Poll":                 {func(*ruler, netproto.Reply) []byte { return pollOf(9, nil) }, false},
		"Claim": {func(r *ruler, _ netproto.Reply) []byte {
			return (&netproto.Claim{Echo: 1, Master: 1}).Append(nil, r.header())
		}, false},
		"Candidate": {func(r *ruler, _ netproto.Reply) []byte {
			return (&netproto.Candidate{Nonce: 1, Master: 1, Priority: 1}).Append(nil, r.header())
		}, false},
		"Resign of another": {func(r *ruler, _ netproto.Reply) []byte { return (&netproto.Resign{}).Append(nil, second().header()) }, false},
		"Resign": {func(r *ruler, _ netproto.Reply) []byte {
			return (&netproto.Resign{Successor: 2}).Append(nil, r.header())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleSlave, 0, nil)
			b.after(time.Second)
			last := r.polls(b)
			before := b.node.follow.master.silentAt()
			b.packet(masterAddr, c.data(r, last))
			if moved := b.node.follow.master.silentAt() != before; moved != c.proof {
				t.Errorf("put off the timer: %v, want %v", moved, c.proof)
			}
		})
	}
}

// PROTOCOL.md 9.5. Whoever held back what a master sent before it died could once let it live for an interval more with each packet.
func TestProofThatWasHeldBackIsOfItsRound(t *testing.T) {
	for name, proof := range map[string]func(*ruler, netproto.Reply) []byte{
		"Ack": func(r *ruler, last netproto.Reply) []byte {
			return (&netproto.Ack{Echo: last.Nonce}).Append(nil, r.header())
		},
		"Adjust": func(r *ruler, last netproto.Reply) []byte { return r.adjust(last, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleAuto, 0, nil)
			b.after(time.Second)
			last := r.polls(b)
			ends := b.now + leastWindow + 3*grace/2
			b.upTo(netproto.KindCandidate, 10*time.Second)
			b.packet(masterAddr, proof(r, last))
			if f := b.node.follow; f.candidacy == 0 || f.master.heard > ends {
				t.Errorf("candidacy %v, proof of %v, whose round ended at %v", f.candidacy, f.master.heard, ends)
			}
		})
	}
}

// PROTOCOL.md 9.8. A Resign counts from the master obeyed, of its start and of no lower term.
func TestWhoseResignCounts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ruler)
		counts bool
	}{
		"the master's":  {func(*ruler) {}, true},
		"a higher term": {func(r *ruler) { r.term++ }, true},
		"a lower term":  {func(r *ruler) { r.term-- }, false},
		"another start": {func(r *ruler) { r.start++ }, false},
		"another's":     {func(r *ruler) { r.id = 5 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleAuto, 3, nil)
			c.change(r)
			resign := (&netproto.Resign{Successor: 2}).Append(nil, r.header())
			if !c.counts {
				b.wantDrop(DropStale, resign)
				return
			}
			if _, ps := polls(t, b.packet(masterAddr, resign)); b.node.lead == nil || len(ps) != 1 {
				t.Errorf("the successor named is master: %v, %d polls; want it to poll at once", b.node.lead != nil, len(ps))
			}
		})
	}
}

// PROTOCOL.md 9.8 and 9.12. Who heard a Resign speaks for that master no more and may be standing already; new proof undoes both.
func TestNewProofUndoesAResign(t *testing.T) {
	for name, prove := range map[string]func(*bench, *ruler, netproto.Reply){
		"Ack":    func(b *bench, r *ruler, last netproto.Reply) { r.acks(b, last) },
		"Adjust": func(b *bench, r *ruler, last netproto.Reply) { b.packet(r.addr(), r.adjust(last, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleAuto, 3, nil)
			last := r.polls(b)
			_, asked := candidates(t, append(b.packet(masterAddr, (&netproto.Resign{Successor: 2}).Append(nil, r.header())), b.after(5*time.Millisecond)...))
			if len(asked) != 1 {
				t.Fatalf("the successor named stood %d times, want at once", len(asked))
			}
			higher := func(_ *netproto.Header, c *netproto.Candidate) { c.Priority = 200 }
			if _, cs := claims(t, candidacy(b, slaveAddr, higher)); len(cs) != 0 {
				t.Errorf("claims %+v for a master that resigned", cs)
			}
			prove(b, r, last)
			if _, cs := claims(t, candidacy(b, slaveAddr, higher)); len(cs) != 1 || cs[0].Master != 1 {
				t.Errorf("claims %+v after new proof, want one for master 1", cs)
			}
			b.wantDrop(DropUnasked, (&netproto.Claim{Echo: asked[0].Nonce}).Append(nil, second().header())) // of the candidacy that is over
			if effects := b.after(1900 * time.Millisecond); b.node.lead != nil || count[*Send](effects) != 0 {
				t.Errorf("in office: %v, %d packets in spite of new proof", b.node.lead != nil, count[*Send](effects))
			}
		})
	}
}

// PROTOCOL.md 9.12 and 11.1: who answers a Candidate, for whom, and where to. All others are silent.
func TestWhoAnswersACandidate(t *testing.T) {
	under := func(role Role, then func(*bench, *ruler)) func(*testing.T) *bench {
		return func(t *testing.T) *bench {
			b, r := member(t, role, 2, nil)
			then(b, r)
			return b
		}
	}
	standing := func(priority uint8) func(*testing.T) *bench {
		return func(t *testing.T) *bench {
			b := auto(t, func(c *Config) { c.Priority = priority })
			b.upTo(netproto.KindCandidate, 10*time.Second)
			return b
		}
	}
	later := func(d time.Duration) func(*bench, *ruler) { return func(b *bench, _ *ruler) { b.now += d } }
	for name, c := range map[string]struct {
		bench  func(*testing.T) *bench
		sender netproto.ID
		claims int
		want   netproto.Claim
	}{
		"a master": {func(t *testing.T) *bench {
			b := newBench(t, RoleMaster, nil)
			b.founded(following(2, 3)...)
			return b
		}, 5, 1, netproto.Claim{Master: 1, Voters: 3}},
		"a master that gathers": {func(t *testing.T) *bench {
			b := newBench(t, RoleMaster, nil)
			b.firstPoll()
			return b
		}, 5, 1, netproto.Claim{Master: 1}},
		"a slave with young proof":   {under(RoleSlave, later(1499*time.Millisecond)), 5, 1, netproto.Claim{Master: 1}},
		"a slave with old proof":     {under(RoleSlave, later(1500*time.Millisecond)), 5, 0, netproto.Claim{}},
		"a slave, to its own master": {under(RoleSlave, later(0)), 1, 0, netproto.Claim{}},
		"a slave that heard a Resign": {under(RoleSlave, func(b *bench, r *ruler) {
			b.packet(r.addr(), (&netproto.Resign{}).Append(nil, r.header()))
		}), 5, 0, netproto.Claim{}},
		"a candidate of higher rank": {standing(101), 5, 1, netproto.Claim{}},
		"a candidate of lower rank":  {standing(99), 5, 0, netproto.Claim{}},
		"a listener":                 {func(t *testing.T) *bench { return auto(t, nil) }, 5, 0, netproto.Claim{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.bench(t)
			from := netip.MustParseAddrPort("192.0.2.77:4321")
			effects := candidacy(b, from, func(h *netproto.Header, _ *netproto.Candidate) { h.Sender = c.sender })
			_, cs := claims(t, effects)
			if len(cs) != c.claims || count[*Send](effects) != c.claims {
				t.Fatalf("answered with %+v, want %d claims", effects, c.claims)
			}
			if c.claims == 0 {
				return
			}
			if s := of[*Send](effects)[0]; s.Group || s.To != from || s.Iface != 1 {
				t.Errorf("claims to %v on %d, group %v; want to %v on 1", s.To, s.Iface, s.Group, from)
			}
			if got := cs[0]; got.Echo != 77 || got.Master != c.want.Master || got.Voters != c.want.Voters {
				t.Errorf("claim %+v, want master %v with %d voters", got, c.want.Master, c.want.Voters)
			}
		})
	}
}

// PROTOCOL.md 9.13 and 8.20. A dry node claims no dry master's office against a real candidate; a real node ignores a dry candidate unless
// it is in office.
func TestDryCandidatesAndRealOnes(t *testing.T) {
	office := func(dry bool) func(*testing.T) *bench {
		return func(t *testing.T) *bench {
			b := newBench(t, RoleMaster, func(c *Config) { c.Dry = dry })
			b.firstPoll()
			return b
		}
	}
	slave := func(dry bool, of netproto.Flags) func(*testing.T) *bench {
		return func(t *testing.T) *bench {
			b, r := newBench(t, RoleSlave, func(c *Config) { c.Dry = dry }), first()
			r.flags = of
			r.leads(b, nil)
			return b
		}
	}
	standing := func(t *testing.T) *bench {
		b, r := newBench(t, RoleAuto, func(c *Config) { c.Dry = true }), first()
		r.leads(b, nil)
		b.upTo(netproto.KindCandidate, 10*time.Second) // that master has died
		return b
	}
	for name, c := range map[string]struct {
		bench  func(*testing.T) *bench
		flags  netproto.Flags
		claims int
	}{
		"dry candidate, lower real candidate":      {standing, 0, 0},
		"dry candidate, lower dry candidate":       {standing, netproto.FlagDry, 1},
		"dry master, real candidate":               {office(true), 0, 0},
		"dry master, dry candidate":                {office(true), netproto.FlagDry, 1},
		"real master, dry candidate":               {office(false), netproto.FlagDry, 1},
		"slave of a dry master, real candidate":    {slave(true, netproto.FlagDry), 0, 0},
		"slave of a dry master, dry candidate":     {slave(true, netproto.FlagDry), netproto.FlagDry, 1},
		"real slave of a master, dry candidate":    {slave(false, 0), netproto.FlagDry, 0},
		"dry slave of a real one, dry candidate":   {slave(true, 0), netproto.FlagDry, 1},
		"real slave of a master, a real candidate": {slave(false, 0), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, cs := claims(t, candidacy(c.bench(t), slaveAddr, func(h *netproto.Header, lower *netproto.Candidate) {
				h.Flags, lower.Priority = c.flags, 1
			}))
			if len(cs) != c.claims {
				t.Errorf("%d claims, want %d", len(cs), c.claims)
			}
		})
	}
}

// PROTOCOL.md 9.10 and 9.14. After a Claim the candidacy is over: another Claim of it is dropped, and the next Candidate, an interval
// later, has a nonce of its own.
func TestAClaimEndsACandidacy(t *testing.T) {
	for name, named := range map[string]netproto.ID{"for a master": 7, "of a candidate": 0} {
		t.Run(name, func(t *testing.T) {
			b := auto(t, nil)
			_, effects := b.upTo(netproto.KindCandidate, 10*time.Second)
			_, asked := candidates(t, effects)
			claim := (&netproto.Claim{Echo: asked[0].Nonce, Master: named, Priority: 200}).Append(nil, second().header())
			b.after(100 * time.Millisecond)
			b.packet(slaveAddr, claim)
			b.wantDrop(DropUnasked, claim)
			if effects := b.after(time.Second - 1); count[*Send](effects) != 0 || b.node.lead != nil {
				t.Errorf("within an interval of a Claim: %+v, in office %v", effects, b.node.lead != nil)
			}
			_, cs := candidates(t, b.after(1))
			if len(cs) != 1 || cs[0].Nonce == asked[0].Nonce {
				t.Errorf("candidates %+v after the interval, want one with another nonce than %d", cs, asked[0].Nonce)
			}
		})
	}
}

// PROTOCOL.md 9.16. A master asks by unicast, and at most one in half an interval, however many others it hears.
func TestAMasterAsksOneInHalfAnInterval(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	b.founded(following(2, 3)...)
	hear := func(id byte) []Effect {
		r := ruler{id: netproto.ID(id), start: 50, term: 4, lineage: 50, seq: 40}
		p := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
		return b.packet(r.addr(), p.Append(nil, r.header()))
	}
	effects := hear(5)
	if _, cs := candidates(t, effects); len(cs) != 1 || cs[0].Master != 1 {
		t.Fatalf("asks with %+v, want one that names itself", effects)
	}
	if s := of[*Send](effects)[0]; s.Group || s.To.Addr() != (netip.AddrFrom4([4]byte{192, 0, 2, 5})) {
		t.Errorf("asks %v, group %v; want the other master alone", s.To, s.Group)
	}
	b.now += time.Second/2 - 1
	if effects := hear(6); count[*Send](effects) != 0 {
		t.Errorf("asks another too within half an interval: %+v", effects)
	}
	b.now++
	if _, cs := candidates(t, hear(6)); len(cs) != 1 {
		t.Errorf("asks %d times after half an interval, want once", len(cs))
	}
}

// PROTOCOL.md 9.16. A Claim that names another than its sender, as of one that is no master any more, decides nothing.
func TestAClaimForAnotherDecidesNothing(t *testing.T) {
	for name, named := range map[string]netproto.ID{"nobody": 0, "another": 6, "the master that asks": 1} {
		b := newBench(t, RoleMaster, nil)
		b.founded(following(2, 3)...)
		r := ruler{id: 5, start: 50, term: 9, lineage: 50, seq: 40}
		p := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
		_, asks := candidates(t, b.packet(r.addr(), p.Append(nil, r.header())))
		claim := netproto.Claim{Echo: asks[0].Nonce, Master: named, Voters: 1000, Priority: 255}
		if effects := b.packet(r.addr(), claim.Append(nil, r.header())); len(effects) != 0 || b.node.lead == nil {
			t.Fatalf("naming %s: %+v, in office %v", name, effects, b.node.lead != nil)
		}
		if h, _ := b.polled(); h.Term != 1 {
			t.Errorf("naming %s: polls in term %d, want 1 as before", name, h.Term)
		}
	}
}

// PROTOCOL.md 9.17 and 9.18: of two masters the real one, then the one of more voters, of higher priority, of higher id. The other
// multicasts a Resign that names it.
func TestWhichOfTwoMastersPrevails(t *testing.T) {
	for name, c := range map[string]struct {
		own   func(*Config)
		claim netproto.Claim // of master 5, against three voters, priority 100 and id 1
		flags netproto.Flags
		stays bool
	}{
		"fewer voters here":             {nil, netproto.Claim{Voters: 4, Priority: 1}, 0, false},
		"more voters here":              {nil, netproto.Claim{Voters: 2, Priority: 255, Rounds: 99}, 0, true},
		"as many, lower priority here":  {nil, netproto.Claim{Voters: 3, Priority: 101}, 0, false},
		"as many, higher priority here": {nil, netproto.Claim{Voters: 3, Priority: 99}, 0, true},
		"the lower id":                  {nil, netproto.Claim{Voters: 3, Priority: 100}, 0, false},
		"the higher id":                 {func(c *Config) { c.ID = 9 }, netproto.Claim{Voters: 3, Priority: 100, Rounds: 99}, 0, true},
		"a dry one, here a real one":    {nil, netproto.Claim{Voters: 9, Priority: 255}, netproto.FlagDry, true},
		"a real one, here a dry one":    {func(c *Config) { c.Dry = true }, netproto.Claim{Priority: 1}, 0, false},
		"both dry, fewer voters here":   {func(c *Config) { c.Dry = true }, netproto.Claim{Voters: 4}, netproto.FlagDry, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, RoleMaster, c.own)
			f := following(2, 3)
			for _, f := range f {
				if c.own != nil && b.node.cfg.Dry {
					f.flags = netproto.FlagDry
				}
			}
			b.founded(f...)
			r := ruler{id: 5, start: 50, term: 4, lineage: 50, seq: 40}
			p := netproto.Poll{Nonce: 1, Interval: 1e6, Window: 1e5, Slots: 1, Members: 9, Phase: netproto.PhaseKeeping}
			_, asks := candidates(t, b.packet(r.addr(), p.Append(nil, r.header())))
			r.flags, c.claim.Echo, c.claim.Master = c.flags, asks[0].Nonce, 5 // its Poll may be old, its Claim is not
			effects := b.packet(r.addr(), c.claim.Append(nil, r.header()))
			if (b.node.lead != nil) != c.stays {
				t.Fatalf("in office: %v, want %v", b.node.lead != nil, c.stays)
			}
			_, rs := resigns(t, effects)
			if !c.stays && (len(rs) != 1 || rs[0].Successor != 5 || !of[*Send](effects)[0].Group) {
				t.Errorf("yields with %+v, want a Resign to all that names master 5", effects)
			}
		})
	}
}

// PROTOCOL.md 9.20 and 9.21. A restart obeys no older term than the one kept. Whose that was is not kept: an equal one is taken from any
// master, and then from that one alone.
func TestARestartKnowsTheTermButNotWhose(t *testing.T) {
	for name, c := range map[string]struct {
		term  uint64
		taken bool
	}{"older": {4, false}, "equal": {5, true}, "higher": {6, true}} {
		t.Run(name, func(t *testing.T) {
			b, r := newBench(t, RoleSlave, func(c *Config) { c.Term = 5 }), second()
			r.term = c.term
			last := r.polls(b)
			r.acks(b, last)
			if !c.taken {
				b.wantDrop(DropStale, r.adjust(last, nil))
				return
			}
			b.packet(r.addr(), r.adjust(last, nil))
			if s := b.node.Status(); s.Term != c.term || s.Lineage != r.lineage {
				t.Errorf("term %d, lineage %d; want %d and %d", s.Term, s.Lineage, c.term, r.lineage)
			}
			b.after(5 * time.Second) // silent: another may come
			x := first()
			x.term = c.term
			last = x.polls(b)
			x.acks(b, last)
			b.wantDrop(DropStale, x.adjust(last, nil))
		})
	}
}

// PROTOCOL.md 9.22.
func TestAnEqualTermIsOutbidUnlessItNamesThisMaster(t *testing.T) {
	for name, c := range map[string]struct {
		above  int // the Reply's term above the master's
		master netproto.ID
		raised bool
	}{
		"equal, names this master":  {0, 1, false},
		"equal, names another":      {0, 5, true},
		"equal, names none":         {0, 0, true},
		"lower, names another":      {-1, 5, false},
		"higher, names this master": {1, 1, true},
	} {
		b := newBench(t, RoleMaster, func(c *Config) { c.Term = 7 })
		f := following(2, 3)
		b.founded(f...)
		before := b.node.lead.term
		theirs := uint64(int(before) + c.above)
		b.spoken(f[:1], func(_ *fake, h *netproto.Header, r *netproto.Reply) { h.Term, r.Master = theirs, c.master })
		want := before
		if c.raised {
			want = theirs + 1
		}
		if h, _ := b.polled(); h.Term != want || b.node.Status().Term != want {
			t.Errorf("%s: polls in term %d, obeys %d; want %d", name, h.Term, b.node.Status().Term, want)
		}
	}
}

// PROTOCOL.md 9.23. Nothing of a term above the last is used, whatever kind it is of.
func TestPacketsOfATermBeyondTheLast(t *testing.T) {
	slave, r := member(t, RoleSlave, 0, nil)
	last := r.polls(slave)
	slave.give(Tick{})
	r.term = netproto.MaxTerm + 1
	h := r.header()
	for _, data := range [][]byte{
		pollOf(9, func(h *netproto.Header, _ *netproto.Poll) { h.Term = r.term }),
		(&netproto.Ack{Echo: last.Nonce}).Append(nil, h),
		r.adjust(last, nil),
		(&netproto.Candidate{Nonce: 77, Priority: 1}).Append(nil, h),
		(&netproto.Claim{Echo: 77, Master: 1}).Append(nil, h),
		(&netproto.Resign{}).Append(nil, h),
		(&netproto.Reply{Echo: 1, Nonce: 1}).Append(nil, h),
	} {
		slave.wantDrop(DropValue, data)
	}
}

// PROTOCOL.md 9.24. A Reply names the master that its sender obeys, whoever polled.
func TestAReplyNamesTheMasterObeyed(t *testing.T) {
	b, r := newBench(t, RoleSlave, nil), first()
	if last := r.polls(b); last.Master != 0 {
		t.Errorf("before any proof it names %v, want none", last.Master)
	}
	r.leads(b, nil)
	if last := r.polls(b); last.Master != 1 {
		t.Errorf("to its own master it names %v, want 1", last.Master)
	}
	if last := second().polls(b); last.Master != 1 {
		t.Errorf("to another master it names %v, want 1", last.Master)
	}
}

// PROTOCOL.md 9.24. Who obeys another master has no voice in the mean, nor counts as a voter in a Claim.
func TestVotersNameThisMasterOrNone(t *testing.T) {
	for name, c := range map[string]struct {
		master netproto.ID
		voters int
	}{"this one": {1, 4}, "none": {0, 4}, "another": {5, 3}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, RoleMaster, nil)
			f := following(2, 3, 4)
			b.founded(f...)
			b.spoken(f, func(f *fake, _ *netproto.Header, r *netproto.Reply) {
				if r.Master = 1; f.id == 4 {
					r.Master = c.master
				}
			})
			if voters, claimed := b.node.Status().Voters, b.claimed(); voters != c.voters || int(claimed) != c.voters {
				t.Errorf("%d voters, %d in a Claim; want %d", voters, claimed, c.voters)
			}
		})
	}
}

// PROTOCOL.md 9.25. Who voted in the lineage goes on voting if its first Reply to a new master comes within four rounds. Whoever comes
// later is a newcomer.
func TestWhoVotesUnderANewMaster(t *testing.T) {
	for name, c := range map[string]struct {
		round    int // of the first Reply
		flags    netproto.Flags
		lineage  uint64
		standing netproto.Standing
	}{
		"in the first round": {1, netproto.FlagVoter, 99, netproto.StandingVoter},
		"in the fourth":      {4, netproto.FlagVoter, 99, netproto.StandingVoter},
		"in the fifth":       {5, netproto.FlagVoter, 99, netproto.StandingNewcomer},
		"no voter before":    {1, 0, 99, netproto.StandingNewcomer},
		"of another lineage": {1, netproto.FlagVoter, 98, netproto.StandingNewcomer},
		"of no lineage":      {1, netproto.FlagVoter, 0, netproto.StandingNewcomer},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := member(t, RoleAuto, 2, nil)
			b.upTo(netproto.KindCandidate, 10*time.Second)
			for range c.round - 1 {
				b.round()
			}
			f := following(3)
			f[0].flags, f[0].lineage = c.flags, c.lineage
			if b.round(f...); f[0].entry == nil || f[0].entry.Standing != c.standing {
				t.Errorf("entry %+v, want it a %v", f[0].entry, c.standing)
			}
		})
	}
}

// PROTOCOL.md 9.26. What the last master summed up is no part of the next one's rotation.
func TestTheRotationBeginsAnew(t *testing.T) {
	b, r := newBench(t, RoleAuto, nil), first()
	for range 2 {
		r.leads(b, func(a *netproto.Adjust) {
			a.Successors[0] = 2
			a.Rotation.Rate, a.Rotation.Phase = netproto.RateOf(300e-6), int64(time.Minute)
		})
		b.after(time.Second)
	}
	b.upTo(netproto.KindCandidate, 10*time.Second)
	f := following(3)
	f[0].flags, f[0].lineage = netproto.FlagVoter, 99
	_, as := adjusts(t, b.round(f...))
	if len(as) != 1 || as[0].Rotation.Phase != 0 || max(as[0].Rotation.Rate, -as[0].Rotation.Rate) > netproto.RateOf(1e-6) {
		t.Errorf("adjusts %+v, want a rotation of nothing yet", as)
	}
}

// PROTOCOL.md 8.15 and 9.26. The first sum of another master, of another start of it or of another term is the base, and moves
// nothing; the next one moves by the difference.
func TestTheFirstSumOfAMasterIsItsBase(t *testing.T) {
	for name, change := range map[string]func(*bench, *ruler){
		"another master": func(b *bench, r *ruler) { b.after(5 * time.Second); *r = *second(); r.start = first().start },
		"another start":  func(_ *bench, r *ruler) { r.start++ },
		"another term":   func(_ *bench, r *ruler) { r.term++ },
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleSlave, 0, nil)
			change(b, r)
			sum := netproto.Rotation{Rate: netproto.RateOf(30e-6), Phase: 500_000, Epoch: netproto.Stamp(wallStart)}
			for i, want := range []float64{0, 5e-6} {
				b.after(time.Second)
				r.leads(b, func(a *netproto.Adjust) { a.Rotation = sum })
				off := time.Duration(int64(b.node.stamp(b.node.at.Raw)) - wallStart - int64(b.now))
				if rate := b.node.Status().Rate; max(rate-want, want-rate) > 1e-9 || off.Abs() > 100*time.Microsecond {
					t.Errorf("sum %d: rate %v, moved by %v; want %v, and not moved", i+1, rate, off, want)
				}
				sum.Rate += netproto.RateOf(5e-6)
			}
		})
	}
}

// PROTOCOL.md 8.1 to 8.3. A slave that has 100 ms to slew stamps by its timescale from the first moment on, whatever its clock shows of it.
func TestASlewLeavesTheTimescaleAlone(t *testing.T) {
	b := newBench(t, RoleSlave, func(c *Config) { c.Step = StepNever })
	r := first()
	r.leads(b, func(a *netproto.Adjust) { a.Entries[0].Delta = int64(100 * time.Millisecond) })
	for _, slewed := range []time.Duration{0, 5 * time.Millisecond, 12 * time.Millisecond} {
		b.now += 10 * time.Second
		at := b.moment()
		at.Wall += int64(slewed)
		r.seq++
		p := netproto.Poll{Nonce: 5, Interval: 1e6, Window: 1, Slots: 1, Members: 2, Phase: netproto.PhaseKeeping}
		effects := b.node.Handle(at, &Packet{Data: p.Append(nil, r.header()), From: masterAddr, Iface: 1, Stamp: at.Wall, Kernel: true})
		_, rs := replies(t, effects)
		if len(rs) != 1 {
			t.Fatalf("%d replies, want 1", len(rs))
		}
		off := time.Duration(int64(rs[0].T2) - wallStart - int64(b.now) - int64(100*time.Millisecond))
		left := time.Duration(rs[0].Residual) - 100*time.Millisecond + slewed
		if off.Abs() > 10*time.Microsecond || left.Abs() > 10*time.Microsecond {
			t.Errorf("%v slewed: stamped %v off, residual %v off", slewed, off, left)
		}
	}
}

// PROTOCOL.md 8.4. Polls and Adjusts are for the group, Acks and Replies for the address that a packet came from.
func TestWhereEachKindGoes(t *testing.T) {
	m := newBench(t, RoleMaster, nil)
	f := following(2, 3)
	m.founded(f...)
	_, polled := m.upTo(netproto.KindPoll, 5*time.Second)
	m.give(&Sent{Token: of[*Send](polled)[0].Token, Iface: 1, Stamp: wallStart + int64(m.now), Kernel: true})
	_, ps := polls(t, polled)
	sent := append(of[*Send](polled), of[*Send](m.answer(f[0], m.node.lead.seq, ps[0].Nonce, m.now, nil))...)
	sent = append(sent, of[*Send](m.after(m.node.lead.closeAt-m.now))...)
	s := newBench(t, RoleSlave, nil)
	sent = append(sent, of[*Send](append(s.packet(f[0].addr(), pollOf(1, nil)), s.after(100*time.Millisecond)...))...)
	var seen []netproto.Kind
	for _, p := range sent {
		h, _, err := netproto.Open(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, h.Kind)
		group := h.Kind == netproto.KindPoll || h.Kind == netproto.KindAdjust
		if p.Group != group || !group && (p.To != f[0].addr() || p.Iface != 1) {
			t.Errorf("%v to the group: %v, to %v on %d", h.Kind, p.Group, p.To, p.Iface)
		}
	}
	if want := []netproto.Kind{netproto.KindPoll, netproto.KindAck, netproto.KindAdjust, netproto.KindReply}; !slices.Equal(seen, want) {
		t.Errorf("sent %v, want %v", seen, want)
	}
}

// PROTOCOL.md 6.2, 6.3 and 8.12. An Adjust without an entry for a node counts for nothing there, nor does what is common in it; any of the
// round's nonces shows an entry, in whichever part it comes.
func TestAnAdjustIsForThoseItNames(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *netproto.Adjust, nonces []netproto.Nonce)
		taken  bool
	}{
		"the last nonce":        {func(*netproto.Adjust, []netproto.Nonce) {}, true},
		"an earlier nonce":      {func(a *netproto.Adjust, n []netproto.Nonce) { a.Entries[0].Nonce = n[0] }, true},
		"in another part":       {func(a *netproto.Adjust, _ []netproto.Nonce) { a.Part, a.Parts = 2, 3 }, true},
		"a nonce of no Reply":   {func(a *netproto.Adjust, n []netproto.Nonce) { a.Entries[0].Nonce = n[0] + 1 }, false},
		"no entry":              {func(a *netproto.Adjust, _ []netproto.Nonce) { a.Entries = nil }, false},
		"for somebody else":     {func(a *netproto.Adjust, _ []netproto.Nonce) { a.Entries[0].ID = 3 }, false},
		"the nonce, other name": {func(a *netproto.Adjust, n []netproto.Nonce) { a.Entries[0].ID, a.Entries[0].Nonce = 1, n[0] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, r := member(t, RoleAuto, 0, nil)
			b.after(time.Second)
			last := r.polls(b)
			_, again := replies(t, b.packet(masterAddr, func() []byte {
				h := r.header()
				h.Flags = netproto.FlagAgain
				return (&netproto.Ack{Echo: last.Nonce}).Append(nil, h)
			}()))
			b.now += time.Millisecond
			b.give(Tick{})
			before, timer := b.node.Status(), b.node.follow.watch.Deadline()
			r.term = 7
			b.packet(masterAddr, r.adjust(again[0], func(a *netproto.Adjust) {
				a.Successors[0], a.Spread, a.Rotation.Rate = 2, 4321, netproto.RateOf(5e-6)
				c.change(a, []netproto.Nonce{last.Nonce, again[0].Nonce})
			}))
			after := b.node.Status()
			if taken := after.Term == 7 && after.Spread == 4321 && b.node.follow.watch.Deadline() != timer; taken != c.taken {
				t.Errorf("taken: %v, want %v", taken, c.taken)
			}
			if after.Drops = before.Drops; !c.taken && (before != after || b.node.follow.watch.Deadline() != timer) {
				t.Errorf("an Adjust for others changed the node:\n%+v\n%+v", before, after)
			}
		})
	}
}

// PROTOCOL.md 8.16. The rotation's rate moves against the mean of the voters' rates, the master's own (0 here) among them, each within
// 200 ppm of their median. A newcomer's does not count.
func TestTheRotationTurnsAgainstTheMeanRate(t *testing.T) {
	for name, c := range map[string]struct {
		rates []float64 // of the voters, and of a newcomer after them
		mean  float64
	}{
		"voters":     {[]float64{12e-6, 18e-6}, 10e-6},
		"a wild one": {[]float64{5000e-6, 18e-6}, (218e-6 + 18e-6) / 3},
		"a newcomer": {[]float64{12e-6, 18e-6, 100e-6}, 10e-6},
	} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3, 4)
		b.founded(f[:2]...)
		before := b.node.lead.sum.Rate
		b.spoken(f[:len(c.rates)], func(f *fake, _ *netproto.Header, r *netproto.Reply) { r.Rate = netproto.RateOf(c.rates[f.id-2]) })
		moved := (b.node.lead.sum.Rate - before).Fraction()
		if want := -foundingGain * c.mean; max(moved-want, want-moved) > 1e-9 {
			t.Errorf("%s: the rotation's rate moved by %v, want %v", name, moved, want)
		}
	}
}

// PROTOCOL.md 8.16. What the voters' deltas have moved their mean phase by since the last round is taken back by the rotation's phase, and the deltas
// hold that step. A newcomer's moves do not count.
func TestTheRotationTakesMovesBack(t *testing.T) {
	b := newBench(t, RoleMaster, nil)
	f := following(2, 3, 4, 5)
	b.founded(f[:3]...)
	l := b.node.lead
	l.founded = foundingRounds + 1
	say := func(by uint32) words {
		return func(f *fake, _ *netproto.Header, r *netproto.Reply) { r.Moved = by*uint32(f.id-1) - 1500 }
	}
	b.spoken(f, say(0)) // the sum wraps around
	b.spoken(f, say(0))
	before := l.sum
	all := b.spoken(f, say(1000)) // 1000, 2000 and 3000 more, and nothing of the master's own
	if step := l.sum.Phase - before.At(l.sum.Epoch); step != -1500 {
		t.Errorf("the step is %d ns, want -1500", step)
	}
	_, as := adjusts(t, all)
	for _, e := range as[0].Entries[:3] {
		if max(e.Delta+1500, -1500-e.Delta) > 100 {
			t.Errorf("the delta is %d ns, want the step", e.Delta)
		}
	}
}

// PROTOCOL.md 8.17. Nobody takes a delta of a master that gathers or holds, nor one with LAN time.
func TestOnlyKeepingSteers(t *testing.T) {
	for phase, steers := range map[netproto.Phase]bool{
		netproto.PhaseGathering: false, netproto.PhaseKeeping: true, netproto.PhaseHolding: false,
	} {
		for _, before := range []bool{false, true} {
			b, r := newBench(t, RoleSlave, nil), first()
			if before {
				r.leads(b, nil)
			}
			effects := r.leads(b, func(a *netproto.Adjust) { a.Phase, a.Entries[0].Delta = phase, int64(time.Minute) })
			moved := int64(b.node.stamp(b.node.at.Raw))-wallStart-int64(b.now) != 0
			if moved != steers || count[*Steer](effects) > 0 != steers {
				t.Errorf("%v, with LAN time %v: moved %v, effects %+v", phase, before, moved, effects)
			}
		}
	}
}

// PROTOCOL.md 8.20. A dry node leaves a living dry master for a real one, and not the other way.
func TestADryNodePrefersARealMaster(t *testing.T) {
	for name, c := range map[string]struct {
		had, met netproto.Flags
		goes     bool
	}{
		"dry, then real": {netproto.FlagDry, 0, true},
		"real, then dry": {0, netproto.FlagDry, false},
		"two dry ones":   {netproto.FlagDry, netproto.FlagDry, false},
	} {
		b := newBench(t, RoleSlave, func(c *Config) { c.Dry = true })
		x, y := first(), second()
		x.flags, y.flags = c.had, c.met
		x.leads(b, nil)
		y.acks(b, y.polls(b))
		if goes := b.node.Status().Master == y.id; goes != c.goes {
			t.Errorf("%s: goes over: %v, want %v", name, goes, c.goes)
		}
	}
}

// PROTOCOL.md 8.20. Dry nodes among themselves form a LAN: they vote, and succeed.
func TestDryNodesAloneAreALAN(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.Dry = true })
	f := following(2, 3)
	f[0].flags, f[1].flags = netproto.FlagDry, netproto.FlagDry
	b.founded(f...)
	_, as := adjusts(t, b.round(f...))
	if len(as) != 1 || as[0].Voters != 3 || as[0].Successors[0] != 3 {
		t.Errorf("adjusts %+v, want three voters and successor 3", as)
	}
	stale := b.node.Status().Drops[DropDry]
	b.spoken(following(4), func(*fake, *netproto.Header, *netproto.Reply) {})
	if s := b.node.Status(); s.Members != 3 || s.Drops[DropDry] != stale+1 {
		t.Errorf("%d members: a real node obeys a dry master", s.Members)
	}
}

// PROTOCOL.md 8.23. max_skew itself is the most that a delta or a common move of the same lineage may be.
func TestMaxSkewIsTheMost(t *testing.T) {
	const most = int64(time.Second)
	for name, c := range map[string]struct {
		lineage      uint64
		delta, phase int64
		refused      bool
	}{
		"delta":                {99, most, 0, false},
		"delta back":           {99, -most, 0, false},
		"too large":            {99, most + 1, 0, true},
		"too large back":       {99, -most - 1, 0, true},
		"into another LAN":     {98, 3600 * most, 0, false},
		"common move":          {99, 0, most, false},
		"common, too large":    {99, 0, most + 1, true},
		"common move back":     {99, 0, -most, false},
		"common, too far back": {99, 0, -most - 1, true},
	} {
		b, r := member(t, RoleSlave, 0, func(c *Config) { c.MaxSkew = time.Duration(most) })
		b.after(time.Second)
		last := r.polls(b)
		r.acks(b, last)
		r.lineage = c.lineage
		before := b.node.Status()
		effects := b.packet(masterAddr, r.adjust(last, func(a *netproto.Adjust) { a.Entries[0].Delta, a.Rotation.Phase = c.delta, c.phase }))
		after := b.node.Status()
		refused := said(effects, "not believed")
		if c.phase == 0 {
			refused = after.Drops[DropRange] > before.Drops[DropRange]
		}
		moved, want := int64(b.node.stamp(b.node.at.Raw))-wallStart-int64(b.now), c.delta
		if c.refused {
			want = 0
		}
		if refused != c.refused || moved != want {
			t.Errorf("%s: refused %v, moved by %v; want %v, and %v", name, refused, time.Duration(moved), c.refused, time.Duration(want))
		}
	}
}

// PROTOCOL.md 8.24.
func TestWhichIntervalsAreBelieved(t *testing.T) {
	for interval, answered := range map[time.Duration]bool{
		10*time.Millisecond - time.Microsecond: false, 10 * time.Millisecond: true,
		5 * time.Minute: true, 5*time.Minute + time.Microsecond: false,
	} {
		b := newBench(t, RoleSlave, nil)
		poll := pollOf(1, func(_ *netproto.Header, p *netproto.Poll) { p.Interval, p.Window = micros(interval), 1 })
		if !answered {
			b.wantDrop(DropValue, poll)
		} else if _, rs := replies(t, append(b.packet(masterAddr, poll), b.after(time.Millisecond)...)); len(rs) != 1 {
			t.Errorf("an interval of %v: %d replies, want 1", interval, len(rs))
		}
	}
}

// PROTOCOL.md 8.25. More than a third of all that a starting master hears, itself included, have to be voters of a lineage for it to be
// taken over.
func TestHowManyVotersCarryALineage(t *testing.T) {
	for _, c := range []struct {
		members, voters int // the master not included
		taken           bool
	}{{1, 1, true}, {2, 1, false}, {3, 1, false}, {3, 2, true}, {4, 2, true}, {5, 2, false}, {6, 3, true}} {
		b := newBench(t, RoleMaster, nil)
		f := following(2, 3, 4, 5, 6, 7)[:c.members]
		for _, f := range f[:c.voters] {
			f.lineage, f.flags = 42, netproto.FlagVoter
		}
		for range 6 {
			b.round(f...)
		}
		if s := b.node.Status(); s.State != StateKeeping || (s.Lineage == 42) != c.taken {
			t.Errorf("%d voters of %d: %s in lineage %d, taken over should be %v", c.voters, c.members+1, s.State, s.Lineage, c.taken)
		}
	}
}
