package sim

import (
	"time"

	"meantime/netproto"
)

// sieges are scenarios with somebody hostile, or a stranger, on the wire.
func sieges() []Scenario {
	return []Scenario{
		{
			Name: "hostile-flood", About: "an outsider sends all that he can think of, while a host joins, and the master dies and comes back",
			Build: keyed(5, 4*time.Minute, "attack@0s~200/s,kill:master@2m+30s", func(p *Plan) {
				m := &p.Members[4]
				m.Start, m.Offset, m.Frequency = 100*time.Second, 100*time.Hour, 300e-6
			}),
			Limits: afterwards(6),
		},
		{
			Name: "recorder", About: "all packets since the beginning come again, while every host starts anew, with its state and without",
			Build:  keyed(5, 7*time.Minute, "kill:all@3m+2s,wipe:all@5m+2s,replay@3m~300/s", nil),
			Limits: afterwards(25).but(func(l *Limits) { l.Rate, l.Turn = 0, 0 }), // two LANs, one after the other
		},
		{
			Name: "two-groups", About: "two LANs of three on one wire, with a key each: each does what it does alone", Limits: ordinary,
			Build: keyed(6, short, "", func(p *Plan) { p.stray(netproto.GroupID("another"), 3, 4, 5) }),
		},
		{
			Name: "other-key", About: "one host of five has a key of its own: the others do what they do without it", Limits: ordinary,
			Build: keyed(5, short, "", func(p *Plan) { p.stray(p.Node.Group, 4) }),
		},
		{
			Name: "delayer", About: "what is sent to one host comes 200 µs late: it is off by half of that, and its bound says so",
			Build: keyed(5, 6*time.Minute, "delay:1@2m+2m~200us", nil),
			// A run is looked at each second, anywhere in its rounds since they follow LAN time's second: a line that is still turning has
			// gone wrong for longest right before a poll. At other instants 130 µs were enough.
			Limits: ordinary.but(func(l *Limits) {
				l.Max, l.Scatter, l.Rate, l.Turn = 150*time.Microsecond, 50*time.Microsecond, 1.5, 1.5
			}),
		},
	}
}

// keyed is an ordinary LAN with a key, that faults befall, and whose plan may be changed after it was drawn.
func keyed(n int, length time.Duration, faults string, change func(p *Plan)) func(uint64) Plan {
	build := with(n, length, faults)
	return func(seed uint64) Plan {
		p := build(seed)
		p.Node.Ring = drawRing(p.Node.Group, seed, 1)
		if change != nil {
			change(&p)
		}
		return p
	}
}

// stray gives members a group and a key of their own.
func (p *Plan) stray(group uint32, members ...int) {
	ring := drawRing(group, p.Seed, 2)
	for _, i := range members {
		p.Members[i].Ring = ring
	}
}
