package page

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"meantime/daemon/control"
)

// What is kept: a point a second for an hour, and for a day one a minute. A curve takes 28.8 kB and 17.3 kB, all of them 1.5 MB, on a LAN
// of 32 members as on one of 4,096.
const (
	fineEvery   = time.Second
	fineKept    = 3600
	coarseEvery = time.Minute
	coarseKept  = 1440
	mostCurves  = 32
	mostMarks   = 200
	// early is how much sooner than fineEvery a sample still makes a point: timers are not exact.
	early = 100 * time.Millisecond
)

// Sample is one look at a node.
type Sample struct {
	At      time.Time // with its monotonic reading, which orders samples
	Status  control.Status
	Members control.Members
	Events  control.Events
}

// Look asks a source once.
func Look(ctx context.Context, source control.Source, at time.Time) (s Sample, err error) {
	s.At = at
	if s.Status, err = source.Status(ctx); err != nil {
		return s, err
	}
	if s.Members, err = source.Members(ctx); err != nil {
		return s, err
	}
	s.Events, err = source.Events(ctx)
	return s, err
}

// History is what the page shows: the last sample, and the curves and marks of the last day. It is passive: whoever samples calls Take.
// It may be used by several goroutines.
type History struct {
	watchers atomic.Int32
	patience time.Duration // with a watcher's reading

	mutex   sync.Mutex
	began   time.Time // of the first sample; zero before it
	last    Sample
	number  uint64    // of the last sample, from 1
	since   time.Time // state and master have been what they are
	fine    ring[time.Duration]
	coarse  ring[time.Duration]
	minute  time.Duration // the coarse point that gathers began then
	curves  []*curve
	marks   []mark
	events  uint64        // number of the last one that was marked
	changed chan struct{} // closed by the next sample
	live    []byte        // the last message; nil = nobody has asked for it
	text    []byte        // the history as JSON; the same, but a second later at the earliest
	written time.Time     // of the last sample in it

	writing sync.Mutex // of the text; taken before the other one
}

// mark is something that happened at an instant.
type mark struct {
	at         time.Duration
	kind, text string
}

// The kinds of marks.
const (
	markMaster = "master"
	markInfo   = "info"
	markWarn   = "warn"
)

// NewHistory is an empty one.
func NewHistory() *History {
	return &History{
		patience: writeTime, fine: newRing[time.Duration](fineKept), coarse: newRing[time.Duration](coarseKept), changed: make(chan struct{}),
	}
}

