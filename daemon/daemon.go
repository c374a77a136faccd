package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/daemon/page"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// release is when this version was made, ns since the Unix epoch: 2026-11-01 00:00 UTC. A clock before it is wrong for certain, and
// has no voice at a founding while another clock is plausible.
const release = int64(1_793_491_200_000_000_000)

// statusEvery is how often the log shows how the LAN does, without anything having changed; the first time comes sooner, for whoever is
// watching the start. Who looks for faults has it each minute, at level debug.
const (
	statusEvery  = time.Hour
	statusDetail = time.Minute
	statusFirst  = 15 * time.Second
)

// ErrNetwork says that no socket could be opened on the interfaces asked for.
var ErrNetwork = errors.New("network cannot be used")

// ErrClockHeld says that another meantime on this host keeps the clock already.
var ErrClockHeld = errors.New("another meantime keeps this host's clock")

// ErrStateHeld says that another meantime, a dry run perhaps, uses the state directory already: two nodes cannot have one id.
var ErrStateHeld = errors.New("another meantime uses this state directory")

// Run keeps the clock that cfg names until ctx ends. Everything that can be wrong at the start is found before anything
// is moved: the keys, the right to set the clock, a second daemon, the state directory, the sockets.
func Run(ctx context.Context, cfg configs.Config, log *slog.Logger) error {
	return run(ctx, cfg, log, func(configs.Config, *slog.Logger) error { return nil })
}

// run is Run, and calls ready when everything is open and nothing has been moved yet.
func run(ctx context.Context, cfg configs.Config, log *slog.Logger, ready func(configs.Config, *slog.Logger) error) (err error) {
	hangups, deafen := hearHangups()
	defer deafen()
	keys, err := openKeys(cfg, log)
	if err != nil {
		return err
	}
	if keys == nil { // there is nothing to ask for: a terminal that closes ends what was started there
		deafen()
	}
	notify, err := openNotifier()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notify.close()) }()
	clock, release, err := openClock(cfg, rivals, log)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, clock.Close(), release())
		logFindings(log, clock)
	}()
	logFindings(log, clock)
	st, leave, err := holdState(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	answers, webs, shut, err := openDoors(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	conn, err := listen(cfg, log)
	if err != nil {
		return err
	}
	st.recall(oscillator(cfg, log), log)
	n := nodeConfig(cfg, st, clock)
	n.Ring = keys.held()
	d, err := begin(n, clock, conn, log)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	d.state, d.keys, d.hangups, d.notify, d.control, d.webs, d.alarm = st, keys, hangups, notify, answers, webs, sysclock.OpenAlarm()
	if d.trace, err = openTrace(cfg.Trace); err != nil {
		return errors.Join(err, conn.Close())
	}
	if err = ready(cfg, log); err == nil {
		err = notify.ready()
	}
	if err != nil {
		return errors.Join(err, conn.Close(), d.trace.close())
	}
	d.introduce(cfg, n.Ring.Newest())
	return errors.Join(d.serve(ctx, !cfg.DryRun), d.trace.close())
}

// introduce tells what begins to run.
func (d *driver) introduce(cfg configs.Config, key uint32) {
	frequency, _, from := startFrequency(d.clock, d.state.drift)
	d.say(note(node.Info, "running", "role", string(cfg.Role), "id", d.state.id.String(), "group", cfg.Group, "key", keyName(key),
		"clock", d.clock.Limits().Name, "dry_run", cfg.DryRun, "poll", cfg.Poll,
		"frequency_ppm", shortPPM(frequency), "frequency_from", from, "version", Version))
}

// holdState opens what is kept over restarts, and keeps others away from it until leave is called.
func holdState(cfg configs.Config, log *slog.Logger) (st *state, leave func() error, err error) {
	if st, err = openState(stateDir(cfg), log); err != nil {
		return nil, nil, err
	}
	if cfg.DryRun {
		st.boot = newID().String() // a virtual clock begins anew with each start
	}
	leave, err = lockState(st.dir)
	return st, leave, err
}

// Ready says what would keep a daemon from starting, as far as that can be seen without one: its keys, and another daemon at the clock.
func Ready(cfg configs.Config) error {
	if err := CheckKeys(cfg); err != nil || cfg.DryRun {
		return err
	}
	return alone(rivals, cfg.Beside, slog.New(slog.DiscardHandler))
}

// serve runs the driver and what goes on beside it, until ctx ends. host says that it keeps the host's own clock.
func (d *driver) serve(ctx context.Context, host bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { d.report(ctx) })
	answers := d.answers()
	beside.Go(func() { d.control.serve(ctx, answers) })
	history := page.NewHistory()
	sites := d.sites(answers, history)
	for _, w := range d.webs {
		beside.Go(func() { w.serve(ctx, sites) })
	}
	if d.webs.serve(keyPage) {
		beside.Go(func() { feedPage(ctx, answers, history) })
	}
	if host {
		beside.Go(func() {
			watchBeside(ctx, rivals, d.log, func(found []rival) { d.ask(ctx, func() { d.beside(found) }) })
		})
	}
	if d.keys != nil {
		beside.Go(func() { d.keys.watch(ctx, d.hangups, d.rings, d.notify) })
	}
	err := d.run(ctx)
	cancel()
	beside.Wait()
	logStatus(d.log, slog.LevelInfo, d.status())
	d.log.Info("stopped")
	return err
}

