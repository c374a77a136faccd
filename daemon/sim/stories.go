package sim

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"meantime/daemon/node"
)

// healed are those limits where the LAN was parted for a minute, so that the clocks were a while on their own.
func healed(polls float64) Limits { return parted.but(func(l *Limits) { l.Polls = polls }) }

// afterwards are the limits of a LAN that something befell: one master within so many polls of the end, and the ordinary limits.
func afterwards(polls float64) Limits { return ordinary.but(func(l *Limits) { l.Polls = polls }) }

// happenings are what happens to masters and members.
func happenings() []Scenario {
	return slices.Concat(offices(), partings(), comings(), lengths())
}

// offices are what befalls masters.
func offices() []Scenario {
	return []Scenario{
		{
			Name: "master-dies", About: "the master is killed; another takes over", Limits: afterwards(4),
			Build: with(5, 4*time.Minute, "kill:master@2m"),
		},
		{
			Name: "master-stops", About: "the master is stopped cleanly and hands over", Limits: afterwards(2),
			Build: with(5, 4*time.Minute, "stop:master@2m"),
		},
		{
			Name: "masters-die", About: "one master after the other is killed, till two of five hosts are left", Limits: afterwards(6),
			Build: with(5, 5*time.Minute, "kill:master@2m,kill:master@130s,kill:master@140s"),
		},
		{
			Name: "master-pauses", About: "the master's process is stopped for 20 s and comes back to a LAN with another", Limits: afterwards(3),
			Build: with(5, 5*time.Minute, "freeze:master@2m+20s"),
		},
		{
			Name: "master-returns", About: "the master is stopped for 10 s; its successor dies a second before it is back", Limits: afterwards(8),
			Build: with(5, 4*time.Minute, "freeze:master@2m+10s,kill:master@129s"),
		},
		{
			Name: "master-blinks", About: "the master's process is stopped for 1.5 s at a time, again and again", Limits: afterwards(4),
			Build: with(5, 4*time.Minute, "freeze:master@2m+1500ms,freeze:master@125s+2500ms,freeze:master@131s+3500ms"),
		},
		{
			Name: "master-restarts", About: "the master is killed and back after half a second", Limits: afterwards(5),
			Build: with(5, 4*time.Minute, "kill:master@2m+500ms"),
		},
		{
			Name: "master-stutters", About: "the master's machine stops for 10 ms each second, clock and all: the majority puts it out of office",
			Build: with(5, 8*time.Minute, stutters(10)), Limits: afterwards(12).but(away),
		},
		{
			Name: "fixed-master", About: "one host is to be master whenever it is there; it is killed and comes back", Limits: afterwards(12),
			Build: changed(5, short, func(p *Plan) {
				p.Members[2].Role = node.RoleMaster
				p.Faults = []Fault{{Kind: Kill, Hosts: []int{2}, At: 2 * time.Minute, For: 30 * time.Second}}
			}),
		},
		{
			Name: "rolling-restart", About: "every host is stopped for 5 s, one after the other", Limits: afterwards(8),
			Build: rolling(5),
		},
	}
}

// partings are hosts that lose each other.
func partings() []Scenario {
	return []Scenario{
		{
			Name: "two-masters", About: "a LAN of five is cut into two and three for a minute, and heals", Limits: healed(2),
			Build: with(5, 5*time.Minute, "partition:0.1@2m+1m"),
		},
		{
			Name: "halves", About: "a LAN of six is cut in halves for a minute, and heals", Limits: healed(2),
			Build: with(6, 5*time.Minute, "partition:0.1.2@2m+1m"),
		},
		{
			Name: "two-apart", About: "two hosts lose each other for a minute", Limits: healed(2).but(func(l *Limits) { l.Turn = 2 }),
			Build: with(2, 5*time.Minute, "cut:0@2m+1m"),
		},
		{
			Name: "two-part", About: "of two hosts, one's clock is stepped by 20 ms, then the master's", Limits: ordinary.but(away),
			Build: with(2, 8*time.Minute, "step:0@2m~20ms,step:master@4m~20ms"),
		},
		{
			Name: "flapping-link", About: "a host's cable is out for 3 s and in for 3 s, for a minute", Limits: healed(12),
			Build: with(5, 5*time.Minute, "flap:2@2m+1m~3s"),
		},
		{
			Name: "flapping-master", About: "the same with the master's cable", Limits: healed(12),
			Build: with(5, 5*time.Minute, "flap:master@2m+1m~3s"),
		},
		{
			Name: "one-way", About: "for half a minute each, one host hears nothing, and another is heard by nobody", Limits: healed(8),
			Build: with(5, 6*time.Minute, "deaf:1@2m+30s,mute:2@3m+30s"),
		},
		{
			Name: "one-way-master", About: "for half a minute each, the master hears nothing, and the master is heard by nobody",
			Build: with(5, 6*time.Minute, "deaf:master@2m+30s,mute:master@3m+30s"), Limits: healed(8),
		},
		{
			Name: "lossy-spell", About: "half of all datagrams are lost for half a minute", Limits: healed(8),
			Build: with(5, short, "lossy@2m+30s~50%"),
		},
	}
}

