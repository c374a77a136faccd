package main

import (
	"bytes"
	"math"
	"slices"
	"time"
)

// Daemons is what the programs cost.
type Daemons struct {
	Packets float64  `json:"packets_per_slave_round"` // sent by anybody, for each guest but one and each poll interval
	Bytes   float64  `json:"bytes_per_slave_round"`   // of IP
	CPU     *float64 `json:"cpu_percent"`             // mean over the guests
	RSS     *float64 `json:"rss_mb"`                  // mean over the guests
}

// KernelWord compares what the kernels said of their clocks with the truth, once a second and guest after settling. A clock's
// distance is that from the LAN's mean.
type KernelWord struct {
	Samples   int      `json:"samples"`
	Synced    float64  `json:"synchronised"` // share in which STA_UNSYNC was clear
	Contained float64  `json:"contained"`    // share in which maxerror was at least the true distance
	MaxError  float64  `json:"maxerror_us"`  // median
	Distance  float64  `json:"distance_us"`  // median
	Ratio     *float64 `json:"ratio"`        // of the two
}

// guest says what there is to say of guest i alone.
func (e *evidence) guest(i int) (*GuestResult, error) {
	w := &e.guests[i]
	g := &GuestResult{Node: i + 1, Set: e.plan.Nodes[i], Record: w.record}
	widths := w.all.widths(e.host.hz)
	g.Samples, g.Loose = len(w.all), len(w.all)-len(w.wall)
	for k, q := range []float64{0.5, 0.95, 1} {
		g.Bracket[k] = quantile(widths, q) / 1e3
	}
	if i < len(e.bed.Sent) && i < len(e.bed.Received) {
		g.Sent, g.Received = e.bed.Sent[i], e.bed.Received[i]
	}
	if e.plan.untilExit() {
		g.Passed, g.Skipped = bytes.Count(w.log, []byte("--- PASS: ")), bytes.Count(w.log, []byte("--- SKIP: "))
		if len(w.all) < minSamples {
			return g, nil // perhaps over before there was anything to measure
		}
	}
	g.CPU, g.RSS = e.cost(w.vitals)
	var err error
	g.Oscillator, g.Drawn, err = e.host.ppm(w.raw, w.walk)
	g.Drawn += g.Set.PPM
	return g, err
}

// settled are a guest's vitals after settling.
func (e *evidence) settled(all []Vital) []Vital {
	from, to := e.host.tsc(e.plan.Settle), e.host.tsc(e.bed.Ran)
	return slices.DeleteFunc(slices.Clone(all), func(v Vital) bool { return v.TSC < from || v.TSC > to })
}

// cost is the share of its processor that a daemon used after settling, in percent, and the most memory that it occupied, in MB;
// nothing where no daemon was seen.
func (e *evidence) cost(vitals []Vital) (cpu, rss *float64) {
	var used, span, most float64
	all := e.settled(vitals)
	for i, v := range all {
		most = max(most, float64(v.RSS))
		// Another process has a count of its own, and one that has just ended none.
		if i > 0 && v.PID != 0 && v.PID == all[i-1].PID && v.CPU >= all[i-1].CPU && all[i-1].CPU > 0 {
			used += float64(v.CPU - all[i-1].CPU)
			span += float64(v.TSC-all[i-1].TSC) / e.host.hz * 1e9
		}
	}
	if span > 0 {
		cpu = new(used / span * 100)
	}
	if most > 0 {
		rss = new(most / 1e6)
	}
	return cpu, rss
}

// measure takes the figures of the whole LAN.
func (r *Result) measure(e *evidence) {
	all := sufferings(e.deeds())
	away := e.mark(r.timeline, all, r.Within)
	r.Aftermaths = e.aftermath(r.timeline, all, away, r.Within)
	if at, ok := together(r.timeline, r.Within); ok {
		r.Together = new(at.Seconds())
	}
	if at, ok := converged(r.timeline, r.Within); ok {
		r.Converged = new(at.Seconds())
	}
	if first, ok := e.firstPoll(); ok {
		r.First = new(first.Seconds())
		if r.Converged != nil {
			r.Reached = new(max(0, *r.Converged-first.Seconds()))
		}
	}
	if last, ok := e.allCame(); ok {
		r.Came = new(last.Seconds())
	}
	r.Oscillator = e.oscillators(r.Guests)
	r.Daemons = e.daemons(r.Guests)
	r.Kernel = e.kernelWord(away)
	r.measureClocks()
}

