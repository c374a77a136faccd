package main

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"
)

const (
	testHz    = 2e9     // of the made-up counter
	testStart = 1 << 40 // counter at the start of the programs
	testWall  = 1_700_000_000_000_000_000
)

// clock makes the line of a clock that is off by offset at the start and runs off by ppm, seen from a second before
// the start to length after it through brackets of width ticks.
func clock(ppm float64, offset time.Duration, length time.Duration, width int64) Line {
	var line Line
	for at := -time.Second; at <= length; at += samplePeriod {
		mid := int64(testStart + at.Seconds()*testHz)
		line = append(line, Pair{
			Lo: mid - width/2, Hi: mid + width/2,
			NS: testWall + int64(at) + int64(offset) + int64(at.Seconds()*ppm*1e3),
		})
	}
	return line
}

// startOf is the start of the programs in made-up clocks: their samples just before it are the readings then.
func startOf(raw, wall Line) Start {
	before := int(time.Second/samplePeriod) - 1
	return Start{TSC: testStart, Raw: raw[before], Wall: wall[before]}
}

// testTruth is the machine's time for made-up clocks.
func testTruth(t *testing.T, length time.Duration) *truth {
	t.Helper()
	raw, wall := clock(0, -1e18, length, 100), clock(0, 0, length, 100)
	host, err := newTruth(raw[6:], wall[6:], startOf(raw, wall)) // the sampler was late
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %g, want %g ±%g", what, got, want, tolerance)
	}
}

func TestLineAt(t *testing.T) {
	line := Line{{Lo: 0, Hi: 20, NS: 1000}, {Lo: 100, Hi: 120, NS: 1100}, {Lo: 1000, Hi: 1020, NS: 5000}}
	for _, c := range []struct {
		tsc, want int64
		known     bool
	}{
		{9, 0, false}, {10, 1000, true}, {11, 1001, true}, {60, 1050, true}, {110, 1100, true},
		{500, 0, false}, // the samples around it lie too far apart
		{1010, 5000, true}, {1011, 0, false},
	} {
		got, ok := line.at(c.tsc, 200)
		if ok != c.known || ok && got != c.want {
			t.Errorf("at(%d) = %d, %v; want %d, %v", c.tsc, got, ok, c.want, c.known)
		}
	}
	if _, ok := (Line{}).at(5, 200); ok {
		t.Error("a clock without samples is known")
	}
}

func TestLineTight(t *testing.T) {
	line := clock(0, 0, 2*time.Second, 100)
	line[3].Lo -= 1000
	if got := len(line.tight()); got != len(line)-1 {
		t.Errorf("%d of %d samples are tight, want all but one", got, len(line))
	}
}

