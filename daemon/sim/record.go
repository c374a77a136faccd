package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"meantime/daemon/node"
)

const (
	// sampleEvery is how often a run is looked at as a whole. Between two looks, RateLimit keeps clocks within a millisecond.
	sampleEvery = time.Second
	// settledWithin is how near the others a clock must be to count as on LAN time: what nobody's slew of 500 ppm takes more
	// than two seconds for. Where packets are delayed by more, so is this.
	settledWithin = time.Millisecond
	// ripePolls is how many polls after it settled a clock counts in the disagreement: half of a full fit.
	ripePolls = 30
	// steadyPolls is after how many polls its rate counts in the LAN's continuity: a full fit, the founding's fast centring over.
	steadyPolls = 130
)

// view is what the recorder keeps of one host.
type view struct {
	status  node.Status
	settled bool
	ripe    int     // samples since it settled
	steady  int     // samples since it settled, or since its daemon started or a fault of its own ended
	raw     int64   // ns: at the last sample
	rate    float64 // fractional: of its oscillator over the last second plus the correction in force
	osc     float64 // fractional: of its oscillator alone
	rated   float64 // rate one second ago
	known   bool    // raw is of one second ago
}

// recorder looks at a run once a simulated second and makes the report.
type recorder struct {
	world   *World
	limits  Limits
	observe func(Point)
	within  int64 // ns
	calm    time.Duration

	sync      time.Duration // negative: not yet
	offsets   []int64       // ns, of the hosts that are there
	before    []int64       // at the look before
	there     []bool
	was       []bool // counted, at the look before
	spreads   []time.Duration
	squares   float64
	count     float64
	compared  int     // looks at two clocks or more
	walked    float64 // ns: LAN time against true time over the second half
	oscillate float64 // ns: the mean oscillator
	due       float64 // fractional: the rate that LAN time should have, see expect
	owed      float64 // ns: due over the second half
	kept      int     // looks since the LAN was synchronised
	span      float64 // ns
	set       float64 // ns: how far LAN time went since an operator set it first
	turned    float64 // largest change of the LAN's rate
	refused   int
	holding   bool
	contested time.Duration
	beyond    time.Duration // clocks were further off than their nodes said
}

// forgiving lets a LAN that goes on losing packets have moments without exactly one master, in proportion to the loss.
func (l Limits) forgiving(p *Plan) Limits {
	l.Contested = max(l.Contested, time.Duration(p.Link.Loss*float64(p.For)))
	return l
}

// RunPlan runs a plan against limits. observe, which may be nil, sees a Point each simulated second.
func RunPlan(plan Plan, limits Limits, observe func(Point)) (Report, error) {
	if plan.attacked() || len(plan.alone()) > 1 {
		return runUnmoved(plan, limits, observe)
	}
	w, err := New(plan, nil)
	if err != nil {
		return Report{}, err
	}
	return w.record(limits, observe)
}

// record runs a world to its plan's end and reports.
func (w *World) record(limits Limits, observe func(Point)) (Report, error) {
	n := len(w.hosts)
	spread := w.plan.Link.Delay.Spread + w.plan.Asymmetry + w.plan.Latency.Spread
	r := &recorder{
		world: w, limits: limits.forgiving(&w.plan), observe: observe, sync: -1, calm: w.plan.Calm(),
		within: int64(max(settledWithin, 10*spread)), offsets: make([]int64, n), before: make([]int64, n),
		there: make([]bool, n), was: make([]bool, n),
	}
	w.onLook = r.look
	w.queue.push(int64(sampleEvery)).what = looks
	if err := w.Run(w.plan.For); err != nil {
		return Report{}, err
	}
	return r.report(), nil
}

// look takes a sample.
func (r *recorder) look() error {
	w := r.world
	for _, h := range w.hosts {
		if err := r.see(h); err != nil {
			return err
		}
	}
	r.settle()
	r.disagree()
	r.walk()
	r.hold()
	if r.limits.Polls > 0 {
		r.rule()
	}
	if r.observe != nil {
		r.observe(r.point())
	}
	w.queue.push(w.now + int64(sampleEvery)).what = looks
	return nil
}

