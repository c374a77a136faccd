package sim

import (
	"testing"
	"time"
)

// BenchmarkTenNodes is the speed of a run: ten nodes at a poll a second. Its sim/real is simulated seconds per real second.
func BenchmarkTenNodes(b *testing.B) { benchmarkTenNodes(b, Default()) }

// BenchmarkTenNodesKeyed is the same with every packet sealed, and opened by each that hears it.
func BenchmarkTenNodesKeyed(b *testing.B) {
	o := Default()
	o.Keyed = true
	benchmarkTenNodes(b, o)
}

func benchmarkTenNodes(b *testing.B, o Options) {
	b.Helper()
	o.Nodes, o.For = 10, time.Duration(b.N)*time.Second
	o.For = max(o.For, time.Second)
	b.ReportAllocs()
	report, err := Run(o, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(o.For.Seconds()/b.Elapsed().Seconds(), "sim/real")
	b.ReportMetric(float64(report.Inputs)/float64(b.N), "inputs/op")
}
