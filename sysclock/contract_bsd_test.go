//go:build darwin || freebsd

package sysclock

import "testing"

// ownClock has nobody to ask: whoever says MEANTIME_CONTRACT=write there means it.
func ownClock(*testing.T) {}

// writesReal writes and tells as another program does.
func writesReal(t *testing.T, b *bed) {
	b.write = func() error { return bsdCalls{}.ntpAdjtime("write", &bsdTimex{modes: modFrequency, freq: 65536}) }
	b.set = func(ns int64) error {
		r, err := readHost(narrowEnough)
		if err != nil {
			return err
		}
		return bsdCalls{}.setTime((r.Wall + ns) / 1000)
	}
	b.told = func() (bool, int64) {
		var tx bsdTimex
		if err := (bsdCalls{}).ntpAdjtime("read", &tx); err != nil {
			t.Fatal(err)
		}
		return tx.status&staUnsync == 0, int64(tx.maxerror) * 1000
	}
}
