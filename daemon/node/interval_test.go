package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// interval plays rounds and returns the interval that the last poll stated, seconds.
func (b *bench) interval(rounds int, fakes ...*fake) time.Duration {
	b.t.Helper()
	for range rounds {
		b.round(fakes...)
	}
	return b.node.lead.interval
}

// adaptive is a LAN of three that has kept its time for long, under a master whose polls may become as rare as one in 8 s.
func adaptive(t *testing.T) (*bench, []*fake) {
	t.Helper()
	b := newBench(t, RoleMaster, func(c *Config) { c.Longest = 8 * time.Second })
	f := following(2, 3)
	b.founded(f...)
	if got := b.interval(3*calmRounds, f...); got != 8*time.Second {
		t.Fatalf("a poll each %v after %d calm rounds, want each 8 s", got, 3*calmRounds)
	}
	return b, f
}

// PROTOCOL.md 8.28.
func TestPollsBecomeRarerWhileAllIsCalm(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.Longest = 3 * time.Second })
	f := following(2, 3)
	b.founded(f...)
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if got := b.node.lead.interval; got != want {
			t.Errorf("a poll each %v, want each %v", got, want)
		}
		b.interval(calmRounds, f...)
	}
	_, ps := polls(t, b.after(4*time.Second))
	if len(ps) == 0 || ps[0].Interval != 3_000_000 {
		t.Errorf("polls %+v state their interval, want 3 s", ps)
	}
	if got := newBench(t, RoleMaster, nil); got.interval(10, f...) != time.Second {
		t.Error("without a longest interval polls became rarer")
	}
}

// PROTOCOL.md 8.28: whatever is the matter makes them frequent at once.
func TestTroubleMakesPollsFrequent(t *testing.T) {
	for name, trouble := range map[string]func(*bench, []*fake) []*fake{
		"a new member":       func(b *bench, f []*fake) []*fake { return append(f, following(4)...) },
		"a member is silent": func(b *bench, f []*fake) []*fake { b.round(f[0]); return f[:1] },
		"a clock is off":     func(b *bench, f []*fake) []*fake { f[0].offset += time.Second; f[0].follows = false; return f },
		"this clock jumped":  func(b *bench, f []*fake) []*fake { b.node.startled(); return f },
		"a clock jumped":     func(b *bench, f []*fake) []*fake { f[1].jumped = true; return f },
	} {
		t.Run(name, func(t *testing.T) {
			b, f := adaptive(t)
			b.round(trouble(b, f)...)
			if got := b.node.lead.interval; got != time.Second || b.node.lead.pollAt > b.now+time.Second {
				t.Errorf("a poll each %v, the next in %v; want each second", got, b.node.lead.pollAt-b.now)
			}
		})
	}
}

// PROTOCOL.md 8.28: a dry node never votes, and is no trouble.
func TestADryNodeIsNoTrouble(t *testing.T) {
	b, f := adaptive(t)
	dry := following(4)
	dry[0].flags = netproto.FlagDry
	b.interval(1, append(f, dry...)...)
	if got := b.interval(3*calmRounds, append(f, dry...)...); got != 8*time.Second {
		t.Errorf("a poll each %v beside a dry node, want each 8 s", got)
	}
}

// PROTOCOL.md 8.28. Who starts between two polls hears none, and would stand for office again and again.
func TestAStrangerThatStandsIsPolledSoon(t *testing.T) {
	b, _ := adaptive(t)
	h := header(1)
	h.Sender = 9
	c := netproto.Candidate{Nonce: 7, Priority: 100}
	b.packet(slaveAddr, c.Append(nil, h))
	if got := b.node.Deadline() - b.now; got > time.Second {
		t.Errorf("the next poll comes in %v", got)
	}
	b, _ = adaptive(t)
	h.Sender = 3 // a member: it knows better
	before := b.node.lead.pollAt
	b.packet(slaveAddr, c.Append(nil, h))
	if b.node.lead.pollAt != before {
		t.Error("a member that asks brings the next poll forward")
	}
}
