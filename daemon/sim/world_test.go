package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// minutes is a plan of members with the given oscillator errors (ppm), a minute apart from each other, on a link with 40 µs of
// delay and 10 µs of jitter. The first is the master, and nobody else stands.
func minutes(seed uint64, oscillators ...float64) Plan {
	p := Plan{
		Seed: seed, For: time.Hour, Latency: Delay{Least: 30 * time.Microsecond},
		Link: Link{Delay: Delay{Shape: Exponential, Least: 40 * time.Microsecond, Spread: 10 * time.Microsecond}},
		Node: nodeConfig(time.Second, 500*ppm),
	}
	for i, f := range oscillators {
		p.Members = append(p.Members, Member{Offset: time.Duration(i) * time.Minute, Frequency: f * ppm, Role: node.RoleSlave})
	}
	p.Members[0].Role = node.RoleMaster
	return p
}

func start(t *testing.T, p Plan) *World {
	t.Helper()
	w, err := New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func run(t *testing.T, w *World, until time.Duration) {
	t.Helper()
	if err := w.Run(until); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.Violations() {
		t.Fatal(v)
	}
}

// errorsOf are the true clock errors (ns) of the given members, of all if none is named.
func errorsOf(t *testing.T, w *World, members ...int) []int64 {
	t.Helper()
	if len(members) == 0 {
		for i := range w.Hosts() {
			members = append(members, i)
		}
	}
	var errs []int64
	for _, i := range members {
		e, err := w.Error(i)
		if err != nil {
			t.Fatal(err)
		}
		errs = append(errs, e)
	}
	return errs
}

func spread(errs []int64) time.Duration { return time.Duration(slices.Max(errs) - slices.Min(errs)) }

func mean(errs []int64) float64 {
	sum := 0.0
	for _, e := range errs {
		sum += float64(e)
	}
	return sum / float64(len(errs))
}

// apart is the median disagreement over the coming seconds.
func apart(t *testing.T, w *World, from time.Duration, seconds int, members ...int) time.Duration {
	t.Helper()
	var all []time.Duration
	for i := range seconds {
		run(t, w, from+time.Duration(i)*time.Second)
		all = append(all, spread(errorsOf(t, w, members...)))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func TestMinutesApartBecomeMicroseconds(t *testing.T) {
	w := start(t, minutes(1, 40, -35, 15, -20, 5))
	run(t, w, 5*time.Second)
	if got := spread(errorsOf(t, w)); got > time.Millisecond {
		t.Errorf("5 s after the start the clocks are %v apart, want below 1 ms", got)
	}
	got := apart(t, w, 60*time.Second, 60)
	t.Logf("median disagreement after a minute: %v, at 10 µs of jitter on each leg", got)
	if got > 5*time.Microsecond {
		t.Errorf("median disagreement %v, want at most half of one leg's jitter", got)
	}
	for i, h := range w.Hosts() {
		if len(h.Steps) > 1 {
			t.Errorf("host %d was stepped %d times: %v", i, len(h.Steps), h.Steps)
		}
		if s := h.Node.Status(); s.Standing != netproto.StandingVoter || s.Voters != 5 || s.Members != 5 {
			t.Errorf("host %d: %v, %d of %d vote", i, s.Standing, s.Voters, s.Members)
		}
	}
}

func TestRateIsTheMeanOfTheOscillators(t *testing.T) {
	w := start(t, minutes(2, 40, -35, 15, -20, 5))
	run(t, w, 100*time.Second)
	before := mean(errorsOf(t, w))
	run(t, w, 300*time.Second)
	got := (mean(errorsOf(t, w)) - before) / float64(200*time.Second) / ppm
	t.Logf("LAN rate %+.4f ppm against a mean of +1 ppm", got)
	if math.Abs(got-1) > 0.05 {
		t.Errorf("LAN rate %+.4f ppm, want the oscillators' mean of +1 ppm", got)
	}
}

// Test of record: 3:00 (master), 3:25, 2:50 become 3:05 by deltas of +0:05, −0:20 and +0:15.
func TestExampleOfRecord(t *testing.T) {
	p := minutes(3, 0, 0, 0)
	for i, m := range []int{0, 25, -10} {
		p.Members[i].Offset = time.Duration(m) * time.Minute
	}
	w := start(t, p)
	run(t, w, 10*time.Second)
	for i, want := range []time.Duration{5 * time.Minute, -20 * time.Minute, 15 * time.Minute} {
		steps := w.Hosts()[i].Steps
		if len(steps) != 1 || (time.Duration(steps[0].Delta)-want).Abs() > 50*time.Microsecond {
			t.Errorf("host %d was stepped by %v, want once by %v", i, steps, want)
		}
	}
}

func TestLossIsSurvived(t *testing.T) {
	for _, loss := range []float64{0.02, 0.1, 0.2} {
		p := minutes(4, 40, -35, 15, -20, 5)
		p.Link.Loss = loss
		w := start(t, p)
		got := apart(t, w, 3*time.Minute, 60)
		t.Logf("at %.0f %% loss of every datagram, each way: %v apart after three minutes", 100*loss, got)
		if got > 10*time.Microsecond {
			t.Errorf("at %.0f %% loss the clocks are %v apart", 100*loss, got)
		}
	}
}

// A newcomer is brought to LAN time; LAN time is not brought to it.
func TestWildNewcomerMovesNobody(t *testing.T) {
	alone := minutes(5, 40, -35, 15, -20)
	joined := minutes(5, 40, -35, 15, -20, 300)
	joined.Members[4].Offset, joined.Members[4].Start = 100*time.Hour, 60*time.Second
	a, b := start(t, alone), start(t, joined)
	run(t, a, 75*time.Second)
	run(t, b, 75*time.Second)
	moved := mean(errorsOf(t, b, 0, 1, 2, 3)) - mean(errorsOf(t, a, 0, 1, 2, 3))
	t.Logf("the founders moved by %.0f ns in the 15 s after the join", moved)
	if math.Abs(moved) > 10_000 {
		t.Errorf("the founders moved by %.0f ns", moved)
	}
	if e := errorsOf(t, b); spread(e) > time.Millisecond {
		t.Errorf("15 s after the join the newcomer is %v apart", spread(e))
	}
	run(t, b, 90*time.Second)
	if s := b.Hosts()[4].Node.Status(); s.Standing != netproto.StandingVoter {
		t.Errorf("half a minute after the join the newcomer is %v, want voter", s.Standing)
	}
}

// A slave whose master falls silent, and where nobody else may hold office, holds its frequency and says so, and follows again when
// the master is back.
func TestSilentMasterIsHeldOver(t *testing.T) {
	w := start(t, minutes(7, 40, -35, 15, -20))
	run(t, w, 60*time.Second)
	w.Hosts()[0].Halt()
	run(t, w, 90*time.Second)
	for i, h := range w.Hosts()[1:] {
		if s := h.Node.Status(); s.State != node.StateHoldover {
			t.Errorf("slave %d is %s, want holdover", i+1, s.State)
		}
		if !h.Said("master is silent") {
			t.Errorf("slave %d did not say that its master is silent", i+1)
		}
	}
	if got := spread(errorsOf(t, w, 1, 2, 3)); got > 50*time.Microsecond {
		t.Errorf("after 30 s of holdover the slaves are %v apart: the frequency was not held", got)
	}
	if err := w.Hosts()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	run(t, w, 120*time.Second)
	for i, h := range w.Hosts() {
		if len(h.Steps) > 1 {
			t.Errorf("host %d was stepped again: %v", i, h.Steps)
		}
		if s := h.Node.Status(); s.State != node.StateFollowing && s.State != node.StateKeeping {
			t.Errorf("host %d is %s", i, s.State)
		}
	}
	if got := spread(errorsOf(t, w)); got > 50*time.Microsecond {
		t.Errorf("half a minute after the master's return the clocks are %v apart", got)
	}
}
