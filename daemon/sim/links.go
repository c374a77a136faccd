package sim

import "math/rand/v2"

// link is one direction between two hosts.
type link struct {
	Link
	dice *rand.Rand
}

// links are those of all pairs. Each has its own random numbers, so that in two runs of one seed a packet more on one link changes nothing
// on the others. On a large LAN they would be a hundred million: there one link is made again for each packet, and its numbers depend on
// the instant instead of on the packets before.
type links struct {
	world *World
	all   []link // from*hosts+to; none on a large LAN
	one   link
	dice  *instant // of one
}

// mostLaid is of how many hosts a LAN may be that has all of its links laid.
const mostLaid = documented

// large says whether the plan's LAN is one.
func (p *Plan) large() bool { return len(p.Members) > mostLaid }

func newLinks(w *World, large bool) links {
	l := links{world: w}
	if large {
		l.dice = w.instant(0)
		l.one.dice = rand.New(l.dice)
		return l
	}
	for from := range w.hosts {
		for to := range w.hosts {
			l.all = append(l.all, link{w.plan.link(from, to), w.stream(pair(from, to))})
		}
	}
	return l
}

// pair is the stream of a link.
func pair(from, to int) uint64 { return streamLink + uint64(from)*streamSpacing + uint64(to) }

// between is the link from one host to another, until the next is asked for.
func (l *links) between(from, to *Host) *link {
	if l.all != nil {
		return &l.all[from.index*len(l.world.hosts)+to.index]
	}
	l.one.Link = l.world.plan.link(from.index, to.index)
	l.dice.again(pair(from.index, to.index))
	return &l.one
}
