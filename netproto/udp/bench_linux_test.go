package udp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// replySize in bytes is that of a Reply with its tag, the largest of what comes in numbers.
const replySize = 176

// bursts are how many datagrams the benchmarks send at once.
var bursts = []int{1, 8, 32, 256}

// burst is datagrams to one node, and room for as many.
func burst(n int, to netip.AddrPort, lo int) (batch []Datagram, room []Packet) {
	data := make([]byte, replySize)
	for range n {
		batch = append(batch, Datagram{Data: data, To: to, Iface: lo, Token: 1})
		room = append(room, Packet{Data: make([]byte, 1500)})
	}
	return batch, room
}

// dispatch sends a burst and takes its stamps.
func dispatch(tb testing.TB, c *Conn, batch []Datagram, stamps []Sent) []Sent {
	if err := c.Send(batch); err != nil {
		tb.Fatal(err)
	}
	if stamps = c.Stamps(stamps[:0], 2*time.Millisecond); len(stamps) != len(batch) || !stamps[0].Kernel {
		tb.Fatalf("%d stamps for %d datagrams", len(stamps), len(batch))
	}
	return stamps
}

// receiveAll receives n datagrams.
func receiveAll(tb testing.TB, c *Conn, room []Packet, n int) {
	for n > 0 {
		k, err := c.ReceiveUnicast(room)
		if err != nil {
			tb.Fatal(err)
		}
		n -= k
	}
}

// perDatagram reports ns for each datagram of a burst.
func perDatagram(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/datagram")
	b.ReportAllocs()
}

// BenchmarkSend sends bursts and takes their stamps. The receiving half of loopback is in it: here to a socket that is full.
func BenchmarkSend(b *testing.B) {
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	for _, n := range bursts {
		b.Run(fmt.Sprint("burst ", n), func(b *testing.B) {
			a := loopback(b, testGroup(b), true)
			batch, _ := burst(n, sink.LocalAddr().(*net.UDPAddr).AddrPort(), a.Interfaces()[0].Index)
			var stamps []Sent
			for b.Loop() {
				stamps = dispatch(b, a, batch, stamps)
			}
			perDatagram(b, n)
		})
	}
}

// BenchmarkReceive sends bursts and receives them; only the receiving is timed.
func BenchmarkReceive(b *testing.B) {
	for _, n := range bursts {
		b.Run(fmt.Sprint("burst ", n), func(b *testing.B) {
			from, to := loopback(b, testGroup(b), true), loopback(b, testGroup(b), true)
			batch, room := burst(n, to.LocalAddr(), from.Interfaces()[0].Index)
			room = room[:min(n, sendBatch)]
			var stamps []Sent
			for b.Loop() {
				b.StopTimer()
				stamps = dispatch(b, from, batch, stamps)
				b.StartTimer()
				receiveAll(b, to, room, n)
			}
			perDatagram(b, n)
		})
	}
}

// TestNoAllocations: once there is room, neither a burst nor a single datagram costs memory, be it sent, stamped or received.
func TestNoAllocations(t *testing.T) {
	from, to := loopback(t, testGroup(t), true), loopback(t, testGroup(t), true)
	for _, n := range []int{1, 100} {
		batch, room := burst(n, to.LocalAddr(), from.Interfaces()[0].Index)
		var stamps []Sent
		if allocs := testing.AllocsPerRun(100, func() {
			stamps = dispatch(t, from, batch, stamps)
			receiveAll(t, to, room, n)
		}); allocs != 0 {
			t.Errorf("%v allocations for %d datagrams", allocs, n)
		}
	}
}
