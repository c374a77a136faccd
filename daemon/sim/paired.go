package sim

import (
	"fmt"
	"math"
	"time"
)

// What liars under a third may do to LAN time, and no more. LAN time is the mean of the honest clocks; where it would be without the
// lies is told by a run of the same seed in which nobody lies: links, clocks and faults draw the same numbers there. At each
// simulated second since the lies began, the two may be apart by
//
//   - the honest clocks' own range, in either run: within it nobody can tell a lie from noise (the fault-tolerant mean's promise);
//   - what a pull to one edge of that range adds up to: pullShare of the range a round, as rate centring does not know of phase;
//   - what the liars' voices in rate centring come to: each claim counts for 200 ppm off the median at most, so f of n move the
//     mean by 200·f/n ppm, which LAN time's rate follows with the time constant of an hour: r·t²/2τ after t.
const (
	pullShare    = 0.05
	rateClamp    = 200e-6
	centringTime = time.Hour
	leastRange   = 10 * time.Microsecond // the range of a lucky second is no measure of the noise: one leg's jitter
)

// runPaired runs the scenario twice, with its lies and without, and compares.
func (s Scenario) runPaired(seed uint64, observe func(Point)) (Report, error) {
	plan := s.Build(seed)
	var honest []Point
	if _, err := RunPlan(plan.Honest(), Limits{}, func(p Point) { honest = append(honest, p) }); err != nil {
		return Report{}, fmt.Errorf("paired run: %w", err)
	}
	var apart []Violation
	var pulled time.Duration
	report, err := RunPlan(plan, s.Limits, func(p Point) {
		i := int(p.At/sampleEvery) - 1
		if v := plan.compare(honest[i], p, &pulled); v != nil && len(apart) < mostViolations {
			apart = append(apart, *v)
		}
		if observe != nil {
			observe(p)
		}
	})
	report.Violations = append(report.Violations, apart...)
	return report, err
}

// compare holds a sample of the lying run against the honest run's. pulled is what pulls may have added up to so far.
func (p *Plan) compare(honest, lying Point, pulled *time.Duration) *Violation {
	since := p.lyingFor(lying.At)
	if since <= 0 {
		return nil
	}
	would, width := p.honestClocks(honest)
	is, widthNow := p.honestClocks(lying)
	own := max(width, widthNow, leastRange)
	*pulled += time.Duration(pullShare * float64(own))
	share := rateClamp * float64(p.liars()) / float64(len(p.Members))
	steered := time.Duration(share * since.Seconds() / 2 * float64(since) / centringTime.Seconds())
	if moved := is - would; math.Abs(float64(moved)) > float64(own+*pulled+steered) {
		return &Violation{
			Invariant: Liars, At: lying.At, Host: -1, Seed: p.Seed,
			Detail: fmt.Sprintf("LAN time is %v from where it would be without the lies, at most %v + %v + %v is allowed",
				moved, own, *pulled, steered),
		}
	}
	return nil
}

// lyingFor is for how long there have been lies.
func (p *Plan) lyingFor(at time.Duration) time.Duration {
	var longest time.Duration
	for _, m := range p.Members {
		if m.Lie.Kind != Truth {
			longest = max(longest, at-m.Lie.From)
		}
	}
	return longest
}

// honestClocks are mean and range of the honest members' clocks.
func (p *Plan) honestClocks(at Point) (mean, width time.Duration) {
	least, most := time.Duration(math.MaxInt64), time.Duration(math.MinInt64)
	sum, n := 0.0, 0
	for i, m := range p.Members {
		if m.Lie.Kind == Truth && at.Offsets[i] != Down {
			least, most = min(least, at.Offsets[i]), max(most, at.Offsets[i])
			sum, n = sum+float64(at.Offsets[i]), n+1
		}
	}
	if n == 0 {
		return 0, 0
	}
	return time.Duration(sum / float64(n)), most - least
}
