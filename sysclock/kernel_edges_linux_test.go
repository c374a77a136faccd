package sysclock

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKernelNotice has another program's hand set the clock: by adjtimex, and by settimeofday. A slew sets nothing.
func TestKernelNotice(t *testing.T) {
	c := openKernel(t)
	n, err := c.Notice()
	if err != nil {
		t.Fatal(err)
	}
	woke := make(chan time.Time, 16)
	ended := make(chan error, 1)
	go func() {
		for {
			if err := n.Wait(); err != nil {
				ended <- err
				return
			}
			woke <- time.Now()
		}
	}()
	silent := func(after string) {
		t.Helper()
		select {
		case <-woke:
			t.Errorf("woke after %s", after)
		case <-time.After(1500 * time.Millisecond):
		}
	}
	mustSteer(t, c, Steering{Frequency: 50e-6, Phase: 1_000_000, MaxSlew: 500e-6, Synchronised: true})
	silent("a slew")
	for name, set := range map[string]func() error{
		"adjtimex, 1 ns": func() error {
			_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, Time: unix.Timeval{Usec: 1}})
			return err
		},
		"settimeofday": func() error { tv := unix.NsecToTimeval(sharp(t).Wall + second); return unix.Settimeofday(&tv) },
		"back":         func() error { return c.Step(-second) },
	} {
		began := time.Now()
		if err := set(); err != nil {
			t.Fatal(err)
		}
		select {
		case at := <-woke:
			t.Logf("%s: woke within %v of the call's beginning", name, at.Sub(began))
		case <-time.After(time.Second):
			t.Errorf("%s: nobody woke", name)
		}
		silent(name + " once more")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed one waits on")
	}
	mustSteer(t, c, Steering{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKernelTruth: what a look at the kernel shows is what Steer said, grown by 500 µs a second, and the TAI offset is as it was.
func TestKernelTruth(t *testing.T) {
	inGuest(t)
	if _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_TAI, Constant: 37}); err != nil {
		t.Fatal(err)
	}
	c := openKernel(t)
	shows := func(when string, unsync bool, least, most int64) {
		t.Helper()
		s := adjState(t)
		t.Logf("%s: status %#x, maxerror %d µs, esterror %d µs, TAI %d s", when, s.Status, s.Maxerror, s.Esterror, s.Tai)
		if got := s.Status&unix.STA_UNSYNC != 0; got != unsync || int64(s.Maxerror) < least || int64(s.Maxerror) > most || s.Tai != 37 {
			t.Errorf("%s: status %#x, maxerror %d µs (want %d to %d), TAI %d s", when, s.Status, s.Maxerror, least, most, s.Tai)
		}
	}
	told := Steering{Frequency: 10e-6, MaxError: 200_000, EstError: 50_000, Synchronised: true}
	mustSteer(t, c, told)
	shows("steered", false, 200, 700)
	time.Sleep(4 * time.Second)
	shows("4 s later", false, 200+3*500, 200+5*500)
	mustSteer(t, c, told)
	shows("steered again", false, 200, 700)
	if err := c.Step(1_000_000); err != nil {
		t.Fatal(err)
	}
	shows("stepped", false, 200, 700)
	told.Synchronised = false
	mustSteer(t, c, told)
	shows("held", true, 200, 700)
	told.Synchronised = true
	mustSteer(t, c, told)
	shows("kept again", false, 200, 700)
	if _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_FREQUENCY, Freq: 65536}); err != nil { // another program's hand
		t.Fatal(err)
	}
	if what, err := c.Foreign(); err != nil || what != "frequency is +1.000 ppm, was set to +10.000 ppm" {
		t.Errorf("Foreign = %q, %v", what, err)
	}
	mustSteer(t, c, told)
	if err := c.Step(-1_000_000); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	shows("left", false, 200, 700)
}

// pursuit slews by asked ns as the daemon does: each second it tells the kernel what is left, by what the clocks show.
type pursuit struct {
	clock     *linuxClock
	asked     int64
	frequency float64 // written, with what the oscillator itself is off
	maxSlew   float64
	begin     Reading
}

// moved is how far (ns) the clock has been slewed since the beginning.
func (p *pursuit) moved(r Reading) float64 {
	return float64(r.Wall-p.begin.Wall) - float64(r.Raw-p.begin.Raw)*(1+p.frequency)
}

