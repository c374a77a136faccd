package main

import (
	"fmt"
	"testing"
	"time"
)

// TestLANStamps measures what kernel stamps and the fit are worth: three LANs of three on one switch at the same time, so that the machine's
// other work disturbs all alike. -count=5 gives five runs.
func TestLANStamps(t *testing.T) {
	const settle, span = 60 * time.Second, 20 * time.Second
	takes(t, 90*time.Second)
	b := enter(t, 2*time.Minute)
	if b == nil {
		return
	}
	variants := []struct {
		name, config string
		nodes        []*process
		f            figures
	}{
		{name: "kernel stamps"},
		{name: "user stamps", config: "kernel_stamps: false\n"},
		{name: "kernel stamps, phase only", config: "servo: phase-only\n"},
	}
	hosts := b.lan(len(variants) * len(lanPPM))
	for v := range variants {
		for i, ppm := range lanPPM {
			role := "slave"
			if i == 0 {
				role = "master"
			}
			config := fmt.Sprintf("group: lan%d\n%s", v, variants[v].config)
			variants[v].nodes = append(variants[v].nodes, hosts[v*len(lanPPM)+i].run(config, "--poll", "1s", "--role", role,
				"--virtual-offset", lanOffsets[i], "--virtual-frequency", fmt.Sprintf("%gppm", ppm)))
		}
	}
	time.Sleep(settle + span)
	for v := range variants {
		stopAll(t, variants[v].nodes...)
		all := readMoments(t, variants[v].nodes...)
		variants[v].f = all.last(span).figures()
		within, ok := all.settled(time.Millisecond)
		t.Logf("%s, ±50 ppm, 1 s polls, after %v: %v; below 1 ms for good after %.1f s (%v)",
			variants[v].name, settle, variants[v].f, within.Seconds(), ok)
	}
	kernel, user, phase := variants[0].f, variants[1].f, variants[2].f
	if kernel.median > 5*time.Microsecond || kernel.p99 > 5*5*time.Microsecond {
		t.Errorf("kernel stamps: %v, want a p99 of 1 µs (a busy machine is given 25)", kernel)
	}
	// Seen: 0.5 µs, 2.1 µs with user stamps, 116 µs without the fit.
	if kernel.median > user.median || 5*kernel.median > phase.median {
		t.Errorf("kernel stamps and the fit buy nothing: %v; with user stamps %v, without the fit %v", kernel.median, user.median, phase.median)
	}
}
