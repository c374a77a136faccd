package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// dryConfig is a dry run. Unless a test names another, its only interface does not exist: it sends nothing.
func dryConfig() configs.Config {
	cfg := configs.Default()
	cfg.DryRun, cfg.Interfaces = true, []string{"nosuch0"}
	return cfg
}

// An interface that does not exist is named, and no socket stays open.
func TestRunMissingInterface(t *testing.T) {
	err := Run(t.Context(), dryConfig(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNetwork) || !errors.Is(err, udp.ErrMissing) || !strings.Contains(err.Error(), "nosuch0") {
		t.Errorf("Run gave %v", err)
	}
}

// A state directory that cannot be is found before the network is looked at.
func TestRunStateFirst(t *testing.T) {
	cfg := dryConfig()
	cfg.StateDir = filepath.Join(t.TempDir(), "file", "state")
	put(t, filepath.Dir(cfg.StateDir), "")
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || errors.Is(err, ErrNetwork) ||
		!strings.Contains(err.Error(), filepath.Dir(cfg.StateDir)) {
		t.Errorf("Run gave %v", err)
	}
}

// A dry run on loopback, end to end: it says what it does, keeps its state where it was told, writes its trace, tells a second one
// that the port is taken, and ends without an error.
func TestRunDry(t *testing.T) {
	t.Parallel()
	lo := needLoopback(t)
	var out bytes.Buffer
	cfg := dryConfig()
	cfg.Interfaces, cfg.Group, cfg.Role = []string{lo}, "a test "+netproto.ID(random64()).String(), configs.RoleMaster
	cfg.UnicastPort = takenPort(t)
	cfg.StateDir, cfg.Trace = filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "trace")
	if err := os.Mkdir(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	memory := drift{frequency: 7.5e-6, err: 1e-9, when: time.Now(), owner: oscillator(cfg, nil)}
	put(t, filepath.Join(cfg.StateDir, driftFile), memory.String()+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	if err := Run(ctx, cfg, NewLogger(&out, cfg.Log)); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(cfg.StateDir, idFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"level=WARN msg=\"unicast port is taken: using another", "msg=listening interface=" + lo, "kernel_transmit_stamps=",
		"msg=running role=master id=" + strings.TrimSpace(string(id)), "clock=virtual dry_run=true poll=1s frequency_ppm=7.5 frequency_from=memory",
		"msg=\"gathering: measuring, no clock is moved\" at_most=10s", "msg=status state=gathering",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
	if t.Failed() {
		t.Logf("\n%s", out.String())
	}
	if n := len(rows(t, cfg.Trace)); n < 5 || n > 14 {
		t.Errorf("%d lines of trace in 1.2 s", n)
	}
}

// A trace that cannot be made leaves no socket open.
func TestRunTraceFails(t *testing.T) {
	cfg := dryConfig()
	cfg.Interfaces = []string{needLoopback(t)}
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := free.LocalAddr().(*net.UDPAddr)
	cfg.UnicastPort = at.AddrPort().Port()
	_ = free.Close()
	cfg.Trace = filepath.Join(t.TempDir(), "no", "trace")
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), cfg.Trace) {
		t.Errorf("Run gave %v", err)
	}
	if free, err = net.ListenUDP("udp4", at); err != nil {
		t.Fatalf("the socket is open still: %v", err)
	}
	_ = free.Close()
}

// takenPort is a port of loopback that is in use until the test ends.
func takenPort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// The log shows the status after 15 s and then each minute.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lan := newMemoryLAN()
		m := memberOf(t, lan.link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		reported := make(chan struct{})
		go func() { defer close(reported); m.report(ctx) }()
		time.Sleep(2*time.Minute + 20*time.Second)
		endLAN(t, cancel, []*member{m})
		<-reported
		var at []string
		for _, r := range m.journal.find("status") {
			at = append(at, r.Time.Sub(lan.host.start).Round(time.Second).String())
		}
		if got := strings.Join(at, " "); got != "15s 1m15s 2m15s" {
			t.Errorf("logged at %s", got)
		}
	})
}

