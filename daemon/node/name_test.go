package node

import (
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"clock-7.lan": "clock-7.lan", "a\x1b[31mb\nc": "a[31mbc", "\xff\xfeé": "é", "": "",
		strings.Repeat("é", 40): strings.Repeat("é", 31),
	} {
		if got := Label(name); got != want {
			t.Errorf("%q is shown as %q, not %q", name, got, want)
		}
	}
}

// PROTOCOL.md 7.10, 7.11: a master and its members know each other by name within the first rounds, cleaned, and then say it seldom. The member
// comes in the first round, so the master begins anew.
func TestHostsSayTheirNames(t *testing.T) {
	b := newBench(t, RoleMaster, func(c *Config) { c.Name = "one" })
	f, said := following(2), 0
	for range 2 * namedEvery {
		poll, body := b.polled()
		polled := b.now
		if len(body.Name) > 0 {
			if said++; string(body.Name) != "one" || said > introduced+1 && poll.Seq%namedEvery != 0 {
				t.Errorf("round %d says %q", poll.Seq, body.Name)
			}
		}
		b.answer(f[0], poll.Seq, body.Nonce, polled, func(_ *fake, _ *netproto.Header, r *netproto.Reply) {
			if poll.Seq == 1 {
				r.Name = []byte("two\a")
			}
		})
		b.after(b.node.lead.closeAt - b.now)
	}
	if said != introduced+3 || b.member(2).Name != "two" || b.member(1).Name != "one" {
		t.Errorf("said %d times; members are called %q and %q", said, b.member(1).Name, b.member(2).Name)
	}

	s := newBench(t, RoleSlave, func(c *Config) { c.Name = "two" })
	said = 0
	for seq := range uint32(2 * namedEvery) {
		_, rs := replies(t, append(s.packet(masterAddr, pollOf(seq+1, func(_ *netproto.Header, p *netproto.Poll) { p.Name = []byte("one") })),
			s.after(100*time.Millisecond)...))
		s.packet(masterAddr, ackOf(seq+1, rs[0].Nonce, 0, netproto.FlagAgain)) // only a round's first says it
		if len(rs[0].Name) > 0 {
			said++
		}
		s.after(900 * time.Millisecond)
	}
	if said != introduced+2 || s.member(1).Name != "one" || s.member(2).Name != "two" {
		t.Errorf("said %d times; members are called %q and %q", said, s.member(1).Name, s.member(2).Name)
	}
}
