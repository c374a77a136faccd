package node

import (
	"testing"
	"time"

	"meantime/netproto"
)

// talk has one member give all its replies of a round, each of which is late by as much, and tells how many there were and how many Acks.
func (c *crowd) talk(m *extra, late time.Duration) (replies, acks uint64) {
	before := c.node.seen
	m.again = true
	for repeat := uint8(0); m.again; repeat++ {
		c.write(m, repeat)
		c.now += late
		c.hear(m)
	}
	return c.node.seen.Replies - before.Replies, c.node.seen.Acks - before.Acks
}

// PROTOCOL.md 8.8. One exchange is enough where it is as good as any lately, and the reply that brings it needs no Ack.
func TestAnExchangeAsGoodAsUsualIsEnough(t *testing.T) {
	c := newCrowd(t, 1, 0)
	m := &c.members[0]
	c.ask()
	if replies, acks := c.talk(m, 0); replies != exchanges || acks != exchanges-1 {
		t.Errorf("before much is known: %d replies, %d Acks", replies, acks)
	}
	c.close()
	c.settled(m, map[time.Duration]uint64{0: 2, 3 * time.Microsecond: 2, 6 * time.Microsecond: exchanges, 30 * time.Microsecond: mostExchanges})
}

// On cables so short that 2 µs more is a multiple, a quarter of what is usual counts.
func TestOnShortCablesAQuarterMoreIsEnough(t *testing.T) {
	c := newCrowd(t, 1, 0)
	c.wire = 2 * time.Microsecond
	c.settled(&c.members[0], map[time.Duration]uint64{0: 2, time.Microsecond / 2: 2, 3 * time.Microsecond: exchanges, 30 * time.Microsecond: mostExchanges})
}

// settled demands so many replies of a member whose replies come late by as much, when rounds without that are known.
func (c *crowd) settled(m *extra, wants map[time.Duration]uint64) {
	c.tb.Helper()
	for late, want := range wants {
		for range 16 {
			c.round()
		}
		c.ask()
		if replies, acks := c.talk(m, late); replies != want || acks != want-1 {
			c.tb.Errorf("each reply late by %v: %d replies, %d Acks; want %d and %d", late, replies, acks, want, want-1)
		}
		c.close()
	}
}

// PROTOCOL.md 8.8. Where a packet was lost that nobody would send again, the slave is told to do so for some time.
func TestAfterALossEveryReplyIsAcked(t *testing.T) {
	c := newCrowd(t, 1, 0)
	m := &c.members[0]
	for range 16 {
		c.round()
	}
	c.ask()
	c.write(m, 0)
	c.hear(m)
	c.close() // the reply that it asked for is lost
	for round := range patchyRounds + 1 {
		want := uint64(2)
		if round == patchyRounds {
			want = 1
		}
		c.ask()
		if replies, acks := c.talk(m, 0); replies != 2 || acks != want {
			t.Fatalf("%d rounds after the loss: %d replies, %d Acks; want 2 and %d", round+1, replies, acks, want)
		}
		c.close()
	}
}

// PROTOCOL.md 8.8, as the slave sees it.
func TestAReplyThatMayGetNoAckIsNotSentAgain(t *testing.T) {
	for flags, want := range map[netproto.Flags]int{netproto.FlagAgain: maxTries, netproto.FlagAgain | netproto.FlagLast: 1} {
		b := known(t)
		_, rs := replies(t, append(b.packet(masterAddr, pollOf(2, nil)), b.after(leastPatience/2)...))
		if len(rs) != 1 {
			t.Fatalf("%d replies to a poll, want 1", len(rs))
		}
		_, rs = replies(t, append(b.packet(masterAddr, ackOf(2, rs[0].Nonce, 0, flags)), b.after(time.Second)...))
		if len(rs) != want {
			t.Errorf("flags %b: %d replies after the Ack, want %d", flags, len(rs), want)
		}
		_, rs = replies(t, append(b.packet(masterAddr, pollOf(3, nil)), b.after(time.Second)...))
		if len(rs) != maxTries {
			t.Errorf("flags %b: %d replies in the next round, want %d: nothing was said of them", flags, len(rs), maxTries)
		}
	}
}
