package daemon

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/netproto"
)

// farthest (s) is what can be told of a time in nanoseconds; the master judges the rest.
const farthest = 4.6e9

// setTime has the LAN's master move the time of all members, and waits for its answer.
func (d *driver) setTime(ctx context.Context, who caller, s control.SetTime) (control.Setting, error) {
	if s.Time.IsZero() == (s.By == 0) {
		return control.Setting{}, httpError{http.StatusBadRequest, "either time or by_s is wanted"}
	}
	if math.Abs(float64(s.By)) > farthest || !s.Time.IsZero() && math.Abs(float64(s.Time.Unix())) > farthest {
		return control.Setting{}, httpError{http.StatusBadRequest, "a time from 1970 to 2116 is wanted"}
	}
	if s.Time.IsZero() && s.By.Duration() == 0 {
		return control.Setting{}, httpError{http.StatusBadRequest, "by_s is less than a nanosecond"}
	}
	set := make(chan outcome, 1)
	input := func(at node.Moment) node.Input {
		by := s.By.Duration()
		if !s.Time.IsZero() {
			now, _, ok := d.node.LANTime(at)
			if !ok {
				now = at.Wall // the master will say that there is none yet
			}
			by = time.Duration(s.Time.UnixNano() - now)
		}
		return node.SetTime{By: by, Who: who.String()}
	}
	if err := d.hand(ctx, wish{input: input, set: set}); err != nil {
		return control.Setting{}, err
	}
	select {
	case a := <-set:
		return settingOf(a.TimeSet, a.now)
	case <-d.ended:
		return control.Setting{}, errEnding
	}
}

// outcome is what came of an order, and LAN time when that was known.
type outcome struct {
	node.TimeSet
	now time.Time
}

// settingOf tells what the master has answered.
func settingOf(a node.TimeSet, now time.Time) (control.Setting, error) {
	switch a.Answer {
	case netproto.AnswerYes:
		return control.Setting{
			By: control.SecondsOf(a.By), Begins: control.SecondsOf(a.Begins), Steps: a.Steps, Takes: control.SecondsOf(a.Takes),
			Ends: now.Add(a.By + a.Begins + a.Takes).UTC(),
		}, nil
	case netproto.AnswerNone:
		return control.Setting{}, httpError{http.StatusConflict, "no master answers: is one heard? (meantime status)"}
	}
	return control.Setting{}, httpError{http.StatusConflict, "the master refuses: " + a.Answer.String()}
}

// expect notes who waits for the answer to an order. One at a time is given.
func (d *driver) expect(set chan<- outcome) bool {
	if d.setting != nil {
		set <- outcome{TimeSet: node.TimeSet{Answer: netproto.AnswerBusy}}
		return false
	}
	d.setting = set
	return true
}

// wasSet tells who waits what came of an order.
func (d *driver) wasSet(a node.TimeSet) {
	if d.setting != nil {
		d.setting <- outcome{a, instant(cmp.Or(d.lanTime(), d.sharp.Wall))} // there is room
		d.setting = nil
	}
}

// lanTime is LAN time (ns since the Unix epoch) at the last reading of the clock, 0 where it is not known.
func (d *driver) lanTime() int64 {
	best, _, _ := d.node.LANTime(node.Moment{Raw: d.sharp.Raw})
	return best
}
