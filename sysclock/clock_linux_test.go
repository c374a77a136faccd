package sysclock

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeKernel follows the rules of kernel/time/ntp.c (Linux 6.1) as far as this package relies on them.
type fakeKernel struct {
	state   unix.Timex // Status, Freq, Tick, Constant, Maxerror, Esterror as kept by the kernel
	offset  int64      // ns still to slew
	adjtime int64      // µs that adjtime(3) still has to slew
	stepped int64      // ns, sum of the steps
	refuse  error
	calls   []uint32 // the modes of each call
}

func newFakeKernel() *fakeKernel {
	k := &fakeKernel{}
	k.state.Tick, k.state.Status, k.state.Constant = nominalTick, unix.STA_UNSYNC, 2
	return k
}

func (k *fakeKernel) call(tx *unix.Timex) (int, error) {
	k.calls = append(k.calls, tx.Modes)
	m := tx.Modes
	if m == unix.ADJ_OFFSET_SS_READ || m == unix.ADJ_OFFSET_SINGLESHOT {
		was := k.adjtime
		if m == unix.ADJ_OFFSET_SINGLESHOT {
			k.adjtime = int64(tx.Offset)
		}
		*tx = k.state
		put(&tx.Offset, was)
		return 0, nil
	}
	if m != 0 && k.refuse != nil {
		return -1, k.refuse
	}
	if m&unix.ADJ_SETOFFSET != 0 {
		unit := int64(1)
		if m&unix.ADJ_NANO == 0 {
			unit = 1000
		}
		if tx.Time.Usec < 0 || int64(tx.Time.Usec) >= second/unit {
			return -1, unix.EINVAL
		}
		k.stepped += int64(tx.Time.Sec)*second + int64(tx.Time.Usec)*unit
		k.offset, k.adjtime = 0, 0
		k.state.Status |= unix.STA_UNSYNC
		k.state.Maxerror, k.state.Esterror = maxReported, maxReported
	}
	k.modes(m, tx)
	*tx = k.state
	put(&tx.Offset, k.offset)
	return unix.TIME_ERROR, nil
}

// modes applies what process_adjtimex_modes does, in its order.
func (k *fakeKernel) modes(m uint32, tx *unix.Timex) {
	s := &k.state
	if m&unix.ADJ_STATUS != 0 {
		if s.Status&unix.STA_PLL != 0 && tx.Status&unix.STA_PLL == 0 {
			s.Status = unix.STA_UNSYNC // STA_NANO is lost, too
		}
		s.Status = s.Status&^settable | tx.Status&settable
	}
	if m&unix.ADJ_NANO != 0 {
		s.Status |= unix.STA_NANO
	}
	if m&unix.ADJ_MICRO != 0 {
		s.Status &^= unix.STA_NANO
	}
	if m&unix.ADJ_FREQUENCY != 0 {
		put(&s.Freq, clampAbs(int64(tx.Freq), 500<<16))
	}
	if m&unix.ADJ_MAXERROR != 0 {
		s.Maxerror = tx.Maxerror
	}
	if m&unix.ADJ_ESTERROR != 0 {
		s.Esterror = tx.Esterror
	}
	if m&unix.ADJ_TIMECONST != 0 {
		s.Constant = tx.Constant
		if s.Status&unix.STA_NANO == 0 {
			s.Constant += 4
		}
	}
	if m&unix.ADJ_OFFSET != 0 && s.Status&unix.STA_PLL != 0 {
		k.offset = clampAbs(int64(tx.Offset), maxPhase)
		if s.Status&unix.STA_NANO == 0 {
			k.offset = clampAbs(int64(tx.Offset)*1000, maxPhase)
		}
	}
	if m&unix.ADJ_TICK != 0 {
		s.Tick = tx.Tick
	}
}

func openFake(t *testing.T, k *fakeKernel) *linuxClock {
	t.Helper()
	c, err := openLinux(k.call)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*linuxClock)
}

