package main

import (
	"math"
	"time"
)

const (
	// backFor is how long a guest must be back before it counts again.
	backFor = time.Second
	// freeSpan is the last part of the time without a daemon over which the clock's own rate is measured.
	freeSpan = 10 * time.Second
	// echoSpan is how long after a fault others are watched for being moved by it.
	echoSpan = 30 * time.Second
	// rateSpan is how long before and after a fault the LAN's rate is measured.
	rateSpan = time.Minute
)

// Aftermath is what a fault did to one guest and to the LAN. Times are in true seconds since the start, or of that length.
type Aftermath struct {
	Fault  string   `json:"fault"`
	Node   int      `json:"node"`
	At     float64  `json:"at_s"`             // when it really came
	Ended  *float64 `json:"ended_s"`          // when the guest had its daemon or cable again; null: never
	Back   *float64 `json:"back_s"`           // from then on, until it was back among the others; null: never
	Leader bool     `json:"leader,omitempty"` // the guest led the LAN
	Takes  *float64 `json:"takeover_s"`       // from the fault to the first packet of another leader; null: none, or not needed
	Heir   int      `json:"heir,omitempty"`   // that leader
	Error  string   `json:"error,omitempty"`  // why it could not be done

	Set *Setting `json:"set_time,omitempty"` // of an operator's order alone, which is no fault of anybody's

	// Of the others, before and after the fault.
	P99Before  *float64 `json:"p99_before_us"` // disagreement
	P99After   *float64 `json:"p99_after_us"`
	RateMoved  *float64 `json:"lan_rate_moved_ppm"`
	EchoMoved  *float64 `json:"others_moved_us"` // furthest that their mean was off its course, in the 30 s after
	FreeRate   *float64 `json:"free_rate_ppm"`   // of a clock without its daemon against the others, at the end of that time
	FreeMoved  *float64 `json:"free_moved_ms"`   // how far it went meanwhile, against the others
	FirstFreq  *float64 `json:"first_freq_ppm"`  // what a daemon that starts again first writes
	MinuteFreq *float64 `json:"minute_freq_ppm"` // what it holds a minute later, or at the end
}

// absence is a time in which a guest does not count.
type absence struct {
	guest    int // from 0
	from, to time.Duration
}

// covers says that a guest is away at a time.
func (a absence) covers(guest int, at time.Duration) bool {
	return a.guest == guest && at >= a.from && at < a.to
}

// suffering is a deed that begins a fault, and the one that ended it.
type suffering struct {
	begin Deed
	end   *Deed
}

// sufferings pairs deeds.
func sufferings(deeds []Deed) (list []suffering) {
	for _, d := range deeds {
		if d.Verb != verbStart && d.Verb != verbThaw && d.Verb != verbMend {
			list = append(list, suffering{begin: d})
			continue
		}
		for i := range list {
			if s := &list[i]; s.begin.Fault == d.Fault && s.begin.Node == d.Node {
				s.end = &d
			}
		}
	}
	return list
}

// mark takes guests out of the timeline for as long as faults keep them off, and says how long that was.
func (e *evidence) mark(list []Instant, all []suffering, within time.Duration) []absence {
	away := make([]absence, len(all))
	for i, s := range all {
		from := e.host.since(s.begin.TSC)
		if s.begin.Verb == verbStep || s.begin.Verb == verbPower {
			from -= maxGap // what is drawn between the samples before and after the jump is neither
		}
		away[i] = absence{s.begin.Node - 1, from, math.MaxInt64}
		if s.begin.Verb == verbSet {
			away[i].to = from // nobody is away
		}
	}
	for i, s := range all {
		back, ok := e.healed(s)
		if !ok {
			continue
		}
		for k := range list {
			if list[k].At >= back && staysBack(list[k:], away, away[i].guest, within) {
				away[i].to = list[k].At
				break
			}
		}
	}
	for k := range list {
		list[k].Absent = missingAt(away, len(list[k].Offsets), list[k].At)
	}
	return away
}

// healed is when a guest had again what the fault took; false for never.
func (e *evidence) healed(s suffering) (time.Duration, bool) {
	switch {
	case s.end != nil:
		return e.host.since(s.end.TSC), true
	case s.begin.Verb == verbStep:
		// The sample after it: the one before still shows the clock of before.
		return e.host.since(s.begin.TSC) + maxGap, true
	}
	return 0, false
}

// staysBack says that a guest is among the others at the start of a list of instants, and for a while.
func staysBack(list []Instant, away []absence, guest int, within time.Duration) bool {
	for _, t := range list {
		if t.At > list[0].At+backFor {
			return true
		}
		var others []float64
		for k, o := range t.Offsets {
			here := k != guest
			for _, a := range away {
				here = here && !a.covers(k, t.At)
			}
			if here {
				others = append(others, o)
			}
		}
		if len(others) == 0 || math.Abs(t.Offsets[guest]-mean(others)) >= float64(within) {
			return false
		}
	}
	return false
}

