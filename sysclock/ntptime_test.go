package sysclock

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// fakeBSD follows kern_ntptime.c of XNU or FreeBSD, and the time counter above it, as far as bsdClock relies on them: what is written
// comes into force when the kernel next computes a second's adjustment. FreeBSD does at each second of the wall clock, macOS a second after
// the last write, and goes on each second while there is something to pay.
type fakeBSD struct {
	kind            bsdKind
	raw, mono, wall float64 // ns
	rate            float64 // fractional, in force until the next update
	due             float64 // raw time of the next update; +Inf = none
	state           bsdTimex
	offset          float64 // ns that the phase loop has still to pay
	left            int64   // µs that adjtime has still to pay
	refuse          error
}

func newFakeBSD(kind bsdKind) *fakeBSD {
	k := &fakeBSD{kind: kind, wall: 1e12 + 3e8, mono: 7e9, raw: 7e9, due: math.Inf(1)}
	k.state.status = staUnsync
	k.nextSecond()
	return k
}

// nextSecond has FreeBSD's kernel compute at the next second of the wall clock.
func (k *fakeBSD) nextSecond() {
	if k.kind.steered {
		rest := second - math.Mod(k.wall, second)
		k.due = k.raw + rest/(1+k.rate)
	}
}

// touched has macOS' kernel compute a second from now.
func (k *fakeBSD) touched() {
	if !k.kind.steered {
		k.due = k.raw + second
	}
}

// update is ntp_update_second.
func (k *fakeBSD) update() {
	const shiftPLL = 4
	phase := k.offset / float64(int64(1)<<(shiftPLL+k.state.constant))
	k.offset -= phase
	pays := clampAbs(k.left, 500)
	if k.left > 1_000_000 || k.left < -1_000_000 {
		pays = clampAbs(k.left, 5000)
	}
	k.rate = float64(k.state.freq)/unitsPerOne + (float64(pays)*1000+phase)/second
	again := k.left != 0 || math.Abs(phase) > 1e-3
	k.left -= pays
	k.due = math.Inf(1)
	if again {
		k.touched()
	}
	if k.kind.steered {
		k.wall = math.Round(k.wall/second) * second // the boundary, without what floats have lost of it
		k.nextSecond()
	}
}

// run lets true time pass.
func (k *fakeBSD) run(d time.Duration) {
	for end := k.raw + float64(d); k.raw < end; {
		next := min(end, k.due)
		took := next - k.raw
		k.raw = next
		k.wall += took * (1 + k.rate)
		k.mono += took * (1 + k.rate)
		if next == k.due {
			k.update()
		}
	}
}

func (k *fakeBSD) read() (Reading, error) {
	r := Reading{Raw: int64(math.Round(k.raw)), Wall: int64(math.Round(k.wall))}
	if k.kind.steered {
		r.Raw = int64(math.Round(k.mono))
	}
	return r, nil
}

func (k *fakeBSD) adjtime(us int64) error {
	if k.refuse != nil {
		return k.refuse
	}
	k.left = us
	k.touched()
	return nil
}

func (k *fakeBSD) pending() (int64, error) {
	if !k.kind.steered {
		return 0, errors.New("EFAULT: macOS takes no adjtime without a new value")
	}
	return k.left, nil
}

func (k *fakeBSD) setTime(us int64) error {
	if k.refuse != nil {
		return k.refuse
	}
	k.wall = float64(us) * 1000
	k.nextSecond()
	return nil
}

func (k *fakeBSD) ntpAdjtime(_ string, tx *bsdTimex) error {
	if tx.modes != 0 && k.refuse != nil {
		return k.refuse
	}
	s := &k.state
	if tx.modes&modMaxerror != 0 {
		s.maxerror = tx.maxerror
	}
	if tx.modes&modEsterror != 0 {
		s.esterror = tx.esterror
	}
	if tx.modes&modStatus != 0 {
		if s.status&staPLL != 0 && tx.status&staPLL == 0 {
			s.status = staUnsync // the units are forgotten as well
		}
		s.status = s.status&staNano | tx.status&^staNano
	}
	if tx.modes&modNano != 0 {
		s.status |= staNano
	}
	if tx.modes&modMicro != 0 {
		s.status &^= staNano
	}
	if tx.modes&modFrequency != 0 {
		s.freq = int(clampAbs(int64(tx.freq), 500<<16))
	}
	if tx.modes&modOffset != 0 && s.status&staPLL != 0 {
		k.offset = float64(tx.offset) // of zero, which is all that is written here, no unit matters
	}
	if tx.modes != 0 {
		k.touched()
	}
	*tx = *s
	tx.offset = int(k.offset)
	return nil
}

func openFakeBSD(t interface{ Fatal(...any) }, k *fakeBSD) *bsdClock {
	c, err := openBSD(k, k.kind)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*bsdClock)
}

