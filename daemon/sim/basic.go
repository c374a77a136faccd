package sim

import (
	"slices"
	"time"
)

// Scenarios lists all scenarios: the basic ones of chrony's simulation suite as far as they mean something on a LAN without
// reference, then this product's own.
func Scenarios() []Scenario {
	return slices.Concat(basic(), happenings(), falsehoods(), sieges(), dates())
}

// lan draws an ordinary LAN: n hosts within ±50 ppm and a minute of each other, on a switch.
func lan(seed uint64, n int, length time.Duration) Plan {
	o := Default()
	o.Seed, o.Nodes, o.For = seed, n, length
	return o.Plan()
}

// altered is an ordinary LAN, altered.
func altered(n int, length time.Duration, alter func(o *Options)) func(uint64) Plan {
	return func(seed uint64) Plan {
		o := Default()
		o.Seed, o.Nodes, o.For = seed, n, length
		alter(&o)
		return o.Plan()
	}
}

// changed is an ordinary LAN whose plan is changed after it was drawn.
func changed(n int, length time.Duration, change func(p *Plan)) func(uint64) Plan {
	return func(seed uint64) Plan {
		p := lan(seed, n, length)
		change(&p)
		return p
	}
}

// with is an ordinary LAN that faults befall, written as ParseFaults reads them. A list that cannot be read is a programmer's error.
func with(n int, length time.Duration, faults string) func(uint64) Plan {
	list, err := ParseFaults(faults)
	if err != nil {
		panic(err)
	}
	return changed(n, length, func(p *Plan) { p.Faults = list })
}

// short is how long most scenarios are: a founding, a full fit, a fault and its end.
const short = 5 * time.Minute

// Limits of an ordinary LAN of 10 µs of jitter. Seen over a thousand seeds, and half as much again to spare.
var ordinary = Limits{
	Sync: 20 * time.Second, Max: 30 * time.Microsecond, Scatter: 5 * time.Microsecond, Rate: 0.5, Turn: 0.1, Polls: 20,
	Settle: time.Minute, Beyond: time.Second, // one look
}

// parted are the limits where clocks were on their own for a while: 2 ppm of error in a fit come to 40 µs in 20 s, and what that
// takes to be slewed off shows in the rates.
var parted = ordinary.but(func(l *Limits) {
	l.Max, l.Scatter, l.Rate, l.Turn = 200*time.Microsecond, 40*time.Microsecond, 1.5, 0.5
})

// away alters limits where a clock has to be slewed for a while: it does not count meanwhile, so what the LAN's rate should be is less
// certain.
func away(l *Limits) { l.Settle, l.Rate = 3*time.Minute, 3 }

// but alters limits.
func (l Limits) but(alter func(l *Limits)) Limits {
	alter(&l)
	return l
}

// basic are chrony's test/simulation 001 to 015. Left out are 008 (NTP's era), 013 (name service) and 015 (IPv6: an address is only
// something to answer to, another family would change nothing here). 009 is among falsehoods.
func basic() []Scenario { return slices.Concat(clocks(), networks()) }

