package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/sysclock"
)

// driftFile holds what is known of this machine's oscillator: one line of five words, the first its version,
//
//	drift1 -12.345678 0.004000 2026-11-23T18:00:00Z 5d3f…
//
// the correction and its error (ppm), when it was written, and sysclock.Oscillator.
const driftFile = "drift"

const (
	driftVersion = "drift1"
	// maxDrift (ppm) is what a clock can be corrected by on any system; a file that says more is damaged.
	maxDrift = 500
	// leastDriftError (ppm) is the last digit kept: no oscillator is known better.
	leastDriftError = 0.000001
	// ownerDigits is how long an oscillator's name is.
	ownerDigits = 32
	// longestDrift is more bytes than a line ever has.
	longestDrift = 128
)

// drift is a frequency correction that an oscillator was found to need.
type drift struct {
	frequency float64 // fractional
	err       float64 // fractional; more than 0
	when      time.Time
	owner     string // the oscillator's name
}

// String is the line of the file.
func (d drift) String() string {
	return fmt.Sprintf("%s %+.6f %.6f %s %s", driftVersion, d.frequency*1e6, max(d.err*1e6, leastDriftError),
		d.when.UTC().Format(time.RFC3339), d.owner)
}

// check refuses what no clock needs.
func (d drift) check() error {
	f, e := math.Abs(d.frequency*1e6), d.err*1e6
	switch {
	case !(f <= maxDrift+leastDriftError/2): // also NaN
		return fmt.Errorf("a frequency of %+g ppm is none that a clock can be given: ±%d ppm", d.frequency*1e6, maxDrift)
	case !(e > 0 && e <= maxDrift+leastDriftError/2):
		return fmt.Errorf("an error of %g ppm says nothing", e)
	}
	return nil
}

// errDrift says that a file does not hold what this program writes.
var errDrift = errors.New("it is damaged or of another program")

// parseDrift reads the line. Only what String writes is taken, to the last digit: half a line is not.
func parseDrift(line string) (drift, error) {
	if len(line) > longestDrift {
		return drift{}, errDrift
	}
	var d drift
	var version, when string
	var ppm, err float64
	if n, _ := fmt.Sscanf(line, "%s %f %f %s %s", &version, &ppm, &err, &when, &d.owner); n != 5 || version != driftVersion {
		return drift{}, errDrift
	}
	d.frequency, d.err = ppm/1e6, err/1e6
	if refused := d.check(); refused != nil {
		return drift{}, refused
	}
	var failed error
	d.when, failed = time.Parse(time.RFC3339, when)
	named := len(d.owner) == ownerDigits && strings.Trim(d.owner, "0123456789abcdef") == ""
	if failed != nil || !named || d.String() != line {
		return drift{}, errDrift
	}
	return d, nil
}

// oscillator names the oscillator that a configuration's clock runs on, "" where nothing does. A virtual one is itself only while it
// is wrong by the same rate.
func oscillator(cfg configs.Config, log *slog.Logger) string {
	if cfg.DryRun {
		return sysclock.OscillatorNamed("virtual", cfg.Virtual.Frequency.String())
	}
	name, err := sysclock.Oscillator()
	if err != nil {
		log.Warn("the frequency of this clock will not be remembered: each start begins anew", "err", err)
		return ""
	}
	return name
}

// recall reads what is remembered of the oscillator of that name. Whatever else the file holds is ignored with one line: a wrong
// frequency would be worse than none.
func (s *state) recall(oscillator string, log *slog.Logger) {
	s.oscillator = oscillator
	if s.dir == "" || oscillator == "" {
		return
	}
	text, err := s.read(driftFile)
	if err == nil && text == "" {
		return
	}
	var d drift
	if err == nil {
		d, err = parseDrift(text)
	}
	if err == nil && d.owner != oscillator {
		err = errors.New("it is of another machine, or of another oscillator of this one")
	}
	if err != nil {
		log.Warn("the remembered frequency is ignored", "file", s.path(driftFile), "err", err)
		return
	}
	s.drift = &d
}

// remember keeps a frequency for the next start.
func (s *state) remember(r node.Remember, log *slog.Logger) {
	if s == nil || s.dir == "" || s.oscillator == "" {
		return
	}
	d := drift{r.Frequency, max(r.Error, leastDriftError/1e6), time.Now(), s.oscillator}
	err := d.check()
	if err == nil {
		err = s.write(driftFile, d.String())
	}
	if err != nil && s.driftErr.allow() {
		log.Warn("cannot remember the frequency of this clock", "file", s.path(driftFile), "err", err)
	}
}

// startFrequency is the frequency correction to start from, how close it is (both fractional, 0 = a guess), and where it comes from.
//
// What is remembered was measured against LAN time and has an error; what is found in the kernel may be nobody's (0 after a boot) or
// that of another discipline against another time. So memory comes first, with one exception: a clock that a meantime keeps
// which was killed runs at that program's last word, newer than any file, and another rate now would jolt it. The two estimates
// of one oscillator then differ by what it has drifted since the file was written, which bounds the error of either.
func startFrequency(clock sysclock.Clock, remembered *drift) (frequency, err float64, from string) {
	found, from := 0.0, "nothing"
	if f, ok := clock.(sysclock.FrequencyFinder); ok {
		found, from = f.FrequencyFound(), "the kernel"
	}
	if remembered == nil {
		return found, 0, from
	}
	if s, ok := clock.(sysclock.Survivor); ok && s.Survived() {
		return found, max(remembered.err, math.Abs(found-remembered.frequency)), "the kernel, as a killed meantime left it"
	}
	return remembered.frequency, remembered.err + aged(time.Since(remembered.when)), "memory"
}

const (
	// aging is how far (fractional) a correction may have become wrong in a day: what was remembered is the rate against LAN time, which
	// its members' mean moves, and an oscillator's own rate moves with the season.
	aging     = 1e-6
	mostAging = 5e-6
)

// aged is the error that a memory has taken on. One from the future tells only that the clock has been wrong since.
func aged(age time.Duration) float64 {
	if age < 0 {
		return mostAging
	}
	return min(mostAging, age.Hours()/24*aging)
}