// aftermath says what each fault did.
func (e *evidence) aftermath(list []Instant, all []suffering, away []absence, within time.Duration) (found []Aftermath) {
	faults := e.plan.faults()
	for i, s := range all {
		at := e.host.since(s.begin.TSC)
		f := Aftermath{Node: s.begin.Node, At: at.Seconds(), Error: s.begin.Error}
		if s.begin.Fault < len(faults) {
			f.Fault = faults[s.begin.Fault].String()
		}
		if back, ok := e.healed(s); ok {
			f.Ended = new(back.Seconds())
			if away[i].to != math.MaxInt64 {
				f.Back = new((away[i].to - back).Seconds())
			}
			if s.end != nil && s.end.Error != "" {
				f.Error = s.end.Error
			}
		}
		if e.leader(s.begin.TSC) == s.begin.Node && s.begin.Verb != verbStep && s.begin.Verb != verbSet {
			f.Leader = true
			if first, heir, ok := e.lead(s.begin.TSC, s.begin.Node); ok {
				f.Takes, f.Heir = new((first - at).Seconds()), heir
			}
		}
		before, after := e.around(list, all, i)
		f.compareSpreads(before, after)
		if s.begin.Verb == verbSet {
			f.Set = e.set(s.begin, before, after, within)
		} else {
			f.compareCourses(before, after)
			e.watchFree(&f, list, s, at)
			e.watchFrequency(&f, s)
		}
		found = append(found, f)
	}
	return found
}

// around are the instants between the fault before this one, or settling, and this one; and from there to the next.
func (e *evidence) around(list []Instant, all []suffering, i int) (before, after []Instant) {
	at, from, to := e.host.since(all[i].begin.TSC), e.plan.Settle, e.bed.Ran
	for _, s := range all {
		switch other := e.host.since(s.begin.TSC); {
		case s.begin.Fault < all[i].begin.Fault:
			from = max(from, other)
		case s.begin.Fault > all[i].begin.Fault:
			to = min(to, other)
		}
	}
	return between(list, from, at), between(list, at, to)
}

// between are the instants from one time to another.
func between(list []Instant, from, to time.Duration) (part []Instant) {
	for _, t := range list {
		if t.At >= from && t.At < to {
			part = append(part, t)
		}
	}
	return part
}

// steady picks the guests that are there in all of some instants.
func steady(lists ...[]Instant) func(Instant) float64 {
	gone := map[int]bool{}
	for _, list := range lists {
		for _, t := range list {
			for k, absent := range t.Absent {
				if absent {
					gone[k] = true
				}
			}
		}
	}
	return func(t Instant) float64 {
		var here []float64
		for k, o := range t.Offsets {
			if !gone[k] {
				here = append(here, o)
			}
		}
		return mean(here) // NaN of nobody
	}
}

// compareSpreads fills in how far the others were apart.
func (f *Aftermath) compareSpreads(before, after []Instant) {
	if len(before) >= minSamples && len(after) >= minSamples {
		f.P99Before, f.P99After = known(quantile(spreads(before), 0.99)), known(quantile(spreads(after), 0.99))
	}
}

// compareCourses fills in whether the others went on as before.
func (f *Aftermath) compareCourses(before, after []Instant) {
	if len(before) < minSamples || len(after) < minSamples {
		return
	}
	middle := steady(before, after)
	at := after[0].At
	before, after = between(before, at-rateSpan, at), between(after, at, at+rateSpan)
	if len(before) < minSamples {
		return
	}
	old := rate(before, middle)
	// Without what is drawn between the last sample before the fault and the first one after it.
	f.RateMoved = known(rate(between(after, at+maxGap, at+rateSpan), middle) - old)
	var x, y []float64
	for _, t := range before {
		x, y = append(x, float64(t.At)), append(y, middle(t))
	}
	mx, my, worst := mean(x), mean(y), 0.0
	for _, t := range between(after, at, at+echoSpan) {
		worst = max(worst, math.Abs(middle(t)-my-old*1e-6*(float64(t.At)-mx)))
	}
	f.EchoMoved = known(worst / 1e3)
}

// watchFree fills in what a clock did whose daemon was gone or frozen.
func (e *evidence) watchFree(f *Aftermath, list []Instant, s suffering, at time.Duration) {
	if s.begin.Verb == verbStep || s.begin.Verb == verbCut || s.begin.Verb == verbPower {
		return
	}
	to := e.bed.Ran
	if f.Ended != nil {
		to = e.host.since(s.end.TSC)
	}
	// Not the instants next to a deed: half of what is drawn between two samples there is of another time.
	free := between(list, at+tick, to-tick)
	if len(free) < minSamples {
		return
	}
	guest, others := s.begin.Node-1, steady(free)
	apart := func(t Instant) float64 { return t.Offsets[guest] - others(t) }
	f.FreeMoved = known((apart(free[len(free)-1]) - apart(free[0])) / 1e6)
	if last := between(free, to-tick-freeSpan, to); len(last) >= minSamples {
		f.FreeRate = known(rate(last, apart))
	}
}

// watchFrequency fills in which frequency a daemon that was started again wrote.
func (e *evidence) watchFrequency(f *Aftermath, s suffering) {
	if s.end == nil || s.end.Verb != verbStart {
		return
	}
	for _, v := range e.guests[s.begin.Node-1].vitals {
		since := e.host.since(v.TSC - s.end.TSC + e.host.start)
		if since < 0 || since > rateSpan {
			continue
		}
		// After a boot the kernel's frequency is exactly 0 until the daemon writes one.
		if f.FirstFreq == nil && v.PID != 0 && (s.begin.Verb != verbPower || v.FreqPPM != 0) {
			f.FirstFreq = new(v.FreqPPM)
		}
		if f.FirstFreq != nil {
			f.MinuteFreq = new(v.FreqPPM)
		}
	}
}

// known is a figure, or nothing where there is none.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