// A clock that follows its line is brought there whatever the phase of the kernel's second: nothing rings, nothing is left, and no pace
// is exceeded.
func TestBSDSlewSettles(t *testing.T) {
	for _, kind := range []bsdKind{darwinKind, freebsdKind} {
		for _, every := range []time.Duration{250 * time.Millisecond, 993 * time.Millisecond, time.Second, 1007 * time.Millisecond} {
			for _, start := range []time.Duration{0, 10 * time.Millisecond, 500 * time.Millisecond, 990 * time.Millisecond} {
				k := newFakeBSD(kind)
				c := openFakeBSD(t, k)
				k.run(start)
				goal := k.wall - k.raw + 1_234_000
				furthest, fastest := 0.0, 0.0
				for at := time.Duration(0); at < time.Minute; at += every {
					rest := goal - (k.wall - k.raw)
					furthest = max(furthest, -rest)
					mustSteer(t, c, Steering{Phase: int64(math.Round(rest)), MaxSlew: 500e-6})
					before := k.wall - k.raw
					k.run(every)
					fastest = max(fastest, (k.wall-k.raw-before)/float64(every))
				}
				if rest := goal - (k.wall - k.raw); math.Abs(rest) > 2000 || furthest > 100_000 || fastest > 500.001e-6 {
					t.Errorf("%s, each %v from %v on: %.0f ns are left, overshot by %.0f ns, %.1f ppm", kind.goos, every, start, rest, furthest, fastest*1e6)
				}
			}
		}
	}
}

// The rest of what another program's phase loop had to pay is not paid on top.
func TestBSDEndsForeignLoop(t *testing.T) {
	for _, kind := range []bsdKind{darwinKind, freebsdKind} {
		k := newFakeBSD(kind)
		k.state.status, k.state.constant, k.offset = staPLL|staNano, 6, 400_000_000
		c := openFakeBSD(t, k)
		if k.offset == 0 || k.state.status != staPLL|staNano {
			t.Errorf("%s: Open wrote %+v", kind.goos, k.state)
		}
		mustSteer(t, c, Steering{})
		k.run(2 * time.Second)
		before := k.wall - k.raw
		k.run(100 * time.Second)
		if moved := k.wall - k.raw - before; math.Abs(moved) > 1 {
			t.Errorf("%s: moved by %.0f ns", kind.goos, moved)
		}
		if err := c.Close(); err != nil || k.state.status&^staUnsync != staPLL|staNano {
			t.Errorf("%s: Close left %#x, %v", kind.goos, k.state.status, err)
		}
	}
}

// A clock that nobody keeps any more is not called synchronised for ever.
func TestBSDKernelState(t *testing.T) {
	for _, c := range []struct {
		tx   bsdTimex
		want KernelState
	}{
		{bsdTimex{status: staUnsync | staPLL, maxerror: 250}, KernelState{MaxError: 250_000}},
		{bsdTimex{status: bsdOurs | staNano, maxerror: 250}, KernelState{Synchronised: true, MaxError: 250_000}},
		{bsdTimex{status: bsdOurs | staIns, freq: -3 << 16, offset: 4}, KernelState{Synchronised: true, Frequency: -3e-6, Rest: 4_000, Leap: 1}},
		{bsdTimex{status: bsdOurs | staNano | staDel, offset: 4}, KernelState{Synchronised: true, Rest: 4, Leap: -1}},
		{bsdTimex{status: bsdOurs, maxerror: maxReported}, KernelState{MaxError: 16 * second}},
	} {
		if got := c.tx.kernelState(); got != c.want {
			t.Errorf("%+v says %+v", c.tx, got)
		}
	}
}

// What was found, what was survived, what others wrote.
func TestBSDState(t *testing.T) {
	k := newFakeBSD(freebsdKind)
	c := openFakeBSD(t, k)
	if c.Survived() || c.FrequencyFound() != 0 {
		t.Error("a fresh kernel looks as a killed writer leaves it")
	}
	mustSteer(t, c, Steering{Frequency: -40e-6, Phase: 900_000, MaxSlew: 1e-3, MaxError: 1_000_001, EstError: 5, Synchronised: true})
	if s := k.state; s.status != bsdOurs || s.maxerror != 1001 || s.esterror != 1 || k.left != 225 {
		t.Errorf("the kernel has %+v, %d µs", s, k.left)
	}
	next := openFakeBSD(t, k)
	if !next.Survived() || math.Abs(next.FrequencyFound()+40e-6) > 1e-9 {
		t.Errorf("a successor finds %g, survived %v", next.FrequencyFound(), next.Survived())
	}
	for name, write := range map[string]func(){
		"adjtime has 226 µs":      func() { k.left = 226 },
		"adjtime has -1 µs":       func() { k.left = -1 },
		"status is 0x1, was":      func() { k.state.status = staPLL },
		"frequency is +10.000 pp": func() { k.state.freq = 10 << 16 },
	} {
		k.state.freq, k.state.status, k.left = -40<<16, bsdOurs|staUnsync, 225
		if what, err := c.Foreign(); what != "" || err != nil {
			t.Errorf("as written: %q, %v", what, err)
		}
		write()
		if what, err := c.Foreign(); !strings.HasPrefix(what, name) || err != nil {
			t.Errorf("%q, %v, want %q", what, err, name)
		}
	}
	k.refuse = ErrPermission
	if _, err := openBSD(k, k.kind); !errors.Is(err, ErrPermission) {
		t.Errorf("Open without the right gave %v", err)
	}
	for name, err := range map[string]error{"Steer": c.Steer(Steering{}), "Step": c.Step(1), "Close": c.Close()} {
		if !errors.Is(err, ErrPermission) {
			t.Errorf("%s without the right gave %v", name, err)
		}
	}
}
