package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"meantime/daemon"
	"meantime/sysclock"
)

const (
	// trialRate (fractional) is what the clock is bent by, in both directions: an eighth of an order above what oscillators differ by.
	trialRate = 100e-6
	// trialTime is how long in each: 200 µs are gained, and given back by the other, which the coarsest brackets of a guest can tell.
	trialTime = 2 * time.Second
	// trialStep is between two readings. It is short enough to keep a kernel's ticks from being put off while it is idle.
	trialStep = 20 * time.Millisecond
	// settleTime is how long after a write it is in force: at the next tick, but on macOS a second later (sysclock).
	settleTime, slowSettleTime = 100 * time.Millisecond, 1300 * time.Millisecond
	// clearly is the standard error of the clock's answer, over what was asked, above which nothing can be said.
	clearly = 0.1
)

// checkTrial bends the clock if it was asked to and nobody keeps it, looks at what becomes of that, and puts it back.
func checkTrial(ctx context.Context, m *Machine) []Finding {
	if !m.TryClock {
		return []Finding{skip("`meantime doctor --try-clock` as root, while nothing else keeps the clock: it is off by 200 µs for a moment",
			"the clock is not touched unless asked")}
	}
	clock, release, err := m.Borrow()
	if err != nil {
		problem, advice := told(err, "stop what keeps the clock for the time of the trial")
		if isAny(err, daemon.ErrClockHeld, sysclock.ErrPermission, sysclock.ErrUnsupported) {
			return []Finding{skip(advice, "%s", problem)}
		}
		return []Finding{fail(advice, "%s", problem)}
	}
	list := m.try(ctx, clock)
	if err := errors.Join(clock.Close(), release()); err != nil {
		list = append(list, fail("look at `meantime doctor` again", "ending the trial: %v", err))
	}
	return list
}

// try is the trial of a clock that is ours.
func (m *Machine) try(ctx context.Context, clock sysclock.Clock) []Finding {
	shifter, ok := clock.(sysclock.Shifter)
	before, known := m.kernel()
	switch {
	case !ok:
		return []Finding{skip("", "%s cannot be tried without being kept", clock.Limits().Name)}
	case known && before.Rest != 0:
		return []Finding{skip("try it again in a minute", "the kernel is slewing the clock still, by %v", time.Duration(before.Rest))}
	}
	up, down, err := m.bend(ctx, clock, shifter)
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, errMeddled) {
		return []Finding{fail("find it and end it; it was left its way", "%v", err)}
	}
	if err != nil {
		problem, advice := told(err, "look for a sandbox around this program")
		if errors.Is(err, sysclock.ErrUnsupported) {
			return []Finding{skip(advice, "%s", problem)}
		}
		return []Finding{fail(advice, "%s", problem)}
	}
	restored := ""
	if after, ok := m.kernel(); known && ok {
		if !near(after.Frequency, before.Frequency) {
			return []Finding{fail("another program writes to the clock: end it", "found at %s and put back, but it is at %s now",
				signedPPM(before.Frequency), signedPPM(after.Frequency))}
		}
		restored = ", put back to " + signedPPM(after.Frequency)
	}
	return []Finding{judge(m.System, clock.Limits().Name, up, down, restored)}
}

// kernel is what the kernel says, where it does.
func (m *Machine) kernel() (s sysclock.KernelState, known bool) {
	s, err := m.Kernel()
	return s, err == nil
}

// errMeddled says that the frequency in force is not the one that was written.
var errMeddled = errors.New("another program, which is not seen here, wrote to the clock during the trial")

// near says whether two frequencies are one. Kernels keep them to 0.001 ppm at worst (sysclock).
func near(a, b float64) bool { return math.Abs(a-b) < 2e-9 }

