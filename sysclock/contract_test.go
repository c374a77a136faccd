package sysclock

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// The contract: what each implementation states in its Limits is tried on it, line by line. Virtual clock, Windows adjuster and the clock of
// macOS and FreeBSD are tried everywhere, the latter two on systems that this package plays. The clock of the system that the test
// runs on is tried where MEANTIME_CONTRACT says how far:
//
//	MEANTIME_CONTRACT=read  go test -run ContractReal -v ./sysclock    changes nothing
//	MEANTIME_CONTRACT=write go test -run ContractReal -v ./sysclock    SETS THE CLOCK, steps it to and fro, and leaves it some ms off
//
// On Linux only a user-mode Linux guest is written to (go run ./cmd/lab run --program sysclock-test), and never what wine runs on.

// bed is a clock with a world around it.
type bed struct {
	system string // of Systems
	clock  Clock
	native bool // built for the system that the test runs on: what else it implements is there
	named  bool // Name, and what only the open clock knows, may differ from the table
	blind  bool // goes the other way than is assumed until it has been measured: what is found when it is opened is of the wrong sign

	pass     func(time.Duration)     // lets true time pass
	look     func() (Reading, error) // what true oscillator and wall clock show
	patience int                     // s: until a slew of 3 ms is over
	settle   time.Duration           // until what was written is in force, and may be written over
	doubt    float64                 // ns: what a look may be off by
	loose    float64                 // fractional: what a rate may be off by
	unsure   float64                 // fractional: likewise, for the width of the looks; the worst so far
	bent     float64                 // ns: what the clock's own oscillator may be off by, beside doubt, while it is steered

	die   func(Steering)                            // steers in a process that is killed at once; nil = the clock dies with it
	again func() (Clock, error)                     // opens the clock once more; likewise
	write func() error                              // another program writes to the clock's rate
	set   func(ns int64) error                      // another program sets the clock off
	told  func() (synchronised bool, largest int64) // what the kernel was told, ns; nil = nothing
}

// clause is a line of the contract and how it is tried.
type clause struct {
	name   string
	writes bool
	holds  func(t *testing.T, b *bed, l Limits)
}

var clauses = []clause{
	{"stated", false, isStated},
	{"oscillator", false, isOscillator},
	{"notices", false, isNoticed},
	{"oscillator, steered", true, isSteady},
	{"frequency", true, isFrequency},
	{"slew", true, isSlew},
	{"phase", true, isPhase},
	{"step", true, isStep},
	{"told", true, isTold},
	{"foreign", true, isForeign},
	{"set", true, isSet},
	{"killed", true, isKilled},
	{"stopped", true, isStopped},
}

// try tries the clauses, those that write only if asked to, each on a bed of its own.
func try(t *testing.T, writes bool, lay func(*testing.T) *bed) {
	for _, c := range clauses {
		if c.writes && !writes {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			b := lay(t)
			c.holds(t, b, b.clock.Limits())
		})
	}
}

func TestContract(t *testing.T) {
	for name, lay := range map[string]func(*testing.T) *bed{
		"virtual":              layVirtual,
		"windows":              func(t *testing.T) *bed { return layWindows(t, 10_000_000, 1) },
		"windows, other sense": func(t *testing.T) *bed { return layWindows(t, 10_000_000, -1) },
		"windows, coarse":      func(t *testing.T) *bed { return layWindows(t, 156_250, 1) },
		"darwin":               func(t *testing.T) *bed { return layBSD(t, darwinKind) },
		"freebsd":              func(t *testing.T) *bed { return layBSD(t, freebsdKind) },
	} {
		t.Run(name, func(t *testing.T) { try(t, true, lay) })
	}
}

