package page

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"meantime/daemon/control"
)

// told is the history as page.js reads it.
type told struct {
	N, Coarse int
	Times     []float64
	Curves    []struct {
		ID                       string
		Offset, Bound, Low, High []*float64
	}
	Marks []struct {
		At         float64
		Kind, Text string
	}
}

func tell(t *testing.T, h *History) (all told, size int) {
	t.Helper()
	text, err := h.json()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all, len(text)
}

// After a day and more there are the last hour's seconds, the last day's minutes, and not a point more; of a minute mean and extremes.
func TestHistoryIsBounded(t *testing.T) {
	h := NewHistory()
	const seconds = 26 * 3600
	for i := range seconds {
		s := sampleOf(start.Add(time.Duration(i)*time.Second), 2)
		if i%60 == 30 {
			s.Members.Members[1].Offset = new(control.Seconds(61e-6))
		}
		h.Take(s)
	}
	all, size := tell(t, h)
	if got := len(all.Times) - all.Coarse; got != fineKept {
		t.Errorf("%d seconds are kept", got)
	}
	if all.Coarse < coarseKept-62 || all.Coarse > coarseKept-58 {
		t.Errorf("%d minutes are told, a day without its last hour expected", all.Coarse)
	}
	if !slices.IsSorted(all.Times) {
		t.Error("the times are out of order")
	}
	if got, want := all.Times[len(all.Times)-1], float64(start.Unix()+seconds-1); got != want {
		t.Errorf("the last point is of %v, not of %v", got, want)
	}
	c := all.Curves[1]
	if len(c.Offset) != len(all.Times) || len(c.Low) != all.Coarse || len(c.High) != all.Coarse {
		t.Fatalf("%d offsets, %d lows, %d highs", len(c.Offset), len(c.Low), len(c.High))
	}
	if mean := *c.Offset[5]; math.Abs(mean-2e-6) > 1e-9 || *c.Low[5] != 1e-6 || *c.High[5] != 61e-6 {
		t.Errorf("a minute is %v from %v to %v", mean, *c.Low[5], *c.High[5])
	}
	t.Logf("two members: %d bytes of JSON", size)
}

// fullDay is a history that holds all it can, and its last sample.
func fullDay() (*History, Sample) {
	h := NewHistory()
	h.Take(sampleOf(start, mostCurves))
	const seconds = 26 * 3600
	for i := range seconds {
		h.point(time.Duration(i+1) * time.Second)
	}
	s := sampleOf(start.Add((seconds+1)*time.Second), mostCurves)
	h.Take(s)
	return h, s
}

// While a full day is written, samples and watchers have the mutex; the text takes no allocation for each number, and serves whoever asks
// within a second.
func TestHistoryIsWrittenBeside(t *testing.T) {
	h, s := fullDay()
	var text []byte
	var err error
	if n := testing.AllocsPerRun(1, func() { h.text = nil; text, err = h.json() }); err != nil || n > 2000 {
		t.Errorf("%v allocations, %v", n, err)
	}
	s.At = s.At.Add(fineEvery / 4)
	h.Take(s)
	if again, err := h.json(); err != nil || &again[0] != &text[0] {
		t.Errorf("a text of the same second is written again: %v", err)
	}
	s.At = s.At.Add(fineEvery)
	h.Take(s)
	if all, _ := tell(t, h); all.N != int(h.number) || all.Times[len(all.Times)-1] != float64(s.At.UnixMilli())/1e3 {
		t.Errorf("a second later the text is of sample %d, not %d", all.N, h.number)
	}
	held, tries := 1, 1
	for again := 0; held > tries/2 && again < 10; again++ { // whoever holds it may lose the processor meanwhile
		held, tries = heldWhileWriting(t, h)
	}
	t.Logf("%d bytes; the mutex was held at %d of %d tries", len(text), held, tries)
	if held > tries/2 {
		t.Errorf("the mutex was held at %d of %d tries", held, tries)
	}
}