func TestLinuxSteerWrites(t *testing.T) {
	k := newFakeKernel()
	k.state.Tick, k.adjtime = nominalTick+1, 70_000
	c := openFake(t, k)
	if got := c.FrequencyFound(); math.Abs(got-100e-6) > 1e-12 {
		t.Errorf("found %g with a tick of 10001", got)
	}
	err := c.Steer(Steering{
		Frequency: -12.5e-6, Phase: -30_000_000, MaxSlew: 500e-6, MaxError: 1_234_001, EstError: 5_000, Synchronised: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := k.state
	if s.Status != ours|unix.STA_NANO || s.Freq != -819_200 || s.Constant != 0 || s.Tick != nominalTick ||
		s.Maxerror != 1235 || s.Esterror != 5 || k.offset != -2_000_000 || k.adjtime != 0 {
		t.Errorf("kernel has %+v, offset %d, adjtime %d", s, k.offset, k.adjtime)
	}
	mustSteer(t, c, Steering{Frequency: 1, Phase: 400, MaxSlew: 1e-3})
	if k.state.Status != ours|unix.STA_NANO|unix.STA_UNSYNC || k.state.Freq != 500<<16 || k.offset != 400 {
		t.Errorf("kernel has %+v, offset %d", k.state, k.offset)
	}
	if err := c.Steer(Steering{Frequency: math.NaN()}); !errors.Is(err, errBadSteering) {
		t.Errorf("NaN gave %v", err)
	}
}

func TestLinuxStepTellsStateAgain(t *testing.T) {
	k := newFakeKernel()
	c := openFake(t, k)
	if err := c.Step(-500_000_000); err != nil || k.stepped != -500_000_000 || k.state.Status&unix.STA_UNSYNC == 0 {
		t.Fatalf("stepped by %d, status %#x, %v", k.stepped, k.state.Status, err)
	}
	mustSteer(t, c, Steering{Phase: 9000, MaxSlew: 1e-3, MaxError: 7000, EstError: 3000, Synchronised: true})
	if err := c.Step(1_500_000_001); err != nil {
		t.Fatal(err)
	}
	if k.stepped != 1_000_000_001 || k.offset != 0 || k.state.Status != ours|unix.STA_NANO || k.state.Maxerror != 7 || k.state.Esterror != 3 {
		t.Errorf("stepped by %d, kernel has %+v, offset %d", k.stepped, k.state, k.offset)
	}
}

// Whatever units, constant and flags were there, Close puts them back, keeps the frequency and ends the slew.
func TestLinuxClosePutsBack(t *testing.T) {
	for _, c := range []struct {
		name         string
		status, want int32
		constant     int64
	}{
		{"fresh boot", unix.STA_UNSYNC, 0, 2},
		{"ntpd, µs", unix.STA_PLL, unix.STA_PLL, 6},
		{"ntpd, ns", unix.STA_PLL | unix.STA_NANO, unix.STA_PLL | unix.STA_NANO, 10},
		{"chrony", unix.STA_NANO, unix.STA_NANO, 7},
		{"FLL and a leap second", unix.STA_PLL | unix.STA_FLL | unix.STA_INS, unix.STA_PLL | unix.STA_FLL, 0},
		{"killed predecessor", ours | unix.STA_NANO, ours | unix.STA_NANO, 0},
	} {
		k := newFakeKernel()
		k.state.Status = c.status
		put(&k.state.Constant, c.constant)
		clock := openFake(t, k)
		if k.state.Status != c.status {
			t.Errorf("%s: Open changed the status to %#x", c.name, k.state.Status)
		}
		mustSteer(t, clock, Steering{Frequency: 10e-6, Phase: 1000, MaxSlew: 1e-3, Synchronised: true})
		k.state.Status &^= unix.STA_NANO // another program wants µs meanwhile
		if err := clock.Close(); err != nil {
			t.Fatal(err)
		}
		if k.state.Status != c.want || int64(k.state.Constant) != c.constant || k.offset != 0 || k.state.Freq != 655_360 {
			t.Errorf("%s: left status %#x (want %#x), constant %d, offset %d, frequency %d",
				c.name, k.state.Status, c.want, k.state.Constant, k.offset, k.state.Freq)
		}
		n := len(k.calls)
		if err := clock.Close(); err != nil || len(k.calls) != n {
			t.Errorf("%s: a second Close wrote again (%v)", c.name, err)
		}
	}
	k := newFakeKernel()
	clock := openFake(t, k)
	n := len(k.calls)
	if err := clock.Close(); err != nil || len(k.calls) != n {
		t.Error("Close wrote to a clock that was only read")
	}
}

func TestLinuxForeign(t *testing.T) {
	k := newFakeKernel()
	c := openFake(t, k)
	check := func(want string) {
		t.Helper()
		got, err := c.Foreign()
		if err != nil || want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("Foreign = %q, %v; want %q", got, err, want)
		}
	}
	k.state.Freq = 5
	check("") // nothing written yet
	steer := func() { mustSteer(t, c, Steering{Frequency: 10e-6, Synchronised: true}) }
	steer()
	check("")
	k.state.Status |= unix.STA_UNSYNC // by the kernel itself
	check("")
	k.state.Freq++
	check("frequency is +10.000 ppm")
	steer()
	k.state.Constant = 7
	check("time constant is 7")
	steer()
	k.state.Status &^= unix.STA_PLL
	check("status is")
	steer()
	k.state.Tick = 9_999
	check("tick is 9999")
	steer()
	check("")
}

// The TAI offset is somebody else's: no call of any kind touches it, or anything else that is not written here.
func TestLinuxWritesNothingElse(t *testing.T) {
	k := newFakeKernel()
	k.adjtime = 5
	c := openFake(t, k)
	mustSteer(t, c, Steering{Frequency: 10e-6, Phase: 1e9, MaxSlew: 1e-3, Synchronised: true})
	mustSteer(t, c, Steering{})
	for _, err := range []error{c.Step(5), c.Step(-second), c.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const known = unix.ADJ_OFFSET | unix.ADJ_FREQUENCY | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR | unix.ADJ_STATUS | unix.ADJ_TIMECONST |
		unix.ADJ_SETOFFSET | unix.ADJ_MICRO | unix.ADJ_NANO | unix.ADJ_TICK
	for i, m := range k.calls {
		if m == unix.ADJ_OFFSET_SS_READ || m == unix.ADJ_OFFSET_SINGLESHOT {
			continue
		}
		if m&unix.ADJ_TAI != 0 || m&^known != 0 {
			t.Errorf("call %d has modes %#x", i, m)
		}
	}
	if len(k.calls) < 8 {
		t.Errorf("%d calls: %#x", len(k.calls), k.calls)
	}
}

func TestLinuxRefusals(t *testing.T) {
	k := newFakeKernel()
	c := openFake(t, k)
	for _, r := range []struct {
		errno, is error
		means     string
	}{
		{unix.EPERM, ErrPermission, "CAP_SYS_TIME"}, {unix.EINVAL, unix.EINVAL, "a value outside the kernel's range"},
		{unix.ENOSYS, ErrUnsupported, "a kernel or sandbox without it"}, {unix.EFAULT, unix.EFAULT, "look for a sandbox"},
		{unix.EBUSY, unix.EBUSY, "look for a sandbox"}, {unix.EACCES, unix.EACCES, "look for a sandbox"},
	} {
		k.refuse = r.errno
		_, err := openLinux(k.call)
		if !errors.Is(err, r.is) || !errors.Is(err, r.errno) || !strings.HasPrefix(err.Error(), "adjtimex (probe, modes 0x") ||
			!strings.Contains(err.Error(), r.means) || !strings.Contains(err.Error(), r.errno.Error()) {
			t.Errorf("Open gave %v", err)
		}
		if err := c.Steer(Steering{}); !errors.Is(err, r.is) {
			t.Errorf("Steer gave %v", err)
		}
		if err := c.Step(1); !errors.Is(err, r.is) {
			t.Errorf("Step gave %v", err)
		}
		if err := c.Close(); !errors.Is(err, r.is) {
			t.Errorf("Close gave %v", err)
		}
	}
}

// The host's own clocks, read only.
func TestHostReads(t *testing.T) {
	h := HostClock()
	last := mustRead(t, h)
	var widths []int64
	for range 2000 {
		r := mustRead(t, h)
		if r.Raw < last.Raw {
			t.Fatalf("raw ran backwards: %d after %d", r.Raw, last.Raw)
		}
		if r.Width <= 0 || r.Width > second {
			t.Fatalf("width %d ns", r.Width)
		}
		widths = append(widths, r.Width)
		last = r
	}
	p50, p99, most := quantiles(widths)
	t.Logf("bracket width: p50 %d ns, p99 %d ns, max %d ns", p50, p99, most)
	if p50 > 100_000 {
		t.Errorf("the usual bracket is %d ns wide", p50)
	}
}

func TestBootID(t *testing.T) {
	a, err := BootID()
	if err != nil || len(a) != 36 {
		t.Fatalf("%q, %v", a, err)
	}
	if b, _ := BootID(); a != b {
		t.Errorf("%q, then %q", a, b)
	}
}

// inUserNamespace tells whether this process is where the kernel refuses every clock write: uid 0 of a namespace that
// maps less than all ids. Tests that call Open look here first, never at the uid.
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && (len(f) != 3 || f[2] != "4294967295")
}

// TestOpenRefused re-executes itself in a user namespace, where the kernel refuses clock writes to uid 0 as well.
func TestOpenRefused(t *testing.T) {
	if os.Getenv("MEANTIME_TEST_USERNS") != "" {
		openRefused(t)
		return
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", os.Args[0], "-test.run=^TestOpenRefused$", "-test.v")
	cmd.Env = append(os.Environ(), "MEANTIME_TEST_USERNS=1")
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "RUN") { // the test binary never started
		if strings.Contains(os.Getenv("MEANTIME_REQUIRE"), "userns") {
			t.Fatalf("no user namespace: %v: %s", err, out)
		}
		t.Skipf("no user namespace here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("in a user namespace:\n%s", out)
}

func openRefused(t *testing.T) {
	if !inUserNamespace() || os.Getuid() != 0 {
		t.Fatal("refused to run: not uid 0 of a user namespace")
	}
	state := func() unix.Timex {
		var tx unix.Timex
		if _, err := unix.Adjtimex(&tx); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	before := state()
	c, err := Open()
	after := state()
	if c != nil || !errors.Is(err, ErrPermission) || !errors.Is(err, unix.EPERM) {
		t.Fatalf("Open gave %v, %v", c, err)
	}
	t.Log(err)
	for _, want := range []string{"adjtimex", "root", "CAP_SYS_TIME", "setcap", "--dry-run"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the text does not say %q", want)
		}
	}
	if before.Status != after.Status || before.Freq != after.Freq || before.Tick != after.Tick || before.Constant != after.Constant {
		t.Errorf("state was %+v, is %+v", before, after)
	}
	// The other writers are refused as well, and say so.
	w := &linuxClock{adjtimex: unix.Adjtimex}
	if err := w.Steer(Steering{}); !errors.Is(err, ErrPermission) {
		t.Errorf("Steer gave %v", err)
	}
	if err := w.Step(0); !errors.Is(err, ErrPermission) {
		t.Errorf("Step gave %v", err)
	}
}

// A trial of the clock writes nothing but the frequency, and puts it back.
func TestLinuxShift(t *testing.T) {
	k := newFakeKernel()
	k.state.Freq, k.state.Tick, k.state.Maxerror, k.offset, k.adjtime = 1_234_567, nominalTick+1, 5, 600, 70_000
	before, offset := k.state, k.offset
	c := openFake(t, k)
	if err := c.Shift(-100e-6); err != nil || k.state.Freq != 1_234_567-100<<16 {
		t.Errorf("frequency %d, %v", k.state.Freq, err)
	}
	if err := errors.Join(c.Shift(0), c.Close()); err != nil || k.state != before || k.offset != offset || k.adjtime != 70_000 {
		t.Errorf("%v; after %+v\nbefore %+v", err, k.state, before)
	}
	k.refuse = unix.EPERM
	if err := c.Shift(1e-6); !errors.Is(err, ErrPermission) {
		t.Errorf("refused: %v", err)
	}
}
