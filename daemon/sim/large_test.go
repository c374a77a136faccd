package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestPowerBack: where all hosts of a large LAN boot at once, all are on LAN time within ten rounds of the first poll, and there is one master.
func TestPowerBack(t *testing.T) {
	o := Default()
	o.Nodes, o.For = 300, 16*time.Second
	report, err := Run(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hosts: first poll at %v, on LAN time by %v, %d packets", o.Nodes, report.Masters[0].At, report.TimeToSync, report.Packets)
	if took := report.TimeToSync - report.Masters[0].At; report.TimeToSync < 0 || took > 10*o.Poll || len(report.Masters) != 1 {
		t.Errorf("on LAN time %v after the first poll; masters %v", took, report.Masters)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}

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
