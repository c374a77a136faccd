package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// DemoOptions say what a demo shows.
type DemoOptions struct {
	Began time.Time     // what the clocks' offsets are from; the host's clock at that instant
	Seed  uint64        // of clocks, wander and loss
	For   time.Duration // how long it runs
	Loss  float64       // fraction of datagrams lost by each receiver
	Elect bool          // the nodes elect their master; else the first one stands at once
	Kill  time.Duration // when whoever is master then ends without a word; 0 = never
	Clock []DemoClock   // one for each node
}

// DemoClock is how one node's virtual clock starts.
type DemoClock struct {
	Offset    time.Duration // from the host's clock
	Frequency float64       // fractional error of its oscillator
	Wander    float64       // its random walk, fractional per square root of a second
}

// DriftClocks draws n clocks that start within ±5 minutes and run within ±50 ppm of the host's.
func DriftClocks(n int, seed uint64) []DemoClock {
	const apart, ppm, wander = 5 * time.Minute, 50e-6, 0.005e-6
	rng := rand.New(rand.NewPCG(seed, 0))
	clocks := make([]DemoClock, n)
	for i := range clocks {
		clocks[i] = DemoClock{
			Offset:    time.Duration((2*rng.Float64() - 1) * float64(apart)).Round(time.Millisecond),
			Frequency: (2*rng.Float64() - 1) * ppm, Wander: wander,
		}
	}
	return clocks
}

// RecordClocks are the example that Gusella and Zatti's algorithm is taught by: three clocks at 3:00 (the master's), 3:25 and
// 2:50 of the day (UTC), whose mean is 3:05.
func RecordClocks(now time.Time) []DemoClock {
	three := now.UTC().Truncate(24 * time.Hour).Add(3 * time.Hour)
	var clocks []DemoClock
	for _, shows := range []time.Duration{0, 25 * time.Minute, -10 * time.Minute} {
		clocks = append(clocks, DemoClock{Offset: three.Add(shows).Sub(now)})
	}
	return clocks
}

// DemoNode is one node of a demo at an instant.
type DemoNode struct {
	Offset  time.Duration // true: its clock minus the host's
	Master  bool          // it is in office
	Killed  bool          // it has ended; its clock goes on as it was steered last
	Started time.Time     // what its clock showed at DemoOptions.Began
	Founded time.Duration // delta of its first synchronisation
	Status  node.Status
}

// DemoView is a demo at an instant.
type DemoView struct {
	At    time.Duration // since the start
	Apart time.Duration // largest minus smallest true offset, killed nodes left out
	Nodes []DemoNode
}

// Master is the index of the node in office, −1 where there is none. Of two, it is the one with the higher term.
func (v DemoView) Master() int {
	master := -1
	for i, n := range v.Nodes {
		if n.Master && (master < 0 || n.Status.Term > v.Nodes[master].Status.Term) {
			master = i
		}
	}
	return master
}

// DemoLimit is the disagreement below which a demo has converged.
const DemoLimit = time.Millisecond

// DemoResult is what a demo came to.
type DemoResult struct {
	Before    time.Duration // disagreement at the start
	After     time.Duration // median disagreement at the end
	Over      time.Duration // of so long: five seconds, or less if it converged later
	Within    time.Duration // when it fell below DemoLimit for good; negative if it did not
	Packets   uint64        // sent by all nodes
	Dropped   uint64        // received but not used, the nodes' own multicast aside
	Unicast   bool          // this OS refuses multicast on loopback, so the nodes talked by unicast
	Killed    int           // number of the node that was killed, from 1; 0 = none was
	Takeover  float64       // poll intervals from its last poll to the first of the next master; negative: nobody followed
	Last      DemoView
	Converged bool
}

// demoEvery is how often a demo is looked at.
const demoEvery = 250 * time.Millisecond

// Demo runs a LAN of real nodes with virtual clocks on loopback, shows it to report now and then, and ends by itself.
func Demo(ctx context.Context, o DemoOptions, log *slog.Logger, report func(DemoView)) (DemoResult, error) {
	l := &demoLAN{options: o, log: log, started: time.Now()}
	if err := l.open(); err != nil {
		return DemoResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.For)
	defer cancel()
	ended, killed := make(chan error, len(l.drivers)), make(chan struct{})
	l.kill.ended = killed
	for i, d := range l.drivers {
		go func() {
			err := d.run(ctx)
			if l.kill.struck(i) {
				err = nil
				close(killed)
			}
			if err != nil {
				cancel()
			}
			ended <- err
		}()
	}
	views := l.look(ctx, report)
	var err error
	for range l.drivers {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return DemoResult{}, err
	}
	return l.result(views), nil
}

// demoLAN is a demo under way.
type demoLAN struct {
	options DemoOptions
	log     *slog.Logger
	started time.Time
	truth   sysclock.Reading // the host's clocks at the start
	drivers []*driver
	clocks  []*sysclock.Virtual
	founded []time.Duration
	unicast bool
	kill    demoKill
}

