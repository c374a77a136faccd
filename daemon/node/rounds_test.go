package node

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkRound is what a master's whole round costs: the poll, each member's exchanges with the stamps of the Acks, the decision and the
// Adjusts. What writing the members' replies takes is measured by itself and taken off.
func BenchmarkRound(b *testing.B) {
	for _, key := range []byte{0, 1} {
		for _, size := range []int{10, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", [...]string{"open", "keyed"}[key], size), func(b *testing.B) { benchmarkRound(b, size, key) })
		}
	}
}

func benchmarkRound(b *testing.B, size int, key byte) {
	c := newCrowd(b, size, key)
	b.ReportAllocs()
	whole, end, replies := quickest{}, quickest{}, uint64(0)
	for b.Loop() {
		before := c.node.seen.Replies
		whole.begin()
		c.ask()
		for i := range c.members {
			c.speak(&c.members[i])
		}
		end.begin()
		c.close()
		end.end()
		whole.end()
		replies = c.node.seen.Replies - before
	}
	writing := quickest{}
	for range 5 {
		writing.begin()
		for i := range replies {
			c.write(&c.members[i%uint64(size)], 1)
		}
		writing.end()
	}
	per := func(d time.Duration) float64 { return float64(d) / float64(size) }
	b.ReportMetric(per(whole.took-writing.took), "ns/member")
	b.ReportMetric(per(end.took), "ns/member-end")
	b.ReportMetric(float64(replies)/float64(size), "replies/member")
	b.ReportMetric(c.memory()/float64(size), "B/member")
}

// quickest is the least that something took which was done several times: machines do other things, too.
type quickest struct {
	start time.Time
	took  time.Duration
}

func (q *quickest) begin() { q.start = time.Now() }

func (q *quickest) end() {
	if took := time.Since(q.start); q.took == 0 || took < q.took {
		q.took = took
	}
}

// memory is what the master keeps, in bytes.
func (c *crowd) memory() float64 {
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	c.node = nil
	runtime.GC()
	runtime.ReadMemStats(&without)
	return float64(with.HeapAlloc - without.HeapAlloc)
}

// BenchmarkHandle is what one input of a kind costs, in the middle of its round: at a slave, and, for a Reply, at a master of a thousand.
func BenchmarkHandle(b *testing.B) {
	b.Run("slave", func(b *testing.B) {
		s := newServed(b, 0)
		for range 100 {
			s.round()
		}
		s.took = [inputs]meter{}
		for b.Loop() {
			s.round()
		}
		for input, name := range [inputs]string{"poll", "ack", "adjust", "sent", "tick"} {
			b.ReportMetric(s.took[input].least, "ns/"+name)
		}
	})
	b.Run("master", func(b *testing.B) {
		c := newCrowd(b, 1000, 0)
		c.replied = meter{}
		for b.Loop() {
			c.round()
		}
		b.ReportMetric(c.replied.least, "ns/reply")
	})
}