// TestContractReal tries the clock of this system.
func TestContractReal(t *testing.T) {
	how := os.Getenv("MEANTIME_CONTRACT")
	switch how {
	case "read", "write":
	case "":
		t.Skip("looks at this system's clock, or sets it: MEANTIME_CONTRACT=read or =write says which")
	default:
		t.Fatalf("MEANTIME_CONTRACT=%s: it is read or write", how)
	}
	if order := os.Getenv("MEANTIME_TEST_CHILD"); order != "" {
		steerUntilKilled(t, order)
	}
	if how == "write" {
		ownClock(t)
	}
	c, err := Open()
	l, _ := LimitsOf(runtime.GOOS)
	switch {
	case errors.Is(err, ErrPermission) && l.Privilege != "" && how == "read":
		t.Skipf("without the privilege that the contract names (%s): %v", l.Privilege, err)
	case errors.Is(err, ErrUnsupported) && l == Limits{}:
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	try(t, how == "write", layReal)
}

// beat is a little less than a second: a daemon that writes each second does so a little sooner now and then.
const beat = 990 * time.Millisecond

// isStated: the open clock states what the table says of its system.
func isStated(t *testing.T, b *bed, l Limits) {
	want, ok := LimitsOf(b.system)
	if !ok {
		t.Fatalf("the table has no %s", b.system)
	}
	if b.named {
		want.Name, want.Phase = l.Name, l.Phase
	}
	if l != want {
		t.Errorf("states %+v, the table says %+v", l, want)
	}
	if l.Name == "" || l.Phase <= 0 || l.Step <= 0 || l.Frequency <= 0 || l.Slew <= 0 || l.Oscillator == "" || l.Leaves == "" || l.Stops == "" || l.Set == "" {
		t.Errorf("a line is empty: %+v", l)
	}
}

// isOscillator: Raw runs with true time and not backwards, and stamps of a real clock are what they are.
func isOscillator(t *testing.T, b *bed, _ Limits) {
	first, second := b.read(t), b.read(t)
	if second.Raw < first.Raw {
		t.Errorf("the oscillator ran backwards by %d ns", first.Raw-second.Raw)
	}
	runsTrue(t, b, func() { b.pass(2 * time.Second) })
	if b.clock.FromHost(12345) != 12345 && b.system != "virtual" {
		t.Error("stamps of a real clock are mapped")
	}
}

// isSteady: steering moves the wall clock and not the oscillator.
func isSteady(t *testing.T, b *bed, _ Limits) {
	runsTrue(t, b, func() {
		for i := range 6 {
			mustSteer(t, b.clock, Steering{Frequency: 100e-6, Phase: int64(1-i%2*2) * 1_000_000, MaxSlew: 500e-6})
			b.pass(time.Second)
		}
	})
	b.rate(t, Steering{})
}

// runsTrue compares the clock's oscillator with true time over what is done. Each look at the clock lies between two at the truth.
func runsTrue(t *testing.T, b *bed, do func()) {
	t.Helper()
	look := func() (early, own, late int64) { return b.see(t).Raw, b.read(t).Raw, b.see(t).Raw }
	early, began, late := look()
	do()
	earlier, ended, later := look()
	slack := int64(b.bent) + 2
	if went := ended - began; went < earlier-late-slack || went > later-early+slack {
		t.Errorf("the oscillator went %d ns, true time %d to %d ns", went, earlier-late, later-early)
	}
}

// isNoticed: a clock is a Watcher, a Notifier and a Sleeper just where it states so.
func isNoticed(t *testing.T, b *bed, l Limits) {
	_, watcher := b.clock.(Watcher)
	_, notifier := b.clock.(Notifier)
	sleeper, sleeps := b.clock.(Sleeper)
	if watcher != (l.Foreign != "") || notifier != (l.Set == atOnce) {
		t.Errorf("a Watcher: %v, states %q; a Notifier: %v, states %q", watcher, l.Foreign, notifier, l.Set)
	}
	if !b.native {
		return
	}
	if sleeps != (l.Suspend != "") {
		t.Errorf("a Sleeper: %v, states %q", sleeps, l.Suspend)
	}
	if sleeps {
		b.read(t)
		if ns, err := sleeper.Slept(); err != nil || ns < -20_000_000 {
			t.Errorf("slept %d ns, %v", ns, err)
		}
	}
}

// isFrequency: what is asked within the limit comes, what is asked beyond it is clamped.
func isFrequency(t *testing.T, b *bed, l Limits) {
	own := b.rate(t, Steering{})
	for _, asked := range []float64{100e-6, -37e-6, 2 * l.Frequency, -2 * l.Frequency} {
		want := clamp(asked, l.Frequency)
		if got := b.rate(t, Steering{Frequency: asked}) - own; math.Abs(got-want) > b.slack() {
			t.Errorf("%+.1f ppm asked, %+.3f ppm seen", asked*1e6, got*1e6)
		}
	}
}

// isSlew: a long slew is told again each second, as the daemon does. It keeps within its pace and nearly fills it.
func isSlew(t *testing.T, b *bed, l Limits) {
	b.rate(t, Steering{})
	for _, pace := range []float64{100e-6, 2 * l.Slew} {
		steady := Steering{Phase: 1 << 60, MaxSlew: pace}
		mustSteer(t, b.clock, steady)
		b.pass(beat)
		mustSteer(t, b.clock, steady)
		b.pass(beat)
		before := b.see(t)
		for range 5 {
			mustSteer(t, b.clock, steady)
			b.pass(beat)
		}
		after := b.see(t)
		got := float64((after.Wall-before.Wall)-(after.Raw-before.Raw)) / float64(after.Raw-before.Raw)
		if limit := min(pace, l.Slew); got > limit*1.01+b.slack() || got < limit/2 {
			t.Errorf("slews at %.1f ppm, %.1f ppm allowed", got*1e6, limit*1e6)
		}
		b.rate(t, Steering{})
	}
}

// isPhase: a phase is paid in full, to its resolution, and not further on the way.
func isPhase(t *testing.T, b *bed, l Limits) {
	b.rate(t, Steering{})
	start := b.see(t)
	const asked = -3_000_000
	rest := func() float64 {
		r := b.see(t)
		return asked - float64((r.Wall-start.Wall)-(r.Raw-start.Raw))
	}
	beyond := 0.0
	for range b.patience {
		mustSteer(t, b.clock, Steering{Phase: int64(math.Round(rest())), MaxSlew: 500e-6})
		b.pass(beat)
		beyond = max(beyond, rest())
	}
	slack := b.doubt + 3*float64(l.Phase) + b.slack()*10*second
	if off := rest(); math.Abs(off) > slack || beyond > slack+.1*-asked {
		t.Errorf("of 3 ms %.0f ns are left, resolution %d ns; it went %.0f ns too far on its way", off, l.Phase, beyond)
	}
}

// isStep: a step moves by what is asked, to its resolution, and the oscillator not at all.
func isStep(t *testing.T, b *bed, l Limits) {
	b.rate(t, Steering{})
	for _, asked := range []int64{l.Step, -7 * l.Step, 1_500_000_000, -1_500_000_000} {
		before, raw := b.see(t), b.read(t).Raw
		if err := b.clock.Step(asked); err != nil {
			t.Fatal(err)
		}
		after, steps := b.see(t), b.read(t).Raw-raw
		moved := float64((after.Wall - before.Wall) - (after.Raw - before.Raw))
		if math.Abs(moved-float64(asked)) > float64(l.Step)/2+1+b.doubt {
			t.Errorf("step of %d ns moved %.0f ns", asked, moved)
		}
		if steps > int64(time.Second) || steps < 0 {
			t.Errorf("the oscillator was stepped by %d ns", steps)
		}
	}
}

// isTold: the kernel says just what it was told.
func isTold(t *testing.T, b *bed, l Limits) {
	if (b.told != nil) != (l.Told != "") {
		t.Fatalf("states %q", l.Told)
	}
	if b.told == nil {
		return
	}
	for _, want := range []bool{true, false} {
		mustSteer(t, b.clock, Steering{MaxError: 5_000_000, EstError: 1_000_000, Synchronised: want})
		if got, largest := b.told(); got != want || largest < 5_000_000 || largest > 6_000_000 {
			t.Errorf("told synchronised: %v and 5 ms, it says %v and %d ns", want, got, largest)
		}
		b.pass(b.settle) // a clock may leave out what comes too soon
	}
}

// isForeign: what is as written is nobody else's; another program's write is named, and written over.
func isForeign(t *testing.T, b *bed, l Limits) {
	w, ok := b.clock.(Watcher)
	if !ok {
		return
	}
	says := func(when string, something bool) {
		t.Helper()
		if what, err := w.Foreign(); err != nil || (what != "") != something {
			t.Errorf("%s: %q, %v", when, what, err)
		}
	}
	says("nothing written", false)
	s := Steering{Frequency: 20e-6, Phase: 2_000_000, MaxSlew: 500e-6, Synchronised: true}
	for range 3 {
		mustSteer(t, b.clock, s)
		says("just written", false)
		b.pass(time.Second)
		says("a second later", false)
	}
	b.pass(2 * time.Second)
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	says("another program's write", true)
	mustSteer(t, b.clock, s)
	says("written over", false)
}

// isSet: when another program sets the clock, a Notifier says so within a second; others show it when they are read.
func isSet(t *testing.T, b *bed, l Limits) {
	var woke chan error
	if n, ok := b.clock.(Notifier); ok {
		notice, err := n.Notice()
		if err != nil {
			t.Fatal(err)
		}
		defer notice.Close()
		woke = make(chan error, 1)
		go func() { woke <- notice.Wait() }()
	}
	before := b.read(t)
	if err := b.set(second); err != nil {
		t.Fatal(err)
	}
	if after := b.read(t); math.Abs(float64((after.Wall-before.Wall)-(after.Raw-before.Raw)-second)) > second/2 {
		t.Errorf("set by 1 s, it shows %d ns", (after.Wall-before.Wall)-(after.Raw-before.Raw))
	}
	if woke == nil {
		return
	}
	select {
	case err := <-woke:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Errorf("states %q, and nothing came for a second", l.Set)
	}
}

// isKilled: what a writer leaves that is killed in the middle of a long slew.
func isKilled(t *testing.T, b *bed, l Limits) {
	if b.die == nil {
		if l.Outlasts != 0 {
			t.Errorf("states that a slew goes on for %d ns", l.Outlasts)
		}
		return
	}
	const frequency, pace = 30e-6, 500e-6
	own := b.rate(t, Steering{})
	if err := b.clock.Close(); err != nil {
		t.Fatal(err)
	}
	before := b.see(t)
	b.die(Steering{Frequency: frequency, Phase: 1 << 40, MaxSlew: pace, Synchronised: true})
	b.pass(16 * time.Second)
	after := b.see(t)
	moved := float64(after.Wall-before.Wall) - float64(after.Raw-before.Raw)*(1+own+frequency)
	if worth := pace * float64(l.Outlasts); l.Outlasts != Endless && (moved < .2*worth || moved > 1.1*worth+b.doubt+b.slack()*2e10) {
		t.Errorf("after the kill it went %.0f ns further, at most %.0f stated", moved, worth)
	}
	most := b.slack()
	if l.Outlasts == Endless {
		most += pace
	} else if l.Outlasts > 0 {
		most += pace / 100
	}
	if left := b.rateNow(t) - own - frequency; math.Abs(left) > most {
		t.Errorf("16 s after the kill the rate is off by %+.3f ppm", left*1e6)
	}
	next, err := b.again()
	if err != nil {
		t.Fatal(err)
	}
	found := next.(FrequencyFinder).FrequencyFound()
	if limit := most + 1e-9; math.Abs(found-frequency) > limit && !b.blind {
		t.Errorf("a successor finds %+.3f ppm, %+.3f written", found*1e6, frequency*1e6)
	}
	b.clock = next
	if s, ok := next.(Survivor); ok && !s.Survived() {
		t.Error("a successor does not see that it follows a killed one")
	}
	b.rate(t, Steering{})
}

// isStopped: what a clean stop in the middle of a slew leaves: no slew, and the frequency or the oscillator's own rate.
func isStopped(t *testing.T, b *bed, l Limits) {
	if b.again == nil {
		return
	}
	const frequency = 50e-6
	own := b.rate(t, Steering{})
	for range 3 {
		mustSteer(t, b.clock, Steering{Frequency: frequency, Phase: 1 << 40, MaxSlew: 400e-6, Synchronised: true})
		b.pass(beat)
	}
	if err := b.clock.Close(); err != nil {
		t.Fatal(err)
	}
	b.pass(max(b.settle, 2*time.Second)) // what a kernel pays in the running second goes on to its end
	want := 0.0
	if l.Keeps {
		want = frequency
	}
	if got := b.rateNow(t) - own; math.Abs(got-want) > b.slack() {
		t.Errorf("after a clean stop the clock runs at %+.3f ppm, stated %+.3f", got*1e6, want*1e6)
	}
	next, err := b.again()
	if err != nil {
		t.Fatal(err)
	}
	if found := next.(FrequencyFinder).FrequencyFound(); math.Abs(found-want) > 1e-8 {
		t.Errorf("a successor finds %+.3f ppm", found*1e6)
	}
	b.clock = next
	b.rate(t, Steering{})
}

func (b *bed) read(t *testing.T) Reading { t.Helper(); return mustRead(t, b.clock) }

func (b *bed) see(t *testing.T) Reading {
	t.Helper()
	r, err := b.look()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rate steers, waits until that is in force and returns the rate.
func (b *bed) rate(t *testing.T, s Steering) float64 {
	t.Helper()
	b.pass(b.settle)
	mustSteer(t, b.clock, s)
	b.pass(2 * b.settle)
	return b.rateNow(t)
}

// rateNow is how much faster than the oscillator the clock runs, fractional.
func (b *bed) rateNow(t *testing.T) float64 {
	t.Helper()
	before := b.see(t)
	b.pass(2 * time.Second)
	after := b.see(t)
	span := float64(after.Raw - before.Raw)
	b.unsure = max(b.unsure, float64(before.Width+after.Width)/2/span)
	return (float64(after.Wall-before.Wall) - span) / span
}

// slack is how far (fractional) the difference of two rates may be off.
func (b *bed) slack() float64 { return b.loose + b.unsure }

func layVirtual(t *testing.T) *bed {
	h := newTrueHost()
	v := NewVirtual(VirtualConfig{}, h)
	return &bed{
		system: "virtual", patience: 60, clock: v, loose: 1e-9, doubt: 2, settle: time.Second,
		pass: func(d time.Duration) { h.pass(int64(d), 0) },
		look: v.Read,
		set:  v.Step,
	}
}

func layWindows(t *testing.T, nominal uint64, sense int) *bed {
	w, a := newFake(t, nominal, sense)
	b := &bed{
		system: "windows", patience: 60, clock: a, named: true, blind: sense < 0, loose: .51/float64(nominal) + 1e-9, doubt: 2, settle: maxTurn + time.Second,
		pass: w.run, look: w.read,
		set:   func(ns int64) error { w.wall += float64(ns); return nil },
		write: func() error { w.value += 100; return nil },
	}
	b.again = func() (Clock, error) {
		next, err := newAdjuster("fake", w)
		if err == nil {
			next.after, next.sign, next.known = w.after, float64(sense), true
		}
		return next, err
	}
	b.die = func(s Steering) {
		clock, err := b.again()
		if err != nil {
			t.Fatal(err)
		}
		mustSteer(t, clock, s)
		w.timers = nil
	}
	return b
}

func layBSD(t *testing.T, kind bsdKind) *bed {
	k := newFakeBSD(kind)
	b := &bed{
		system: kind.goos, patience: 60, clock: openFakeBSD(t, k), loose: 1e-9, doubt: 2, settle: 2 * time.Second,
		pass: k.run,
		look: func() (Reading, error) {
			return Reading{Raw: int64(math.Round(k.raw)), Wall: int64(math.Round(k.wall))}, nil
		},
		set:   func(ns int64) error { k.wall += float64(ns); k.nextSecond(); return nil },
		write: func() error { return k.ntpAdjtime("", &bsdTimex{modes: modFrequency, freq: 1 << 16}) },
		again: func() (Clock, error) { return openBSD(k, kind) },
		told:  func() (bool, int64) { return k.state.status&staUnsync == 0, int64(k.state.maxerror) * 1000 },
	}
	b.die = func(s Steering) { mustSteer(t, openFakeBSD(t, k), s) }
	if kind.steered {
		b.bent = 500_000 // see bsdClock.Read
	}
	return b
}

// layReal is this system's own clock. That it is wanted was asked by TestContractReal.
func layReal(t *testing.T) *bed {
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b := &bed{
		system: runtime.GOOS, patience: 13, clock: c, native: true, named: runtime.GOOS == "windows", loose: 5e-6, doubt: 250_000, settle: 2 * time.Second,
		pass:  time.Sleep,
		look:  func() (Reading, error) { return narrowestOf(40) },
		again: func() (Clock, error) { return Open() },
		die: func(s Steering) {
			killedChild(t, "TestContractReal", 0, fmt.Sprintf("MEANTIME_TEST_CHILD=%g %d %g", s.Frequency, s.Phase, s.MaxSlew))
		},
	}
	writesReal(t, b)
	return b
}

// narrowestOf is the best of many readings.
func narrowestOf(tries int) (best Reading, err error) {
	for i := range tries {
		r, err := readHost(narrowEnough)
		if err != nil {
			return r, err
		}
		if i == 0 || r.Width < best.Width {
			best = r
		}
	}
	return best, nil
}

// steerUntilKilled is the process that is killed.
func steerUntilKilled(t *testing.T, order string) {
	ownClock(t)
	s := Steering{Synchronised: true}
	if _, err := fmt.Sscan(order, &s.Frequency, &s.Phase, &s.MaxSlew); err != nil {
		t.Fatal(err)
	}
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	mustSteer(t, c, s)
	fmt.Println("STEERED")
	select {} // until killed
}

// killedChild runs a test in a process of its own, kills it after a while from when it says that it has steered, and returns what it said.
func killedChild(t *testing.T, test string, after time.Duration, env ...string) (said []byte) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(append(os.Environ(), "MEANTIME_TEST_CHILD=1"), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said = make([]byte, 256)
	n, _ := out.Read(said)
	time.Sleep(after)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !bytes.Contains(said[:n], []byte("STEERED")) {
		t.Fatalf("the child said %q", said[:n])
	}
	return said[:n]
}
