package daemon

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/sysclock"
)

// Two oscillators.
var (
	thisOne  = sysclock.OscillatorNamed("test", "tsc")
	otherOne = sysclock.OscillatorNamed("test", "hpet")
)

// recallFrom reads a drift file and returns what was made of it and what the log says.
func recallFrom(t *testing.T, dir, oscillator string) (*drift, []string) {
	t.Helper()
	j := &journal{}
	s := &state{dir: dir}
	s.recall(oscillator, slog.New(j))
	for _, r := range j.find("") {
		if file := value(r, "file"); r.Level != slog.LevelWarn || file != filepath.Join(dir, driftFile) {
			t.Errorf("logged %q at %v, file %v", r.Message, r.Level, file)
		}
	}
	return s.drift, j.warnings()
}

// What is remembered is read again by the next start on the same oscillator, to the last digit kept, and by nobody else's.
func TestDriftKept(t *testing.T) {
	for _, r := range []node.Remember{
		{Frequency: -12.345678e-6, Error: 4e-9}, {Frequency: 500e-6, Error: 500e-6}, {Frequency: -500e-6, Error: 1e-6}, {},
		{Frequency: 1e-15, Error: 1e-20},
	} {
		dir, j := t.TempDir(), &journal{}
		s := &state{dir: dir, oscillator: thisOne}
		s.remember(r, slog.New(j))
		d, warned := recallFrom(t, dir, thisOne)
		if len(warned) != 0 || len(j.warnings()) != 0 || d == nil {
			t.Fatalf("%+v: got %v; warned %q, %q", r, d, j.warnings(), warned)
		}
		if math.Abs(d.frequency-r.Frequency) > .51e-12 || math.Abs(d.err-max(r.Error, 1e-12)) > .51e-12 || d.err <= 0 ||
			time.Since(d.when).Abs() > time.Minute {
			t.Errorf("%+v is remembered as %+v", r, d)
		}
		if d, warned := recallFrom(t, dir, otherOne); d != nil || len(warned) != 1 {
			t.Errorf("another oscillator: %v, warned %q", d, warned)
		}
		if d, warned := recallFrom(t, dir, ""); d != nil || len(warned) != 0 {
			t.Errorf("a nameless machine: %v, warned %q", d, warned)
		}
		if got := files(t, dir); got != driftFile {
			t.Errorf("the directory holds %s", got)
		}
	}
}

const goodDrift = "drift1 -12.345678 0.004000 2026-11-23T18:00:00Z "

