package daemon

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// busyMaster is a master on loopback, its driver's parts called one after the other, and a crowd of slaves that have one socket for all and
// say what real ones would in the first reply of a round, and in more of them.
type busyMaster struct {
	tb      testing.TB
	d       *driver
	replies *reader // of the master's unicast socket
	batch   *batch

	crowd   *udp.Conn
	ring    *netproto.Ring
	master  netip.AddrPort
	lo      int
	members int
	next    int       // reply of this round
	asked   time.Time // when it began
	header  netproto.Header
	poll    netproto.Poll
	out     []udp.Datagram
	room    []udp.Packet
}

func newBusyMaster(tb testing.TB, members int) *busyMaster {
	tb.Helper()
	port, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		tb.Fatal(err)
	}
	group := netip.AddrPortFrom(configs.Default().Address.Addr(), port.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	port.Close()
	listen := func() *udp.Conn {
		c, err := udp.Listen(udp.Config{Group: group, Interfaces: []string{"lo"}})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = c.Close() })
		return c
	}
	conn := listen()
	m := &busyMaster{
		tb: tb, crowd: listen(), ring: ringOf(tb, gateGroup, 1), master: conn.LocalAddr(), lo: conn.Interfaces()[0].Index, members: members,
		batch: &batch{}, room: []udp.Packet{{Data: make([]byte, datagramSize)}},
	}
	for range batchSize {
		m.out = append(m.out, udp.Datagram{Data: make([]byte, 0, datagramSize), To: m.master, Iface: m.lo})
	}
	cfg := configs.Default()
	cfg.Role = configs.RoleMaster
	clock := sysclock.NewVirtual(sysclock.VirtualConfig{}, sysclock.HostClock())
	n := nodeConfig(cfg, &state{id: 1, boot: "test"}, clock)
	n.Ring, n.Random, n.Group = m.ring.Clone(), rand.New(rand.NewPCG(1, 2)).Uint64, gateGroup
	if m.d, err = begin(n, clock, conn, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	m.replies = m.d.gate.reader(conn.ReceiveUnicast)
	time.Sleep(50 * time.Millisecond) // until the kernel stamps
	return m
}

// round has the master poll.
func (m *busyMaster) round() {
	m.tb.Helper()
	for polls := m.d.node.Status().Traffic.Polls; m.d.node.Status().Traffic.Polls == polls; {
		time.Sleep(m.d.untilNext())
		if err := m.d.tick(); err != nil {
			m.tb.Fatal(err)
		}
	}
	for m.next = 0; ; {
		if _, err := m.crowd.ReceiveGroup(m.room); err != nil {
			m.tb.Fatal(err)
		}
		h, body, err := m.ring.Open(m.room[0].Data)
		if err != nil {
			m.tb.Fatal(err)
		}
		if h.Kind == netproto.KindPoll && h.Seq > m.header.Seq {
			if m.poll, err = netproto.ParsePoll(body); err != nil {
				m.tb.Fatal(err)
			}
			m.header, m.asked = h, time.Now()
			return
		}
	}
}

// speak sends the next n replies of the round: each member's first, then each one's second, and so on.
func (m *busyMaster) speak(n int) {
	m.tb.Helper()
	for i := range n {
		member, repeat := m.next%m.members, m.next/m.members
		h := netproto.Header{
			Group: gateGroup, Sender: netproto.ID(member + 2), Start: 7, Seq: m.header.Seq, Lineage: m.header.Lineage, Term: m.header.Term,
			Flags: netproto.FlagKernelRX | netproto.FlagKernelTX | netproto.FlagFitted,
		}
		now := netproto.Stamp(time.Now().UnixNano())
		r := netproto.Reply{
			Echo: m.poll.Nonce, Nonce: netproto.Nonce(m.header.Seq)<<32 | netproto.Nonce(m.next+1), T2: now - 1000, T3: now, Bound: 5000,
			Priority: 100, Pace: 500_000, Repeat: uint8(repeat), Master: 1, Held: [netproto.HeldKeys]uint32{m.ring.Newest()},
		}
		data := r.Append(m.out[i].Data[:0], h)
		m.ring.Seal(data, m.ring.Newest())
		m.out[i].Data = data
		m.next++
	}
	if err := m.crowd.Send(m.out[:n]); err != nil {
		m.tb.Fatal(err)
	}
}

// serve is what the master does about n replies: it receives, verifies, handles and acknowledges them, and takes the stamps of its Acks.
func (m *busyMaster) serve(n int) {
	m.tb.Helper()
	for n > 0 {
		got, err := m.replies.receive(m.batch.upTo(m.replies.room))
		if err != nil {
			m.tb.Fatal(err)
		}
		m.replies.admit(m.batch, got)
		m.replies.room = min(2*m.replies.room, batchSize)
		if err := m.d.take(m.batch.packets()); err != nil {
			m.tb.Fatal(err)
		}
		n -= got
	}
}

// window is how long the replies of this round may take.
func (m *busyMaster) window() time.Duration { return time.Duration(m.poll.Window) * time.Microsecond }

// BenchmarkReplies is what a reply costs a master from its socket to the stamp of its Ack, by how many come at once: the median, for the
// mean of a busy machine says little. What loopback does to deliver the Ack is in it; waking up is not.
func BenchmarkReplies(b *testing.B) {
	for _, members := range []int{100, 4000} {
		for _, n := range []int{1, 4, batchSize} {
			b.Run(fmt.Sprintf("members %d burst %d", members, n), func(b *testing.B) {
				m := newBusyMaster(b, members)
				for rounds := 0; m.d.node.Status().Members <= members && rounds < 10; rounds++ { // windows grow with who came in them
					m.round()
					for m.next < members {
						k := min(batchSize, members-m.next)
						m.speak(k)
						m.serve(k)
					}
				}
				came := m.d.status()
				var took []time.Duration
				b.ReportAllocs()
				for b.Loop() {
					if m.next+n > 250*members || time.Since(m.asked) > m.window()/2 {
						m.round()
					}
					m.speak(n)
					before := time.Now()
					m.serve(n)
					took = append(took, time.Since(before))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2])/float64(n), "ns/reply")
				b.ReportMetric(0, "ns/op")
				late := m.d.status().Drops[node.DropStale] - came.Drops[node.DropStale] // they cost less; a busy machine has some
				b.ReportMetric(100*float64(late)/float64(len(took)*n), "%late")
			})
		}
	}
}

// TestMasterAllocatesNothing from its socket to the stamps of its Acks, once it has grown to the size of its LAN.
func TestMasterAllocatesNothing(t *testing.T) {
	m := newBusyMaster(t, 2*batchSize)
	for range 2 { // the first brings the members
		m.round()
		m.speak(batchSize)
		m.serve(batchSize)
		m.speak(batchSize)
		m.serve(batchSize)
	}
	for range 5 { // a busy machine may be late for a round
		m.round()
		before := m.d.node.Status().Traffic.Acks
		allocs := testing.AllocsPerRun(4, func() {
			m.speak(batchSize)
			m.serve(batchSize)
		})
		if allocs != 0 {
			t.Fatalf("%v allocations for %d replies", allocs, batchSize)
		}
		if acks := m.d.node.Status().Traffic.Acks - before; acks >= 4*batchSize {
			return
		}
	}
	t.Error("in five rounds not 128 replies came in time")
}
