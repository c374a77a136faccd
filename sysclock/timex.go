package sysclock

import (
	"fmt"
	"math"
	"math/bits"
)

// Conversions between this package's units and those of the kernels. Nothing here touches an operating system, so
// that the arithmetic of every platform is tested on each.

const (
	second = 1_000_000_000 // ns

	// maxFrequency is the clamp of ADJ_FREQUENCY (MAXFREQ in Linux' include/linux/timex.h, 500 ppm) and of
	// MOD_FREQUENCY in the BSD kernels; the kernels clamp silently, so it is done here, where it can be known.
	maxFrequency = 500e-6

	// unitsPerOne turns a fractional frequency into timex units: 2^-16 ppm each (adjtimex(2)).
	unitsPerOne = 1e6 * 65536

	// maxPhase is the largest offset that ADJ_OFFSET takes (MAXPHASE in Linux' include/linux/timex.h).
	maxPhase = second / 2

	// phaseDivisor: at time constant 0 the Linux kernel takes off 1/4 of the rest each second (SHIFT_PLL = 2 in
	// include/linux/timex.h, ntp_offset_chunk in kernel/time/ntp.c).
	phaseDivisor = 4

	// bsdPace is what adjtime(2) pays in a second of up to a second's slew, µs (ntp_update_second in kern_ntptime.c of macOS and FreeBSD).
	bsdPace = 500

	// bsdWorth is how many seconds of that pace are handed over at once, at most.
	bsdWorth = 2

	// maxPhaseSlew is the rate that maxPhase means in its first second, fractional: 125,000 ppm.
	maxPhaseSlew = float64(maxPhase) / phaseDivisor / second

	// maxReported is the largest error that the kernels keep, µs (NTP_PHASE_LIMIT, 16 s); above it they call the
	// clock unsynchronised.
	maxReported = 16_000_000

	// nominalTick is the length of a tick at USER_HZ 100, µs (adjtimex(2)): what ADJ_TICK changes.
	nominalTick = 10_000
)

// checked returns s with Frequency and MaxSlew clamped to an implementation's limits, or an error for values that
// mean nothing (NaN, infinities, a phase without a rate).
func checked(s Steering, l Limits) (Steering, error) {
	if math.IsNaN(s.Frequency) || math.IsInf(s.Frequency, 0) {
		return s, fmt.Errorf("%w: frequency %v", errBadSteering, s.Frequency)
	}
	if math.IsNaN(s.MaxSlew) || math.IsInf(s.MaxSlew, 0) || s.MaxSlew < 0 || s.MaxSlew == 0 && s.Phase != 0 {
		return s, fmt.Errorf("%w: largest slew rate %v for a phase of %d ns", errBadSteering, s.MaxSlew, s.Phase)
	}
	s.Frequency = clamp(s.Frequency, l.Frequency)
	s.MaxSlew = min(s.MaxSlew, l.Slew)
	return s, nil
}

// clamp limits v to ±limit.
func clamp(v, limit float64) float64 { return max(-limit, min(limit, v)) }

// freqUnits turns a fractional frequency into timex units (2^-16 ppm), rounded to nearest and clamped to ±500 ppm.
func freqUnits(fractional float64) int64 {
	return int64(math.RoundToEven(clamp(fractional, maxFrequency) * unitsPerOne))
}

// fractional turns timex frequency units (2^-16 ppm) and a tick length (µs at USER_HZ 100) into one fractional
// frequency: the tick multiplies, the frequency adds to it. A tick of 0 counts as nominal.
func fractional(units, tick int64) float64 {
	f := float64(units) / unitsPerOne
	if tick != 0 {
		f += float64(tick-nominalTick) / nominalTick
	}
	return f
}

// phaseChunk is the part of a phase (ns) to hand to the Linux kernel at once: so much that the first quarter, which
// it takes off within one second, needs no more than maxSlew (fractional); never more than the kernel's own limit.
func phaseChunk(phase int64, maxSlew float64) int64 {
	return clampAbs(phase, min(maxPhase, int64(phaseDivisor*maxSlew*second)))
}

// bsdChunk is the part of a phase (ns) to hand to adjtime(2), in µs: a quarter, which the kernels pay within their next second. Linux does
// the same by itself (phaseDivisor): of what is measured while a second is being paid, up to all is on its way already, and more
// than a quarter rings. It is no more than maxSlew pays in a second. Where the kernels cannot pay faster anyway it is up to
// bsdWorth, so that the slew goes on if the next call comes late.
func bsdChunk(phase int64, maxSlew float64) (us int64) {
	most := int64(maxSlew * second / 1000)
	if most >= bsdPace {
		most = bsdPace * bsdWorth
	}
	us = phase / 1000
	if us < 0 {
		return max((us-phaseDivisor+1)/phaseDivisor, -most)
	}
	return min((us+phaseDivisor-1)/phaseDivisor, most) // rounded up: a single µs is worth one
}

// clampAbs limits v to ±limit without overflow at the ends of int64.
func clampAbs(v, limit int64) int64 { return max(-limit, min(limit, v)) }

// splitNs writes ns as whole seconds and a remainder of 0 to 999,999,999 ns: -0.5 s is {-1, 500000000}, the only form
// in which ADJ_SETOFFSET takes a negative value (timespec_inject_offset_valid in the Linux kernel).
func splitNs(ns int64) (sec, nsec int64) {
	sec, nsec = ns/second, ns%second
	if nsec < 0 {
		sec--
		nsec += second
	}
	return sec, nsec
}

// errorMicros turns an error bound in ns into the kernels' µs, rounded up, within 0 to 16 s.
func errorMicros(ns int64) int64 {
	if ns <= 0 {
		return 0
	}
	return min((ns-1)/1000+1, maxReported)
}

// ticksToNs turns a counter reading of the given frequency (Hz) into ns, exact to the rounding down, without the
// overflow of count*1e9: at 10 MHz that would happen after 15 minutes.
func ticksToNs(count, hz uint64) int64 {
	if hz == 0 {
		return 0
	}
	hi, lo := bits.Mul64(count%hz, second)
	q, _ := bits.Div64(hi, lo, hz) // hi < hz, because count%hz < hz and second < 2^64
	return int64(count/hz*second + q)
}

// rawRebuild reconstructs a raw oscillator from a monotonic clock that is steered together with the wall clock, by
// taking out what was written: the frequency and the part of the slewed phase that has been paid out.
type rawRebuild struct {
	raw       int64   // ns, the oscillator at the last account
	residue   float64 // ns, the fraction that raw cannot hold
	mono      int64   // ns, the steered clock at the last account
	frequency float64 // fractional, in force since the last account
	pending   int64   // ns of phase not yet paid out at the last account
}

// account advances the oscillator to the steered reading mono (ns), of which pending ns of phase remain to be paid.
func (r *rawRebuild) account(mono, pending int64) int64 {
	steered := mono - r.mono - (r.pending - pending)
	// 1/(1+f) = 1 - f/(1+f): the second form keeps the large integer exact.
	r.residue -= float64(steered) * (r.frequency / (1 + r.frequency))
	whole := math.Floor(r.residue)
	r.residue -= whole
	r.raw += steered + int64(whole)
	r.mono, r.pending = mono, pending
	return r.raw
}