// see looks at one host.
func (r *recorder) see(h *Host) error {
	v := &h.view
	r.there[h.index] = h.up()
	if !h.up() {
		v.known = false
		v.settled, v.steady = false, 0 // ripeness stays: what this did shows when it is over
		return nil
	}
	at, err := h.moment()
	if err != nil {
		return err
	}
	r.offsets[h.index] = at.Wall - (Epoch + r.world.now)
	v.status = h.Node.Status()
	if v.known {
		v.osc = float64(at.Raw-v.raw)/float64(sampleEvery) - 1
		v.rate = v.osc + h.frequency
	}
	v.raw, v.known = at.Raw, true
	return nil
}

// excused says whether a fault keeps a host from knowing LAN time just now, or it has none to know: a liar.
func (h *Host) excused() bool {
	justStarted := h.world.now-h.start < int64(sampleEvery)
	alone := h.cut > 0 || h.deaf > 0 || h.parted > 0
	return !h.up() || justStarted || alone || h.frozen > 0 || h.member.Lie.Kind != Truth
}

// belongs says whether the host's node is a member of a LAN that has its time.
func (h *Host) belongs() bool { return h.view.status.Lineage != 0 }

// settle decides whose clocks count as on LAN time. Once there, they count whatever happens to them, short of a fault of their own.
func (r *recorder) settle() {
	at, ok := r.middle(func(h *Host) bool { return h.view.settled })
	if !ok {
		if at, ok = r.middle((*Host).belongs); !ok {
			return
		}
	}
	all := true
	for _, h := range r.world.hosts {
		v := &h.view
		if h.excused() {
			v.settled, v.steady = false, 0
			continue
		}
		if !v.settled {
			near := h.belongs() && abs(r.offsets[h.index]-at) <= r.within
			if v.settled = near; !near {
				v.ripe, v.steady = 0, 0
			}
		}
		v.ripe, v.steady = v.ripe+1, v.steady+1
		all = all && v.settled
	}
	if all && r.sync < 0 {
		r.sync = time.Duration(r.world.now)
	}
}

// middle is the median offset (ns) of the hosts that count.
func (r *recorder) middle(counts func(*Host) bool) (int64, bool) {
	var offsets []int64
	for _, h := range r.world.hosts {
		if !h.excused() && counts(h) {
			offsets = append(offsets, r.offsets[h.index])
		}
	}
	if len(offsets) == 0 {
		return 0, false
	}
	slices.Sort(offsets)
	return offsets[len(offsets)/2], true
}

// polls is how many samples so many polls last.
func (r *recorder) polls(n int) int {
	return int(math.Ceil(float64(n) * float64(r.world.plan.Node.Interval) / float64(sampleEvery)))
}

// disagree measures the distance of the settled clocks.
func (r *recorder) disagree() {
	if r.sync < 0 {
		return
	}
	ripe := r.polls(ripePolls)
	least, most, sum, n := int64(math.MaxInt64), int64(math.MinInt64), 0.0, 0
	late := r.limits.Settle > 0 && time.Duration(r.world.now) >= r.calm+r.limits.Settle
	for _, h := range r.world.hosts {
		if late && !h.excused() && !h.view.settled {
			r.world.judge.fail(Agreement, h.index, "is not on LAN time %v after the last fault", r.limits.Settle)
		}
		if h.view.settled && h.view.ripe >= ripe {
			e := r.offsets[h.index]
			least, most, sum, n = min(least, e), max(most, e), sum+float64(e), n+1
		}
	}
	if n == 0 {
		return
	}
	if r.limits.Beyond > 0 {
		r.contain(int64(sum / float64(n)))
	}
	if n > 1 {
		r.compared++
	}
	spread := time.Duration(most - least)
	r.spreads = append(r.spreads, spread)
	for _, h := range r.world.hosts {
		if h.view.settled && h.view.ripe >= ripe {
			d := float64(r.offsets[h.index]) - sum/float64(n)
			r.squares, r.count = r.squares+d*d, r.count+1
		}
	}
	if r.limits.Max > 0 && spread > r.limits.Max {
		r.world.judge.fail(Agreement, -1, "settled clocks are %v apart, at most %v is allowed", spread, r.limits.Max)
	}
}

