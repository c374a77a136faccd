package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"meantime/netproto"
)

// trial is a round of a census in which slaves reply and are served as they should be, unless a test meddles.
type trial struct {
	census census
	dice   *rand.Rand
	polled int64
	rate   float64 // of LAN time, fractional
	ahead  float64 // ns: LAN time less true time at the Poll
}

func newTrial(slaves int) *trial {
	return &trial{census: census{slaves: make([]enrolled, slaves)}, dice: rand.New(rand.NewPCG(1, 2)), polled: 1e18, rate: 3e-6, ahead: 5e9}
}

// round plays a round: every slave has a clock of its own, replies after its own wait, and is given the delta to LAN time as it was at its
// epoch, wrong by less than the bound. meddle sees each entry; nil is taken out.
func (t *trial) round(seq uint32, acks bool, meddle func(slave int, e *netproto.Entry) *netproto.Entry) Round {
	const bound = 500
	c := &t.census
	c.begin(seq, t.polled)
	adjust := netproto.Adjust{Phase: netproto.PhaseKeeping}
	for i := range c.slaves {
		clock, ppm := int64(t.dice.IntN(2e9))-1e9, (2*t.dice.Float64()-1)*50e-6
		held := int64(10_000_000 + t.dice.IntN(400_000_000))
		shown := func(after int64) int64 { return t.polled + after + clock + int64(ppm*float64(after)) }
		r := netproto.Reply{
			Nonce: netproto.Nonce(marked(t.dice.Uint64(), i)), T2: netproto.Stamp(shown(0)), T3: netproto.Stamp(shown(held)),
		}
		c.replied(i, seq, r, t.polled+held, 0, ppm)
		epoch := held / 2
		if acks {
			c.acknowledged(i, seq)
			epoch = held
		}
		lan := t.polled + epoch + int64(t.ahead+t.rate*float64(epoch))
		e := &netproto.Entry{
			ID: netproto.ID(marked(t.dice.Uint64(), i)), Nonce: r.Nonce, Bound: bound,
			Delta: lan - shown(epoch) + int64(t.dice.IntN(2*bound-100)) - bound + 50,
		}
		if meddle != nil {
			e = meddle(i, e)
		}
		if e != nil {
			adjust.Entries = append(adjust.Entries, *e)
		}
	}
	c.adjusted(seq, adjust, t.polled+600_000_000)
	t.polled += 1e9
	t.ahead += t.rate * 1e9
	return c.close()
}

func TestCensus(t *testing.T) {
	for _, test := range []struct {
		name                   string
		meddle                 func(slave int, e *netproto.Entry) *netproto.Entry
		served, wrong, strange int
	}{
		{"all is well", nil, 100, 0, 0},
		{"a wrong delta", func(i int, e *netproto.Entry) *netproto.Entry {
			if i == 7 {
				e.Delta += 2000
			}
			return e
		}, 100, 1, 0},
		{"a third of them wrong, all alike", func(i int, e *netproto.Entry) *netproto.Entry {
			if i%3 == 0 {
				e.Delta -= 100_000
			}
			return e
		}, 100, 34, 0},
		{"a slave without an entry", func(i int, e *netproto.Entry) *netproto.Entry {
			if i == 7 {
				return nil
			}
			return e
		}, 99, 0, 0},
		{"a nonce that was never sent", func(i int, e *netproto.Entry) *netproto.Entry {
			if i == 7 {
				e.Nonce++
			}
			return e
		}, 99, 0, 1},
		{"the entry of another", func(i int, e *netproto.Entry) *netproto.Entry {
			if i == 7 {
				e.ID++
			}
			return e
		}, 99, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, acks := range []bool{true, false} {
				trial := newTrial(100)
				for seq := range uint32(rateRounds) { // until the rate is known
					trial.round(seq+1, acks, nil)
				}
				r := trial.round(rateRounds+1, acks, test.meddle)
				if r.Served != test.served || r.Wrong != test.wrong || r.Strange != test.strange {
					t.Errorf("with Acks %v: %d served, %d wrong, %d strange", acks, r.Served, r.Wrong, r.Strange)
				}
				if r.Rate < 2.8 || r.Rate > 3.2 {
					t.Errorf("with Acks %v: LAN time runs at %+.3f ppm, 3 were set", acks, r.Rate)
				}
			}
		})
	}
}

// What is no round's own is nobody's.
func TestCensusOfOtherRounds(t *testing.T) {
	trial := newTrial(3)
	trial.round(1, true, nil)
	c := &trial.census
	c.begin(2, trial.polled)
	c.replied(0, 1, netproto.Reply{Nonce: 9}, trial.polled, 0, 0)
	c.adjusted(1, netproto.Adjust{Phase: netproto.PhaseKeeping, Entries: []netproto.Entry{{ID: 1, Nonce: 9}}}, trial.polled)
	if r := c.close(); r.Replies != 1 || r.Replied != 0 || r.Served != 0 || r.Strange != 1 {
		t.Errorf("late packets: %+v", r)
	}
}

func TestLoadChecks(t *testing.T) {
	good := func() *LoadResult {
		r := &LoadResult{
			Plan: LoadPlan{Slaves: 100, Poll: time.Second, Slack: 1}, Taken: 2000, Master: Taken{CPU: 20, Memory: 50},
			Dropped: map[string]uint64{"duplicate": 2},
		}
		for seq := range uint32(30) {
			synced := 100
			if seq < 4 {
				synced = 50
			}
			r.Rounds = append(r.Rounds, Round{Seq: seq, Replies: 100, Served: 100, Synced: synced})
		}
		r.Rounds[29].Replies += 2 // repeated, and dropped for it
		return r
	}
	for _, test := range []struct {
		name   string
		meddle func(*LoadResult)
		failed string
	}{
		{"all is well", func(*LoadResult) {}, ""},
		{"a lost reply", func(r *LoadResult) { r.Taken-- }, "replies lost"},
		{"a late reply", func(r *LoadResult) { r.Taken, r.Dropped["stale"] = r.Taken-1, 1 }, "replies lost"},
		{"a slave not served", func(r *LoadResult) { r.Rounds[20].Served-- }, "every slave served"},
		{"a wrong delta", func(r *LoadResult) { r.Rounds[20].Wrong++ }, "deltas"},
		{"a strange entry", func(r *LoadResult) { r.Rounds[20].Strange++ }, "deltas"},
		{"too dear", func(r *LoadResult) { r.Master.CPU = 25.1 }, "master's processor"},
		{"too large", func(r *LoadResult) { r.Master.Memory = 64.1 }, "master's memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := good()
			test.meddle(r)
			r.conclude(0, 4, 10)
			r.check()
			for _, c := range r.Checks {
				if c.OK == (c.Name == test.failed) {
					t.Errorf("%s: got %s, want %s: %v", c.Name, c.Got, c.Want, c.OK)
				}
			}
		})
	}
	late := good()
	late.conclude(0, 10, 15)
	late.check()
	if passed(late.Checks) {
		t.Error("a burst that took eleven rounds passed")
	}
}
