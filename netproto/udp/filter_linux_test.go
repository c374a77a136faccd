package udp

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"meantime/netproto"
)

// hail sends each packet count times to the group and to the unicast socket of c, then one that is let in, and tells how many of
// either came in beside that. What comes and what the kernel says that it dropped has to be all.
func hail(t *testing.T, from, c *Conn, good []byte, packets [][]byte, count int) (in int) {
	t.Helper()
	before := c.Dropped().Kernel
	sent := 0
	for range count {
		for _, p := range packets {
			sendGroup(t, from, string(p))
			if err := from.Send([]Datagram{{Data: p, To: c.LocalAddr(), Iface: c.Interfaces()[0].Index, Token: 1}}); err != nil {
				t.Fatal(err)
			}
			sent += 2
		}
	}
	sendGroup(t, from, string(good))
	if err := from.Send([]Datagram{{Data: good, To: c.LocalAddr(), Iface: c.Interfaces()[0].Index, Token: 1}}); err != nil {
		t.Fatal(err)
	}
	for s, toGroup := range map[*socket]bool{c.shared: true, c.own: false} {
		came := 0
		for last := false; !last; came++ {
			within(t, s, 2*time.Second)
			p, err := one(func(batch []Packet) (int, error) { return c.receive(s, batch, toGroup) }, 1500)
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("what is in order does not come in")
				}
				t.Fatal(err)
			}
			last = bytes.Equal(p.Data, good)
		}
		in += came - 1
	}
	if dropped := int(c.Dropped().Kernel - before); in+dropped != sent {
		t.Errorf("of %d sent %d came in and %d were dropped", sent, in, dropped)
	}
	return in
}

// TestShield: the kernel refuses what is not of the frame, but for one in sixteen, counts it, and follows a change of keys.
func TestShield(t *testing.T) {
	a, b := loopback(t, testGroup(t), false), (*Conn)(nil)
	b = listen(t, Config{Group: a.cfg.Group, Interfaces: []string{loopbackName}})
	all := vectors(t)
	good, another := all["poll-full.hex"], slices.Clone(all["reply-full.hex"])
	another[15] = 77 // key id
	bad := [][]byte{all["bad-magic.hex"], all["bad-version.hex"], all["bad-key.hex"], all["bad-short.hex"], all["bad-length-less.hex"], {}}
	const count = 40
	if in := hail(t, a, b, good, bad, count); in != 2*count*len(bad) {
		t.Errorf("without a filter %d came in", in)
	}
	if err := b.Shield(netproto.FrameOf(vectorGroup, 0)); err != nil {
		t.Fatal(err)
	}
	in := hail(t, a, b, good, bad, count)
	t.Logf("of %d that the filter refuses %d were spared", 2*count*len(bad), in)
	if in < count*len(bad)/40 || in > count*len(bad)/2 { // 30 of 480 are to be expected
		t.Errorf("%d were spared, want about one in %d", in, spared)
	}
	if err := b.Shield(netproto.FrameOf(vectorGroup, 77, 78)); err != nil {
		t.Fatal(err)
	}
	if in := hail(t, a, b, another, [][]byte{good}, 200); in > 100 {
		t.Errorf("under other keys %d of 400 of the old one came in", in)
	}
	if size := b.ReceiveBuffer(); size < 100_000 {
		t.Errorf("a receive buffer of %d bytes", size)
	}
}

// TestOverflow: what finds the queue full is counted.
func TestOverflow(t *testing.T) {
	a := loopback(t, testGroup(t), false)
	packet := make([]byte, 1000)
	const flood = 5000 // of 1 KB each, for which the kernel charges over 2: more than the buffer of 8 MiB at most takes
	for range flood {
		if err := a.Send([]Datagram{{Data: packet, To: a.LocalAddr(), Iface: a.Interfaces()[0].Index, Token: 1}}); err != nil {
			t.Fatal(err)
		}
		a.Stamps(nil, 0)
	}
	came := 0
	for ; ; came++ {
		within(t, a.own, 500*time.Millisecond) // once in vain
		if _, err := one(a.ReceiveUnicast, 1500); err != nil {
			break
		}
	}
	if err := a.Send([]Datagram{{Data: packet, To: a.LocalAddr(), Iface: a.Interfaces()[0].Index, Token: 1}}); err != nil { // it brings the count
		t.Fatal(err)
	}
	recvUnicast(t, a)
	dropped := int(a.Dropped().Kernel)
	t.Logf("%d came, %d were dropped, buffer of %d bytes", came, dropped, a.ReceiveBuffer())
	if dropped == 0 || came+dropped != flood {
		t.Errorf("of %d %d came and %d are counted as dropped", flood, came, dropped)
	}
}
