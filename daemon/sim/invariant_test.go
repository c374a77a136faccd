package sim

import (
	"maps"
	"slices"
	"testing"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// retermed returns a packet under another term, if it is one that a master sends.
func retermed(data []byte, change func(uint64) uint64) []byte {
	h, body, err := netproto.Open(data)
	if err != nil {
		return data
	}
	h.Term = change(h.Term)
	switch h.Kind {
	case netproto.KindPoll:
		if p, err := netproto.ParsePoll(body); err == nil {
			return p.Append(nil, h)
		}
	case netproto.KindAck:
		if p, err := netproto.ParseAck(body); err == nil {
			return p.Append(nil, h)
		}
	case netproto.KindAdjust:
		if p, err := netproto.ParseAdjust(body, nil); err == nil {
			return p.Append(nil, h)
		}
	}
	return data
}

// misled are LANs that go wrong as a whole.
func misled() map[string]func() (Plan, Limits) {
	return map[string]func() (Plan, Limits){
		Recovery: func() (Plan, Limits) { // a partition that nobody mends
			p := lan(1, 4, 300*time.Second)
			p.Faults = []Fault{{Kind: Partition, Hosts: []int{0, 1}, At: 100 * time.Second}}
			return p, Limits{Polls: 10}
		},
		Agreement: func() (Plan, Limits) { // a clock that does not do what it is told
			p := minutes(1, 40, -35, 15, -20)
			p.Members[1].Meddle = func(effects []node.Effect) []node.Effect {
				return slices.DeleteFunc(effects, func(e node.Effect) bool { _, is := e.(*node.Steer); return is })
			}
			return p, Limits{Max: 100 * time.Microsecond, Settle: time.Minute}
		},
		Continuity: func() (Plan, Limits) { // all steer 5 ppm too fast from some time on
			p := minutes(1, 40, -35, 15, -20)
			p.For = 300 * time.Second
			for i := range p.Members {
				calls := 0
				p.Members[i].Meddle = func(effects []node.Effect) []node.Effect {
					calls++
					for j, e := range effects {
						if s, is := e.(*node.Steer); is && calls > 1500 {
							s.Frequency += 5e-6
							effects[j] = s
						}
					}
					return effects
				}
			}
			return p, Limits{Turn: 0.1}
		},
	}
}

// faulty are plans and limits that must go red, by the invariant that must see it. Every checker is shown to work.
func faulty() map[string]func() (Plan, Limits) {
	quiet := func() Plan { return minutes(1, 40, -35, 15, -20) }
	return map[string]func() (Plan, Limits){
		OneMaster: func() (Plan, Limits) { // slaves that ignore terms, and a master that goes back to an old one
			p := quiet()
			polls := 0
			p.Members[0].Mangle = func(data []byte) []byte {
				if polls++; polls < 2000 {
					return data
				}
				return retermed(data, func(term uint64) uint64 { return term - 1 })
			}
			for i := range p.Members[1:] {
				p.Members[i+1].Hear = func(data []byte) []byte { return retermed(data, func(uint64) uint64 { return 1 }) }
			}
			return p, Limits{}
		},
		NoStep: func() (Plan, Limits) {
			p := quiet()
			p.Members[1].Meddle = addOnce(200, node.Step{Delta: 1000})
			return p, Limits{}
		},
		RateLimit: func() (Plan, Limits) {
			p := quiet()
			p.Members[1].Meddle = addOnce(200, &node.Steer{Phase: 1e7, MaxSlew: 0.01})
			return p, Limits{}
		},
		Refusal: func() (Plan, Limits) { return quiet(), Limits{Refuses: true} },
		Limit:   func() (Plan, Limits) { return quiet(), Limits{Sync: time.Second} },
	}
}

// addOnce adds an effect after so many calls.
func addOnce(calls int, e node.Effect) func([]node.Effect) []node.Effect {
	return func(effects []node.Effect) []node.Effect {
		if calls--; calls == 0 {
			effects = append(slices.Clone(effects), e)
		}
		return effects
	}
}

func TestPlantedFaultsAreSeen(t *testing.T) {
	all := faulty()
	maps.Copy(all, misled())
	for invariant, build := range all {
		t.Run(invariant, func(t *testing.T) {
			plan, limits := build()
			plan.For = min(plan.For, 300*time.Second)
			report, err := RunPlan(plan, limits, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(report.Violations, func(v Violation) bool { return v.Invariant == invariant }) {
				t.Errorf("not seen; violations: %v", report.Violations)
			}
		})
	}
}

// A clock that goes back behind everybody's back.
func TestGoingBackIsSeen(t *testing.T) {
	w := start(t, minutes(1, 40, -35, 15))
	run(t, w, 60*time.Second)
	if err := w.Hosts()[1].Clock.Step(-int64(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := w.Run(62 * time.Second); err != nil {
		t.Fatal(err)
	}
	if v := w.Violations(); len(v) == 0 || v[0].Invariant != Monotone || v[0].Host != 1 {
		t.Errorf("violations %v, want %s of host 1", v, Monotone)
	}
}

// Lies that move LAN time are seen: here of a majority, against which nothing can be done.
func TestLyingMajorityIsSeen(t *testing.T) {
	s := Scenario{Paired: true, Build: func(seed uint64) Plan {
		return liarsAmong(seed, 4, 3, Lie{Kind: Fixed, Amount: time.Millisecond})
	}}
	report, err := s.Run(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Violations, func(v Violation) bool { return v.Invariant == Liars }) {
		t.Errorf("three liars of four move LAN time, and nobody sees it: %v", report.Violations)
	}
}

// The same seed gives the same run to the last bit, whoever looks on; another gives another.
func TestSameSeedSameTrace(t *testing.T) {
	hash := func(seed uint64, observe func(Point)) uint64 {
		report, err := RunPlan(Draw(seed, Bounds{}), Limits{}, observe)
		if err != nil {
			t.Fatal(err)
		}
		return report.TraceHash
	}
	seen := map[uint64]uint64{}
	for seed := range uint64(4) {
		one, again := hash(seed, nil), hash(seed, func(Point) {})
		if one != again {
			t.Errorf("seed %d gave two traces: %x and %x", seed, one, again)
		}
		if other, ok := seen[one]; ok {
			t.Errorf("seeds %d and %d gave one trace: nothing is drawn from the seed", other, seed)
		}
		seen[one] = seed
	}
}

// The written trace is as repeatable as its hash, and writing it changes nothing.
func TestWrittenTrace(t *testing.T) {
	trace := func() (lines []string, hash uint64) {
		p := lan(3, 3, 20*time.Second)
		w, err := New(p, func(line string) { lines = append(lines, line) })
		if err != nil {
			t.Fatal(err)
		}
		run(t, w, p.For)
		return lines, w.TraceHash()
	}
	a, hashA := trace()
	b, hashB := trace()
	if !slices.Equal(a, b) || hashA != hashB {
		t.Error("two runs of one seed were written differently")
	}
	silent := start(t, lan(3, 3, 20*time.Second))
	run(t, silent, 20*time.Second)
	if silent.TraceHash() != hashA {
		t.Error("writing the trace changed the run")
	}
	if len(a) < 500 {
		t.Errorf("%d lines of trace in 20 s of three nodes", len(a))
	}
}