// bend has the clock run faster and slower for a while each, so that in the end it is where it would have been. Whatever happens, it runs
// as before then; but who else writes meanwhile, such as the daemon of a container's host, has the last word.
func (m *Machine) bend(ctx context.Context, clock sysclock.Clock, shifter sysclock.Shifter) (up, down gain, err error) {
	before, known := m.kernel()
	defer func() {
		if !errors.Is(err, errMeddled) {
			err = errors.Join(err, shifter.Shift(0))
		}
	}()
	settle := settleTime
	if m.System == "darwin" {
		settle = slowSettleTime
	}
	for _, half := range []struct {
		by  float64
		saw *gain
	}{{trialRate, &up}, {-trialRate, &down}} {
		if err := shifter.Shift(half.by); err != nil {
			return up, down, err
		}
		m.Sleep(ctx, settle)
		if *half.saw, err = m.watch(ctx, clock); err != nil {
			return up, down, err
		}
		if now, ok := m.kernel(); known && ok && !near(now.Frequency, before.Frequency+half.by) {
			return up, down, errMeddled
		}
	}
	return up, down, nil
}

// gain is what a clock gained on its raw oscillator, per time, and the standard error of that.
type gain struct{ rate, unsure float64 }

// watch reads the clock for a while and lays a line through the readings. Those that were interrupted are left out.
func (m *Machine) watch(ctx context.Context, clock sysclock.Clock) (gain, error) {
	var all []sysclock.Reading
	for {
		r, err := clock.Read()
		if err != nil {
			return gain{}, err
		}
		if all = append(all, r); r.Raw-all[0].Raw >= int64(trialTime) || ctx.Err() != nil {
			break
		}
		m.Sleep(ctx, trialStep)
	}
	finest := slices.MinFunc(all, func(a, b sysclock.Reading) int { return int(a.Width - b.Width) }).Width
	all = slices.DeleteFunc(all, func(r sysclock.Reading) bool { return r.Width > 3*finest+1000 })
	return fit(all), nil
}

// fit is the slope of the wall clock over the raw oscillator, less one, by least squares.
func fit(all []sysclock.Reading) gain {
	n := float64(len(all))
	if n < 3 {
		return gain{unsure: math.Inf(1)}
	}
	var x, y, xx, xy, yy float64
	for _, r := range all {
		dx := float64(r.Raw - all[0].Raw)
		dy := float64(r.Wall-all[0].Wall) - dx
		x, y, xx, xy, yy = x+dx, y+dy, xx+dx*dx, xy+dx*dy, yy+dy*dy
	}
	sxx, sxy, syy := xx-x*x/n, xy-x*y/n, yy-y*y/n
	rate := sxy / sxx
	return gain{rate, math.Sqrt(max(0, syy-rate*sxy) / (n - 2) / sxx)}
}

// judge says what a clock has made of the trial. What it does by itself is in both halves, so that their difference is the answer.
func judge(system, name string, up, down gain, restored string) Finding {
	slope := (up.rate - down.rate) / (2 * trialRate)
	text := fmt.Sprintf("%s: %+.0f and %+.0f ppm for %v each made %+.1f and %+.1f ppm, %.2f of what was asked%s", name, trialRate*1e6,
		-trialRate*1e6, trialTime, up.rate*1e6, down.rate*1e6, slope, restored)
	switch {
	case math.Hypot(up.unsure, down.unsure)/(2*trialRate) > clearly:
		return warn("try it again while the machine is less busy", "%s: the readings are too coarse to tell (±%.0f ppm)", text,
			math.Hypot(up.unsure, down.unsure)*1e6)
	case math.Abs(slope) < 0.5:
		return fail("end what else sets the rate (a hypervisor's time synchronisation, another daemon), or use --dry-run",
			"%s: the clock does not follow", text)
	case slope < 0 && system == "windows":
		return pass("%s: a larger value is slower here, which meantime finds out by itself", text)
	case slope < 0:
		return fail("report it as a bug, with the version of the kernel", "%s: the clock goes the other way", text)
	case math.Abs(slope-1) > 3*clearly:
		return warn("look for another program at the clock, and try it again", "%s: the clock follows in part", text)
	}
	return pass("%s", text)
}