// heldWhileWriting tries for the history's mutex for as long as it is written, and counts how often it was held.
func heldWhileWriting(t *testing.T, h *History) (held, tries int) {
	h.text = nil
	written := make(chan error)
	go func() { _, err := h.json(); written <- err }()
	for {
		select {
		case err := <-written:
			if err != nil {
				t.Error(err)
			}
			return held, tries
		default:
		}
		if tries++; h.mutex.TryLock() {
			h.mutex.Unlock()
		} else {
			held++
		}
		runtime.Gosched()
	}
}

func BenchmarkHistory(b *testing.B) {
	h, _ := fullDay()
	b.ReportAllocs()
	for b.Loop() {
		h.text = nil
		if _, err := h.json(); err != nil {
			b.Fatal(err)
		}
	}
}

// On a LAN of 4,096 as many curves are kept as on one of 32, the odd members' among them, and as much memory.
func TestHistoryOfThousands(t *testing.T) {
	var before, after runtime.MemStats
	collect := func() { runtime.GC(); runtime.GC() } // the second takes what encoding/json keeps for its next text
	collect()
	runtime.ReadMemStats(&before)
	h := NewHistory()
	for i := range 5 {
		s := sampleOf(start.Add(time.Duration(i)*time.Second), 4096)
		if i > 0 {
			s.Members.Members[4000].Votes, s.Members.Members[4000].Why = new(false), "off the majority's time"
		}
		h.Take(s)
	}
	all, _ := tell(t, h)
	h.last, h.text, h.live = Sample{}, nil, nil
	collect()
	runtime.ReadMemStats(&after)
	var ids []string
	for _, c := range all.Curves {
		ids = append(ids, c.ID)
	}
	if len(ids) != mostCurves || !slices.Contains(ids, "id0") || !slices.Contains(ids, "id4000") {
		t.Errorf("curves of %q", ids)
	}
	size := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("curves of 4,096 members: %d kB", size/1000)
	if size > 3e6 {
		t.Errorf("they take %d bytes", size)
	}
	runtime.KeepAlive(h)
}

// A curve gives way to one of a higher rank only, first that of a member that has gone.
func TestCurvesGiveWay(t *testing.T) {
	h := NewHistory()
	h.Take(sampleOf(start, mostCurves+1))
	s := sampleOf(start.Add(time.Second), mostCurves+1)
	s.Members.Members = slices.Delete(s.Members.Members, 5, 6) // it has gone, and another voter takes its place
	h.Take(s)
	all, _ := tell(t, h)
	if all.Curves[5].ID != fmt.Sprintf("id%d", mostCurves) || all.Curves[5].Offset[0] != nil || all.Curves[5].Offset[1] == nil {
		t.Errorf("in the place of the one that has gone: %+v", all.Curves[5])
	}
	if all.Curves[4].ID != "id4" {
		t.Errorf("a voter gave way: %+v", all.Curves[4])
	}
}

// Events are marked once, when they are seen, and so is a new master; samples within a second add no point.
func TestMarks(t *testing.T) {
	h := NewHistory()
	s := sampleOf(start, 3)
	s.Events.Events = []control.Event{{N: 7, Level: "INFO", Text: "member came"}}
	h.Take(s)
	s.At = start.Add(250 * time.Millisecond)
	s.Status.State, s.Status.Master = "holdover", ""
	s.Events.Events = append(s.Events.Events, control.Event{N: 8, Level: "WARN", Text: "master is silent"})
	h.Take(s)
	all, _ := tell(t, h)
	var kinds []string
	for _, m := range all.Marks {
		kinds = append(kinds, m.Kind+" "+m.Text)
	}
	if want := []string{"info member came", "master master: id0", "warn master is silent", "master no master"}; !slices.Equal(kinds, want) {
		t.Errorf("marks %q", kinds)
	}
	if len(all.Times) != 1 || all.Marks[3].At-all.Marks[1].At != 0.25 {
		t.Errorf("times %v, marks %v", all.Times, all.Marks)
	}
	s.At = start.Add(2 * time.Second)
	for i := range 3 * mostMarks {
		s.Events.Events = []control.Event{{N: uint64(9 + i), Level: "INFO", Text: "x"}}
		h.Take(s)
	}
	if all, _ = tell(t, h); len(all.Marks) != mostMarks {
		t.Errorf("%d marks are kept", len(all.Marks))
	}
}
