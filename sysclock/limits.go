package sysclock

// Limits are what a clock undertakes: what it honours, what it leaves behind, what it notices and what it needs. Each implementation
// states its own, and TestContract holds it to every line. A text of "" is a no.
type Limits struct {
	Name       string  // the mechanism: "adjtimex", "SetSystemTimeAdjustmentPrecise", …
	Oscillator string  // what Reading.Raw is read from
	Privilege  string  // what a process needs to steer it
	Frequency  float64 // largest |Steering.Frequency| honoured, fractional
	Slew       float64 // largest extra rate for a phase, fractional
	Phase      int64   // ns: resolution of a slewed phase; 0 = known once the clock is open
	Step       int64   // ns: resolution of a step
	Outlasts   int64   // ns: a killed writer's slew goes on for so much of its rate at most, then it ends by itself; Endless
	Leaves     string  // one sentence: what a killed writer leaves behind
	Keeps      bool    // whether Close leaves the frequency in force; else the clock runs at its oscillator's own rate
	Stops      string  // one sentence: what Close leaves behind
	Foreign    string  // what of other programs' writes is noticed (Watcher)
	Set        string  // when it is noticed that somebody sets the clock (Notifier)
	Suspend    string  // by what a suspend of the machine is known (Sleeper)
	Told       string  // what the kernel is told of how well the clock is kept
}

// Endless is the Limits.Outlasts of a slew that does not end without its writer.
const Endless = -1

const (
	// atOnce is when a Notifier tells that the clock was set, whenRead when other clocks show it.
	atOnce, whenRead = "at once", "at the next reading"
	// errorBounds is what adjtimex and ntp_adjtime are told.
	errorBounds = "whether it is synchronised, largest and estimated error"
)

// contracts are the clocks of the systems that Open knows, by GOOS, and the virtual one.
var contracts = []struct {
	system string
	Limits
}{
	{"linux", Limits{
		Name:       "adjtimex",
		Oscillator: "CLOCK_MONOTONIC_RAW",
		Privilege:  "CAP_SYS_TIME, outside of containers and user namespaces",
		Frequency:  maxFrequency,
		Slew:       maxPhaseSlew,
		Phase:      1,
		Step:       1,
		Outlasts:   phaseDivisor * second,
		Leaves: "the last frequency, and a slew that the kernel ends by itself: a quarter of the rest each second, " +
			"at most four seconds' worth of the largest slew rate in all",
		Keeps:   true,
		Stops:   "the last frequency and what the kernel was told; flags, units and time constant are as they were found",
		Foreign: "frequency, tick, time constant, status flags",
		Set:     atOnce,
		Suspend: "CLOCK_BOOTTIME against CLOCK_MONOTONIC",
		Told:    errorBounds,
	}},
	{"windows", Limits{
		Name:       "SetSystemTimeAdjustmentPrecise",
		Oscillator: "QueryPerformanceCounter",
		Privilege:  "SeSystemtimePrivilege",
		Frequency:  maxFrequency,
		Slew:       maxWinSlew,
		Step:       1_000_000,
		Outlasts:   Endless,
		Leaves: "the rate in force, which within a turn (at most 4 s) is off by the slew rate, at most 500 ppm, " +
			"until the program is started again or Windows restarts",
		Stops:   "the clock to Windows, which runs it at its oscillator's own rate",
		Foreign: "the adjustment of the rate",
		Set:     whenRead,
		Suspend: "interrupt time with sleep against the one without",
	}},
	{"darwin", bsdLimits(Limits{
		Oscillator: "CLOCK_MONOTONIC_RAW",
		Privilege:  "root",
		Foreign:    "frequency, status flags",
		Suspend:    "CLOCK_MONOTONIC_RAW against CLOCK_UPTIME_RAW",
	})},
	{"freebsd", bsdLimits(Limits{
		Oscillator: "CLOCK_MONOTONIC, its steering taken out",
		Privilege:  "root, not in a jail",
		Foreign:    "frequency, status flags, adjtime",
	})},
	{"virtual", Limits{
		Name:       "virtual",
		Oscillator: "this system's, bent",
		Frequency:  maxFrequency, // as on Linux, so that a dry run behaves like the real one
		Slew:       maxPhaseSlew,
		Phase:      1,
		Step:       1,
		Leaves:     "nothing: a virtual clock ends with its process",
		Keeps:      true,
		Stops:      "nothing",
		Set:        whenRead,
	}},
}

// bsdLimits completes the limits of ntp_adjtime and adjtime.
func bsdLimits(l Limits) Limits {
	l.Name = "ntp_adjtime and adjtime"
	l.Frequency, l.Slew = maxFrequency, maxFrequency
	l.Phase, l.Step = 1000, 1000
	l.Outlasts = bsdWorth * second
	l.Leaves = "the last frequency, and a slew of at most 1 ms that the kernel ends within three seconds"
	l.Keeps = true
	l.Stops = "the last frequency and what the kernel was told; flags and units are as they were found"
	l.Set, l.Told = whenRead, errorBounds
	return l
}

// LimitsOf returns what Open's clock undertakes on an operating system (a GOOS), or with "virtual" a Virtual. It is false where Open only
// reports ErrUnsupported. On Windows the mechanism and the resolution of a phase are known only once the clock is open: the
// former is the usual one here, the latter 0.
func LimitsOf(system string) (Limits, bool) {
	for _, c := range contracts {
		if c.system == system {
			return c.Limits, true
		}
	}
	return Limits{}, false
}

// Systems are the names that LimitsOf knows.
func Systems() []string {
	var names []string
	for _, c := range contracts {
		names = append(names, c.system)
	}
	return names
}