// Whatever else the file holds is ignored with one line that names it.
func TestDriftIgnored(t *testing.T) {
	good := goodDrift + thisOne
	if _, err := parseDrift(good); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for name, text := range map[string]string{
		"foreign":        "hello\n",
		"chrony's":       "           -12.345678             0.004000\n",
		"ntpd's":         "-12.346\n",
		"binary":         "\x00\x01\x02\xff\xfe",
		"zeros":          strings.Repeat("\x00", len(good)),
		"newer version":  strings.Replace(good, "drift1", "drift2", 1),
		"NaN":            strings.Replace(good, "-12.345678", "NaN", 1),
		"+Inf":           strings.Replace(good, "-12.345678", "+Inf", 1),
		"NaN error":      strings.Replace(good, "0.004000", "NaN", 1),
		"Inf error":      strings.Replace(good, "0.004000", "Inf", 1),
		"no error":       strings.Replace(good, "0.004000", "0.000000", 1),
		"negative error": strings.Replace(good, "0.004000", "-0.004000", 1),
		"beyond":         strings.Replace(good, "-12.345678", "-500.000001", 1),
		"far beyond":     strings.Replace(good, "-12.345678", "+100000.000000", 1),
		"wild error":     strings.Replace(good, "0.004000", "501.000000", 1),
		"exponent":       strings.Replace(good, "-12.345678", "-1.2345678e1", 1),
		"hexadecimal":    strings.Replace(good, "-12.345678", "-0x1p3", 1),
		"other digits":   strings.Replace(good, "-12.345678", "-12.3456780", 1),
		"no sign":        strings.Replace(good, "-12.345678", "12.345678", 1),
		"no date":        strings.Replace(good, "2026-11-23T18:00:00Z", "yesterday", 1),
		"local date":     strings.Replace(good, "18:00:00Z", "18:00:00+01:00", 1),
		"other spaces":   strings.Replace(good, " ", "  ", 1),
		"two lines":      good + "\n" + good + "\n",
		"capitals":       goodDrift + strings.ToUpper(thisOne),
		"long owner":     good + "0",
		"other owner":    goodDrift + otherOne,
		"endless":        goodDrift + strings.Repeat("0", 1<<20),
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, driftFile), text)
		if d, warned := recallFrom(t, dir, thisOne); d != nil || len(warned) != 1 {
			t.Errorf("%s: %+v, warned %q", name, d, warned)
		}
	}
	for cut := 1; cut < len(good); cut++ { // a crash of a file system
		dir := t.TempDir()
		put(t, filepath.Join(dir, driftFile), good[:cut])
		if d, warned := recallFrom(t, dir, thisOne); d != nil || len(warned) != 1 {
			t.Errorf("cut after %d bytes: %+v, warned %q", cut, d, warned)
		}
	}
	dir := t.TempDir()
	if d, warned := recallFrom(t, dir, thisOne); d != nil || len(warned) != 0 {
		t.Errorf("no file: %+v, warned %q", d, warned)
	}
	if err := os.Mkdir(filepath.Join(dir, driftFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if d, warned := recallFrom(t, dir, thisOne); d != nil || len(warned) != 1 {
		t.Errorf("a folder: %+v, warned %q", d, warned)
	}
}

// FuzzParseDrift: whatever is taken is what String writes, and no clock is given a frequency that it cannot have.
func FuzzParseDrift(f *testing.F) {
	for _, seed := range []string{
		goodDrift + thisOne, "drift1 +500.000000 500.000000 0001-01-01T00:00:00Z " + thisOne, "drift1 -0.000000 0.000001 9999-12-31T23:59:59Z " + otherOne,
		"", "drift1", "drift1 NaN NaN NaN NaN", "drift1 +Inf 1 2026-11-23T18:00:00Z x", "drift1 0x1p-2 1e3 2026-11-23T18:00:00Z " + thisOne,
		"drift1 -12.345678 0.004000 2026-11-23T18:00:00.5Z " + thisOne, "hello", "\x00", "drift1 1_0 1 1 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d, err := parseDrift(line)
		if err != nil {
			if d != (drift{}) {
				t.Errorf("%q is refused, but gave %+v", line, d)
			}
			return
		}
		if again := d.String(); again != line {
			t.Errorf("%q is written again as %q", line, again)
		}
		if !(math.Abs(d.frequency) <= 500.0000001e-6) || !(d.err > 0 && d.err <= 500.0000001e-6) || len(d.owner) != 32 {
			t.Errorf("%q gave %+v", line, d)
		}
	})
}

// A file that cannot be written, and a frequency that says nothing, are told of once an hour; no half of a file is left.
func TestDriftLost(t *testing.T) {
	j := &journal{}
	s := &state{dir: filepath.Join(t.TempDir(), "gone"), oscillator: thisOne, driftErr: limiter{every: time.Hour}}
	for range 3 {
		s.remember(node.Remember{Frequency: 1e-6, Error: 1e-9}, slog.New(j))
	}
	if w := j.warnings(); len(w) != 1 {
		t.Errorf("warned %q", w)
	}
	for _, r := range []node.Remember{{Frequency: math.NaN(), Error: 1e-9}, {Frequency: 501e-6, Error: 1e-9}, {Error: math.NaN()}, {Error: math.Inf(1)}} {
		s := &state{dir: t.TempDir(), oscillator: thisOne}
		s.remember(r, slog.New(&journal{}))
		if got := files(t, s.dir); got != "" {
			t.Errorf("%+v left %s", r, got)
		}
	}
	here := t.TempDir()
	t.Chdir(here)
	for _, s := range []*state{nil, {oscillator: thisOne}, {dir: here}} {
		s.remember(node.Remember{Frequency: 1e-6, Error: 1e-9}, slog.New(slog.DiscardHandler))
	}
	if got := files(t, here); got != "" {
		t.Errorf("it left %s", got)
	}
}

