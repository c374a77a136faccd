package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// compared gives flags to `lab compare` without running it and returns the plans of a pair.
func compared(args ...string) (*comparing, []Plan, error) {
	c, f := &comparing{}, pflag.NewFlagSet("compare", pflag.ContinueOnError)
	c.register(f)
	if err := f.Parse(args); err != nil {
		return c, nil, err
	}
	plans, err := c.plans(f.Changed)
	return c, plans, err
}

func TestCompareFlags(t *testing.T) {
	c, plans, err := compared("--programs", "meantime,chrony-orphan,none", "--pairs", "2", "--nodes", "3", "--for", "40s", "--wander", "0.01",
		"--ppm", "1,2,3", "--keep", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if c.pairs != 2 || len(plans) != 3 {
		t.Fatalf("got %+v, %d plans", c, len(plans))
	}
	for i, want := range []string{programMeantime, programOrphan, programNone} {
		p := plans[i]
		if p.Program != want || p.Nodes[2].PPM != 3 || p.For != 40*time.Second || p.Wander != 0.01 || p.Seed != 1 {
			t.Errorf("%s: got %+v", want, p)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"--programs meantime", "name 2 to 5"},
		{"--programs meantime,meantime", "twice"},
		{"--programs meantime,ntpd", "ntpd"},
		{"--programs meantime,exec", "no rival"},
		{"--pairs 0", "--pairs"},
		{"--pairs 101", "--pairs"},
		{"--expect-ratio -1", "negative"},
		{"--expect-ratio NaN", "negative"},
		{"--nodes 99", "1 to 16"},
		{"--program meantime", "unknown flag"},
	} {
		if _, _, err := compared(strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.args, err, c.want)
		}
	}
}

// outcome is a made-up comparison: median disagreements of each pair, of us and of the rival.
func outcome(t *testing.T, pairs ...[2]float64) *Comparison {
	t.Helper()
	c := &Comparison{Programs: []string{programMeantime, programOrphan}}
	for i, medians := range pairs {
		for k, program := range c.Programs {
			r := &Result{Plan: Plan{Program: program}, Spread: &Spread{Median: medians[k], P99: 3 * medians[k]}, Oscillator: 1}
			r.LANRate, r.Aftermaths = new(1.5), []Aftermath{{Takes: new(2.0), P99Before: new(10.0), P99After: new(15.0)}}
			r.timeline = []Instant{{Offsets: []float64{-5e3, 5e3}}, {At: time.Second, Offsets: []float64{-1e9, 1e9}}}
			r.Guests = []GuestResult{{Node: 1}, {Node: 2}}
			c.Rows, c.Results = append(c.Rows, rowOf(i+1, r)), append(c.Results, r)
		}
	}
	c.conclude()
	return c
}

func TestCompareConclude(t *testing.T) {
	c := outcome(t, [2]float64{10, 40}, [2]float64{30, 40}, [2]float64{20, 50}, [2]float64{90, 30})
	if len(c.Medians) != 2 || len(c.Ratios) != 1 || c.Ratios[0].Program != programMeantime || c.Ratios[0].Rival != programOrphan {
		t.Fatalf("got %+v", c)
	}
	near(t, "median of ours", *c.Medians[0].Median, 25, 1e-9)
	near(t, "median of the rival's", *c.Medians[1].Median, 40, 1e-9)
	near(t, "off the mean", *c.Medians[0].RateOff, 0.5, 1e-9)
	near(t, "takeover", *c.Medians[0].Takes, 2, 1e-9)
	near(t, "after to before", *c.Medians[0].After, 1.5, 1e-9)
	if c.Medians[0].CPU != nil {
		t.Error("a median of figures that nobody has")
	}
	for i, want := range []float64{0.25, 0.75, 0.4, 3} {
		near(t, "ratio", c.Ratios[0].Pairs[i], want, 1e-9)
	}
	near(t, "median ratio", *c.Ratios[0].Median, 0.575, 1e-9)
	if typical := c.typical(); len(typical) != 2 || typical[0].Spread.Median != 20 && typical[0].Spread.Median != 30 {
		t.Errorf("typical: %+v", typical)
	}
}

func TestComparePresent(t *testing.T) {
	found := outcome(t, [2]float64{10, 40}, [2]float64{30, 40})
	var out bytes.Buffer
	if err := (&comparing{ratio: 0.5}).present(&out, found); err != nil {
		t.Errorf("a ratio of 0.5 where 0.5 is asked for: %v", err)
	}
	for _, want := range []string{"median µs", "med", "meantime to chrony-orphan: 0.50  0.25  0.75"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := (&comparing{ratio: 0.49}).present(io.Discard, found); !errors.Is(err, exitCode(exitFailed)) {
		t.Errorf("a ratio of 0.5 where 0.49 is asked for: %v", err)
	}
	out.Reset()
	var back Comparison
	if err := (&comparing{asJSON: true}).present(&out, found); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Rows) != 4 || *back.Rows[1].Median != 40 {
		t.Errorf("JSON: %v\n%s", err, out.Bytes())
	}
	found.Rows[0].Passed = false
	if err := (&comparing{}).present(io.Discard, found); !errors.Is(err, exitCode(exitFailed)) {
		t.Errorf("a run whose checks failed: %v", err)
	}
}

// TestPlot: the picture is XML with a panel for each program, each in a frame of its own, which name nodes and faults.
func TestPlot(t *testing.T) {
	found := outcome(t, [2]float64{10, 40})
	found.Results[0].Aftermaths = []Aftermath{{Fault: "kill:2@1s", Node: 2, At: 0.5}}
	var out bytes.Buffer
	if err := plot(&out, found.typical()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"meantime: true offset", "chrony-orphan: true offset", "node 2 (", "kill:2@1s (node 2)", "+1 s", "-100 µs", `<svg y="440"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the picture", want)
		}
	}
	for d := xml.NewDecoder(&out); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	near(t, "height of 10 µs", offsets.Height(10e3), 1, 0)
	near(t, "height of -5 µs", offsets.Height(-5e3), -0.5, 0)
	near(t, "height of 1 ms", offsets.Height(1e6), 3, 1e-9)
}
