package node

import (
	"meantime/netproto"
)

// calmRounds is how many rounds in a row nothing must be the matter before polls become half as frequent: long enough for the lines of all
// to be fitted anew through rounds of the new length.
const calmRounds = 64

// setInterval decides the interval of the polls: twice as long after calmRounds without anything the matter, up to the longest that is
// configured, and the shortest again as soon as something is.
func (l *leader) setInterval(n *Node) {
	if n.cfg.Longest <= n.cfg.Interval {
		return
	}
	if !l.untroubled(n) {
		if l.interval > n.cfg.Interval {
			n.note(Info, "polling at the shortest interval again", Attr{"poll", n.cfg.Interval})
		}
		l.pollSoon(n)
		l.calm = 0
		return
	}
	if l.calm++; l.calm < calmRounds || l.interval >= n.cfg.Longest {
		return
	}
	l.interval, l.calm = min(2*l.interval, n.cfg.Longest), 0
	n.note(Debug, "polling less often", Attr{"poll", l.interval})
}

// untroubled says whether the LAN keeps its time, everybody votes in agreement and has been heard lately, and no clock has jumped.
func (l *leader) untroubled(n *Node) bool {
	if l.phase != netproto.PhaseKeeping || l.resuming > 0 || l.jumped > 0 || l.bad > 0 || l.fresh > 0 || !n.voter() || n.awaited() {
		return false
	}
	for _, p := range l.peers {
		if p.flags&netproto.FlagDry != 0 && !n.cfg.Dry {
			continue // it never votes
		}
		if !p.voter() || p.missed > 1 || p.bad > 0 || p.jumped > 0 {
			return false
		}
	}
	return true
}

// summoned polls soon, for a stranger that stands for office because it has not heard a poll yet: between two of them it would stand again
// and again.
func (l *leader) summoned(n *Node, stranger netproto.ID) {
	if _, known := l.peers.find(stranger); !known {
		l.pollSoon(n)
	}
}

// pollSoon polls at the shortest interval again, the next time in no longer than that.
func (l *leader) pollSoon(n *Node) {
	if l.interval > n.cfg.Interval {
		l.interval, l.calm = n.cfg.Interval, 0
		l.pollAt = min(l.pollAt, n.at.Now+n.cfg.Interval)
	}
}