func TestTimeline(t *testing.T) {
	const length = 10 * time.Second
	host := testTruth(t, length+time.Second)
	near(t, "counter", host.hz, testHz, 1)
	walls := []Line{
		clock(40, 0, length+time.Second, 60),
		clock(-35, 200*time.Millisecond, length+time.Second, 60),
	}
	list, wanted := host.timeline(walls, length)
	end := int(length / tick)
	if len(list) != wanted || wanted != end+1 {
		t.Fatalf("%d of %d instants, want %d of as many", len(list), wanted, end+1)
	}
	near(t, "start of clock 1", list[0].Offsets[0], 0, 2)
	near(t, "start of clock 2", list[0].Offsets[1], 200e6, 2)
	near(t, "end of clock 1", list[end].Offsets[0], 400e3, 2)
	near(t, "end of clock 2", list[end].Offsets[1], 200e6-350e3, 2)
	near(t, "spread", list[end].spread(), 200e6-750e3, 4)
	near(t, "rate of clock 2", rate(list, func(i Instant) float64 { return i.Offsets[1] }), -35, 0.001)
	near(t, "LAN rate", rate(list, Instant.mean), 2.5, 0.001)
	ppm, _, err := host.ppm(walls[0], walk{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "oscillator 1", ppm, 40, 0.001)
}

func TestTimelineGap(t *testing.T) {
	host := testTruth(t, 11*time.Second)
	whole := clock(0, 0, 11*time.Second, 60)
	// A guest that was not seen between 3 and 5 s: nothing is said of that time.
	var holed Line
	for _, p := range whole {
		if at := float64(p.mid()-testStart) / testHz; at < 3.01 || at > 4.99 {
			holed = append(holed, p)
		}
	}
	list, wanted := host.timeline([]Line{whole, holed}, 10*time.Second)
	for _, i := range list {
		if i.At > 3*time.Second && i.At < 5*time.Second {
			t.Errorf("clocks compared at %v, where one is unknown", i.At)
		}
	}
	if lost, hole := wanted-len(list), int(2*time.Second/tick)-1; lost != hole {
		t.Errorf("%d instants lost, want %d", lost, hole)
	}
}

func TestTogether(t *testing.T) {
	list := make([]Instant, 10)
	for i := range list {
		list[i] = Instant{At: time.Duration(i) * time.Second, Offsets: []float64{-100, 100}}
	}
	for _, c := range []struct {
		name  string
		apart []int
		want  time.Duration
		ok    bool
	}{
		{"always", nil, 0, true},
		{"from the third on", []int{0, 1}, 2 * time.Second, true},
		{"not to the end", []int{9}, 0, false},
		// Apart once more: only what lasts counts.
		{"again apart", []int{0, 6}, 7 * time.Second, true},
	} {
		for i := range list {
			list[i].Offsets[1] = 100
		}
		for _, i := range c.apart {
			list[i].Offsets[1] = 5000
		}
		if got, ok := together(list, time.Microsecond); got != c.want || ok != c.ok {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
	if _, ok := together(nil, time.Second); ok {
		t.Error("clocks that nobody saw are together")
	}
}

func TestConverged(t *testing.T) {
	for _, c := range []struct {
		name  string
		apart []int // of seconds 0 to 19
		want  time.Duration
		ok    bool
	}{
		{"at once", nil, 0, true},
		{"in a second", []int{0}, time.Second, true},
		{"too short at first", []int{0, 1, 5}, 6 * time.Second, true},
		{"apart later", []int{0, 12, 13}, time.Second, true},
		{"at the end", []int{0, 5, 10, 15, 18}, 19 * time.Second, true},
		{"never", []int{0, 5, 10, 15, 19}, 0, false},
	} {
		list := make([]Instant, 20)
		for i := range list {
			list[i] = Instant{At: time.Duration(i) * time.Second, Offsets: []float64{-100, 100}}
		}
		for _, i := range c.apart {
			list[i].Offsets[1] = 5000
		}
		if got, ok := converged(list, time.Microsecond); got != c.want || ok != c.ok {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	near(t, "median", quantile(v, 0.5), 3, 0)
	near(t, "p95", quantile(v, 0.95), 5, 0)
	near(t, "max", quantile(v, 1), 5, 0)
	near(t, "min", quantile(v, 0), 1, 0)
	if v[0] != 5 {
		t.Error("quantile sorts its caller's slice")
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("quantile of nothing is a number")
	}
}

func TestWithinRing(t *testing.T) {
	ring := func(pairs ...int64) []byte {
		b := make([]byte, 128)
		for i, v := range pairs {
			binary.NativeEndian.PutUint64(b[i*8:], uint64(v))
		}
		return b
	}
	call := Pair{Lo: 1000, Hi: 2000, NS: 7}
	got, ok := withinRing(ring(900, 910, 1500, 1510, 2100, 2110), call)
	if want := (Pair{Lo: 1500, Hi: 1510, NS: 7}); !ok || got != want {
		t.Errorf("got %v, %v; want %v", got, ok, want)
	}
	for name, r := range map[string][]byte{
		"none": ring(900, 910), "empty": ring(), "two": ring(1500, 1510, 1600, 1610), "across": ring(990, 1010),
	} {
		if got, ok := withinRing(r, call); ok {
			t.Errorf("%s: %v is taken for the kernel's reading", name, got)
		}
	}
}

func TestSamples(t *testing.T) {
	var text strings.Builder
	for i := range int64(3) {
		if err := writeSample(&text, Pair{10 * i, 10*i + 2, i}, Pair{10*i + 3, 10*i + 4, -i}); err != nil {
			t.Fatal(err)
		}
	}
	wall, raw, err := readSamples([]byte(text.String() + "40 42 3 43 44")) // cut off while writing
	if err != nil || len(wall) != 3 || len(raw) != 3 || wall[2] != (Pair{20, 22, 2}) || raw[2] != (Pair{23, 24, -2}) {
		t.Errorf("got %v, %v, %v", wall, raw, err)
	}
	for _, bad := range []string{"1 2 3\n", "a b c d e f\n", "2 1 0 3 4 0\n", "5 6 0 7 8 0\n1 2 0 3 4 0\n"} {
		if _, _, err := readSamples([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if wall, _, err := readSamples(nil); err != nil || len(wall) != 0 {
		t.Errorf("nothing: %v, %v", wall, err)
	}
}
