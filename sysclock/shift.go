package sysclock

import "fmt"

// Shifter is implemented by clocks whose rate can be tried out without being kept: Linux, macOS and Windows. FreeBSD has no oscillator
// beside the clock by which the trial could be seen.
type Shifter interface {
	// Shift has the clock run by a fraction faster than Open found it, and changes nothing else. 0 puts back what was found, to
	// the last bit. It does not go with Steer on the same clock: either try it or keep it.
	Shift(by float64) error
}

// shifted is a frequency found (timex units) and more; what the kernels would clamp is refused, for the trial would show less.
func shifted(found int64, by float64) (int64, error) {
	units := found + freqUnits(by)
	if most := freqUnits(maxFrequency); units < -most || units > most {
		return 0, fmt.Errorf("%w: the clock's frequency is %+.3f ppm already, and %+.0f ppm more is beyond ±500 ppm", errBadSteering,
			fractional(found, 0)*1e6, by*1e6)
	}
	return units, nil
}
