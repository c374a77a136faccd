package page

import (
	"math"
	"strconv"

	"meantime/daemon/control"
)

// ring keeps the last so many values.
type ring[T any] struct {
	kept []T
	next int // where the next one goes, once all places are taken
}

func newRing[T any](size int) ring[T] { return ring[T]{kept: make([]T, 0, size)} }

func (r *ring[T]) push(value T) {
	if len(r.kept) < cap(r.kept) {
		r.kept = append(r.kept, value)
		return
	}
	r.kept[r.next] = value
	r.next = (r.next + 1) % len(r.kept)
}

// all are the values, oldest first.
func (r *ring[T]) all() []T {
	return append(append(make([]T, 0, len(r.kept)), r.kept[r.next:]...), r.kept[:r.next]...)
}

// newest is the value that was pushed last.
func (r *ring[T]) newest() (value T, ok bool) {
	if len(r.kept) == 0 {
		return value, false
	}
	return r.kept[(r.next+len(r.kept)-1)%len(r.kept)], true
}

// figure is a number in JSON, in four figures; NaN is null.
type figure float32

// appendTo writes it.
func (f figure) appendTo(text []byte) []byte {
	if f != f {
		return append(text, "null"...)
	}
	return strconv.AppendFloat(text, float64(f), 'g', 4, 32)
}

// MarshalJSON writes one alone.
func (f figure) MarshalJSON() ([]byte, error) { return f.appendTo(nil), nil }

// list is many numbers in JSON. It writes them itself: encoding/json would allocate twice for each.
type list[T interface{ appendTo(text []byte) []byte }] []T

// numberRoom (bytes) is what a number usually takes, with its comma.
const numberRoom = 16

// MarshalJSON writes them all.
func (l list[T]) MarshalJSON() ([]byte, error) {
	text := append(make([]byte, 0, 2+numberRoom*len(l)), '[')
	for i, number := range l {
		if i > 0 {
			text = append(text, ',')
		}
		text = number.appendTo(text)
	}
	return append(text, ']'), nil
}

var unknown = figure(math.NaN())

// point is where a member's clock was, in seconds: its offset from LAN time and how far that may be wrong.
type point struct{ offset, bound figure }

// span is a minute of it.
type span struct{ mean, low, high figure }

// curve is a member's past.
type curve struct {
	id, name string
	rank     rank
	now      point
	fine     ring[point]
	coarse   ring[span]
	minute   span // that gathers; its mean is the sum so far
	count    int  // in it
}

// rank says whose curve gives way to another where there are too many.
type rank int

const (
	rankGone  rank = iota // it is on the LAN no more
	rankVoter             // as it should be
	rankOdd               // it does not vote: to be looked at
	rankChief             // the host itself, and the master
)

// newCurve has nothing but gaps where others have their past.
func newCurve(m control.Member, fine, coarse int) *curve {
	c := &curve{id: m.ID, fine: newRing[point](fineKept), coarse: newRing[span](coarseKept)}
	for range fine {
		c.fine.push(point{unknown, unknown})
	}
	for range coarse {
		c.coarse.push(span{unknown, unknown, unknown})
	}
	return c
}

// add files the present point.
func (c *curve) add() {
	c.fine.push(c.now)
	if c.now.offset != c.now.offset {
		return
	}
	if c.count++; c.count == 1 {
		c.minute = span{0, c.now.offset, c.now.offset}
	}
	c.minute.mean += c.now.offset
	c.minute.low, c.minute.high = min(c.minute.low, c.now.offset), max(c.minute.high, c.now.offset)
}

// close ends a minute.
func (c *curve) close() {
	s := span{unknown, unknown, unknown}
	if c.count > 0 {
		s = c.minute
		s.mean /= figure(c.count)
	}
	c.coarse.push(s)
	c.count = 0
}

// series are the first so many minutes and the last so many seconds.
func (c *curve) series(minutes, fine int) series {
	room := func(size int) list[figure] { return make(list[figure], 0, size) }
	s := series{ID: c.id, Name: c.name, Offset: room(minutes + fine), Bound: room(minutes + fine), Low: room(minutes), High: room(minutes)}
	for _, m := range c.coarse.all()[:minutes] {
		s.Offset, s.Low, s.High = append(s.Offset, m.mean), append(s.Low, m.low), append(s.High, m.high)
		s.Bound = append(s.Bound, unknown)
	}
	for _, p := range c.fine.all()[:fine] {
		s.Offset, s.Bound = append(s.Offset, p.offset), append(s.Bound, p.bound)
	}
	return s
}

// rankOf is a member's.
func rankOf(m control.Member) rank {
	switch {
	case m.Self || m.Master:
		return rankChief
	case m.Votes == nil || !*m.Votes:
		return rankOdd
	}
	return rankVoter
}

// pointOf is where a member stands. Of itself a slave knows only how far its clock is from where its node wants it.
func pointOf(m control.Member, s control.Status) point {
	p := point{unknown, unknown}
	switch {
	case m.Offset != nil:
		p.offset = figure(*m.Offset)
	case m.Self && s.Bound != nil:
		p.offset = figure(s.Offset)
	}
	switch {
	case m.Self && s.Bound != nil:
		p.bound = figure(*s.Bound)
	case m.Bound != nil:
		p.bound = figure(*m.Bound)
	}
	return p
}

// assign gives the members of a sample that were measured their curves: all of them where there is room. Where there is none, a curve of
// lower rank gives way, first those of members that have gone.
func (h *History) assign(s Sample) {
	known := make(map[string]*curve, len(h.curves))
	for _, c := range h.curves {
		c.rank, c.now = rankGone, point{unknown, unknown}
		known[c.id] = c
	}
	for _, m := range s.Members.Members {
		if c := known[m.ID]; c != nil {
			c.name, c.rank, c.now = label(m), rankOf(m), pointOf(m, s.Status)
		}
	}
	for _, m := range s.Members.Members {
		now := pointOf(m, s.Status)
		if known[m.ID] != nil || now.offset != now.offset { // of whom nothing is known a slave's master is one
			continue
		}
		if c := h.room(m); c != nil {
			c.name, c.rank, c.now = label(m), rankOf(m), now
			known[m.ID] = c
		}
	}
}

// room is a new curve for a member, nil where all others have the same right to theirs.
func (h *History) room(m control.Member) *curve {
	fresh := func() *curve { return newCurve(m, len(h.fine.kept), len(h.coarse.kept)) }
	if len(h.curves) < mostCurves {
		c := fresh()
		h.curves = append(h.curves, c)
		return c
	}
	lowest := 0
	for i, c := range h.curves {
		if c.rank < h.curves[lowest].rank {
			lowest = i
		}
	}
	if h.curves[lowest].rank >= rankOf(m) {
		return nil
	}
	h.curves[lowest] = fresh()
	return h.curves[lowest]
}

// pointNow is a curve's end.
type pointNow struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Offset figure `json:"offset"`
	Bound  figure `json:"bound"`
}

// points are the ends of all curves.
func (h *History) points() []pointNow {
	list := []pointNow{}
	for _, c := range h.curves {
		list = append(list, pointNow{c.id, c.name, c.now.offset, c.now.bound})
	}
	return list
}