func (p *pursuit) steer(t *testing.T, frequency float64) {
	t.Helper()
	if what, err := p.clock.Foreign(); what != "" || err != nil { // the kernel's own doing is nobody else's
		t.Errorf("Foreign = %q, %v", what, err)
	}
	left := p.asked - int64(p.moved(sharp(t)))
	mustSteer(t, p.clock, Steering{Frequency: frequency, Phase: left, MaxSlew: p.maxSlew, MaxError: 1_000_000, Synchronised: true})
}

// calm ends a slew. What the kernel has taken of it for the second under way still comes: 0.9 ms of the test before were once measured
// as the oscillator's rate.
func calm(t *testing.T, c *linuxClock) {
	t.Helper()
	mustSteer(t, c, Steering{})
	time.Sleep(1100 * time.Millisecond)
}

// TestKernelSlewPace notes what pace a slew of 100 ms reaches when it is rewritten each second. The full pace lasts while more is left
// than four seconds' worth; from there on the kernel takes off a quarter of the rest each second, and that cannot be made faster
// without leaving more to a killed writer's kernel than was asked.
func TestKernelSlewPace(t *testing.T) {
	c := openKernel(t)
	calm(t, c)
	zero, _ := rate(t, 2*time.Second)
	const asked, seconds = 100_000_000, 9
	for _, maxSlew := range []float64{500e-6, 5000e-6, 50000e-6} {
		mustSteer(t, c, Steering{})
		p := &pursuit{clock: c, asked: asked, frequency: zero, maxSlew: maxSlew, begin: sharp(t)}
		start := time.Now()
		var first float64
		for i := range seconds {
			p.steer(t, 0)
			time.Sleep(time.Until(start.Add(time.Duration(i+1) * time.Second)))
			if i == 0 {
				first = p.moved(sharp(t))
			}
		}
		r := sharp(t)
		span := float64(r.Raw-p.begin.Raw) - second // the slew starts with the kernel's next second
		mean := (p.moved(r) - first) / span
		expected := asked * (1 - math.Pow(.75, seconds))
		if full := 4 * maxSlew * second; full < asked { // so long it is at its pace
			expected = min(maxSlew*second*seconds, asked-full*.75)
		}
		t.Logf("100 ms at %5.0f ppm: %.1f ms in %.1f s, %.0f ppm after the first second; %.1f ms expected", maxSlew*1e6,
			p.moved(r)/1e6, span/second+1, mean*1e6, expected/1e6)
		if mean > 1.05*maxSlew || p.moved(r) > asked*1.002 {
			t.Errorf("%.0f ppm: moved %.2f ms at %.0f ppm: faster or further than allowed", maxSlew*1e6, p.moved(r)/1e6, mean*1e6)
		}
		if p.moved(r) < .85*expected*(seconds-1)/seconds {
			t.Errorf("%.0f ppm: moved %.2f ms, expected %.2f", maxSlew*1e6, p.moved(r)/1e6, expected/1e6)
		}
	}
	mustSteer(t, c, Steering{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKernelKilledAnywhere kills a writer in the middle of a 100 ms slew at ten random instants: the clock has moved no further, with
// what the kernel still has to take off, than the slew asked, and beyond that runs at the rate that was written. Three seconds are
// waited for after each kill; with MEANTIME_LONG it is a minute, and then the rate itself is measured:
//
//	MEANTIME_LONG=1 go run ./cmd/lab run --program sysclock-test --for 25m      as root
func TestKernelKilledAnywhere(t *testing.T) {
	inGuest(t)
	const frequency = -30e-6
	if os.Getenv("MEANTIME_TEST_CHILD") != "" {
		slewUntilKilled(t, frequency)
	}
	c := openKernel(t)
	calm(t, c)
	before, after := 10*time.Second, 3*time.Second
	if os.Getenv("MEANTIME_LONG") != "" { // as long as what is compared with it: two readings 13 µs off make 1.3 ppm of ten seconds
		before, after = time.Minute, time.Minute
	}
	zero, unsure := rate(t, before)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 10 {
		mustSteer(t, c, Steering{}) // takes back what the last one left
		k := kill{number: i, wait: after, after: time.Duration(rng.Int64N(int64(4 * time.Second))), frequency: frequency, unsure: unsure}
		k.pursuit = pursuit{clock: c, asked: killedSlew, frequency: zero + frequency, begin: runKilled(t, zero, k.after)}
		k.judge(t)
	}
	calm(t, c)
	mustSteer(t, c, Steering{Frequency: frequency})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// killedSlew (ns) is what is slewed at killedPace when the writer is killed.
const killedSlew, killedPace = 100_000_000, 5000e-6

// slewUntilKilled is the writer.
func slewUntilKilled(t *testing.T, frequency float64) {
	c := openKernel(t)
	var zero float64
	_, _ = fmt.Sscan(os.Getenv("MEANTIME_TEST_ZERO"), &zero)
	p := &pursuit{clock: c, asked: killedSlew, frequency: zero + frequency, maxSlew: killedPace, begin: sharp(t)}
	for i := 0; ; i++ {
		p.steer(t, frequency)
		if i == 0 {
			fmt.Println("STEERED", p.begin.Raw, p.begin.Wall, p.begin.Width)
		}
		time.Sleep(time.Second)
	}
}

// kill is one end of a writer.
type kill struct {
	pursuit
	number    int
	after     time.Duration // since the slew began
	wait      time.Duration // for the kernel to go on alone
	frequency float64       // written
	unsure    float64       // of the oscillator's own rate, fractional
}

// doubt is how far (ns) what a reading says of the way moved may be off: the brackets at both ends, and the oscillator's own rate.
func (k *kill) doubt(r Reading) float64 {
	return 200_000 + float64(r.Width+k.begin.Width)/2 + k.unsure*float64(r.Raw-k.begin.Raw)
}

// judge looks at what the kernel does without its writer.
func (k *kill) judge(t *testing.T) {
	t.Helper()
	a := sharp(t)
	s := adjState(t)
	rest := int64(s.Offset)
	if total := k.moved(a) + float64(rest); total > killedSlew+k.doubt(a) || k.moved(a) < -k.doubt(a) || int64(s.Freq) != freqUnits(k.frequency) {
		t.Errorf("%d, killed after %v: moved %.3f ms, rest %.3f ms, frequency %d, doubt %.3f ms", k.number, k.after,
			k.moved(a)/1e6, float64(rest)/1e6, s.Freq, k.doubt(a)/1e6)
	}
	time.Sleep(k.wait)
	b := sharp(t)
	left := int64(adjState(t).Offset)
	took, paid := k.moved(b)-k.moved(a), float64(rest-left)
	t.Logf("%d: killed after %4.2f s: had moved %6.2f ms, rest %5.2f ms; %v later %5.2f ms more, rest %5.2f ms", k.number, k.after.Seconds(),
		k.moved(a)/1e6, float64(rest)/1e6, k.wait, took/1e6, float64(left)/1e6)
	// Of the kernel's second in progress, which the rest does not hold any more, up to all is paid later.
	if slack := float64(rest)/3 + killedPace*second + k.doubt(b); took < paid-slack || took > paid+slack || left >= rest && rest > 0 {
		t.Errorf("%d: %v after the kill %.3f ms moved and the rest went from %.3f to %.3f ms, slack %.3f ms", k.number, k.wait,
			took/1e6, float64(rest)/1e6, float64(left)/1e6, slack/1e6)
	}
	if k.wait < time.Minute {
		return
	}
	settled, _ := rate(t, 20*time.Second)
	settled -= k.pursuit.frequency
	t.Logf("%d: a minute after the kill the rate is off what was written by %+.3f ppm", k.number, settled*1e6)
	if math.Abs(settled) > 1e-6+k.unsure/4 {
		t.Errorf("%d: a minute after the kill the rate is off by %+.3f ppm", k.number, settled*1e6)
	}
}

// runKilled has this test killed after a while of slewing, and returns the reading it began with.
func runKilled(t *testing.T, zero float64, after time.Duration) (begin Reading) {
	t.Helper()
	said := killedChild(t, "TestKernelKilledAnywhere", after, fmt.Sprintf("MEANTIME_TEST_ZERO=%g", zero))
	if _, err := fmt.Fscanf(bytes.NewReader(said), "STEERED %d %d %d", &begin.Raw, &begin.Wall, &begin.Width); err != nil {
		t.Fatalf("the child said %q: %v", said, err)
	}
	return begin
}