// survivor is a clock found at a frequency, perhaps as a killed meantime left it.
type survivor struct {
	foundClock
	killed bool
}

func (c survivor) Survived() bool { return c.killed }

// Memory goes before what the kernel is found at, unless a killed meantime left that.
func TestStartFrequency(t *testing.T) { synctest.Test(t, startFrequencies) } // time stands still

func startFrequencies(t *testing.T) {
	memory := &drift{frequency: 40e-6, err: 5e-9, when: time.Now()}
	older := &drift{frequency: 40e-6, err: 5e-9, when: time.Now().Add(-48 * time.Hour)}
	future := &drift{frequency: 40e-6, err: 5e-9, when: time.Now().Add(time.Hour)}
	for name, tt := range map[string]struct {
		clock          sysclock.Clock
		memory         *drift
		frequency, err float64
		from           string
	}{
		"nothing known":             {foundClock{}.Clock, nil, 0, 0, "nothing"},
		"kernel alone":              {foundClock{frequency: 17e-6}, nil, 17e-6, 0, "the kernel"},
		"after a boot":              {foundClock{}, memory, 40e-6, 5e-9, "memory"},
		"after another daemon":      {survivor{foundClock{frequency: 17e-6}, false}, memory, 40e-6, 5e-9, "memory"},
		"after a kill":              {survivor{foundClock{frequency: 40.25e-6}, true}, memory, 40.25e-6, .25e-6, "the kernel, as a killed meantime left it"},
		"after a kill, same":        {survivor{foundClock{frequency: 40e-6}, true}, memory, 40e-6, 5e-9, "the kernel, as a killed meantime left it"},
		"after a kill, no memory":   {survivor{foundClock{frequency: 40e-6}, true}, nil, 40e-6, 0, "the kernel"},
		"a clock that does not say": {foundClock{}.Clock, memory, 40e-6, 5e-9, "memory"},
		"after two days":            {foundClock{}, older, 40e-6, 2.005e-6, "memory"},
		"from the future":           {foundClock{}, future, 40e-6, 5.005e-6, "memory"},
	} {
		frequency, err, from := startFrequency(tt.clock, tt.memory)
		if math.Abs(frequency-tt.frequency) > 1e-15 || math.Abs(err-tt.err) > 1e-15 || from != tt.from {
			t.Errorf("%s: %g ± %g from %s", name, frequency, err, from)
		}
		n := nodeConfig(configs.Default(), &state{id: 5, drift: tt.memory}, tt.clock)
		if n.Frequency != frequency || n.FrequencyError != err {
			t.Errorf("%s: the node is told %g ± %g", name, n.Frequency, n.FrequencyError)
		}
	}
}

// A virtual clock is not the machine's, and not another virtual one.
func TestOscillatorOfConfig(t *testing.T) {
	cfg := dryConfig()
	log := slog.New(slog.DiscardHandler)
	a := oscillator(cfg, log)
	cfg.Virtual.Frequency = 40 * configs.PPM
	b := oscillator(cfg, log)
	cfg.DryRun = false
	real, err := sysclock.Oscillator()
	if got := oscillator(cfg, log); a == b || a == "" || b == "" || got != real || got == a || got == b {
		t.Errorf("%q, %q; the machine's is %q (%v), but %q is used", a, b, real, err, got)
	}
	if errors.Is(err, sysclock.ErrNameless) {
		t.Logf("nothing names this machine (%s)", runtime.GOOS)
	}
}