// report logs the status now and then.
func (d *driver) report(ctx context.Context) {
	wait, said := statusFirst, time.Now().Add(-statusEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = statusDetail
		level := slog.LevelDebug
		if now := time.Now(); now.Sub(said) >= statusEvery {
			level, said = slog.LevelInfo, now
		}
		d.ask(ctx, func() { logStatus(d.log, level, d.status()) })
	}
}

// openClock opens the real clock under its lock and with no other daemon at it, or a virtual one. release gives the lock back.
func openClock(cfg configs.Config, look func() ([]rival, error), log *slog.Logger) (clock sysclock.Clock, release func() error, err error) {
	if cfg.DryRun {
		v := cfg.Virtual
		seed := v.Seed
		if seed == 0 {
			seed = random64()
		}
		return sysclock.NewVirtual(sysclock.VirtualConfig{
			Offset: int64(v.Offset), Frequency: float64(v.Frequency), Wander: float64(v.Wander),
			Rand: rand.New(rand.NewPCG(seed, 0)),
		}, sysclock.HostClock()), func() error { return nil }, nil
	}
	if err := alone(look, cfg.Beside, log); err != nil {
		return nil, nil, err
	}
	return openLocked(lockClock)
}

// openLocked opens the real clock under a lock.
func openLocked(lock func() (func() error, error)) (clock sysclock.Clock, release func() error, err error) {
	if release, err = lock(); err != nil {
		return nil, nil, err
	}
	if clock, err = sysclock.Open(); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return clock, release, nil
}

// BorrowClock opens this host's clock for a moment, if nobody keeps it, and keeps daemons away until release, which leaves nothing behind.
// Closing the clock is the caller's.
func BorrowClock() (clock sysclock.Clock, release func() error, err error) {
	if err := alone(rivals, false, slog.New(slog.DiscardHandler)); err != nil {
		return nil, nil, err
	}
	return openLocked(lockBriefly)
}

// stateDir is where state is kept: nowhere in a dry run that does not say where.
func stateDir(cfg configs.Config) string {
	if cfg.DryRun && cfg.StateDir == configs.Default().StateDir {
		return ""
	}
	return cfg.StateDir
}

// listen opens the sockets.
func listen(cfg configs.Config, log *slog.Logger) (*udp.Conn, error) {
	conn, err := udp.Listen(udp.Config{
		Group: cfg.Address, Unicast: cfg.UnicastPort, Interfaces: cfg.Interfaces, UserStamps: !cfg.KernelStamps,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	if conn.PortTaken() {
		log.Warn("unicast port is taken: using another; firewalls must let that one through",
			"wanted", cfg.UnicastPort, "using", conn.LocalAddr().Port())
	}
	rx, tx := conn.KernelStamps()
	for _, i := range conn.Interfaces() {
		log.Info("listening", "interface", i.Name, "group", cfg.Address.String(), "unicast", conn.LocalAddr().String(),
			"kernel_receive_stamps", rx, "kernel_transmit_stamps", tx, "receive_buffer", conn.ReceiveBuffer(), "packets_fit", conn.Holds())
	}
	return conn, nil
}

var roles = map[configs.Role]node.Role{
	configs.RoleAuto: node.RoleAuto, configs.RoleSlave: node.RoleSlave, configs.RoleMaster: node.RoleMaster,
}

// nodeIDs are ids that configs has checked.
func nodeIDs(list []string) (ids []netproto.ID) {
	for _, text := range list {
		if id, err := strconv.ParseUint(text, 16, 64); err == nil {
			ids = append(ids, netproto.ID(id))
		}
	}
	return ids
}

// nodeConfig tells the node what the configuration says.
func nodeConfig(cfg configs.Config, st *state, clock sysclock.Clock) node.Config {
	n := node.Config{
		ID: st.id, Start: uint32(random64()), Group: netproto.GroupID(cfg.Group), Role: roles[cfg.Role],
		Trusted: nodeIDs(cfg.Trusted), Excluded: nodeIDs(cfg.Excluded), Term: st.term,
		Dry: cfg.DryRun, Priority: cfg.Priority, Interval: cfg.Poll, MaxSkew: cfg.MaxSkew, FoundWait: cfg.FoundWait,
		Release: release, MayStep: st.mayStep(), StepThreshold: cfg.StepThreshold, MaxSlew: float64(cfg.MaxSlew),
		PanicForward: cfg.PanicForward, PanicBackward: cfg.PanicBackward, PhaseOnly: cfg.Servo == configs.ServoPhaseOnly,
		Longest: cfg.PollMax, FullRoundsTo: int(cfg.FullRoundsTo), MaxMembers: int(cfg.MaxMembers), Random: random64,
	}
	switch cfg.Step {
	case configs.StepNever:
		n.Step = node.StepNever
	case configs.StepAlways:
		n.Step = node.StepAlways
	}
	n.Frequency, n.FrequencyError, _ = startFrequency(clock, st.drift)
	return n
}