// open makes the nodes with their sockets and clocks.
func (l *demoLAN) open() (err error) {
	var links []*udp.Conn
	defer func() {
		if err != nil {
			for _, c := range links {
				_ = c.Close()
			}
		}
	}()
	iface, err := loopback()
	if err != nil {
		return err
	}
	for range l.options.Clock {
		c, err := udp.Listen(udp.Config{Group: configs.Default().Address, Interfaces: []string{iface.Name}})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNetwork, err)
		}
		links = append(links, c)
	}
	if l.truth, err = sysclock.HostClock().Read(); err != nil {
		return err
	}
	l.unicast = refusesGroup(links[0])
	l.founded = make([]time.Duration, len(links))
	group := netproto.GroupID(fmt.Sprintf("demo %x", random64()))
	for i, c := range links {
		if err := l.add(i, group, l.wrap(i, c, links, iface.Index)); err != nil {
			return err
		}
	}
	return nil
}

// add makes one node.
func (l *demoLAN) add(i int, group uint32, c link) error {
	clock := l.options.Clock[i]
	v := sysclock.NewVirtual(sysclock.VirtualConfig{
		Offset: int64(clock.Offset), Frequency: clock.Frequency, Wander: clock.Wander,
		Rand: rand.New(rand.NewPCG(l.options.Seed, uint64(i)+1)),
	}, sysclock.HostClock())
	cfg := configs.Default()
	cfg.DryRun = true
	if i == 0 && !l.options.Elect {
		cfg.Role = configs.RoleMaster
	}
	n := nodeConfig(cfg, &state{id: newID(), boot: "demo"}, v)
	n.Group = group
	d, err := begin(n, v, c, l.log.With("node", i+1))
	if err != nil {
		return err
	}
	d.watch = func(e node.Effect) {
		switch e := e.(type) {
		case node.Step:
			if l.founded[i] == 0 {
				l.founded[i] = time.Duration(e.Delta)
			}
		case *node.Send:
			if h, _, err := netproto.Inspect(e.Data); err == nil && h.Kind == netproto.KindPoll {
				l.kill.polled(i, time.Since(l.started))
			}
		}
	}
	l.drivers, l.clocks = append(l.drivers, d), append(l.clocks, v)
	return nil
}

// look samples all clocks until ctx ends.
func (l *demoLAN) look(ctx context.Context, report func(DemoView)) []DemoView {
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	var views []DemoView
	for {
		v, ok := l.view(ctx)
		if !ok {
			return views
		}
		views = append(views, v)
		if report != nil {
			report(v)
		}
		if k := l.options.Kill; k > 0 && v.At >= k && l.kill.victim() == 0 && v.Master() >= 0 {
			l.strike(ctx, v.Master())
		}
		select {
		case <-ctx.Done():
			return views
		case <-tick.C:
		}
	}
}

// view samples all clocks once. Each is read at its own instant, together with the host's clock, so its offset is exact.
func (l *demoLAN) view(ctx context.Context) (DemoView, bool) {
	v := DemoView{At: time.Since(l.started)}
	var offsets []time.Duration
	for i, d := range l.drivers {
		var n DemoNode
		if l.kill.struck(i) {
			n = l.see(i) // its driver has ended
			n.Killed, n.Master = true, false
		} else if !d.ask(ctx, func() { n = l.see(i) }) {
			return v, false
		}
		v.Nodes = append(v.Nodes, n)
		if !n.Killed {
			offsets = append(offsets, n.Offset)
		}
	}
	v.Apart = slices.Max(offsets) - slices.Min(offsets)
	return v, true
}

// see looks at one node. It is called where its driver runs.
func (l *demoLAN) see(i int) DemoNode {
	n := DemoNode{Started: l.options.Began.Add(l.options.Clock[i].Offset).UTC(), Status: l.drivers[i].status(), Founded: l.founded[i]}
	switch n.Status.State {
	case node.StateGathering, node.StateKeeping, node.StateHolding:
		n.Master = true
	}
	if _, err := l.clocks[i].Read(); err == nil {
		host, wall := l.clocks[i].Pair()
		n.Offset = time.Duration((wall - l.truth.Wall) - (host.Raw - l.truth.Raw))
	}
	return n
}

// result sums the demo up.
func (l *demoLAN) result(views []DemoView) DemoResult {
	r := DemoResult{Within: -1, Unicast: l.unicast}
	r.Killed, r.Takeover = l.kill.victim(), l.kill.polls()
	if len(views) == 0 {
		return r
	}
	r.Before, r.Last = views[0].Apart, views[len(views)-1]
	for _, v := range views {
		if v.Apart >= DemoLimit {
			r.Within, r.Converged = -1, false
		} else if !r.Converged {
			r.Within, r.Converged = v.At, true
		}
	}
	if r.Over = 5 * time.Second; r.Converged {
		r.Over = min(r.Over, r.Last.At-r.Within)
	}
	var late []time.Duration
	for _, v := range views {
		if r.Last.At-v.At <= r.Over {
			late = append(late, v.Apart)
		}
	}
	slices.Sort(late)
	r.After = late[len(late)/2]
	for _, n := range r.Last.Nodes {
		r.Packets += n.Status.Traffic.Sent
		r.Dropped += n.Status.Drops.Total() - n.Status.Drops[node.DropOwn]
	}
	return r
}

// loopback finds the loopback interface, whatever this system calls it.
func loopback() (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	for i := range all {
		if all[i].Flags&net.FlagLoopback != 0 && all[i].Flags&net.FlagUp != 0 {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("%w: no loopback interface is up (try: ip link set lo up)", ErrNetwork)
}