// contain checks that the clocks are as near LAN time, which is their mean, as their nodes say. A node that was never corrected, since
// it is alone, says nothing.
func (r *recorder) contain(mean int64) {
	for _, h := range r.world.hosts {
		off := time.Duration(abs(r.offsets[h.index] - mean))
		bound := h.view.status.Bound
		if !h.view.settled || h.view.ripe < r.polls(ripePolls) || bound < 0 || off <= bound {
			continue
		}
		if r.beyond += sampleEvery; r.beyond > r.limits.Beyond {
			r.world.judge.fail(Bounded, h.index, "is %v from LAN time, and says that it is within %v; so it was for %v", off,
				bound, r.beyond)
		}
	}
}

// walk follows LAN time and its rate.
func (r *recorder) walk() {
	w := r.world
	half := time.Duration(w.now) > w.plan.For/2
	ripe, steady := r.polls(ripePolls), r.polls(steadyPolls)
	var went, osc, turn float64
	var n, m int
	for i, h := range w.hosts {
		v := &h.view
		counts := v.settled && v.known && v.ripe >= ripe
		if counts && r.was[i] {
			went, osc, n = went+float64(r.offsets[i]-r.before[i]), osc+v.osc, n+1
			if v.steady > steady {
				turn, m = turn+v.rate-v.rated, m+1
			}
		}
		v.rated = v.rate
		r.before[i], r.was[i] = r.offsets[i], counts
	}
	if n > 0 {
		r.expect(osc / float64(n))
	}
	if _, first := w.plan.ordered(); n > 0 && time.Duration(w.now) > first {
		r.set += went / float64(n)
	}
	if n > 0 && half {
		r.walked += went / float64(n)
		r.oscillate += osc / float64(n) * float64(sampleEvery)
		r.owed += r.due * float64(sampleEvery)
		r.span += float64(sampleEvery)
	}
	if m > 0 {
		r.turns(turn / float64(m))
	}
}

// expect follows the rate that LAN time should have: the mean of the members' oscillators at the founding, while it is centred fast;
// afterwards it goes over to the mean of those present (fractional) as slowly as rate centring does.
func (r *recorder) expect(mean float64) {
	if r.kept++; r.kept < r.polls(ripePolls) {
		r.due = mean
		return
	}
	r.due += (mean - r.due) * float64(sampleEvery) / float64(centringTime)
}

// turns takes a change of the LAN's rate (fractional).
func (r *recorder) turns(by float64) {
	r.turned = max(r.turned, math.Abs(by))
	if limit := r.limits.Turn * ppm; limit > 0 && math.Abs(by) > limit {
		r.world.judge.fail(Continuity, -1, "LAN rate changed by %+.4f ppm within a second, at most %.4f ppm is allowed",
			by/ppm, r.limits.Turn)
	}
}

// noMajority is how a node's log begins to say that nobody is steered.
const noMajority = "no majority"

// hold counts how often a master refuses to steer, and that it says so.
func (r *recorder) hold() {
	holding := false
	for _, h := range r.world.hosts {
		if r.there[h.index] && h.view.status.State == node.StateHolding {
			holding = true
			if !h.Said(noMajority) {
				r.world.judge.fail(Refusal, h.index, "steers nobody and does not say why")
			}
		}
	}
	if holding && !r.holding {
		r.refused++
	}
	r.holding = holding
}

// Said says whether the host's node logged a line with the text.
func (h *Host) Said(text string) bool {
	return slices.ContainsFunc(h.Notes, func(n node.Note) bool { return strings.Contains(n.Text, text) })
}

