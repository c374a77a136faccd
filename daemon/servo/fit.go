package servo

import (
	"math"
	"slices"
)

// point is one round's finding: at raw, LAN time was time, to within about bound.
type point struct {
	raw   int64
	time  int64
	bound int64 // ns: bound of the measurement behind it
}

// prior is what was known of the slope before the points: a rate (fractional) and its standard deviation.
type prior struct{ rate, err float64 }

// fit is a weighted straight line through points, seen from the newest one.
type fit struct {
	height    float64 // ns to add to the newest point's time
	rate      float64 // fractional slope minus one
	rms       float64 // ns: weighted root mean square of the residuals
	heightErr float64 // ns: standard deviation of height
	rateErr   float64 // fractional: standard deviation of rate
}

// sums are those of the normal equations of a weighted straight line.
type sums struct{ w, x, y, xx, xy float64 }

// line solves the equations with a prior whose weight is sure. ok is false where there is no slope in them.
func (s sums) line(known prior, sure float64) (f fit, det float64, ok bool) {
	s.xx, s.xy = s.xx+sure, s.xy+sure*known.rate
	if det = s.w*s.xx - s.x*s.x; det <= 0 {
		return fit{height: s.y / s.w, rate: known.rate}, 0, false
	}
	f.rate = (s.w*s.xy - s.x*s.y) / det
	f.height = (s.y - f.rate*s.x) / s.w
	return f, det, true
}

// cloud is the points of a fit as seen from the newest one, with their weights.
type cloud struct {
	n          int
	x, y, w    [window]float64 // ns, ns, 1/ns²
	wait, rank [window]float64 // ns: what their bounds exceed the quietest one's by; the same in order
	scale      scale
	sure       float64 // weight of the prior in the last fit
}

// load takes the points, window of them at most, without weights. Differences from the newest point are taken in integers, so float64
// holds them to far below a nanosecond.
func (c *cloud) load(points []point) {
	newest := points[len(points)-1]
	c.n, c.scale = len(points), scaleOf(points)
	for i, p := range points {
		c.x[i], c.y[i] = from(newest, p)
		c.wait[i] = float64(p.bound - c.scale.quiet)
	}
	copy(c.rank[:c.n], c.wait[:c.n])
	slices.Sort(c.rank[:c.n])
}

// assume weighs the points as long as nothing is known but their waits.
func (c *cloud) assume() {
	c.scale = c.scale.learned(0, waited, math.Inf(1))
	c.weigh()
}

// weigh gives the points their weights on the scale as it is.
func (c *cloud) weigh() {
	for i := range c.n {
		c.w[i] = c.scale.weight(c.wait[i])
	}
}

// line fits a line, and once more with weights as they are seen to be about it, where there are points enough to tell.
func (c *cloud) line(known prior) fit {
	c.assume()
	f := c.fit(known)
	for range relearn {
		if c.n < leastWindow {
			break
		}
		c.learn(f)
		f = c.fit(known)
	}
	return f
}

// relearn is how often the scale is learned anew: the second time from a line that is nearly the last.
const relearn = 2

// learn finds from the residuals how much of an error a wait is on this network: not every wait is of one leg, and not every error is a
// wait. Machines that are slow both ways wait a lot and err little, and then the points of little wait, which the line would else hang on,
// are hardly better than the others. The mean squares of the quarter that waited least and of the others give the two unknowns; who waited
// beyond the usual reach tells nothing of the usual waits, and is weighed as was assumed: one wide point would decide for all.
func (c *cloud) learn(f fit) {
	quarter, reach := c.rank[max(bestPoints, c.n/4)-1], 4*c.rank[c.n/2]
	var near, far struct{ n, error, wait float64 }
	for i := range c.n {
		part, r := &near, c.y[i]-f.height-f.rate*c.x[i]
		switch {
		case c.wait[i] > reach:
			continue
		case c.wait[i] > quarter:
			part = &far
		}
		part.n, part.error, part.wait = part.n+1, part.error+r*r, part.wait+c.wait[i]*c.wait[i]
	}
	near.error, near.wait = near.error/near.n, near.wait/near.n
	grain := waited
	if far.n > 0 {
		grain = min(waited, math.Sqrt(max(0, (far.error/far.n-near.error)/(far.wait/far.n-near.wait))))
	}
	c.scale = c.scale.learned(math.Sqrt(max(0, near.error-grain*grain*near.wait)), grain, reach)
	c.weigh()
}

// sums adds up the points, with y in place of their own.
func (c *cloud) sums(y *[window]float64) (s sums) {
	for i := range c.n {
		x, y, w := c.x[i], y[i], c.w[i]
		s.w, s.x, s.y = s.w+w, s.x+w*x, s.y+w*y
		s.xx, s.xy = s.xx+w*x*x, s.xy+w*x*y
	}
	return s
}

// fit fits time − raw over raw by weighted least squares, with a prior for the slope. The standard deviations are those of the normal
// equations, scaled by the scatter that there is about the line (Press et al., Numerical Recipes, section 15.2). The prior is weighed
// by the scatter about a line without it, or a wrong one would make itself strong; where few points tell the scatter, by their bounds.
func (c *cloud) fit(known prior) fit {
	s := c.sums(&c.y)
	free := float64(max(0, c.n-2))
	chi := 0.0
	if f, _, ok := s.line(prior{}, 0); ok {
		chi = c.misfit(f)
	}
	spread := (typical*max(1, c.scale.usual*c.scale.usual) + chi) / (typical + free)
	c.sure = spread / (known.err * known.err)
	f, det, ok := s.line(known, c.sure)
	if !ok {
		f.rms, f.heightErr, f.rateErr = c.scale.floor, c.scale.floor, known.err
		return f
	}
	f.rms = math.Sqrt(c.misfit(f) / s.w)
	f.heightErr, f.rateErr = math.Sqrt(spread*(s.xx+c.sure)/det), math.Sqrt(spread*s.w/det)
	return f
}

