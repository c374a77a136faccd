package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// astray founds a LAN and moves all its clocks but the master's, as if the master's machine had stood still unawares.
func astray(t *testing.T, f []*fake) *bench {
	t.Helper()
	b := newBench(t, RoleMaster, nil)
	b.founded(f...)
	for _, f := range f {
		f.offset += 20 * time.Millisecond
	}
	return b
}

// PROTOCOL.md 9.31. All others were measured by a clock that they agreed was wrong.
func TestAMasterInTheMinorityGivesUpOffice(t *testing.T) {
	f := following(2, 3, 4)
	b := astray(t, f)
	for i := range patience {
		if b.node.lead == nil {
			t.Fatalf("gave up after %d rounds, want %d: one or two are bad luck", i, patience)
		}
		for _, f := range f {
			f.follows = false // they stand where they are: the master is to come to them
		}
		effects := b.round(f...)
		if i < patience-1 {
			b.node.servo.Jump(b.node.at.Raw, int64(-20*time.Millisecond), 1000) // and will not
			continue
		}
		if _, rs := resigns(t, effects); len(rs) != 1 || rs[0].Successor != 4 {
			t.Errorf("resigns %+v, want one that names node 4", rs)
		}
	}
	if s := b.node.Status(); b.node.lead != nil || s.Standing.String() != "newcomer" {
		t.Errorf("master still: %v, %v", b.node.lead != nil, s.Standing)
	}
}

// PROTOCOL.md 8.27.
func TestOfTwoThatPartTheOneThatJumpedYields(t *testing.T) {
	for _, c := range []struct {
		name            string
		master, slave   bool // who saw itself jump
		follows, stands bool // the master goes over to the slave's time
	}{
		{"nobody jumped", false, false, false, true},
		{"the slave did", false, true, false, true},
		{"the master did", true, false, true, false},
		{"both did", true, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := following(2)
			b := astray(t, f)
			if c.master {
				b.node.startled()
			}
			f[0].jumped, f[0].follows = c.slave, false
			before := b.node.servo.Line().At(b.node.at.Raw) - b.node.at.Raw
			for range patience { // one or two rounds are bad luck
				if b.node.lead != nil {
					b.round(f...)
				}
			}
			moved := time.Duration(b.node.servo.Line().At(b.node.at.Raw) - b.node.at.Raw - before)
			if got := moved > 19*time.Millisecond; got != c.follows {
				t.Errorf("the master moved by %v", moved)
			}
			if delta := time.Duration(f[0].entry.Delta); (delta < -19*time.Millisecond) != c.stands {
				t.Errorf("the slave is told to move by %v", delta)
			}
		})
	}
}

// A voter that is left out once does not follow a delta that its past cannot explain: a master whose machine stood still within a round measures
// everybody after it wrongly, and would send good clocks astray one after the other. As a newcomer it goes where it is told.
func TestOneBadRoundMovesNoVoter(t *testing.T) {
	b := follows(t, nil)
	told := func(seq uint32, standing netproto.Standing) time.Duration {
		before := b.node.servo.Line().At(b.node.at.Raw) - b.node.at.Raw
		b.packet(masterAddr, adjustOf(seq, b.exchange(seq), 10*time.Millisecond, func(_ *netproto.Header, a *netproto.Adjust) {
			a.Entries[0].Standing = standing
		}))
		return time.Duration(b.node.servo.Line().At(b.node.at.Raw) - b.node.at.Raw - before)
	}
	if moved := told(4, netproto.StandingLeftOut); moved != 0 {
		t.Errorf("left out once, it moved by %v", moved)
	}
	if moved := told(5, netproto.StandingNewcomer); moved < 9*time.Millisecond {
		t.Errorf("as a newcomer it moved by %v, want 10 ms", moved)
	}
}
