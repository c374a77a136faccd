//go:build unix

package doctor

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// host is a machine of a test's own. It is well in every respect: a server with a master in its LAN, under root.
type host struct {
	*Machine
	files fstest.MapFS
	clock *fakeClock
	lan   []udp.Packet // what comes in while it listens
	cards []udp.Candidate
	rings *netproto.Ring

	user      bool  // stamps come from the program
	lose      int   // packets over loopback that are lost
	taken     bool  // the unicast port
	unjoined  int   // of the interfaces, the last ones
	loopFails error // of a send to a group on loopback
	bind      error
}

const ownID = netproto.ID(0x1111111111111111)

// secret is a key's, by number.
func secret(t testing.TB, number byte) netproto.Key {
	t.Helper()
	key, err := netproto.NewKey(slices.Repeat([]byte{number}, netproto.SecretLen))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ring holds a test's keys.
func ring(t testing.TB, group string, numbers ...byte) *netproto.Ring {
	t.Helper()
	var keys []netproto.Key
	for _, n := range numbers {
		keys = append(keys, secret(t, n))
	}
	r, err := netproto.NewRing(netproto.GroupID(group), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pollFrom is a master's poll as it comes in.
func pollFrom(t testing.TB, id netproto.ID, last byte, r *netproto.Ring, group string, change func(*netproto.Header)) udp.Packet {
	t.Helper()
	h := netproto.Header{Group: netproto.GroupID(group), Sender: id, Start: 1, Seq: 9, Lineage: 77, Term: 3}
	if change != nil {
		change(&h)
	}
	p := netproto.Poll{Nonce: 5, Interval: 1_000_000, Window: 1000, Slots: 4, Members: 5, Priority: 1, Phase: netproto.PhaseKeeping}
	data := p.Append(nil, h)
	r.Seal(data, r.Newest())
	return udp.Packet{Data: data, From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 10526), ToGroup: true}
}

func newHost(t testing.TB) *host {
	cfg := configs.Default()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	h := &host{
		files: fstest.MapFS{
			"etc/systemd/system/meantime.service":                               file(""),
			"etc/systemd/system/multi-user.target.wants/meantime.service":       file(""),
			"sys/devices/system/clocksource/clocksource0/current_clocksource":   file("tsc\n"),
			"sys/devices/system/clocksource/clocksource0/available_clocksource": file("tsc hpet acpi_pm\n"),
			"sys/class/net/eth0/carrier":                                        file("1\n"),
			"sys/class/rtc/rtc0/name":                                           file("rtc_cmos\n"),
			"sys/power/state":                                                   file("disk\n"),
			"proc/cpuinfo":                                                      file("processor\t: 0\nflags\t\t: fpu tsc sse2\n"),
			"proc/self/uid_map":                                                 file("         0          0 4294967295\n"),
			"proc/self/status":                                                  file("Name:\tmeantime\nCapEff:\t000001ffffffffff\n"),
			"proc/1/cgroup":                                                     file("0::/init.scope\n"),
			"proc/200/comm":                                                     file("sshd\n"),
			"proc/sys/net/ipv4/neigh/default/gc_thresh3":                        file("1024\n"),
			"var/lib/meantime":                                                  {Mode: fs.ModeDir | 0o700, Sys: &syscall.Stat_t{Uid: 123}},
			"etc/crontab":                                                       file("17 * * * * root run-parts /etc/cron.hourly\n# ntpdate pool\n"),
		},
		clock: &fakeClock{obeys: 1, found: -12.5e-6, width: 800},
		rings: ring(t, cfg.Group, 1),
		cards: []udp.Candidate{
			{Interface: udp.Interface{Name: "lo", Index: 1, Loopback: true}, Why: "loopback"},
			{Interface: udp.Interface{Name: "eth0", Index: 2, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}}, Use: true},
		},
	}
	bound := control.SecondsOf(34_567 * time.Nanosecond)
	h.Machine = &Machine{
		System: "linux", User: 0, Config: cfg, File: "/etc/meantime/meantime.yaml", Listen: 3 * time.Second, Root: h.files, Clock: h.clock,
		Open:   func() (sysclock.Clock, error) { return h.clock, nil },
		Borrow: func() (sysclock.Clock, func() error, error) { return h.clock, func() error { return nil }, nil },
		Kernel: func() (sysclock.KernelState, error) {
			return sysclock.KernelState{Synchronised: true, MaxError: 40_000, Frequency: h.clock.found + h.clock.by}, nil
		},
		Rivals: func() ([]daemon.Rival, error) { return nil, nil },
		Keys:   func(configs.Config) (*netproto.Ring, error) { return h.rings, nil },
		Survey: func(udp.Config) ([]udp.Candidate, error) { return slices.Clone(h.cards), nil },
		Status: func(context.Context) (control.Status, error) {
			return control.Status{ID: ownID.String(), State: "following", Master: "2222222222222222", Term: 3, Bound: &bound}, nil
		},
		Free:  func(string) (uint64, error) { return 1 << 30, nil },
		Bind:  h.open,
		Sleep: func(_ context.Context, d time.Duration) { h.clock.run(d) },
	}
	h.lan = []udp.Packet{pollFrom(t, 0x2222222222222222, 2, h.rings, cfg.Group, nil)}
	return h
}

// members has the daemon tell how large its LAN is.
func (h *host) members(n int) {
	h.Status = func(context.Context) (control.Status, error) {
		return control.Status{ID: ownID.String(), State: "keeping", Master: ownID.String(), Members: n}, nil
	}
}

// put writes a file of the host's.
func (h *host) put(path, text string) {
	h.files[inside(path)] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
}

// fakeClock is a clock that follows what it is told, times obeys, and reads with a width.
type fakeClock struct {
	raw, wall float64
	found, by float64
	obeys     float64
	width     int64
	noise     float64 // ns, back and forth
	reads     int
	backward  bool
	refuse    error   // of Shift
	forgetful bool    // does not go back
	meddler   float64 // what another program adds to its frequency, in the midst of a trial
}

func (c *fakeClock) run(d time.Duration) {
	c.raw += float64(d)
	c.wall += float64(d) * (1 + c.found + c.by*c.obeys)
}

func (c *fakeClock) Read() (sysclock.Reading, error) {
	c.reads++
	if c.backward && c.reads == 7 {
		c.raw -= 5000
	}
	if c.by != 0 && c.reads == readings+20 {
		c.by += c.meddler
	}
	c.run(time.Microsecond)
	wall := c.wall + c.noise*math.Sin(float64(c.reads*c.reads))
	return sysclock.Reading{Raw: int64(c.raw), Wall: int64(wall), Width: c.width}, nil
}

func (c *fakeClock) Shift(by float64) error {
	if c.refuse != nil {
		return c.refuse
	}
	if by != 0 || !c.forgetful {
		c.by = by
	}
	return nil
}

func (c *fakeClock) FromHost(stamp int64) int64    { return stamp }
func (c *fakeClock) Steer(sysclock.Steering) error { return errors.New("the doctor steers nothing") }
func (c *fakeClock) Step(int64) error              { return errors.New("the doctor steps nothing") }
func (c *fakeClock) Close() error                  { return nil }
func (c *fakeClock) Limits() sysclock.Limits {
	l, _ := sysclock.LimitsOf("linux")
	return l
}

// still is a clock that cannot be tried.
type still struct{ sysclock.Clock }

// open is a connection to the host's LAN, or to its loopback.
func (h *host) open(cfg udp.Config) (Conn, error) {
	if h.bind != nil {
		return nil, h.bind
	}
	c := &fakeConn{host: h, loopback: slices.Equal(cfg.Interfaces, []string{"lo"}), closed: make(chan struct{})}
	for _, card := range h.cards {
		if card.Use {
			c.cards = append(c.cards, card.Interface)
		}
	}
	c.cards = c.cards[:max(0, len(c.cards)-h.unjoined)]
	if !c.loopback {
		c.group = slices.Clone(h.lan)
		c.Close() // all that comes in has come in
	}
	return c, nil
}

type fakeConn struct {
	host     *host
	loopback bool
	cards    []udp.Interface
	group    []udp.Packet
	sent     int
	once     sync.Once
	closed   chan struct{}
}

func (c *fakeConn) Interfaces() []udp.Interface { return c.cards }
func (c *fakeConn) LocalAddr() netip.AddrPort   { return netip.MustParseAddrPort("127.0.0.1:10526") }
func (c *fakeConn) PortTaken() bool             { return c.host.taken }

// Close may be called by anybody at any time, as a real connection's: the doctor's timers do.
func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *fakeConn) ReceiveGroup(batch []udp.Packet) (int, error) {
	if len(c.group) == 0 {
		<-c.closed
		return 0, net.ErrClosed
	}
	p, buf := c.group[0], batch[0].Data
	c.group = c.group[1:]
	p.Data = append(buf[:0], p.Data...)
	batch[0] = p
	return 1, nil
}

func (c *fakeConn) Send(batch []udp.Datagram) error {
	for _, d := range batch {
		switch {
		case !d.Group:
			c.sent++
		case c.host.loopFails == nil && c.host.lose == 0:
			c.group = append(c.group, udp.Packet{Data: slices.Clone(d.Data), ToGroup: true})
		default:
			c.Close()
			return c.host.loopFails
		}
	}
	return nil
}

func (c *fakeConn) Stamps(dst []udp.Sent, _ time.Duration) []udp.Sent {
	s := udp.Sent{Token: uint64(c.sent), Stamp: int64(c.sent) * 1e6}
	if !c.host.user {
		s.Stamp, s.Kernel = s.Stamp+2000, true
	}
	return append(dst, s)
}

func (c *fakeConn) ReceiveUnicast(batch []udp.Packet) (int, error) {
	if c.sent > testPackets-c.host.lose {
		return 0, net.ErrClosed
	}
	batch[0] = udp.Packet{Stamp: int64(c.sent)*1e6 + 9000 + int64(c.sent%5)*300, Kernel: !c.host.user}
	return 1, nil
}