// The node is told what the configuration says.
func TestNodeConfig(t *testing.T) {
	cfg := configs.Default()
	clock := foundClock{frequency: 17e-6}
	n := nodeConfig(cfg, &state{id: 5, term: 8, boot: "one"}, clock)
	if n.ID != 5 || n.Term != 8 || len(n.Trusted) != 0 || n.Group != netproto.GroupID(cfg.Group) || n.Role != node.RoleAuto || n.Dry || n.Priority != cfg.Priority ||
		n.Interval != cfg.Poll || n.MaxSkew != cfg.MaxSkew || n.FoundWait != cfg.FoundWait || n.Release != release ||
		n.Step != node.StepBoot || !n.MayStep || n.StepThreshold != cfg.StepThreshold || n.MaxSlew != 500e-6 || n.Frequency != 17e-6 ||
		n.PanicForward != 1000*time.Second || n.PanicBackward != 1000*time.Second || n.Longest != 0 || n.PhaseOnly ||
		n.FullRoundsTo != 1000 || n.MaxMembers != 16384 {
		t.Errorf("of the default: %+v", n)
	}
	cfg.Role, cfg.DryRun, cfg.Step = configs.RoleMaster, true, configs.StepNever
	n = nodeConfig(cfg, &state{id: 5}, foundClock{}.Clock)
	if n.Role != node.RoleMaster || !n.Dry || n.Step != node.StepNever || n.MayStep || n.Frequency != 0 {
		t.Errorf("of another: %+v", n)
	}
	cfg.Role, cfg.Trusted = configs.RoleSlave, []string{"00c0ffee00c0ffee"}
	if n := nodeConfig(cfg, &state{id: 5}, clock); n.Role != node.RoleSlave || len(n.Trusted) != 1 || n.Trusted[0] != 0xc0ffee00c0ffee {
		t.Errorf("of a slave: %+v", n)
	}
	cfg.PanicForward, cfg.PanicBackward, cfg.PollMax, cfg.Servo = 3*time.Second, 0, 8*time.Second, configs.ServoPhaseOnly
	if n := nodeConfig(cfg, &state{id: 5}, clock); n.PanicForward != 3*time.Second || n.PanicBackward != 0 || n.Longest != 8*time.Second || !n.PhaseOnly {
		t.Errorf("of one with limits: %+v", n)
	}
	cfg.Step = configs.StepAlways
	if n := nodeConfig(cfg, &state{id: 5}, clock); n.Step != node.StepAlways {
		t.Errorf("of a third: %+v", n)
	}
	if a, b := nodeConfig(cfg, &state{id: 5}, clock).Start, nodeConfig(cfg, &state{id: 5}, clock).Start; a == b {
		t.Errorf("two starts are both %d", a)
	}
}

// foundClock ran at a frequency when it was opened.
type foundClock struct {
	sysclock.Clock
	frequency float64
}

func (c foundClock) FrequencyFound() float64 { return c.frequency }

// The virtual clock of a dry run is the one that was asked for, and the same for the same seed.
func TestVirtualOfConfig(t *testing.T) {
	cfg := dryConfig()
	cfg.Virtual.Offset, cfg.Virtual.Frequency = -90*time.Minute, 40*configs.PPM
	clock, done, err := openClock(cfg, func() ([]rival, error) { return []rival{{name: "chronyd"}}, nil }, slog.New(slog.DiscardHandler)) // none of its business
	if err != nil {
		t.Fatal(err)
	}
	v := clock.(*sysclock.Virtual)
	if _, err := v.Read(); err != nil {
		t.Fatal(err)
	}
	host, wall := v.Pair()
	if off := time.Duration(wall-host.Wall) + 90*time.Minute; off.Abs() > 10*time.Millisecond {
		t.Errorf("the clock is %v off what was asked for", off)
	}
	if err := errors.Join(clock.Close(), done()); err != nil {
		t.Error(err)
	}
}

// A real clock is not even opened beside another daemon: neither is its lock taken.
func TestOpenClockBeside(t *testing.T) {
	cfg := configs.Default()
	clock, release, err := openClock(cfg, func() ([]rival, error) { return []rival{{name: "chronyd", pid: 4}}, nil }, slog.New(slog.DiscardHandler))
	if clock != nil || release != nil || !errors.Is(err, ErrBeside) || !strings.Contains(err.Error(), "chronyd (process 4)") {
		t.Errorf("got %v, %v", clock, err)
	}
}