// height is what to add (ns) to the newest point's time where the slope is that of the prior: the weighted mean of what the points say,
// each of which is the less sure the longer ago it was. It is known to ± bound (ns), three standard deviations of the slope counted.
func (c *cloud) height(known prior, points []point) (height, bound float64) {
	sum := 0.0
	for i := range c.n {
		wander := known.err * -c.x[i]
		w := 1 / (1/c.w[i] + wander*wander)
		sum += w
		height += w * (c.y[i] - known.rate*c.x[i])
		bound += w * (float64(points[i].bound) + min(3*known.err, freeSkew)*-c.x[i])
	}
	return height / sum, bound / sum
}

// bound is how far (ns) the line may lie from LAN time because of unequal legs: by what the quietest exchange took, and by what it would
// stand too high or too low had all that the others took longer been spent on the same leg. On a steady network that is little. A delay
// that comes or goes, and is no wait in a queue, is felt as the line feels it.
func (c *cloud) bound() int64 {
	f, _, _ := c.sums(&c.wait).line(prior{}, c.sure)
	return c.scale.quiet + int64(math.Round(math.Abs(f.height)))
}

// typical is how many points the guess of a measurement's error by its bound counts for.
const typical = 2

// misfit is the weighted sum of the squared residuals.
func (c *cloud) misfit(f fit) (chi float64) {
	for i := range c.n {
		r := c.y[i] - f.height - f.rate*c.x[i]
		chi += c.w[i] * r * r
	}
	return chi
}

// from gives a point's coordinates against the newest: raw distance, and how much further time went than raw.
func from(newest, p point) (x, y float64) {
	raw := p.raw - newest.raw
	return float64(raw), float64((p.time - newest.time) - raw)
}

// scale is how points are weighed.
type scale struct {
	quiet int64   // ns: the smallest bound, what a quiet exchange on this network costs
	least float64 // ns: standard deviation of the best points, as far as their waits tell
	floor float64 // ns: the same, as far as the residuals tell: not below that
	grain float64 // standard deviation that a wait makes, as a part of it,
	reach float64 // ns: up to here, and beyond it as is assumed
	usual float64 // what the error of an exchange usually is, of its bound, in floors
}

const (
	// noiseFloor is the error (ns) that remains of a measurement which waited nowhere: stamps and bracketed clock readings
	// were seen good to 0.2–0.5 µs on Linux with kernel stamps.
	noiseFloor = 500
	// waited turns a wait into a standard deviation: one of b, on one leg or the other, leaves an error anywhere within ±b.
	waited = 0.577 // 1/√3
	// bestPoints is how many points at least share the largest weight. Where waits are exponential, points of little wait
	// are so much better than the others that the line would hang on two or three of them.
	bestPoints = 8
)

// scaleOf finds the smallest bound and the bestPoints-th smallest (of few points, the median).
func scaleOf(points []point) scale {
	var least [bestPoints]int64
	n, count := min(bestPoints, (len(points)+1)/2), 0
	for _, p := range points {
		if count == n && p.bound >= least[n-1] {
			continue
		}
		i := min(count, n-1)
		for ; i > 0 && least[i-1] > p.bound; i-- {
			least[i] = least[i-1]
		}
		least[i] = p.bound
		count = min(count+1, n)
	}
	return scale{quiet: least[0], least: noiseFloor + waited*float64(least[n-1]-least[0])}
}

// learned is the scale with another floor, if that is not too small, and another grain.
func (s scale) learned(floor, grain, reach float64) scale {
	s.floor, s.grain, s.reach = max(s.least, floor), grain, reach
	s.usual = (noiseFloor + float64(s.quiet)/4) / s.floor
	return s
}

// weight of a point: what its bound exceeds the quietest exchange's by was waiting in a queue, and counts as error. What all of
// them took is no error: it is the same each time.
func (s scale) weight(wait float64) float64 {
	if wait > s.reach {
		wait *= waited
	} else {
		wait *= s.grain
	}
	return 1 / (s.floor*s.floor + wait*wait)
}

// bent says whether the residuals show that no straight line goes through the points: they keep to one side of it for too long, as
// when the oscillator warms up (Wald and Wolfowitz 1940, runs test; chrony shortens its window by the same test).
func (c *cloud) bent(f fit) bool {
	var above, runs float64
	last := false
	for i := range c.n {
		now := c.y[i] > f.height+f.rate*c.x[i]
		if now {
			above++
		}
		if i == 0 || now != last {
			runs++
		}
		last = now
	}
	n := float64(c.n)
	mean := 1 + 2*above*(n-above)/n
	variance := (mean - 1) * (mean - 2) / (n - 1)
	return runs < mean-tooFewRuns*math.Sqrt(max(0, variance))
}

// tooFewRuns is how many standard deviations fewer runs than chance makes are one too few: by chance that happens once in two
// thousand windows. Each round is another look at nearly the same window, so an accident would be believed again and again.
const tooFewRuns = 3.3
