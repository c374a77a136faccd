package sim

import (
	"testing"
	"time"

	"meantime/netproto"
)

// playable lists what the outsider has heard of one host's packets of a kind, oldest first, but for its last office.
func playable(w *World, host int, kind netproto.Kind) (list [][]byte) {
	for _, r := range w.attacker.book {
		if h, _, err := netproto.Inspect(r.data); err == nil && int(r.from) == host && h.Kind == kind {
			list = append(list, r.data)
		}
	}
	return list
}

// PROTOCOL.md 8.24. Somebody plays the Polls and Candidates of a former master while a host starts anew. One budget of answers for all was used up
// by them: the host heard no Poll of the living master, nobody objected to it, and the LAN had two masters.
func TestRecordingsMakeNoSecondMaster(t *testing.T) {
	const begins, step = 2009 * time.Second, 2 * time.Millisecond
	for seed := range seeds(t, 3) {
		o := Default()
		o.Nodes, o.Keyed, o.For, o.Seed = 4, true, time.Hour, seed+1
		faults, err := ParseFaults("kill:master@1990s+5s,kill:3@2000s+10s,replay@0s~0.0001/s")
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = faults
		w := start(t, o.Plan().compared())
		run(t, w, begins)
		for former := range w.hosts {
			polls, stands := playable(w, former, netproto.KindPoll), playable(w, former, netproto.KindCandidate)
			if len(polls) < 1000 || len(stands) == 0 {
				continue
			}
			for i := range 10_000 {
				for _, data := range [][]byte{polls[max(0, min(i-250, len(polls)-1))], stands[i%len(stands)]} {
					for _, to := range w.hosts {
						e := w.queue.push(int64(begins + time.Duration(i)*step))
						*e = event{what: arrives, host: int32(to.index), from: -1, life: to.life, stamp: int64(begins), kernel: true, group: true, data: data, foe: true}
					}
				}
			}
		}
		for at := begins + time.Second; at < begins+20*time.Second; at += 100 * time.Millisecond {
			run(t, w, at)
			masters := 0
			for _, h := range w.Hosts() {
				if h.Node != nil && h.Node.Status().Master == h.Node.Status().ID {
					masters++
				}
			}
			if masters != 1 {
				t.Fatalf("seed %d: %d masters at %v", seed+1, masters, at)
			}
		}
	}
}
