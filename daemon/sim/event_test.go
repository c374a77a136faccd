package sim

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestQueueKeepsTimeAndOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var q queue
	var now int64
	var token, last uint64
	for i := range 10_000 {
		if rng.IntN(3) > 0 || len(q.keys) == 0 {
			token++
			q.push(now + rng.Int64N(20)).token = token
			continue
		}
		at, e := q.pop()
		if at < now || at == now && i > 0 && e.token < last && last != 0 {
			t.Fatalf("event %d at %d came after %d at %d", e.token, at, last, now)
		}
		if last = e.token; at > now {
			last = 0
		}
		now = at
	}
}

// The swing's rate is its amplitude's at the most, and after a whole period nothing is left of it.
func TestSwing(t *testing.T) {
	w := &World{}
	g := &ground{world: w, swing: Swing{Amplitude: 10e-6, Period: 10 * time.Minute, Phase: 0.3}}
	most, before := 0.0, g.at(0)
	for s := int64(1); s <= 600; s++ {
		at := g.at(s * int64(time.Second))
		most = max(most, math.Abs(float64(at-before)/1e9-1))
		before = at
	}
	if math.Abs(most-10e-6) > 1e-8 {
		t.Errorf("largest rate error %.3f ppm, want 10", most/ppm)
	}
	if off := before - int64(10*time.Minute); abs(off) > 1 {
		t.Errorf("%d ns left after a period", off)
	}
}

func TestSleepStopsTheGround(t *testing.T) {
	w := &World{now: int64(10 * time.Second)}
	g := &ground{world: w, swing: Swing{Amplitude: 10e-6, Period: time.Minute}}
	before := g.at(w.now)
	g.sleep()
	w.now += int64(time.Minute)
	if got := g.at(w.now); got != before {
		t.Errorf("asleep it went on by %d ns", got-before)
	}
	if slept := g.rise(); slept != int64(time.Minute) {
		t.Errorf("slept for %d ns, want a minute", slept)
	}
	if got := g.at(w.now); got != before {
		t.Errorf("it rose %d ns from where it stood", got-before)
	}
}

// What faults do to packets shows in what nodes hear.
func TestFaultsOfLinks(t *testing.T) {
	heard := func(faults string) (adjusts, acks uint64) {
		p := minutes(1, 10, -10, 5)
		p.Faults, _ = ParseFaults(faults)
		w := start(t, p)
		run(t, w, 60*time.Second)
		before := w.Hosts()[1].Node.Status().Traffic
		run(t, w, 70*time.Second)
		after := w.Hosts()[1].Node.Status().Traffic
		return after.Adjusts - before.Adjusts, after.Acks - before.Acks
	}
	for faults, hears := range map[string]bool{
		"":                           true,
		"deaf:1@59s+20s":             false,
		"mute:0@59s+20s":             false,
		"cut:1@59s+20s":              false,
		"partition:1@59s+20s":        false,
		"partition:1.0@59s+20s":      true,
		"deaf:1@30s+20s":             true,
		"cut:2@59s+20s":              true,
		"freeze:1@59s+20s":           false,
		"flap:1@59s+20s~20s":         false,
		"partition:1@30s+20s":        true,
		"lossy@59s+20s~95%":          false,
		"deaf:1@50s+5s,cut:1@52s+1s": true,
	} {
		adjusts, acks := heard(faults)
		if got := adjusts > 5; got != hears {
			t.Errorf("faults %q: host 1 took %d adjusts and %d acks in 10 s", faults, adjusts, acks)
		}
	}
}