// Take files a sample, and wakes whoever watches. Samples come in order; one within the same second is shown, but adds no point.
func (h *History) Take(s Sample) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.number == 0 {
		h.began, h.since, h.minute = s.At, s.At, 0
	}
	at := s.At.Sub(h.began)
	if before := h.last.Status; h.number > 0 && (s.Status.State != before.State || s.Status.Master != before.Master) {
		h.since = s.At
	}
	h.mark(at, s)
	h.assign(s)
	if last, ok := h.fine.newest(); !ok || at-last >= fineEvery-early {
		h.point(at)
	}
	h.last, h.number, h.live = s, h.number+1, nil
	if s.At.Sub(h.written) >= fineEvery-early {
		h.text = nil
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// mark files what happened since the last sample, with the instant at which it was seen: an event's own date is of a clock that was set
// since, perhaps.
func (h *History) mark(at time.Duration, s Sample) {
	for _, e := range s.Events.Events {
		if e.N <= h.events {
			continue
		}
		h.events = e.N
		kind := markInfo
		if e.Level != "INFO" {
			kind = markWarn
		}
		h.marks = append(h.marks, mark{at, kind, e.Text})
	}
	if s.Status.Master != h.last.Status.Master {
		text := "no master"
		if s.Status.Master != "" {
			text = "master: " + cmp.Or(s.Status.MasterName, masterName(s), s.Status.Master)
		}
		h.marks = append(h.marks, mark{at, markMaster, text})
	}
	h.marks = slices.Delete(h.marks, 0, max(0, len(h.marks)-mostMarks))
}

// masterName is what the members call the master.
func masterName(s Sample) string {
	for _, m := range s.Members.Members {
		if m.ID == s.Status.Master {
			return m.Name
		}
	}
	return ""
}

// point adds one to every curve, and closes the minute when it is over.
func (h *History) point(at time.Duration) {
	if at-h.minute >= coarseEvery {
		h.coarse.push(h.minute)
		for _, c := range h.curves {
			c.close()
		}
		h.minute = at
	}
	h.fine.push(at)
	for _, c := range h.curves {
		c.add()
	}
}

// series is a curve as the page takes it. Of the coarse points, which come first, low and high are known; of the others the bound is.
type series struct {
	ID     string       `json:"id"`
	Name   string       `json:"name"`
	Offset list[figure] `json:"offset"`
	Bound  list[figure] `json:"bound"`
	Low    list[figure] `json:"low"`
	High   list[figure] `json:"high"`
}

// markJSON is a mark with the time of the day (Unix seconds).
type markJSON struct {
	At   seconds `json:"at"`
	Kind string  `json:"kind"`
	Text string  `json:"text"`
}

// seconds are Unix seconds to the millisecond.
type seconds float64

// appendTo writes no more figures than it needs.
func (s seconds) appendTo(text []byte) []byte {
	return strconv.AppendFloat(text, float64(s), 'f', 3, 64)
}

// MarshalJSON writes one alone.
func (s seconds) MarshalJSON() ([]byte, error) { return s.appendTo(nil), nil }

// record is everything that is kept, as the page takes it. Times are of the clock as it stands, so that one that was set since does not
// tear the curves.
type record struct {
	Number uint64        `json:"n"`
	Coarse int           `json:"coarse"` // so many of the times are minutes
	Times  list[seconds] `json:"times"`
	Curves []series      `json:"curves"`
	Marks  []markJSON    `json:"marks"`
}

// json is everything that is kept, or was at most a second ago. A full day is 4 MB: it is written beside the mutex, so that neither
// samples nor watchers wait for it, and by one at a time, whose text serves those who asked meanwhile.
func (h *History) json() ([]byte, error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	text, all, at := h.copied()
	if text != nil {
		return text, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.text, h.written = text, at
	return text, nil
}

// copied is the text that is there, or else what it is to be made of and of when that is.
func (h *History) copied() (text []byte, all record, at time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.text != nil {
		return h.text, all, h.written
	}
	fine := h.fine.all()
	older := h.coarse.all()
	if len(fine) > 0 { // what there are seconds of needs no minutes
		older = older[:len(older)-countFrom(older, fine[0])]
	}
	all = record{
		Number: h.number, Coarse: len(older), Times: make(list[seconds], 0, len(older)+len(fine)), Curves: []series{}, Marks: []markJSON{},
	}
	for _, at := range slices.Concat(older, fine) {
		all.Times = append(all.Times, h.unix(at))
	}
	for _, c := range h.curves {
		all.Curves = append(all.Curves, c.series(len(older), len(fine)))
	}
	for _, m := range h.marks {
		all.Marks = append(all.Marks, markJSON{h.unix(m.at), m.kind, m.text})
	}
	return nil, all, h.last.At
}

// countFrom is how many of the minutes end after an instant.
func countFrom(minutes []time.Duration, from time.Duration) (count int) {
	for _, at := range minutes {
		if at+coarseEvery > from {
			count++
		}
	}
	return count
}

// unix is an instant by the clock as it stood at the last sample.
func (h *History) unix(at time.Duration) seconds {
	return seconds(float64(h.last.At.Add(at-h.last.At.Sub(h.began)).UnixMilli()) / 1e3)
}

// message is the last sample as a server-sent event, its number, and what the next one closes.
func (h *History) message() (text []byte, number uint64, changed <-chan struct{}) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.live == nil && h.number > 0 {
		data, err := json.Marshal(struct {
			Number uint64     `json:"n"`
			At     seconds    `json:"at"`
			View   view       `json:"view"`
			Points []pointNow `json:"points"`
			Marks  []markJSON `json:"marks"`
		}{h.number, h.unix(h.last.At.Sub(h.began)), h.viewNow(), h.points(), h.newMarks()})
		if err != nil {
			return nil, h.number, h.changed
		}
		h.live = fmt.Appendf(nil, "id: %d\ndata: %s\n\n", h.number, data)
	}
	return h.live, h.number, h.changed
}

// newMarks are those of the last sample.
func (h *History) newMarks() []markJSON {
	list := []markJSON{}
	for _, m := range h.marks {
		if m.at == h.last.At.Sub(h.began) {
			list = append(list, markJSON{h.unix(m.at), m.kind, m.text})
		}
	}
	return list
}

// view is what is known at present.
func (h *History) view() view {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.viewNow()
}

// viewNow is view for whoever holds the mutex.
func (h *History) viewNow() view {
	if h.number == 0 {
		return view{Verdict: verdict{Level: levelWait, Text: "Not sampled yet", Detail: "This daemon has just started."}}
	}
	v := newView(h.last, h.last.At.Sub(h.since))
	for i := range v.Rows {
		v.Rows[i].Curve = slices.IndexFunc(h.curves, func(c *curve) bool { return c.id == v.Rows[i].ID })
	}
	return v
}