// rule checks that, the faults being over for long enough, exactly one master is there, and that a poll later everybody obeys it.
func (r *recorder) rule() {
	w := r.world
	wait := time.Duration(r.limits.Polls * float64(w.plan.Node.Interval))
	if time.Duration(w.now) < r.calm+wait {
		return
	}
	var masters []int
	for _, h := range w.hosts {
		if r.there[h.index] && h.view.status.Master == h.view.status.ID {
			masters = append(masters, h.index)
		}
	}
	if len(masters) != 1 {
		if r.contested += sampleEvery; r.contested <= r.limits.Contested {
			return
		}
		w.judge.fail(Recovery, -1, "%v after the last fault the masters are %v", time.Duration(w.now)-r.calm, masters)
		return
	}
	if time.Duration(w.now) < r.calm+wait+w.plan.Node.Interval {
		return // who yielded hears its new master with the next poll
	}
	id := w.hosts[masters[0]].view.status.ID
	for _, h := range w.hosts {
		if r.there[h.index] && h.frozen == 0 && h.view.status.Master != id && r.limits.Contested == 0 {
			w.judge.fail(Recovery, h.index, "%v after the last fault it obeys %v, not the master, host %d",
				time.Duration(w.now)-r.calm, h.view.status.Master, masters[0])
		}
	}
	if r.limits.Contested == 0 {
		w.judge.ruler = masters[0]
	}
}

// point is the sample as the outside sees it.
func (r *recorder) point() Point {
	p := Point{At: time.Duration(r.world.now), Master: r.world.lastPoll, Offsets: make([]time.Duration, len(r.offsets))}
	for i := range p.Offsets {
		if p.Offsets[i] = Down; r.there[i] {
			p.Offsets[i] = time.Duration(r.offsets[i])
		}
	}
	return p
}

// report sums the run up.
func (r *recorder) report() Report {
	w, j := r.world, r.world.judge
	out := Report{
		Seed: w.plan.Seed, Simulated: w.plan.For, Nodes: len(w.hosts), TimeToSync: r.sync,
		Masters: j.masters, Takeover: j.takeover, Packets: w.packets, Inputs: w.inputs, Refused: r.refused, Contested: r.contested,
		TurnPPM: r.turned / ppm, Disagreement: percentiles(r.spreads), Compared: r.compared, Rated: time.Duration(r.span),
	}
	if r.count > 0 {
		out.RMSOffset = time.Duration(math.Sqrt(r.squares / r.count))
	}
	if r.span > 0 {
		out.LANRatePPM, out.MeanOscillatorPPM, out.DuePPM = r.walked/r.span/ppm, r.oscillate/r.span/ppm, r.owed/r.span/ppm
	}
	for _, h := range w.hosts {
		out.Steps += len(h.Steps)
	}
	r.limit(out)
	out.Violations, out.TraceHash = j.found, w.TraceHash()
	return out
}

// limit holds the run to the limits that only its end can tell.
func (r *recorder) limit(out Report) {
	l := r.limits
	bad := func(format string, args ...any) { r.world.judge.fail(Limit, -1, "%s", fmt.Sprintf(format, args...)) }
	if l.Sync > 0 && (out.TimeToSync < 0 || out.TimeToSync > l.Sync) {
		bad("time to synchronise is %v, at most %v is allowed", out.TimeToSync, l.Sync)
	}
	if l.Scatter > 0 && out.RMSOffset > l.Scatter {
		bad("rms offset is %v, at most %v is allowed", out.RMSOffset, l.Scatter)
	}
	if off := out.LANRatePPM - out.DuePPM; l.Rate > 0 && math.Abs(off) > l.Rate {
		bad("LAN rate is %+.4f ppm, %+.4f ppm off what it should be, at most %.4f ppm is allowed", out.LANRatePPM, off, l.Rate)
	}
	r.arrive()
	if l.Refuses && (!r.holding || out.Refused == 0) {
		r.world.judge.fail(Refusal, -1, "clocks are steered, although no majority agrees")
	}
}

// percentiles sorts the spreads.
func percentiles(spreads []time.Duration) (d Disagreement) {
	if len(spreads) == 0 {
		return d
	}
	slices.Sort(spreads)
	at := func(q float64) time.Duration { return spreads[int(q*float64(len(spreads)-1))] }
	return Disagreement{Median: at(0.5), P95: at(0.95), P99: at(0.99), Max: spreads[len(spreads)-1]}
}

func abs(v int64) int64 { return max(v, -v) }
