package sysclock

// LimitsOf returns what Open's clock honours on an operating system (a GOOS). It is false where Open only reports
// ErrUnsupported. On Windows the mechanism and the resolution of a phase are known only once the clock is open: the
// former is the usual one here, the latter 0.
func LimitsOf(goos string) (Limits, bool) {
	switch goos {
	case "linux":
		return Limits{
			Name:      "adjtimex",
			Frequency: maxFrequency,
			Slew:      maxPhaseSlew,
			Phase:     1,
			Step:      1,
			Leaves: "the last frequency, and a slew that the kernel ends by itself: a quarter of the rest each second, " +
				"at most four seconds' worth of the largest slew rate in all",
		}, true
	case "windows":
		return Limits{
			Name:      "SetSystemTimeAdjustmentPrecise",
			Frequency: maxFrequency,
			Slew:      maxWinSlew,
			Step:      1_000_000,
			Leaves: "the rate in force, which within a turn (at most 4 s) is off by the slew rate, at most 500 ppm, " +
				"until the program is started again or Windows restarts",
		}, true
	case "darwin", "freebsd":
		return Limits{
			Name:      "ntp_adjtime and adjtime",
			Frequency: maxFrequency,
			Slew:      maxFrequency,
			Phase:     1000,
			Step:      1000,
			Leaves:    "the last frequency, and a slew of at most 500 µs that the kernel ends within a second",
		}, true
	}
	return Limits{}, false
}
