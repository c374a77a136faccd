package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

var errTest = errors.New("planted by the test")

// Four drivers with clocks minutes apart agree within a millisecond on the mean of what they showed, and stay there; whatever the
// kernel does about transmit stamps.
func TestLANConverges(t *testing.T) {
	for _, s := range []stamping{stampsAtOnce, stampsLate, stampsNever} {
		t.Run("stamps "+s.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { lanConverges(t, s) })
		})
	}
}

func lanConverges(t *testing.T, s stamping) {
	ctx, cancel := context.WithCancel(t.Context())
	all := startLAN(ctx, t, newMemoryLAN(), s, fourClocks)
	before, want := apart(ctx, t, all)
	if before < 7*time.Minute {
		t.Fatalf("begins %v apart", before)
	}
	time.Sleep(30 * time.Second)
	for range 20 {
		time.Sleep(time.Second)
		spread, mean := apart(ctx, t, all)
		if spread >= time.Millisecond {
			t.Fatalf("still %v apart", spread)
		}
		if off := (mean - want).Abs(); off > 10*time.Millisecond { // 50 s at the oscillators' mean of 6 ppm, and the founding's error
			t.Fatalf("agreed on %v, the mean was %v", mean, want)
		}
	}
	for i, m := range all {
		_, st := m.look(ctx, t)
		state := node.StateFollowing
		if i == 0 {
			state = node.StateKeeping
		}
		if st.State != state || st.Members != 4 || st.Voters != 4 {
			t.Errorf("driver %d: %s, %d members, %d voters", i, st.State, st.Members, st.Voters)
		}
		if kernel := s == stampsAtOnce; st.Kernel != kernel {
			t.Errorf("driver %d: kernel stamps %v, want %v", i, st.Kernel, kernel)
		}
		if w := m.journal.warnings(); len(w) != 0 {
			t.Errorf("driver %d warned: %q", i, w)
		}
	}
	endLAN(t, cancel, all)
}

// A packet has its user stamp when the kernel's does not come in time, and the kernel's as well when it comes late.
func TestStamps(t *testing.T) {
	what := node.Send{Data: []byte("x"), To: netip.MustParseAddrPort("192.0.2.2:10526"), Iface: 1, Token: 77}
	for _, test := range []struct {
		stamping    stamping
		soon, later []bool // Kernel of each stamp that the node is given
	}{
		{stampsAtOnce, []bool{true}, nil},
		{stampsLate, []bool{false}, []bool{true}},
		{stampsNever, []bool{false}, nil},
	} {
		for _, group := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v group %v", test.stamping, group), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := memberOf(t, newMemoryLAN().link(test.stamping), sysclock.VirtualConfig{}, nil)
					left, what := m.link.lan.host.wall(), what
					what.Group = group
					m.post(&what)
					m.send()
					m.collect(stampWait)
					check := func(when string, want []bool) {
						t.Helper()
						var got []bool
						for _, s := range m.queue {
							got = append(got, s.Kernel)
							stamp := left
							if !s.Kernel {
								stamp -= int64(userLead)
							}
							if s.Token != 77 || s.Iface != 1 || s.Stamp != stamp {
								t.Errorf("%s: %+v, want token 77, interface 1, stamp %d", when, s, stamp)
							}
						}
						if !slices.Equal(got, want) {
							t.Errorf("%s: kernel stamps %v, want %v", when, got, want)
						}
						m.queue = nil
					}
					check("at once", test.soon)
					time.Sleep(2 * lateBy)
					m.refresh() // looks for late stamps too
					check("later", test.later)
					m.collect(0)
					check("again", nil)
				})
			})
		}
	}
}

// A network that takes nothing is told of once a minute and ends nothing: once it works again the LAN comes together.
func TestSendErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		all := startLAN(ctx, t, lan, stampsAtOnce, fourClocks[:2])
		lan.links[0].fail(errTest)
		time.Sleep(2*time.Minute + 30*time.Second) // 150 polls
		var times []time.Duration
		for _, r := range all[0].journal.find("sending failed") {
			times = append(times, r.Time.Sub(lan.host.start).Round(time.Second))
			if err, ok := value(r, "err").(error); !ok || !errors.Is(err, errTest) {
				t.Errorf("err is %v", value(r, "err"))
			}
		}
		// The first poll may have been sent before the network failed.
		if len(times) < 2 || len(times) > 3 || times[1]-times[0] < time.Minute || times[1]-times[0] > time.Minute+2*time.Second {
			t.Errorf("logged at %v", times)
		}
		lan.links[0].fail(nil)
		time.Sleep(time.Minute)
		if spread, _ := apart(ctx, t, all); spread >= time.Millisecond {
			t.Errorf("after the failure %v apart", spread)
		}
		endLAN(t, cancel, all)
	})
}

