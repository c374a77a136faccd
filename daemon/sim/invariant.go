package sim

import (
	"fmt"
	"math"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// judge holds a run to the invariants. What can break at an input is checked at that input; what builds up, at each simulated
// second (record.go), between which RateLimit bounds what can happen.
type judge struct {
	world *World
	found []Violation
	hosts []conduct

	masters  []Change
	takeover []float64     // see Report
	lastPoll time.Duration // of the host that polled last
	interval time.Duration // to the next, as that poll said
	ruler    int           // the only host that may poll once the faults are over and the LAN has had its time; −1 before
}

// conduct is what the judge remembers of one host.
type conduct struct {
	term   uint64 // highest obeyed
	reign  uint64 // it polled under this term last
	master int    // whose it was, −1 where a restart forgot it
	synced bool   // LAN time was adopted since the OS booted, as far as the host's state can tell
	woken  bool   // it has slept since it stepped last
	limit  float64
	inputs int // in this simulated second
	second int64
}

// mostViolations bounds the list: the first few tell the story.
const mostViolations = 20

// kernelFrequency is the largest frequency correction (fractional) that an operating system takes: ±500 ppm.
const kernelFrequency = 500e-6

// mostInputs is how many inputs a node may have within a simulated second, and how many more for each member: each gives its master ten,
// and all of them that stand for office at once give everybody a few.
const mostInputs, mostInputsEach = 50_000, 50

func newJudge(w *World) *judge {
	j := &judge{world: w, ruler: -1}
	for i := range w.plan.Members {
		// What is steered is steered against the host's own oscillator.
		limit := (1+w.plan.fastest(i))*(1+kernelFrequency+w.plan.Node.MaxSlew) - 1
		j.hosts = append(j.hosts, conduct{master: -1, limit: limit})
	}
	return j
}

// fail puts a violation down. host is −1 for the whole LAN's.
func (j *judge) fail(invariant string, host int, format string, args ...any) {
	if len(j.found) < mostViolations {
		j.found = append(j.found, Violation{
			Invariant: invariant, At: time.Duration(j.world.now), Host: host, Seed: j.world.plan.Seed,
			Detail: fmt.Sprintf(format, args...),
		})
	}
}

// started notes that a host's daemon has started: whose term it obeyed is forgotten, the term itself is not.
func (j *judge) started(h *Host) {
	c := &j.hosts[h.index]
	c.master, c.synced, c.term = -1, h.synced, h.savedTerm
}

// obeyed checks that a host which let a master move its clock obeys no other under the same term, nor an older term.
func (j *judge) obeyed(h *Host, term uint64, master int) {
	c := &j.hosts[h.index]
	switch {
	case term < c.term:
		j.fail(OneMaster, h.index, "obeyed host %d under term %d after term %d", master, term, c.term)
	case term == c.term && c.master >= 0 && c.master != master:
		j.fail(OneMaster, h.index, "obeyed hosts %d and %d under term %d", c.master, master, term)
	case term > h.savedTerm:
		j.fail(OneMaster, h.index, "obeyed term %d, but keeps %d for its next start", term, h.savedTerm)
	}
	c.term, c.master = term, master
}

// stepped checks a step that a node ordered.
func (j *judge) stepped(h *Host, s node.Step) {
	c := &j.hosts[h.index]
	switch cfg := j.world.plan.Node; {
	case cfg.Step == node.StepAlways && (c.synced || !cfg.MayStep):
		if size := max(s.Delta, -s.Delta); size <= int64(cfg.StepThreshold) {
			j.fail(NoStep, h.index, "stepped by %v, below the threshold of %v", time.Duration(s.Delta), cfg.StepThreshold)
		}
	case c.woken && cfg.Step == node.StepBoot:
	case cfg.Step == node.StepNever || !cfg.MayStep:
		j.fail(NoStep, h.index, "stepped by %v, which policy never allows", time.Duration(s.Delta))
	case c.synced:
		j.fail(NoStep, h.index, "stepped by %v after the first synchronisation", time.Duration(s.Delta))
	}
	c.synced, c.woken = true, false
}

// woke notes that a host was told of its machine's sleep: it may step once more.
func (j *judge) woke(h *Host) { j.hosts[h.index].woken = true }

// steered checks what the clock is asked for; watch checks what it does.
func (j *judge) steered(h *Host, s *node.Steer) {
	if math.Abs(s.Frequency) > kernelFrequency || s.MaxSlew > j.world.plan.Node.MaxSlew || math.IsNaN(s.Frequency) {
		j.fail(RateLimit, h.index, "steered at %+.3f ppm with a slew of %.3f ppm", s.Frequency/ppm, s.MaxSlew/ppm)
	}
	if h.synced {
		j.hosts[h.index].synced = true
	}
}

// reading is a look at a host's clock.
type reading struct {
	raw, wall int64
	at        int64 // true time, ns since the start
	valid     bool
}

// forgetReading lets the next reading stand alone: the clock was moved by who may.
func (h *Host) forgetReading() { h.read.valid = false }

// watch checks a look at a host's clock against the one before.
func (h *Host) watch(raw, wall int64) {
	w, old := h.world, h.read
	h.read = reading{raw, wall, w.now, true}
	if !old.valid {
		return
	}
	span, went := w.now-old.at, wall-old.wall
	c := &w.judge.hosts[h.index]
	if went < 0 {
		w.judge.fail(Monotone, h.index, "went back by %v", time.Duration(-went))
	}
	if off := float64(went - span); math.Abs(off) > c.limit*float64(span)+roundings {
		w.judge.fail(RateLimit, h.index, "went %+.3f ppm off true time for %v, at most %.3f ppm can be",
			off/float64(span)/ppm, time.Duration(span), c.limit/ppm)
	}
	if second := w.now / int64(time.Second); second != c.second {
		c.second, c.inputs = second, 0
	}
	if c.inputs++; c.inputs == mostInputs+mostInputsEach*len(w.hosts) {
		w.err = fmt.Errorf("host %d handles %d inputs within a second: its node asks for no end of ticks", h.index, mostInputs)
	}
}

// roundings (ns) is what whole nanoseconds may be off between two readings: raw and wall each round at both ends.
const roundings = 4

// announced looks at what is multicast: polls show who holds office, an Adjust whom its sender obeys.
func (j *judge) announced(from *Host, h netproto.Header, body []byte) {
	switch h.Kind {
	case netproto.KindAdjust:
		j.obeyed(from, h.Term, from.index)
	case netproto.KindPoll:
		if poll, err := netproto.ParsePoll(body); err == nil {
			j.polled(from, h.Term, time.Duration(poll.Interval)*time.Microsecond)
		}
	}
}

// polled notes a poll, and when the next one is promised.
func (j *judge) polled(from *Host, term uint64, interval time.Duration) {
	w := j.world
	now := time.Duration(w.now)
	if c := &j.hosts[from.index]; c.reign != term {
		c.reign = term
		w.did(from, reign{term})
	}
	if j.ruler >= 0 && from.index != j.ruler {
		j.fail(Recovery, from.index, "polled under term %d, while host %d holds office and nothing has happened", term, j.ruler)
	}
	if last := w.lastPoll; last >= 0 && last != from.index {
		if old := w.hosts[last]; !old.up() || old.frozen > 0 {
			j.takeover = append(j.takeover, float64(now-j.lastPoll)/float64(j.interval))
		}
	}
	if n := len(j.masters); n == 0 || j.masters[n-1].Host != from.index || j.masters[n-1].Term != term {
		j.masters = append(j.masters, Change{now, from.index, term})
	}
	w.lastPoll, j.lastPoll, j.interval = from.index, now, interval
}