// clocks are the basic scenarios of clocks.
func clocks() []Scenario {
	return []Scenario{
		{
			Name: "defaults", About: "five ordinary hosts; nothing happens",
			Build: altered(5, short, func(*Options) {}), Limits: ordinary,
		},
		{
			Name: "large-network", About: "sixty hosts", Limits: ordinary,
			Build: altered(60, 3*time.Minute, func(*Options) {}),
		},
		{
			Name: "large-frequency", About: "one of five oscillators is 400 ppm off, more than the clamp of rate centring believes",
			Build:  changed(5, short, func(p *Plan) { p.Members[1].Frequency = 400e-6 }),
			Limits: ordinary.but(func(l *Limits) { l.Rate = 60 }),
		},
		{
			Name: "large-offset", About: "clocks within 20 minutes of each other, one of five 100 days off", Limits: ordinary,
			Build: changed(5, short, func(p *Plan) {
				for i := range p.Members {
					p.Members[i].Offset *= 20
				}
				p.Members[1].Offset = -100 * 24 * time.Hour
			}),
		},
		{
			Name: "external-step", About: "another program steps one clock, then the master's, by 20 ms; they are slewed back",
			Build:  with(5, 8*time.Minute, "step:1@2m~20ms,step:master@4m~-20ms"),
			Limits: ordinary.but(away),
		},
		{
			Name: "large-wander", About: "oscillators walk by 0.1 ppm per square root of a second, a hundred times an ordinary crystal's",
			Build:  altered(5, short, func(o *Options) { o.Wander = 0.1 }),
			Limits: ordinary.but(func(l *Limits) { l.Max, l.Scatter, l.Rate, l.Turn = 60*time.Microsecond, 10*time.Microsecond, 5, 1 }),
		},
		{
			Name: "temperature", About: "oscillators swing by 2 ppm within ten minutes, each at its own time",
			Build: altered(5, 15*time.Minute, func(o *Options) { o.Temperature, o.Period = 2, 10*time.Minute }),
			Limits: ordinary.but(func(l *Limits) {
				l.Max, l.Scatter, l.Rate = 200*time.Microsecond, 50*time.Microsecond, 3
			}),
		},
	}
}

// networks are those of networks.
func networks() []Scenario {
	return []Scenario{
		{
			Name: "large-jitter", About: "each packet is delayed by 1 ms on average, exponentially, as on a busy radio link",
			Build: altered(5, 10*time.Minute, func(o *Options) { o.Jitter = time.Millisecond }),
			Limits: ordinary.but(func(l *Limits) {
				l.Max, l.Scatter, l.Rate, l.Turn = 1500*time.Microsecond, 150*time.Microsecond, 12, 10
			}),
		},
		{
			Name: "asymmetric-jitter", About: "two of five hosts send through a queue of 300 µs on average",
			Build: changed(5, short, func(p *Plan) {
				slow := p.Link
				slow.Delay.Spread = 300 * time.Microsecond
				p.Routes = []Route{{0, All, slow}, {1, All, slow}}
			}),
			Limits: ordinary.but(func(l *Limits) { l.Max, l.Scatter, l.Rate, l.Turn = 300*time.Microsecond, 50*time.Microsecond, 10, 1 }),
		},
		{
			Name: "asymmetry", About: "one direction of every pair is 100 µs longer: nobody can see that, it shows as half of it",
			Build:  altered(5, short, func(o *Options) { o.Asymmetry = 100 * time.Microsecond }),
			Limits: ordinary.but(func(l *Limits) { l.Max, l.Scatter = 130*time.Microsecond, 60*time.Microsecond }),
		},
		{
			Name: "multiple-receive", About: "every packet comes four times", Limits: ordinary,
			Build: changed(5, short, func(p *Plan) { p.Link.Copies = 3 }),
		},
		{
			Name: "disorder", About: "packets come twice (20 %) and out of order (20 %)",
			Build: altered(5, short, func(o *Options) { o.Duplicate, o.Reorder = 0.2, 0.2 }), Limits: ordinary,
		},
		{
			Name: "heavy-loss", About: "a fifth of all datagrams are lost, in either direction",
			Build:  altered(5, short, func(o *Options) { o.Loss = 0.2 }),
			Limits: Limits{Sync: time.Minute, Max: 150 * time.Microsecond, Scatter: 20 * time.Microsecond, Rate: 1, Polls: 20},
		},
		{
			Name: "user-stamps", About: "no kernel stamps packets; user space does, 29 µs late on average and as unevenly",
			Build:  altered(5, short, func(o *Options) { o.UserStamps = true }),
			Limits: ordinary.but(func(l *Limits) { l.Max, l.Scatter = 120*time.Microsecond, 30*time.Microsecond }),
		},
		{
			Name: "intermittent", About: "the switch is dead for 20 s, twice; everybody is alone meanwhile",
			Build: with(5, 6*time.Minute, "cut:all@2m+20s,cut:all@3m+20s"), Limits: parted,
		},
	}
}