// comings are hosts that come and come back.
func comings() []Scenario {
	return []Scenario{
		{
			Name: "cold-start", About: "eight hosts come within three seconds, their clocks within half an hour", Limits: ordinary,
			Build: changed(8, 3*time.Minute, func(p *Plan) {
				rng := rand.New(rand.NewPCG(p.Seed, streamPlan+1))
				for i := range p.Members {
					p.Members[i].Start = time.Duration(rng.Float64() * float64(3*time.Second))
					p.Members[i].Offset *= 30
				}
			}),
		},
		{
			Name: "late-joiner", About: "a host whose clock is 100 hours off and 300 ppm fast joins four", Limits: afterwards(6),
			Build: changed(5, short, func(p *Plan) {
				m := &p.Members[4]
				m.Start, m.Offset, m.Frequency = 2*time.Minute, 100*time.Hour, 300e-6
			}),
		},
		{
			Name: "power-cut", About: "all hosts lose power for 5 s and come back 30 s off each other", Limits: afterwards(25),
			Build: with(5, 5*time.Minute, "power:all@2m+5s~30s"),
		},
		{
			Name: "lost-disk", About: "a host loses its state, and then the master does", Limits: afterwards(12),
			Build: with(5, 5*time.Minute, "wipe:1@2m+3s,wipe:master@150s+3s"),
		},
		{
			Name: "vm-pause", About: "a virtual machine stops for 2 s, clock and all, and then the master's for 10 ms",
			Limits: afterwards(12).but(away),
			Build:  with(5, 8*time.Minute, "vmpause:1@2m+40ms,vmpause:master@3m+10ms"),
		},
		{
			Name: "suspend", About: "a laptop sleeps for a minute and wakes with its clock right to 20 ms",
			Limits: afterwards(12).but(away),
			Build:  with(5, 8*time.Minute, "suspend:1@2m+1m~20ms"),
		},
	}
}

// lengths are longer runs, and anything at all.
func lengths() []Scenario {
	return []Scenario{
		{
			Name: "slow-polls", About: "a poll each 16 s; the master dies", Limits: slow(),
			Build: altered(5, time.Hour, func(o *Options) {
				o.Poll = 16 * time.Second
				o.Faults = []Fault{{Kind: Kill, Hosts: []int{Master}, At: 30 * time.Minute}}
			}),
		},
		{
			Name: "adaptive-polls", About: "polls become rarer, up to one each 8 s, while nothing is the matter; the master dies",
			Limits: slow().but(func(l *Limits) { l.Sync, l.Polls, l.Settle = 20*time.Second, 30, time.Minute }),
			Build: altered(5, 15*time.Minute, func(o *Options) {
				o.PollMax = 8 * time.Second
				o.Faults = []Fault{{Kind: Kill, Hosts: []int{Master}, At: 12 * time.Minute}}
			}),
		},
		{
			Name: "founder", About: "one host founds, seven join; after five hours LAN time has the rate of all eight", Limits: founder(),
			Build: joiners,
		},
		{
			Name: "swarm", About: "anything at all: LAN, links and faults are drawn from the seed", Limits: Limits{Polls: 60},
			Build: func(seed uint64) Plan { return Draw(seed, Bounds{}) },
		},
	}
}

func slow() Limits {
	return Limits{
		Sync: 5 * time.Minute, Max: 60 * time.Microsecond, Scatter: 10 * time.Microsecond, Rate: 0.5, Polls: 5, Settle: 5 * time.Minute,
	}
}

// founder are the limits of joiners. The wander of eight oscillators in five hours is within the tenth of a ppm; with a poll each 8 s rate
// centring goes 1/450 of its way at a time, which for oscillators of ±50 ppm is up to 0.2 ppm.
func founder() Limits {
	return Limits{Polls: 20, Max: 60 * time.Microsecond, Scatter: 10 * time.Microsecond, Rate: 0.1, Turn: 0.3}
}

// joiners draws one host that founds and seven that join, ten minutes apart; then five time constants of rate centring pass. Polls are
// slow, or the scenario would take as long as all others together.
func joiners(seed uint64) Plan {
	o := Default()
	o.Seed, o.Nodes, o.Poll, o.For = seed, 8, 8*time.Second, 70*time.Minute+5*time.Hour
	p := o.Plan()
	for i := range p.Members {
		p.Members[i].Start = time.Duration(i) * 10 * time.Minute
	}
	return p
}

// stutters pauses the machine of who is master at two minutes for 10 ms, so many times, a second apart.
func stutters(times int) string {
	faults := []string{"vmpause:master@2m+10ms"}
	for i := 1; i < times; i++ {
		faults = append(faults, "vmpause:master@"+strconv.Itoa(120+i)+"s+10ms")
	}
	return strings.Join(faults, ",")
}

// rolling stops every host of n for 5 s, 20 s apart, after two minutes.
func rolling(n int) func(uint64) Plan {
	var faults []string
	for i := range n {
		faults = append(faults, "stop:"+strconv.Itoa(i)+"@"+strconv.Itoa(120+20*i)+"s+5s")
	}
	return with(n, 6*time.Minute, strings.Join(faults, ","))
}
