package sim

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkLarge is the speed of large LANs at a poll a second, from when all are on LAN time.
func BenchmarkLarge(b *testing.B) {
	for _, nodes := range []int{100, 1000, 3000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			o := Default()
			o.Nodes, o.For = nodes, 24*time.Hour
			w, err := New(o.Plan(), nil)
			if err != nil {
				b.Fatal(err)
			}
			until := 30 * time.Second
			if err := w.Run(until); err != nil {
				b.Fatal(err)
			}
			before := w.inputs
			b.ReportAllocs()
			for b.Loop() {
				until += time.Second
				if err := w.Run(until); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1/(b.Elapsed().Seconds()/float64(b.N)), "sim/real")
			b.ReportMetric(float64(w.inputs-before)/float64(b.N), "inputs/op")
		})
	}
}
