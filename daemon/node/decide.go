package node

import (
	"math"
	"slices"
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

const (
	// foundingRounds after a founding the LAN's rate is centred fast, by foundingGain a round: the first short fits throw it
	// off by tens of ppm (DESIGN.md, "Rate centring").
	foundingRounds = 64
	foundingGain   = 0.3
	// centredRounds is when the rate has been centred well enough for slow centring to go on from: from then on a member that
	// comes or goes ends the fast one, or it would bend the rate to the mean of those left within seconds.
	centredRounds = 24
	// turnGain is how much of what the voters' fits have turned LAN time by is taken back in a round: a fit's jump is to be no
	// jump of LAN time's rate.
	turnGain = 0.25
	// turnLimit is how far (fractional) from what is usual a voter's rate counts in that at most, whatever the others say: a slope that is
	// known no better is not believed (servo).
	turnLimit = 25e-6
	// centringTime is the time constant of rate centring ever after: a member that joins or leaves bends LAN time's rate
	// so slowly that no clock shows it.
	centringTime = time.Hour
	// probation is how many consecutive rounds a newcomer must be on LAN time before it votes.
	probation = 8
	// patience is how many consecutive rounds a voter may be left out before it becomes a newcomer: one or two are bad luck.
	patience = 4
	// patchyRounds is how many rounds long each of a member's replies gets an Ack, after one was lost that would have got none: a fit's
	// window, in which one bad point does little.
	patchyRounds = 64
	// forget is how many rounds a member may be silent before it is forgotten.
	forget = 10
	// gate is how many times its own usual bound, and the median voter's, a voter's sample may be wide and still count in the
	// mean; gateFloor (ns) is added, so that on a fast network the scatter of microseconds does not count as a queue.
	gate      = 4
	gateFloor = 50_000
	// leastTolerance (ns) and wordFactor bound a clock's word on its own error by the median voter's word.
	leastTolerance = 20_000
	wordFactor     = 4
)

// decide ends a round.
func (n *Node) decide() {
	l, voted := n.lead, n.voter()
	if l.divided(n) {
		n.question(n.sendAll) // that master's own polls have not been heard, or it could not be asked
	}
	if l.phase == netproto.PhaseGathering {
		n.gather()
	} else {
		n.keep()
	}
	l.settle()
	l.forget(n)
	l.setInterval(n)
	l.resuming = max(0, l.resuming-1)
	if next := n.firstSuccessor(); voted && !n.voter() && next != 0 {
		n.yield(next) // a clock that the majority leaves out must not be what all others are measured by
	}
}

// forget ends the round for every peer, and takes leave of those silent for too long.
func (l *leader) forget(n *Node) {
	kept := l.peers[:0]
	for _, p := range l.peers {
		p.filter.Next()
		p.jumped = max(0, p.jumped-1)
		if p.patchy = max(0, p.patchy-1); p.last { // it never came
			p.patchy = patchyRounds
		}
		if p.missed++; p.heard {
			p.missed = 0
		}
		if p.missed < forget {
			kept = append(kept, p)
			continue
		}
		if !p.holds(n.cfg.Ring.Newest()) {
			l.without++
		}
		n.note(Info, "member left", Attr{"id", p.id.String()}, Attr{"at", p.addr.String()})
	}
	clear(l.peers[len(kept):])
	l.peers = kept
}

// measured lists the peers that have a sample this round, with the samples.
func (l *leader) measured() (peers []*peer, samples []berkeley.Sample) {
	peers, samples = l.room.peers[:0], l.room.samples[:0]
	for _, p := range l.peers {
		if s, ok := p.filter.Best(); ok && p.heard {
			peers, samples = append(peers, p), append(samples, s)
		}
	}
	l.room.peers, l.room.samples = peers, samples
	return peers, samples
}

// keep ends a round of a LAN that has its time: the fault-tolerant mean over the voters, and everybody steered towards it.
func (n *Node) keep() {
	l := n.lead
	peers, samples := l.measured()
	for _, p := range peers {
		if p.standing == netproto.StandingFounder && p.lineage == l.lineage {
			p.standing = netproto.StandingVoter
		}
	}
	n.speakUp(peers)
	l.group = n.following(peers)
	b := n.ballot(peers, samples)
	mean, ok := b.count(&l.room.keeper, l.resuming == 0 && n.following(l.peers) <= 2)
	l.jumped = max(0, l.jumped-1)
	n.review(b, mean, !ok, peers, samples)
	if !ok {
		n.hold(peers, samples, len(b.readings))
		return
	}
	l.founded++
	l.kept++
	if len(l.peers) == 0 { // the LAN begins with the first that comes
		l.kept = 0
	}
	l.holding, l.phase, l.spread, l.voters = false, netproto.PhaseKeeping, n.apart(b, mean.In, peers), mean.Count
	l.judge(n, b, mean, peers, samples)
	standing := n.ownStanding(mean.Offset, mean)
	sum, step := n.centred()
	l.sum = sum // whoever takes it takes the step off its delta, as it does with steps that it missed: see turn
	n.conclude(conclusion{mean: mean.Offset + step, standing: standing, peers: peers, samples: samples})
}

// apart is how far (ns) the clocks of those that stand in the mean are from each other. The mean is of timescales, which agree while clocks
// are still on the way to them; whoever reads the clocks sees these.
func (n *Node) apart(b ballot, in []bool, peers []*peer) int64 {
	_, residual := n.steering()
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for i, who := range b.who {
		if !in[i] {
			continue
		}
		clock := b.readings[i].Offset
		if who < 0 {
			clock -= residual
		} else {
			clock -= int64(peers[who].residual)
		}
		first, last = min(first, clock), max(last, clock)
	}
	return max(0, last-first) // no member, no distance
}

// speakUp gives this master the vote where nobody has one: its LAN would be without time for ever. So it is after a newcomer
// took office, or a founder whom no second round confirmed.
func (n *Node) speakUp(peers []*peer) {
	if n.lead.resuming > 0 || n.voter() || slices.ContainsFunc(peers, n.votes) {
		return
	}
	n.standing = netproto.StandingVoter
	n.note(Warn, "nobody votes on this LAN: its master's clock is its time now")
}

// following counts the voters that obey this master, itself included: what it weighs against another master. One whose sample was late
// or left out this round is not in the mean, and obeys nevertheless.
func (n *Node) following(peers []*peer) (count int) {
	if n.voter() {
		count++
	}
	for _, p := range peers {
		if n.votes(p) {
			count++
		}
	}
	return count
}

// hold steers nobody: no majority of the voters agrees.
func (n *Node) hold(peers []*peer, samples []berkeley.Sample, voters int) {
	l := n.lead
	l.phase, l.voters, l.group, l.kept = netproto.PhaseHolding, 0, 0, 0
	if !l.holding {
		l.holding = true
		n.note(Warn, "no majority of the voters agrees on the time: nobody is steered", Attr{"voters", voters})
	}
	n.announce(conclusion{peers: peers, samples: samples})
}

// ballot is the voters' readings of a round; who[i] is the index into peers, −1 for the master itself.
type ballot struct {
	readings []berkeley.Reading
	who      []int
	jumped   []bool // whoever saw somebody move its clock, or was asleep
}

// ballot collects the readings that count. A voter whose sample waited in a queue, or says so, is heard, but not counted,
// unless that would silence half of the voters.
func (n *Node) ballot(peers []*peer, samples []berkeley.Sample) ballot {
	all, quick := &n.lead.room.all, &n.lead.room.quick
	all.empty()
	quick.empty()
	limit, median := n.toleranceLimit(peers), n.medianBound(peers, samples)
	if n.voter() {
		own := berkeley.Reading{Bound: min(n.servo.Bound(n.at.Raw), limit)}
		all.add(own, -1, n.lead.jumped > 0)
		quick.add(own, -1, n.lead.jumped > 0)
	}
	for i, p := range peers {
		if !n.votes(p) {
			continue
		}
		r := berkeley.Reading{Offset: samples[i].Offset, Bound: samples[i].Bound + min(p.bound, limit)}
		all.add(r, i, p.jumped > 0)
		if narrow := min(p.filter.Usual(), median); samples[i].Bound/gate <= narrow+gateFloor/gate {
			quick.add(r, i, p.jumped > 0)
		}
	}
	if 2*len(quick.readings) <= len(all.readings) {
		return *all
	}
	return *quick
}

func (b *ballot) empty() { b.readings, b.who, b.jumped = b.readings[:0], b.who[:0], b.jumped[:0] }

func (b *ballot) add(r berkeley.Reading, who int, jumped bool) {
	b.readings = append(b.readings, r)
	b.who = append(b.who, who)
	b.jumped = append(b.jumped, jumped)
}

// medianBound is the median (the lower of two) of the voters' sample bounds (ns). A slave can make its own delay look long, so that its
// interval holds everybody's: what counts as narrow is not its word alone.
func (n *Node) medianBound(peers []*peer, samples []berkeley.Sample) int64 {
	bounds := n.lead.room.numbers[:0]
	for i, p := range peers {
		if n.votes(p) {
			bounds = append(bounds, samples[i].Bound)
		}
	}
	if n.lead.room.numbers = bounds; len(bounds) == 0 {
		return 0
	}
	slices.Sort(bounds)
	return bounds[(len(bounds)-1)/2]
}

// votes says whether a peer has a voice this round: a voter of this LAN that obeys no other master.
func (n *Node) votes(p *peer) bool {
	return p.voter() && (p.flags&netproto.FlagDry == 0 || n.cfg.Dry) && p.lineage == n.lead.lineage &&
		(p.master == n.cfg.ID || p.master == 0)
}

// toleranceLimit is how far (ns) a clock may be off LAN time by its own word and still agree. A large word must not buy a liar a
// place in every majority: nobody's counts for more than a few times the median voter's, and never for more than clocks that
// were not fitted yet may part within a round.
func (n *Node) toleranceLimit(peers []*peer) int64 {
	most := n.lead.loose()
	words := n.lead.room.numbers[:0]
	if n.voter() {
		words = append(words, n.servo.Bound(n.at.Raw))
	}
	for _, p := range peers {
		if n.votes(p) {
			words = append(words, p.bound)
		}
	}
	if n.lead.room.numbers = words; len(words) == 0 {
		return most
	}
	slices.Sort(words)
	return min(most, leastTolerance+wordFactor*min(words[len(words)/2], most))
}

// loose is how far (ns) clocks that were not fitted yet may part within a round.
func (l *leader) loose() int64 {
	return max(int64(time.Millisecond), int64(looseSkew*float64(l.interval)))
}

// count takes the mean of the ballot. Of two voters that part, the one that saw itself jump is left out, else the one that is not
// master.
// Only where two are all that vote: two of five that are heard, one of them a new master that has not heard the others yet, decide nothing.
func (b ballot) count(k *berkeley.Keeper, pair bool) (berkeley.Mean, bool) {
	if len(b.readings) == 0 {
		return berkeley.Mean{}, false
	}
	mean, ok := k.Keep(b.readings)
	if !ok && pair && len(b.readings) == 2 && b.who[0] < 0 {
		if b.jumped[0] && !b.jumped[1] {
			return berkeley.Mean{In: []bool{false, true}, Count: 1, Offset: b.readings[1].Offset}, true
		}
		return berkeley.Mean{In: []bool{true, false}, Count: 1}, true
	}
	return mean, ok
}

// judge gives and takes votes by how the peers' readings compare with the mean.
func (l *leader) judge(n *Node, b ballot, mean berkeley.Mean, peers []*peer, samples []berkeley.Sample) {
	for i, who := range b.who {
		if who < 0 {
			continue
		}
		p := peers[who]
		if p.bad++; mean.In[i] {
			p.bad = 0
		}
		if p.bad >= patience {
			p.standing, p.bad, p.good, p.fallen = netproto.StandingNewcomer, 0, 0, true
			n.note(Warn, "a voter's clock is off the majority's: it lost its vote", Attr{"id", p.id.String()},
				Attr{"at", p.addr.String()}, Attr{"offset", time.Duration(samples[who].Offset - mean.Offset)})
		}
	}
	fresh := 0
	for i, p := range peers {
		if p.standing != netproto.StandingNewcomer {
			continue
		}
		settled := p.lineage == l.lineage && p.onTime(samples[i].Offset-mean.Offset, samples[i].Bound, n.wayLeft())
		if p.good++; !settled {
			p.good = 0
		}
		if p.good >= probation && (p.flags&netproto.FlagDry == 0 || n.cfg.Dry) {
			p.standing, p.good, p.fallen = netproto.StandingVoter, 0, false
			if fresh++; fresh <= mostWelcomes {
				n.note(Info, "a newcomer is on LAN time: it votes now", Attr{"id", p.id.String()}, Attr{"at", p.addr.String()})
			}
		}
	}
	if fresh > mostWelcomes {
		n.note(Info, "more newcomers are on LAN time: they vote now", Attr{"count", fresh - mostWelcomes})
	}
}

// ownStanding judges the master by the measure of its members.
func (n *Node) ownStanding(offset int64, mean berkeley.Mean) netproto.Standing {
	l := n.lead
	if n.voter() {
		if l.good = 0; mean.In[0] { // its own reading stands first
			l.bad = 0
			return netproto.StandingVoter
		}
		if l.bad++; l.bad < patience {
			return netproto.StandingLeftOut
		}
		l.bad = 0
		n.note(Warn, "this master's clock is off the majority's: it lost its vote", Attr{"offset", time.Duration(-offset)})
		return netproto.StandingNewcomer
	}
	residual := n.gap()
	limit := int64(time.Millisecond)
	if l.good++; max(offset, -offset) >= limit || max(residual, -residual) >= limit {
		l.good = 0
	}
	if l.good < probation {
		return netproto.StandingNewcomer
	}
	l.good = 0
	return netproto.StandingVoter
}

// tally is what a voter's own corrections come to, the common moves left out.
type tally struct {
	rate, phase berkeley.Tally
	young       int // rounds left in which it does not count: a newcomer's fit is short, and its rate goes on moving
}

// centred is the common rotation that holds LAN time to the voters' oscillators, and how far (ns) it moves LAN time at once. What
// voters say is known, not measured, so following it costs no noise: by how much their own corrections have moved their mean rate and
// their mean phase since the last round, which is taken back; and their mean frequency correction, which is what LAN time has run
// away from their oscillators. A voter not heard this round counts by what it said last: without it the mean would be another one,
// and a LAN that loses a fifth of its packets was seen to start 14 ppm off.
func (n *Node) centred() (netproto.Rotation, int64) {
	l := n.lead
	rates, turns, moves := l.room.rates[:0], l.room.turns[:0], l.room.moves[:0]
	count := func(votes bool, t *tally, rate float64, moved int64) {
		if !votes {
			if *t = (tally{}); l.resuming == 0 {
				t.young = min(l.founded, foundingRounds)
			}
			return
		}
		rates = append(rates, rate+l.sum.Rate.Fraction())
		if t.young = max(0, t.young-1); t.young > 0 || l.founded <= centredRounds {
			return
		}
		moves = append(moves, berkeley.Claim{Tally: &t.phase, Sum: float64(moved)})
		if l.founded > foundingRounds { // until then the mean is centred as it is
			turns = append(turns, berkeley.Claim{Tally: &t.rate, Sum: rate})
		}
	}
	count(n.voter(), &l.tally, n.servo.Line().Rate-l.sum.Rate.Fraction(), n.servo.Moved())
	for _, p := range l.peers {
		count(n.votes(p), &p.tally, p.rate-p.rotated.Fraction(), p.moved)
	}
	l.room.rates, l.room.turns, l.room.moves = rates, turns, moves
	if len(rates) != l.rates && l.founded > centredRounds {
		l.founded = max(l.founded, foundingRounds+1)
	}
	if l.rates = len(rates); len(rates) < 2 { // alone: the rate of the LAN that was is better than one oscillator's
		rates = nil
	}
	gain := l.interval.Seconds() / centringTime.Seconds()
	if l.founded <= foundingRounds {
		gain = max(gain, foundingGain)
	}
	turned := berkeley.Moved(turns, turnGain, turnLimit) + gain*berkeley.MeanRate(rates)
	step, epoch := -int64(math.Round(berkeley.Moved(moves, 1, float64(l.loose())))), n.stamp(n.at.Raw)
	return netproto.Rotation{Rate: l.sum.Rate - netproto.RateOf(turned), Phase: l.sum.At(epoch) + step, Epoch: epoch}, step
}
