package sim

import (
	"math/rand/v2"
	"time"

	"meantime/daemon/node"
)

// liesBegin is when liars begin to lie: the founding's mean is the classic one, over whoever lies within max_skew, and knows no
// liars; a full fit later everybody has a past. liesEnd is the end of the run.
const (
	liesBegin = 100 * time.Second
	liesEnd   = 200 * time.Second
)

// falsehoods are scenarios with liars: chrony's 009 and more.
func falsehoods() []Scenario {
	liars := func(name, about string, lie Lie) Scenario {
		return Scenario{
			Name: "liars-" + name, About: about + "; 1 to f of 3f+1 members, n from 4 to 31", Paired: true, Limits: ordinary.but(tolerant),
			Build: func(seed uint64) Plan { return lied(seed, lie) },
		}
	}
	return []Scenario{
		liars("far", "liars claim clocks 10 ms off", Lie{Kind: Fixed, Amount: 10 * time.Millisecond}),
		liars("near", "liars claim clocks 20 µs off, within anybody's tolerance", Lie{Kind: Fixed, Amount: 20 * time.Microsecond}),
		liars("drifting", "liars claim clocks that run off at 100 ppm", Lie{Kind: Drifting, Rate: 100e-6}),
		liars("creeping", "liars claim clocks that run off at 1 ppm", Lie{Kind: Drifting, Rate: 1e-6}),
		liars("scattered", "liars claim clocks within ±50 ms", Lie{Kind: Scattered, Amount: 50 * time.Millisecond}),
		liars("colluding", "liars agree on a clock 100 µs off that runs at 10 ppm", Lie{
			Kind: Colluding, Amount: 100 * time.Microsecond, Rate: 10e-6,
		}),
		liars("rate", "liars claim oscillators 500 ppm off", Lie{Kind: RateOnly, Rate: 500e-6}),
		liars("moving", "liars claim that their fits move them by 100 µs a second", Lie{Kind: Moving, Rate: 100e-6}),
		{
			Name: "too-many-liars", About: "three of five members claim clocks all over the place: nobody is steered, and the log says so",
			Build: func(seed uint64) Plan {
				return liarsAmong(seed, 5, 3, Lie{Kind: Scattered, Amount: 50 * time.Millisecond})
			},
			Limits: Limits{Refuses: true, Polls: 20},
		},
		{
			Name: "tied-liars", About: "two of four members agree on a clock 10 ms off: nobody is steered, and the log says so",
			Build: func(seed uint64) Plan {
				return liarsAmong(seed, 4, 2, Lie{Kind: Colluding, Amount: 10 * time.Millisecond})
			},
			Limits: Limits{Refuses: true, Polls: 20},
		},
		{
			Name: "bad-master", About: "the master sends each member up to 1 ms elsewhere: slewed by the limit, never stepped",
			Build: func(seed uint64) Plan {
				p := lan(seed, 5, liesEnd)
				p.Members[2].Role = node.RoleMaster
				p.Members[2].Lie = Lie{Kind: BadMaster, Amount: time.Millisecond, From: liesBegin}
				return p
			},
			// One lie leaves everybody within 1 ms of the mean. A second one may find a majority at one end and take it 1 ms further, while who
			// was left out at the other end stays where it is: 3 ms, and what clocks without a master part until the run is over.
			Limits: Limits{Sync: 20 * time.Second, Polls: 20, Max: 3500 * time.Microsecond, Contested: 5 * time.Second},
		},
	}
}

func tolerant(l *Limits) {
	l.Max, l.Scatter, l.Rate, l.Turn, l.Settle = time.Millisecond, 200*time.Microsecond, 0, 0, 0
}

// lied draws a LAN of 3f+1 members, f from 1 to 10, of which up to f tell the same kind of lie.
func lied(seed uint64, lie Lie) Plan {
	rng := rand.New(rand.NewPCG(seed, streamPlan+2))
	f := 1 + rng.IntN(10)
	return liarsAmong(seed, 3*f+1, 1+rng.IntN(f), lie)
}

// liarsAmong draws a LAN of n members of which some lie. Liars never hold office: theirs is another scenario.
func liarsAmong(seed uint64, n, liars int, lie Lie) Plan {
	p := lan(seed, n, liesEnd)
	lie.From = liesBegin
	for i := range liars {
		p.Members[n-1-i].Lie, p.Members[n-1-i].Role = lie, node.RoleSlave
	}
	return p
}