// judgedFrom is where the figures begin: after settling, and once the clocks have converged. How long that took is a figure of
// its own, and clocks that part later do not move it.
func (r *Result) judgedFrom() time.Duration {
	from := r.Plan.Settle
	if r.Converged != nil {
		at := time.Duration(*r.Converged * 1e9)
		if len(between(r.timeline, at, maxFor)) >= minSamples {
			from = max(from, at)
		}
	}
	return from
}

// measureClocks takes the figures from the timeline.
func (r *Result) measureClocks() {
	if len(r.timeline) == 0 {
		return
	}
	first, last := r.timeline[0], r.timeline[len(r.timeline)-1]
	judged := between(r.timeline, r.judgedFrom(), maxFor)
	for i := range r.Guests {
		g := &r.Guests[i]
		g.Started, g.Ended = new(first.Offsets[i]/1e6), new(last.Offsets[i]/1e6)
		if len(judged) >= minSamples {
			g.Clock = known(rate(between(judged, 0, r.setAt()), func(t Instant) float64 { return t.Offsets[i] }))
		}
	}
	if len(judged) < minSamples {
		return
	}
	all := spreads(judged)
	r.Spread = &Spread{Median: quantile(all, 0.5), P95: quantile(all, 0.95), P99: quantile(all, 0.99), Max: quantile(all, 1)}
	r.LANRate = known(rate(between(judged, 0, r.setAt()), steady(judged)))
}

// spreads are the disagreements at some instants, in µs.
func spreads(list []Instant) []float64 {
	all := make([]float64, len(list))
	for k, t := range list {
		all[k] = t.spread() / 1e3
	}
	return all
}

// oscillators is the mean rate of all oscillators as they ran after settling, in ppm.
func (e *evidence) oscillators(guests []GuestResult) float64 {
	var list []float64
	for i, w := range e.guests {
		ppm, _, err := e.host.ppm(e.host.within(w.raw, e.plan.Settle, e.bed.Ran), w.walk)
		if err != nil {
			ppm = guests[i].Drawn // too short to tell
		}
		list = append(list, ppm)
	}
	return mean(list)
}

// daemons says what the programs cost after settling; nil for programs that send nothing.
func (e *evidence) daemons(guests []GuestResult) *Daemons {
	var packets, bytes float64
	for _, p := range e.packets {
		if at := e.host.since(p.TSC); at >= e.plan.Settle && at <= e.bed.Ran {
			packets++
			bytes += float64(p.Bytes)
		}
	}
	poll := max(e.plan.Poll, minPoll) // runs that were kept by an older lab have none
	rounds := float64(e.bed.Ran-e.plan.Settle) / float64(poll) * float64(max(len(guests)-1, 1))
	if packets == 0 || rounds <= 0 {
		return nil
	}
	d := &Daemons{Packets: packets / rounds, Bytes: bytes / rounds}
	var cpu, rss []float64
	for _, g := range guests {
		if g.CPU != nil && g.RSS != nil {
			cpu, rss = append(cpu, *g.CPU), append(rss, *g.RSS)
		}
	}
	d.CPU, d.RSS = known(mean(cpu)), known(mean(rss))
	return d
}

// kernelWord compares the kernels' word with the truth; guests that are away are left out.
func (e *evidence) kernelWord(away []absence) *KernelWord {
	word, walls := &KernelWord{}, e.walls()
	var errors, distances []float64
	for i, w := range e.guests {
		for _, v := range e.settled(w.vitals) {
			offsets, ok := e.host.offsets(walls, v.TSC)
			if !ok || slices.ContainsFunc(away, func(a absence) bool { return a.covers(i, e.host.since(v.TSC)) }) {
				continue
			}
			instant := Instant{Offsets: offsets, Absent: missingAt(away, len(offsets), e.host.since(v.TSC))}
			distance := math.Abs(offsets[i]-instant.mean()) / 1e3
			errors, distances = append(errors, float64(v.MaxError)), append(distances, distance)
			if v.synchronised() {
				word.Synced++
			}
			if float64(v.MaxError) >= distance {
				word.Contained++
			}
		}
	}
	if word.Samples = len(errors); word.Samples == 0 {
		return nil
	}
	word.Synced /= float64(word.Samples)
	word.Contained /= float64(word.Samples)
	word.MaxError, word.Distance = quantile(errors, 0.5), quantile(distances, 0.5)
	word.Ratio = known(word.MaxError / word.Distance)
	return word
}

// missingAt tells of each guest whether it is away at a time; nil when nobody is.
func missingAt(away []absence, guests int, at time.Duration) (list []bool) {
	for _, a := range away {
		if a.covers(a.guest, at) {
			if list == nil {
				list = make([]bool, guests)
			}
			list[a.guest] = true
		}
	}
	return list
}
