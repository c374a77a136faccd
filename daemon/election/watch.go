package election

import (
	"math"
	"time"
)

const (
	// firstPolls is after how many poll intervals without proof of a living master its first successor stands. Proof comes
	// right after a poll in an established LAN, whose polls may be a 32nd of an interval late, so that is after two polls missed; the
	// next master polls before three are.
	firstPolls = 2.1
	// otherPolls is the same for everybody else, who stand only if the first successor is gone too. A random part of an
	// interval is added, so that they do not all stand at once.
	otherPolls = 3.0
	// calmPolls is how long one holds back after an objection: long enough to hear the master that there is, and no longer, since
	// it may have died right after the proof that the objection stands on (takeovers of up to 3.8 polls were simulated at 3).
	calmPolls = 1.0
)

// handover is how long a named successor waits after a Resign: whoever gets its Candidate before the Resign would object on behalf
// of the master that is no more.
const handover = 5 * time.Millisecond

// Bounds of ObjectionWait.
const (
	leastObjectionWait = 20 * time.Millisecond  // a busy host's answer on a LAN
	mostObjectionWait  = 250 * time.Millisecond // beyond that nobody answers any more
)

// ObjectionWait is how long a candidate waits for somebody to object before it takes office: an eighth of the poll interval,
// which leaves the whole takeover within three.
func ObjectionWait(interval time.Duration) time.Duration {
	return min(max(interval/8, leastObjectionWait), mostObjectionWait)
}

// Action is what a Watch wants done.
type Action uint8

// The actions.
const (
	Nothing Action = iota
	Stand          // ask whether anybody objects
	Repeat         // ask again: the question, or every answer, may have been lost
	Take           // nobody did: take office
)

// Watch decides when a node without office stands for it. All times are monotonic. Its methods take the present time, which
// must not go back.
type Watch struct {
	may      bool
	interval time.Duration
	random   func() float64 // uniform in [0, 1)

	heard    time.Duration // last proof of a living master, or the start
	first    bool          // this node is the first successor
	resigned bool          // the master said that it stops,
	heir     bool          // and that this node is to follow
	certain  bool          // and it is no recording
	calm     time.Duration // no candidacy before this
	jitter   time.Duration
	until    time.Duration // end of the wait for objections, 0 without a candidacy
	again    time.Duration // when to ask again; until once that is done
}

// NewWatch begins to watch. may says whether this node ever stands; at once, whether it need not listen first for a master that is
// there already.
func NewWatch(now, interval time.Duration, may, atOnce bool, random func() float64) *Watch {
	w := &Watch{may: may, interval: interval, random: random, heard: now}
	w.draw()
	if atOnce {
		w.resigned, w.heir = true, true
	}
	return w
}

func (w *Watch) draw() { w.jitter = time.Duration(w.random() * float64(w.interval)) }

// Heard notes proof of a living master that polls every interval. A candidacy ends by it.
func (w *Watch) Heard(now, interval time.Duration) {
	w.heard, w.interval, w.resigned, w.until = now, interval, false, 0
	w.draw()
}

// May says whether this node stands from now on.
func (w *Watch) May(may bool) { w.may = may }

// Successor notes whether the master names this node as its first successor.
func (w *Watch) Successor(first bool) { w.first = first }

// Resigned notes that the master said it stops, naming this node its successor or another. It may be an old recording: it makes nobody
// master, since a living one objects. One that is known to be of the very round in which the master was last proved to live is
// none, and then nobody needs to be asked.
func (w *Watch) Resigned(now time.Duration, successor, certain bool) {
	w.resigned, w.heir, w.certain = true, successor, certain
	if !certain {
		w.calm = max(w.calm, now+handover)
	}
}

// Objected notes that somebody knows better: a living master, or a candidate of higher rank. This node holds back for a while.
func (w *Watch) Objected(now time.Duration) {
	w.until, w.resigned = 0, false
	w.calm = now + time.Duration(calmPolls*float64(w.interval))
	w.draw()
}

// HeldUp notes that this node did not run for a time, as on a machine that is overloaded. It has not listened then: nobody's silence counts
// for as long, and an objection may be waiting to be read.
func (w *Watch) HeldUp(by time.Duration) {
	w.heard += by
	if w.until != 0 {
		w.until, w.again = w.until+by, w.again+by
	}
}

// Candidate says whether a candidacy is under way.
func (w *Watch) Candidate() bool { return w.until != 0 }

// Deadline is when Tick has something to do.
func (w *Watch) Deadline() time.Duration {
	if !w.may {
		return math.MaxInt64
	}
	if w.until != 0 {
		return min(w.until, w.again)
	}
	polls := func(n float64) time.Duration { return w.heard + time.Duration(n*float64(w.interval)) }
	var at time.Duration
	switch {
	case w.resigned && w.heir:
		at = w.heard
	case w.resigned:
		at = polls(1) + w.jitter
	case w.first:
		at = polls(firstPolls)
	default:
		at = polls(otherPolls) + w.jitter
	}
	return max(at, w.calm)
}

// Tick says what is due.
func (w *Watch) Tick(now time.Duration) Action {
	switch {
	case now < w.Deadline():
		return Nothing
	case w.until == 0 && w.resigned && w.heir && w.certain: // nobody can know better
	case w.until == 0:
		wait := ObjectionWait(w.interval)
		w.until, w.again = now+wait, now+wait/2
		return Stand
	case now < w.until:
		w.again = w.until
		return Repeat
	}
	w.until = 0
	w.heard = now // whoever takes office has a living master
	return Take
}
