package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto/udp"
)

// needLoopback returns the loopback interface's name, or skips the test where the demo's group cannot be joined there.
func needLoopback(t *testing.T) string {
	t.Helper()
	iface, err := loopback()
	if err != nil {
		skip(t, "loopback", "%v", err)
	}
	c, err := udp.Listen(udp.Config{Group: configs.Default().Address, Interfaces: []string{iface.Name}})
	if err != nil {
		skip(t, "loopback", "multicast on loopback: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return iface.Name
}

// The example of record, on real sockets: 3:00, 3:25 and 2:50 become 3:05.
func TestDemoOfRecord(t *testing.T) {
	t.Parallel()
	needLoopback(t)
	now := time.Now()
	views, voted := 0, false
	r, err := Demo(t.Context(), DemoOptions{Began: now, Seed: 1, For: 8 * time.Second, Clock: RecordClocks(now)},
		slog.New(slog.DiscardHandler), func(v DemoView) {
			if views++; len(v.Nodes) != 3 {
				t.Errorf("%d nodes in view", len(v.Nodes))
			}
			// At times one is measured too badly to count, where others keep the machine busy.
			voted = voted || !slices.ContainsFunc(v.Nodes, func(n DemoNode) bool { return n.Status.Voters != 3 })
		})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Converged || r.After >= DemoLimit || r.Within < 0 || r.Within > 8*time.Second || (r.Before-35*time.Minute).Abs() > time.Millisecond {
		t.Errorf("converged %v within %v, %v apart before and %v after", r.Converged, r.Within, r.Before, r.After)
	}
	if views < 10 || !voted || r.Packets < 20 || len(r.Last.Nodes) != 3 || r.Last.Apart >= DemoLimit {
		t.Fatalf("%d views, all voted in one: %v, %d packets, last %+v", views, voted, r.Packets, r.Last)
	}
	three := now.UTC().Truncate(24 * time.Hour).Add(3 * time.Hour)
	for i, want := range []struct {
		shows, delta time.Duration
		state        node.State
	}{
		{0, 5 * time.Minute, node.StateKeeping},
		{25 * time.Minute, -20 * time.Minute, node.StateFollowing},
		{-10 * time.Minute, 15 * time.Minute, node.StateFollowing},
	} {
		n := r.Last.Nodes[i]
		if !n.Started.Equal(three.Add(want.shows)) {
			t.Errorf("node %d showed %v at the start, want 3:00 and %v", i+1, n.Started, want.shows)
		}
		if (n.Founded - want.delta).Abs() >= time.Millisecond {
			t.Errorf("node %d was moved by %v, want %v", i+1, n.Founded, want.delta)
		}
		if five := three.Add(5 * time.Minute).Sub(now); (n.Offset - five).Abs() > 2*time.Millisecond {
			t.Errorf("node %d ended %v from the host, want 3:05, which is %v", i+1, n.Offset, five)
		}
		if n.Status.State != want.state {
			t.Errorf("node %d: %s", i+1, n.Status.State)
		}
	}
}

// A demo that is ended before its time ends well, and says that it came to nothing.
func TestDemoCut(t *testing.T) {
	t.Parallel()
	needLoopback(t)
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	began := time.Now()
	r, err := Demo(ctx, DemoOptions{Began: began, Seed: 3, For: time.Hour, Loss: 0.2, Clock: DriftClocks(2, 3)}, slog.New(slog.DiscardHandler), nil)
	if err != nil || r.Converged || r.Within >= 0 || (r.Before-r.After).Abs() > time.Millisecond || len(r.Last.Nodes) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// The presets. Three clocks around 3:00 of the day, and any number that a seed alone decides.
func TestPresets(t *testing.T) {
	for _, now := range []time.Time{
		time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 3, 1, 23, 59, 59, 1, time.UTC),
		time.Date(2027, 3, 1, 1, 30, 0, 0, time.FixedZone("east", 5*3600)),
	} {
		var shown []string
		for _, c := range RecordClocks(now) {
			shown = append(shown, now.UTC().Add(c.Offset).Format("2006-01-02 15:04:05.999999999"))
		}
		day := now.UTC().Format("2006-01-02 ")
		if want := []string{day + "03:00:00", day + "03:25:00", day + "02:50:00"}; !slices.Equal(shown, want) {
			t.Errorf("at %v the clocks show %q", now, shown)
		}
	}
	a, b, c := DriftClocks(40, 7), DriftClocks(40, 7), DriftClocks(40, 8)
	if len(a) != 40 || !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives other clocks")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("two seeds give the same clocks")
	}
	if !reflect.DeepEqual(a[:5], DriftClocks(5, 7)) {
		t.Error("the first clocks depend on how many there are")
	}
	var fast, ahead int
	for _, c := range a {
		if c.Offset.Abs() > 5*time.Minute || c.Frequency > 50e-6 || c.Frequency < -50e-6 || c.Wander <= 0 {
			t.Errorf("out of range: %+v", c)
		}
		if c.Offset > 0 {
			ahead++
		}
		if c.Frequency > 0 {
			fast++
		}
	}
	if ahead < 8 || ahead > 32 || fast < 8 || fast > 32 {
		t.Errorf("of 40 clocks %d are ahead and %d are fast", ahead, fast)
	}
}

// What a demo came to is read off its views.
func TestDemoResult(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for name, test := range map[string]struct {
		apart         []time.Duration // every 500 ms
		after, within time.Duration
	}{
		"nothing seen":    {nil, 0, -1},
		"never":           {[]time.Duration{5 * ms, 4 * ms, 3 * ms}, 4 * ms, -1},
		"in time":         {[]time.Duration{9 * ms, 4 * ms, 30 * us, 20 * us, 10 * us, 10 * us, 10 * us}, 10 * us, time.Second},
		"not for good":    {[]time.Duration{5 * ms, 10 * us, 2 * ms, 10 * us}, 10 * us, 1500 * ms},
		"at the very end": {[]time.Duration{9 * ms, 7 * ms, 6 * ms, 5 * ms, 10 * us}, 10 * us, 2 * time.Second},
		"long": {slices.Concat(slices.Repeat([]time.Duration{time.Hour}, 30), slices.Repeat([]time.Duration{300 * us}, 30),
			slices.Repeat([]time.Duration{20 * us}, 11)), 20 * us, 15 * time.Second},
	} {
		var views []DemoView
		for i, a := range test.apart {
			views = append(views, DemoView{At: time.Duration(i) * 500 * ms, Apart: a})
		}
		r := (&demoLAN{}).result(views)
		if r.After != test.after || r.Within != test.within || r.Converged != (test.within >= 0) {
			t.Errorf("%s: %v after, within %v, converged %v; want %v, %v", name, r.After, r.Within, r.Converged, test.after, test.within)
		}
		if len(views) > 0 && (r.Before != test.apart[0] || r.Last.At != views[len(views)-1].At) {
			t.Errorf("%s: %v before, last at %v", name, r.Before, r.Last.At)
		}
	}
}

// Packets are those sent by all; the nodes' own multicast, which comes back to them, is not counted as dropped.
func TestDemoCounts(t *testing.T) {
	var s node.Status
	s.Traffic.Sent, s.Drops[node.DropOwn], s.Drops[node.DropStale] = 100, 40, 3
	r := (&demoLAN{unicast: true}).result([]DemoView{{Nodes: []DemoNode{{Status: s}, {Status: s}}}})
	if r.Packets != 200 || r.Dropped != 6 || !r.Unicast {
		t.Errorf("%+v", r)
	}
}

// endless is a link that never runs out of datagrams; the first byte counts them.
type endless struct {
	link
	n int
}

func (e *endless) ReceiveGroup(batch []udp.Packet) (int, error) {
	for i := range batch {
		e.n++
		batch[i] = udp.Packet{Data: append(batch[i].Data[:0], byte(e.n), byte(e.n>>8))}
	}
	return len(batch), nil
}

func (e *endless) ReceiveUnicast(batch []udp.Packet) (int, error) { return e.ReceiveGroup(batch) }

// lossy is the link of a demo's node with the given loss.
func lossy(seed uint64, node int, loss float64) link {
	l := demoLAN{options: DemoOptions{Loss: loss, Seed: seed}}
	wrapped := l.wrap(node, nil, nil, 1).(lossyLink)
	wrapped.link = &endless{}
	return wrapped
}

// A lossy link loses the share it was asked to, the same datagrams for the same seed, and others on the other socket and in the
// other nodes.
func TestLossyLink(t *testing.T) {
	const kept = 4000
	survivors := func(from receive) (numbers [kept]uint16) {
		var b batch
		for i := 0; i < kept; {
			room := b.upTo(1 + i%7)
			n, err := from(room)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range room[:min(n, kept-i)] {
				numbers[i] = uint16(p.Data[0]) | uint16(p.Data[1])<<8
				i++
			}
		}
		return numbers
	}
	for _, loss := range []float64{0.05, 0.3, 0.9} {
		group := survivors(lossy(1, 0, loss).ReceiveGroup)
		// The share of 4,000 survivors is within 0.03 with five standard deviations to spare.
		if got := 1 - kept/float64(group[kept-1]); got < loss-0.03 || got > loss+0.03 {
			t.Errorf("lost %.3f, asked for %.3f", got, loss)
		}
		if survivors(lossy(1, 0, loss).ReceiveGroup) != group {
			t.Error("the same seed loses other datagrams")
		}
		for name, other := range map[string]receive{
			"other socket": lossy(1, 0, loss).ReceiveUnicast, "other node": lossy(1, 1, loss).ReceiveGroup,
			"other seed": lossy(2, 0, loss).ReceiveGroup, "other node and socket": lossy(1, 1, loss).ReceiveUnicast,
		} {
			if survivors(other) == group {
				t.Errorf("%s loses the same datagrams", name)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) { // an error is never lost
		l := newMemoryLAN().link(stampsAtOnce)
		_ = l.Close()
		wrapped := lossyLink{link: l, loss: 1, group: rand.New(rand.NewPCG(1, 1)), unicast: rand.New(rand.NewPCG(1, 2))}
		if _, err := wrapped.ReceiveGroup(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := wrapped.ReceiveUnicast(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// Without loss and with multicast a node's link is its socket itself.
func TestWrapNothing(t *testing.T) {
	if got := (&demoLAN{}).wrap(0, nil, nil, 1); got != link((*udp.Conn)(nil)) {
		t.Errorf("the link is %T", got)
	}
}

// meshOf puts a mesh around every link.
func meshOf(links []*memoryLink) (meshed []link) {
	var members []netip.AddrPort
	for _, l := range links {
		members = append(members, l.addr)
	}
	for _, l := range links {
		meshed = append(meshed, meshLink{link: l, members: members, iface: 1})
	}
	return meshed
}

// Where there is no multicast everybody gets a copy, the sender too, and the sending has one stamp. A copy that cannot be sent
// keeps none from the others.
func TestMeshLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := newMemoryLAN()
		for range 3 {
			lan.link(stampsAtOnce)
		}
		mesh := meshOf(lan.links)[0]
		hello := []udp.Datagram{{Data: []byte("hello"), Group: true, Token: 7}}
		err := mesh.Send(hello)
		if sent := mesh.Stamps(nil, time.Millisecond); err != nil || len(sent) != 3 || sent[2].Token != 7 {
			t.Errorf("sent %+v, %v", sent, err)
		}
		time.Sleep(time.Second)
		for i, l := range lan.links {
			if len(l.unicast) != 1 || len(l.group) != 0 {
				t.Fatalf("member %d got %d copies, and %d to the group", i, len(l.unicast), len(l.group))
			}
			if p := <-l.unicast; string(p.Data) != "hello" || p.From != lan.links[0].addr {
				t.Errorf("member %d got %q from %v", i, p.Data, p.From)
			}
		}
		failing := mesh.(meshLink)
		failing.link = &failingLink{lan.links[0], lan.links[0].addr}
		if err := failing.Send(hello); !errors.Is(err, errTest) {
			t.Errorf("sent: %v", err)
		}
		time.Sleep(time.Second)
		if len(lan.links[1].unicast) != 1 || len(lan.links[2].unicast) != 1 {
			t.Error("the others got nothing")
		}
	})
}

// failingLink cannot send to one address.
type failingLink struct {
	link
	to netip.AddrPort
}

func (l *failingLink) Send(batch []udp.Datagram) (err error) {
	for _, d := range batch {
		if d.To == l.to {
			err = errors.Join(err, fmt.Errorf("to %v: %w", d.To, errTest))
			continue
		}
		err = errors.Join(err, l.link.Send([]udp.Datagram{d}))
	}
	return err
}

// A LAN without multicast that loses every tenth datagram comes together as well.
func TestMeshLossyLAN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		for range fourClocks {
			lan.link(stampsAtOnce)
		}
		var all []*member
		for i, l := range meshOf(lan.links) {
			m := memberOf(t, lan.links[i], fourClocks[i], nil)
			m.driver.link = lossyLink{link: l, loss: 0.1,
				group: rand.New(rand.NewPCG(uint64(i), 1)), unicast: rand.New(rand.NewPCG(uint64(i), 2))}
			all = append(all, m)
		}
		for _, m := range all {
			m.start(ctx)
		}
		time.Sleep(time.Minute)
		if spread, _ := apart(ctx, t, all); spread >= DemoLimit {
			t.Errorf("%v apart", spread)
		}
		for i, m := range all {
			if n := len(lan.links[i].sent()) - toOne(lan.links[i].sent()); n != 0 {
				t.Errorf("%d datagrams to the group", n)
			}
			if _, s := m.look(ctx, t); s.Members != 4 {
				t.Errorf("driver %d knows %d members", i, s.Members)
			}
		}
		endLAN(t, cancel, all)
	})
}

// A node of a demo that fails ends the demo with its error.
func TestDemoFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := newMemoryLAN()
		l := &demoLAN{log: slog.New(slog.DiscardHandler), founded: make([]time.Duration, 2)}
		l.options.Clock = DriftClocks(2, 1)
		for i := range 2 {
			if err := l.add(i, 1, lan.link(stampsAtOnce)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, d := range l.drivers {
			go func() { ended <- d.run(ctx) }()
		}
		time.Sleep(time.Second)
		_ = lan.links[1].Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("run gave %v", err)
		}
		if views := l.look(ctx, nil); len(views) != 0 {
			t.Errorf("%d views of a LAN that is not whole", len(views))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