// A temporary error ends no reader, however often it comes.
func TestTemporaryErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		all := startLAN(ctx, t, lan, stampsAtOnce, fourClocks[:2])
		for range cap(lan.links[0].faults) {
			for _, l := range lan.links {
				l.faults <- fmt.Errorf("%w: %w", udp.ErrTemporary, errTest)
			}
		}
		time.Sleep(30 * time.Second)
		if n := len(lan.links[0].faults) + len(lan.links[1].faults); n != 0 {
			t.Errorf("%d errors were not read", n)
		}
		if spread, _ := apart(ctx, t, all); spread >= time.Millisecond {
			t.Errorf("%v apart", spread)
		}
		endLAN(t, cancel, all)
	})
}

// A socket that fails for good ends run, and what it was is in the error; also the failure to close it.
func TestSocketFails(t *testing.T) {
	closing := errors.New("closing failed")
	for name, test := range map[string]struct {
		fail func(*memoryLink)
		want error
	}{
		"closed under it": {func(l *memoryLink) { _ = l.Close() }, net.ErrClosed},
		"broken":          {func(l *memoryLink) { l.faults <- errTest }, errTest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
				m.link.closing = closing
				m.start(t.Context())
				time.Sleep(10 * time.Second)
				test.fail(m.link)
				err := m.wait(t)
				if !errors.Is(err, test.want) || !errors.Is(err, closing) || !strings.HasPrefix(fmt.Sprint(err), "receiving: ") {
					t.Errorf("run gave %v", err)
				}
			})
		})
	}
}

// The end of ctx ends run without an error and with everything that it started (synctest fails if a goroutine stays), at whatever
// instant: also when a reader sees it before the loop does.
func TestCancel(t *testing.T) {
	for name, busy := range map[string]int{"idle": 0, "packets come in": 64} {
		t.Run(name, func(t *testing.T) {
			for range 30 {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
					m.start(ctx)
					time.Sleep(1500 * time.Millisecond)
					m.ask(ctx, func() { // keeps the loop from looking at ctx until both readers have
						cancel()
						for range busy {
							m.link.group <- from(1, sealed(nil, m.group))
							m.link.unicast <- from(1, sealed(nil, m.group))
						}
						time.Sleep(time.Millisecond)
					})
					if err := m.wait(t); err != nil {
						t.Errorf("run gave %v", err)
					}
					select {
					case <-m.link.closed:
					default:
						t.Error("the link is open")
					}
				})
			}
		})
	}
}

// A clock that cannot be read or set ends run, and the error names the call.
func TestClockFails(t *testing.T) {
	for _, test := range []struct {
		fail func(*brokenClock)
		want string
	}{
		{func(c *brokenClock) { c.steer = errTest }, "steering the clock: "},
		{func(c *brokenClock) { c.step = errTest }, "stepping the clock by "},
		{func(c *brokenClock) { c.read = errTest }, "reading the clock: "},
	} {
		t.Run(strings.TrimSpace(test.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				lan := newMemoryLAN()
				lan.link(stampsAtOnce)
				lan.link(stampsAtOnce)
				clock := &brokenClock{}
				master := memberOf(t, lan.links[0], fourClocks[0], nil)
				slave := memberOf(t, lan.links[1], fourClocks[1], clock)
				test.fail(clock)
				master.start(ctx)
				slave.start(ctx)
				err := slave.wait(t)
				if !errors.Is(err, errTest) || !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("run gave %v", err)
				}
				refuses(ctx, t, slave)
				endLAN(t, cancel, []*member{master})
			})
		})
	}
}

// A clock that cannot be read makes no driver.
func TestBeginFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := newMemoryLAN()
		clock := &brokenClock{Clock: sysclock.NewVirtual(sysclock.VirtualConfig{}, lan.host), read: errTest}
		if _, err := begin(node.Config{ID: 1}, clock, lan.link(stampsAtOnce), nil); !errors.Is(err, errTest) {
			t.Errorf("begin gave %v", err)
		}
	})
}

// ask runs in the driver while it lives, and says no afterwards.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		ran := false
		if !m.ask(ctx, func() { ran = true }) || !ran {
			t.Error("ask did not run")
		}
		gone, leave := context.WithCancel(ctx)
		leave()
		for range 20 { // it may run or not, but says which
			ran = false
			if did := m.ask(gone, func() { ran = true }); did != ran {
				t.Fatalf("ask says %v, has run: %v", did, ran)
			}
		}
		cancel()
		if err := m.wait(t); err != nil {
			t.Error(err)
		}
		refuses(ctx, t, m)
		refuses(context.Background(), t, m)
	})
}

