package sim

import (
	"testing"
	"time"
)

// TestHoldoverBoundsAreHonest: a member that is alone for an hour says how far it may be from LAN time, and at every second it is not further,
// whatever its oscillator does meanwhile: walk as an ordinary crystal does, or swing by 1 ppm with the room's temperature.
func TestHoldoverBoundsAreHonest(t *testing.T) {
	for _, c := range []struct {
		name string
		temp float64
	}{{"wander", 0}, {"temperature", 1}} {
		t.Run(c.name, func(t *testing.T) {
			var worst, ratio float64
			for seed := uint64(1); seed <= seeds(t, 3); seed++ {
				o := Default()
				o.Seed, o.Nodes, o.For, o.Temperature, o.Period = seed, 5, 75*time.Minute, c.temp, time.Hour
				p := o.Plan()
				p.Faults = []Fault{{Kind: Cut, Hosts: []int{1}, At: 10 * time.Minute, For: time.Hour}}
				w := start(t, p)
				for at := 10*time.Minute + time.Second; at < 70*time.Minute; at += time.Second {
					run(t, w, at)
					off := alone(t, w, 1)
					bound := float64(w.Hosts()[1].Node.Status().Bound)
					if off > bound {
						t.Fatalf("seed %d, %v: %v off LAN time and says at most %v", seed, at, time.Duration(off), time.Duration(bound))
					}
					worst = max(worst, off)
					ratio = max(ratio, off/bound)
				}
			}
			t.Logf("after an hour alone at most %v off; at most %.0f %% of what the bound says", time.Duration(worst), 100*ratio)
		})
	}
}

// alone is how far (ns) a host's clock is from the mean of the others'.
func alone(t *testing.T, w *World, host int) float64 {
	t.Helper()
	errs := errorsOf(t, w)
	var others float64
	for i, e := range errs {
		if i != host {
			others += float64(e) / float64(len(errs)-1)
		}
	}
	off := float64(errs[host]) - others
	return max(off, -off)
}
