package node

import (
	"time"

	"meantime/netproto"
)

const (
	// establishedRounds is as long as the fits' windows.
	establishedRounds = 64
	// beatAt is how long after the turn of its clock's second an established LAN's master polls: so soon that for each host one waking does
	// for the round and for the largest error that is told after the turn, and late enough for kernels to have seen it (tickLag) on clocks
	// that are a few milliseconds apart.
	beatAt = 20 * time.Millisecond
	// beatShare is the part (its inverse) of an interval by which a round may be longer or shorter for that.
	beatShare = 32
)

// schedule settles when the next round begins: an interval after this one was to, so that rounds keep their beat; or, where this one comes
// late, an interval from now: no volley of polls to catch up, and no poll before the round of the last one is over.
func (l *leader) schedule(now time.Duration) {
	if l.pollAt += l.interval; l.pollAt < now+l.interval-l.interval/16 {
		l.pollAt = now + l.interval
	}
}

// hasten has the next round of a gathering begin half an interval after this one, where this one is over by then: a founding waits for
// rounds, and whoever is there is heard in each.
func (l *leader) hasten(now, window time.Duration) {
	if half := l.interval / 2; window+2*l.grace() <= half {
		l.pollAt = min(l.pollAt, now+half)
	}
}

// toBeat is by how much to move the poll that is due at a time (as Moment.Now) towards the LAN's beat. An order that was announced counts
// on the polls as they are.
func (n *Node) toBeat(at, interval time.Duration) time.Duration {
	if interval%time.Second != 0 || !n.lead.established() || n.awaited() {
		return 0
	}
	late := (time.Duration(n.clock.wall(n.at.Raw)) + at - n.at.Now - beatAt) % time.Second
	switch {
	case late > time.Second/2:
		late -= time.Second
	case late < -time.Second/2:
		late += time.Second
	}
	return max(-interval/beatShare, min(-late, interval/beatShare))
}

// finish notes whether anything more is to come from a peer in this round. When nothing is from anybody, the round of an established LAN is
// over: what is left of it would only let everybody fall asleep before the Adjust. It stays open for newcomers, whose slots are anywhere.
func (l *leader) finish(p *peer, done bool, now time.Duration) {
	switch {
	case done && !p.done:
		l.left--
	case !done && p.done:
		l.left++
	}
	p.done = done
	if done && p.slot != netproto.NoSlot {
		l.load.took(now-l.reading.at, p.slot)
	}
	if l.left == 0 && l.closeAt != never && l.established() {
		l.closeAt = min(l.closeAt, now) // later than it was due it is stale, and stays so
	}
}

// ended says whether the round has been decided, and is open for newcomers only.
func (l *leader) ended() bool { return l.open && l.closeAt == never }

// established says whether this master has kept the LAN for a while, so that it knows the members and their ways.
func (l *leader) established() bool {
	return l.phase == netproto.PhaseKeeping && l.kept >= establishedRounds
}