// refuses demands that a driver that has ended says so at once to whoever asks, though the asker's ctx goes on.
func refuses(ctx context.Context, t *testing.T, m *member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	began := time.Now()
	if m.ask(ctx, func() { t.Error("was run") }) {
		t.Error("the driver has ended, but ask says that it has run something")
	}
	if waited := time.Since(began); waited > 0 {
		t.Errorf("the driver has ended, but ask waited %v for it", waited)
	}
}

// A slave answers nobody who is not on its link.
func TestOffLink(t *testing.T) {
	for _, strange := range []bool{false, true} {
		t.Run(fmt.Sprint("strange ", strange), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				lan := newMemoryLAN()
				all := startLAN(ctx, t, lan, stampsAtOnce, fourClocks[:2])
				if strange {
					lan.links[1].estrange()
				}
				time.Sleep(20 * time.Second)
				_, s := all[1].look(ctx, t)
				if s.Traffic.Polls < 15 {
					t.Errorf("the slave heard %d polls", s.Traffic.Polls)
				}
				if n := toOne(lan.links[1].sent()); strange != (n == 0) {
					t.Errorf("the slave sent %d answers", n)
				}
				endLAN(t, cancel, all)
			})
		})
	}
}

// Interfaces that come, go and fail are logged; that they cannot be looked at is logged once a minute.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.link.refusal = errTest
		m.link.changes = []udp.Change{{Name: "eth7", Index: 7, Kind: udp.Joined}}
		m.start(ctx)
		time.Sleep(90 * time.Second)
		if got := m.journal.find("interface joined"); len(got) != 1 || value(got[0], "interface") != "eth7" {
			t.Errorf("logged %v", got)
		}
		if got := m.journal.find("looking at the network interfaces failed"); len(got) != 2 {
			t.Errorf("logged %d times in 90 s", len(got))
		}
		endLAN(t, cancel, []*member{m})
	})
}

// What the node wants remembered reaches the state directory; a driver without one goes on.
func TestEffectsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		for _, dir := range []string{"", t.TempDir()} {
			if dir != "" {
				m.state = &state{dir: dir, id: 1, boot: "this one", oscillator: thisOne}
			}
			for _, e := range []node.Effect{node.Synchronised{}, node.NewID{ID: 0xabc}, node.Remember{Frequency: 7e-6, Error: 1e-9}} {
				if err := m.perform(e); err != nil {
					t.Error(err)
				}
			}
		}
		s := &state{dir: m.state.dir}
		if s.recall(thisOne, m.log); s.drift == nil || s.drift.frequency != 7e-6 {
			t.Errorf("remembered %+v", s.drift)
		}
		for file, want := range map[string]string{idFile: netproto.ID(0xabc).String(), bootFile: "this one"} {
			if b, err := os.ReadFile(filepath.Join(m.state.dir, file)); string(b) != want+"\n" {
				t.Errorf("%s: %q, %v", file, b, err)
			}
		}
	})
}

// Whoever watches sees every effect.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		seen := map[string]int{}
		m.watch = func(e node.Effect) {
			seen[fmt.Sprintf("%T", e)]++
		}
		m.start(ctx)
		time.Sleep(10 * time.Second)
		endLAN(t, cancel, []*member{m})
		if seen["*node.Send"] < 9 || seen["*node.Send"] != len(m.link.sent()) || seen["node.Note"] == 0 {
			t.Errorf("saw %v", seen)
		}
	})
}

// Packets of another group are spoken of once: two LANs on one wire may be meant.
func TestOtherGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		m := memberOf(t, lan.link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		foreign := (&netproto.Resign{}).Append(nil, netproto.Header{Group: 7, Sender: 9, Seq: 1})
		for range 20 {
			m.link.deliver(foreign, netip.MustParseAddrPort("192.0.2.99:10526"), true)
			time.Sleep(time.Second)
		}
		endLAN(t, cancel, []*member{m})
		if said := m.journal.find("nodes of another group"); len(said) != 1 || value(said[0], "dropped") == uint64(0) {
			t.Errorf("said %v", said)
		}
	})
}

// A master whose sockets hold less than a fifth of its members' replies says so once; others say nothing.
func TestNarrowBuffers(t *testing.T) {
	for _, test := range []struct{ holds, members, want int }{{0, 1000, 0}, {200, 1000, 0}, {199, 1000, 1}} {
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.link.holds = test.holds
		for _, state := range []node.State{node.StateFollowing, node.StateKeeping, node.StateKeeping} {
			m.tellNarrow(node.Status{State: state, Members: test.members})
			if warned := len(m.journal.warnings()); state == node.StateFollowing && warned != 0 {
				t.Errorf("a slave warned")
			}
		}
		if warned := len(m.journal.warnings()); warned != test.want {
			t.Errorf("%d members, room for %d packets: warned %d times, want %d", test.members, test.holds, warned, test.want)
		}
	}
}
