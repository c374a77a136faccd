package sim

import (
	"os"
	"runtime"
	"testing"
	"time"

	"meantime/daemon/node"
)

// besieged runs an ordinary LAN that is attacked.
func besieged(t *testing.T, isKeyed bool, length time.Duration, faults string) Report {
	t.Helper()
	o := Default()
	o.Keyed, o.For = isKeyed, length
	var err error
	if o.Faults, err = ParseFaults(faults); err != nil {
		t.Fatal(err)
	}
	r, err := Run(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every class of hostile packet reaches the nodes; none does anything, and none that was not sealed on this LAN is let in.
func TestNothingHostileIsObeyed(t *testing.T) {
	r := besieged(t, true, 3*time.Minute, "attack@0s~300/s,kill:master@2m+10s")
	for _, v := range r.Violations {
		t.Error(v)
	}
	a := r.Assault
	for class, tally := range a.Classes {
		kept := tally.Heard - tally.Drops.Total()
		t.Logf("%v: %d sent, %d heard, %d kept", Hostility(class), tally.Sent, tally.Heard, kept)
		if tally.Sent < 1000 || tally.Heard < 1000 {
			t.Errorf("only %d %v datagrams of %d were heard", tally.Heard, Hostility(class), tally.Sent)
		}
		if class := Hostility(class); class != Replayed && kept != 0 {
			t.Errorf("%d %v datagrams were let in", kept, class)
		}
	}
	if a.Classes[Forged].Drops[node.DropKey] == 0 || a.Classes[Stranger].Drops[node.DropGroup] == 0 {
		t.Errorf("no wrong tag or no other group: %+v", a.Classes)
	}
	if a.Obeyed != 0 || a.Deeds < 1000 || a.Quiet != r.Disagreement {
		t.Errorf("%d of %d deeds differ, first %s", a.Obeyed, a.Deeds, a.First)
	}
}

// The comparison sees what is obeyed: on a LAN without a key, whatever is made up well enough.
func TestObeyingIsSeen(t *testing.T) {
	r := besieged(t, false, 2*time.Minute, "attack@1m~100/s")
	if r.Assault.Obeyed == 0 || r.Assault.First == "" {
		t.Errorf("nothing of %+v was obeyed on a LAN without a key", r.Assault.Total())
	}
}

// A run that is compared is itself an ordinary one.
func TestComparedRunsAreAlike(t *testing.T) {
	p := lan(1, 5, 3*time.Minute)
	usual, err := RunPlan(p, ordinary, nil)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := RunPlan(p.compared(), ordinary, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("disagreement %+v, compared %+v", usual.Disagreement, exact.Disagreement)
	if err := exact.Err(); err != nil || exact.Disagreement.Median > 2*usual.Disagreement.Median {
		t.Errorf("%v; disagreement %v against %v", err, exact.Disagreement, usual.Disagreement)
	}
}

// Whatever arrives, with a key and without, a LAN's memory is bounded.
func TestFloodsTakeNoMemory(t *testing.T) {
	for _, isKeyed := range []bool{true, false} {
		o := Default()
		o.Keyed, o.For = isKeyed, 4*time.Minute
		o.Faults, _ = ParseFaults("attack@30s~500/s")
		w := start(t, o.Plan())
		heap := func(at time.Duration) uint64 {
			if err := w.Run(at); err != nil { // without a key the LAN does as it is told: invariants do not hold
				t.Fatal(err)
			}
			for _, h := range w.Hosts() {
				h.Notes = nil // the simulator's, not the node's
			}
			w.attacker.book = nil
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, after := heap(time.Minute), heap(o.For)
		grown := int64(after) - int64(before)
		heard := uint64(0)
		for _, c := range w.attacker.tally {
			heard += c.Heard
		}
		t.Logf("keyed %v: heap %d KB, %d KB after %d hostile packets", isKeyed, before>>10, after>>10, heard)
		limit := int64(5 * peersLimit)
		if isKeyed {
			limit = sealedLimit
		}
		if grown > limit {
			t.Errorf("keyed %v: the heap of five nodes grew by %d KB, at most %d", isKeyed, grown>>10, limit>>10)
		}
	}
}

// sealedLimit (bytes) is far more than the 3 to 9 KB by which the heap of five nodes with a key grew, and half a byte for each hostile packet.
const sealedLimit = 128 << 10

// peersLimit (bytes) is what a full table of 16,384 peers takes (max_members).
const peersLimit = 20 << 20

// A whole day is recorded, and all of it comes again after every host has started anew. MEANTIME_LONG=1 takes the day; without it it is
// an hour.
func TestRecorderOfADay(t *testing.T) {
	o := Default()
	o.Keyed, o.Poll, o.For = true, 16*time.Second, time.Hour
	if os.Getenv("MEANTIME_LONG") != "" {
		o.For = 24 * time.Hour
	}
	day := o.For
	o.For += day / 4
	o.Faults = []Fault{
		{Kind: Kill, Hosts: []int{All}, At: day, For: 10 * time.Second},
		{Kind: Wipe, Hosts: []int{All}, At: day + day/8, For: 10 * time.Second},
		{Kind: Replay, At: day, Rate: 100},
	}
	r, err := Run(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Violations {
		t.Error(v)
	}
	t.Logf("%v recorded and replayed for %v: %+v; %d of %d deeds differ", day, o.For-day, r.Assault.Total(), r.Assault.Obeyed, r.Assault.Deeds)
}

// Old Polls, under any address, hardly delay two masters that meet again.
func TestRecordingsDoNotHoldUpAMerge(t *testing.T) {
	for seed := range seeds(t, 6) {
		o := Default()
		o.Keyed, o.For, o.Seed = true, 2*time.Minute, seed+1
		o.Faults, _ = ParseFaults("partition:0.1@60s+30s,replay@0s~500/s")
		w := start(t, o.Plan().compared())
		healed, merged := 90*time.Second, 90*time.Second
		for at := healed; at < healed+10*time.Second; at += 100 * time.Millisecond {
			run(t, w, at)
			masters := 0
			for _, h := range w.Hosts() {
				if s := h.Node.Status(); s.Master == s.ID {
					masters++
				}
			}
			if at == healed && masters != 2 {
				t.Errorf("seed %d: %d masters when the partition ends: nothing is to be merged", seed+1, masters)
			}
			if masters != 1 {
				merged = at + 100*time.Millisecond
			}
		}
		if merged-healed > time.Second {
			t.Errorf("seed %d: one master only %v after the partition", seed+1, merged-healed)
		}
	}
}
