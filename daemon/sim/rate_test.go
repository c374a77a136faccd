package sim

import (
	"math"
	"slices"
	"testing"
	"time"
)

// bed is a LAN as the lab's kernels make one: four oscillators at +40, -35, +15 and -20 ppm, stamps of user space, and as
// much jitter as leaves clocks apart by as much as there.
func bed(seed uint64, jitter time.Duration) Plan {
	o := Default()
	o.Seed, o.Nodes, o.For, o.Jitter, o.UserStamps, o.Wander = seed, 4, 125*time.Second, jitter, true, 0
	p := o.Plan()
	for i, f := range []float64{40, -35, 15, -20} {
		p.Members[i].Offset, p.Members[i].Frequency = time.Duration(i)*200*time.Millisecond, f*ppm
	}
	return p
}

// course is the rate (ppm) at which the mean of the hosts that are there to the end went between two times: the slope of a line through it.
func course(points []Point, from, to time.Duration) float64 {
	last := points[len(points)-1]
	var n, x, y, xx, xy float64
	for _, p := range points {
		if p.At < from || p.At > to {
			continue
		}
		sum, count := 0.0, 0.0
		for i, o := range p.Offsets {
			if last.Offsets[i] != Down {
				sum, count = sum+float64(o), count+1
			}
		}
		at, mean := float64(p.At-from), sum/count
		n, x, y, xx, xy = n+1, x+at, y+mean, xx+at*at, xy+at*mean
	}
	return (n*xy - x*y) / (n*xx - x*x) / ppm
}

// A young LAN's rate is held: half a minute and the minute after it, with a change of master between them, a leave, or nothing at all. While
// only their slow centring held it, it moved by up to 0.7, 1.2 and 0.7 ppm.
func TestAYoungLANsRateIsHeld(t *testing.T) {
	for _, c := range []struct {
		name, fault string
		most        float64 // ppm; a leave bends the rate towards the mean of those left, by 0.1 ppm in a minute
	}{{"nothing", "", 0.5}, {"the master dies", "kill:master@60s", 0.5}, {"a slave dies", "kill:0@60s", 0.5}} {
		var moved []float64
		for seed := range seeds(t, 10) {
			p := bed(seed+1, 400*time.Microsecond)
			if c.fault != "" {
				faults, err := ParseFaults(c.fault)
				if err != nil {
					t.Fatal(err)
				}
				p.Faults = faults
			}
			var points []Point
			if _, err := RunPlan(p, Limits{}, func(pt Point) { points = append(points, pt) }); err != nil {
				t.Fatal(err)
			}
			before, after := course(points, 30*time.Second, time.Minute), course(points, 61*time.Second, 2*time.Minute)
			moved = append(moved, math.Abs(after-before))
		}
		slices.Sort(moved)
		n := len(moved)
		t.Logf("%s, %d seeds: LAN rate moved by p50 %.2f, p90 %.2f, at most %.2f ppm", c.name, n, moved[n/2], moved[n*9/10], moved[n-1])
		if moved[n-1] > c.most {
			t.Errorf("%s: LAN rate moved by up to %.2f ppm, want at most %v", c.name, moved[n-1], c.most)
		}
	}
}
