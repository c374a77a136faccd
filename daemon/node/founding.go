package node

import (
	"slices"
	"time"

	"meantime/daemon/berkeley"
	"meantime/netproto"
)

const (
	// quietRounds without a new face end the gathering before FoundWait does.
	quietRounds = 3
	// coarse (ns) is the bound from which a founding waits for a better measurement, for patientRounds without a new face at most. Two of
	// ten LANs of starved kernels were founded with one clock 18 ms wrong, which took 36 s to slew off. Eight rounds, half
	// ones in small LANs, are what whoever starts a LAN may still wait for.
	coarse        = 1_000_000
	patientRounds = 8
)

// gather ends a round of measuring only, and the gathering when everybody seems to be there and was measured.
func (n *Node) gather() {
	l := n.lead
	for _, p := range l.peers {
		p.keepBest(l.jumped > 0)
	}
	l.jumped = max(0, l.jumped-1)
	if l.quiet++; l.fresh > 0 {
		l.quiet = 0
	}
	lineage := l.majority()
	waits := l.quiet < quietRounds || l.missing() || l.divided(n) || l.rough(n.at.Raw)
	if waits && n.at.Now < l.gatherEnd {
		return
	}
	l.phase = netproto.PhaseKeeping
	if lineage != 0 {
		l.lineage = lineage
		n.resume()
		return
	}
	l.lineage = n.random()
	n.found()
}

// missing says whether a member that is known was not measured this round: a founding would leave its clock out. Of hundreds one is always
// missing, and one in a hundred has no weight.
func (l *leader) missing() bool {
	return l.share(func(p *peer) bool { return !p.heard || !p.measured() })
}

// rough says whether members were measured too badly so far to set their clocks by, or this master's by theirs where they have their time,
// and a better measurement is worth waiting for.
func (l *leader) rough(raw int64) bool {
	return l.quiet < patientRounds && l.share(func(p *peer) bool {
		return p.gathered.sample.Bound > coarse || p.gathered.aged(raw).Bound > 2*coarse
	})
}

// share says whether something holds of more than one member in a hundred.
func (l *leader) share(holds func(*peer) bool) bool {
	count := 0
	for _, p := range l.peers {
		if holds(p) {
			count++
		}
	}
	return 100*count > len(l.peers)
}

// gathered is the best measurement of a clock that nobody moves.
type gathered struct {
	sample berkeley.Sample
	raw    int64 // when
	has    bool
}

// add takes in a round's sample.
func (g *gathered) add(s berkeley.Sample, raw int64) {
	if !g.has || s.Bound <= g.aged(raw).Bound {
		*g = gathered{s, raw, true}
	}
}

// aged is what it says later of a clock of which no rate is known.
func (g *gathered) aged(raw int64) berkeley.Sample {
	s := g.sample
	s.Bound += int64(looseSkew * float64(raw-g.raw))
	return s
}

// keepBest ends a round of a gathering for a peer. moved says that the master's clock was.
func (p *peer) keepBest(moved bool) {
	if moved || p.jumped > 0 || p.lineage != 0 { // or somebody else steers it
		p.gathered = gathered{}
	}
	if s, ok := p.filter.Best(); ok && p.heard {
		p.gathered.add(s, p.epoch)
	}
}

// majority is the lineage that most of the voters heard belong to; ties go to the lower number. It is 0 where they are not more than
// a third of all that are here: fewer may be liars, and must not decide what time it is.
func (l *leader) majority() uint64 {
	var votes []uint64
	for _, p := range l.peers {
		if p.votesIn(p.lineage) {
			votes = append(votes, p.lineage)
		}
	}
	slices.Sort(votes)
	var best uint64
	most, count := 0, 0
	for i, lineage := range votes {
		if count++; i > 0 && lineage != votes[i-1] {
			count = 1
		}
		if count > most {
			best, most = lineage, count
		}
	}
	if 3*most <= len(l.peers)+1 {
		return 0
	}
	return best
}

// votesIn says whether a peer was heard this round as a voter of a lineage.
func (p *peer) votesIn(lineage uint64) bool {
	return lineage != 0 && p.heard && p.lineage == lineage && p.flags&netproto.FlagVoter != 0
}

// resume takes over a LAN that has its time already: its voters keep it, and this master's clock is a newcomer's.
func (n *Node) resume() {
	l := n.lead
	l.founded = foundingRounds
	l.sum = netproto.Rotation{Epoch: n.stamp(n.at.Raw)}
	for _, p := range l.peers {
		if p.votesIn(l.lineage) {
			p.standing = netproto.StandingVoter
		}
	}
	n.note(Info, "resuming a LAN that has its time", Attr{"members", len(l.peers) + 1}, Attr{"term", l.term})
	n.keep()
}

// found makes LAN time: the classic Berkeley mean over the clocks that agree. It happens once in a LAN's life.
func (n *Node) found() {
	l := n.lead
	peers, samples := l.measured()
	for i, p := range peers {
		samples[i] = p.gathered.aged(p.epoch)
	}
	readings := []berkeley.Reading{{}}
	for _, s := range samples {
		readings = append(readings, berkeley.Reading{Offset: s.Offset, Bound: s.Bound})
	}
	now := n.servo.Line().At(n.at.Raw)
	mean := berkeley.Found(readings, int64(n.cfg.MaxSkew), func(i int) bool {
		return now+readings[i].Offset >= n.cfg.Release
	})
	for i, p := range peers {
		p.standing = netproto.StandingNewcomer
		if mean.In[i+1] {
			p.standing = netproto.StandingFounder
		}
	}
	standing := netproto.StandingNewcomer
	if mean.In[0] {
		standing = netproto.StandingVoter
	}
	l.spread, l.voters, l.group = mean.Spread, mean.Count, mean.Count
	n.note(Info, "founding: LAN time is the mean of the clocks that agree", Attr{"clocks", mean.Count},
		Attr{"of", len(readings)}, Attr{"apart", time.Duration(mean.Spread)}, Attr{"delta", time.Duration(mean.Offset)})
	l.sum = netproto.Rotation{Epoch: n.stamp(n.at.Raw)}
	n.conclude(conclusion{mean: mean.Offset, standing: standing, peers: peers, samples: samples, founding: true})
}
