package node

import (
	"math"
	"time"

	"meantime/netproto"
)

const (
	// steerEvery is how often the clock is told what is left to slew. On Linux a chunk of phase is taken off by a quarter
	// each second and ends by itself; rewriting it each second keeps a long slew at its full pace.
	steerEvery = time.Second
	// turnLag is how long after the turn of the clock's second that is done. At the turn the kernel adds 500 µs to the largest error it
	// names (second_overflow in kernel/time/ntp.c), whatever its clock is kept by: told again right after it, it names the real one
	// nearly all of the time. In an established LAN the Adjust comes before that (beatAt), and one waking does for both.
	turnLag = 50 * time.Millisecond
	// tickLag is how long after a turn a kernel has seen it: at its next tick, on one of 100 Hz.
	tickLag = 10 * time.Millisecond
	// turnSpread keeps the hosts of a LAN, whose seconds turn together, from doing it all at once: they may share processors.
	turnSpread = 64
	// firstStep is the phase above which a first synchronisation that may step does: below it, slewing at the default
	// 500 ppm is done within two seconds and nobody notices.
	firstStep = int64(time.Millisecond)
	// longWay is the phase (ns) above which the log tells that it is being slewed, and for how long: at 500 ppm 20 s.
	longWay = int64(10 * time.Millisecond)
	// slowestPace (ppb) is the slowest pace that is believed: below 1 ppm nobody can be configured, and a merge would never end.
	slowestPace = 1000
	// quarter is the inverse of what operating systems pay in a second of what they are ordered to.
	quarter = 4
	// rememberEvery is how often the rate is written to disk, and rememberPoints how many rounds must stand behind it.
	rememberEvery  = time.Hour
	rememberPoints = 32
	// deafness is how long packets are dropped after an own step: those on their way were stamped by the old clock.
	deafness = 20 * time.Millisecond
	// otherRate is how far (fractional) another LAN's rate may be from this one's: both are means of oscillators within 50 ppm.
	otherRate = 50e-6
	// mostTurn is the largest change of the common rate (fractional) that is believed at once: oscillators are within 500 ppm.
	mostTurn = 1000e-6
	// strangeFloor and strangeFitted are the least deltas (ns) that are taken for a jump rather than for a point of the fit,
	// before the timescale is fitted and after. A jump within a fit would pass for a rate: 900 µs were seen to bend it by
	// 25 ppm, and the LAN's mean rate with it.
	strangeFloor  = int64(time.Millisecond)
	strangeFitted = int64(50 * time.Microsecond)
)

// correction is one node's part of a round's outcome, whoever decided it.
type correction struct {
	raw      int64 // raw reading that the delta refers to
	delta    int64 // ns
	bound    int64 // ns
	lineage  uint64
	standing netproto.Standing
	rotation rotation
	pace     uint32 // ppb, for common moves; 0 = not stated
	alone    bool   // nobody else was measured: this is no synchronisation with anybody
	founding bool   // this node is one of the LAN's founders; whoever joins later takes the LAN for an old one
}

// adopt takes a correction in: the timescale first, then the clock.
func (n *Node) adopt(c correction) {
	if n.lineage == c.lineage {
		c.delta -= n.turn(c.rotation)
	}
	switch {
	case n.lineage != c.lineage:
		n.rotation = c.rotation
		n.belong(c)
		if !c.alone {
			n.servo.Join(c.raw, c.delta, c.bound)
		}
		if n.merging {
			n.servo.Doubt(otherRate)
		}
	case c.alone: // holdover: nothing was measured, and what is not known grows
	case c.standing == netproto.StandingLeftOut && n.strange(c):
		// One or two such rounds are bad luck: a master whose machine stood still within a round measures everybody after it wrongly. If
		// they go on, this node is a newcomer soon, and goes where it is told.
	case n.strange(c):
		n.note(Warn, "LAN time is elsewhere than this clock's past says: history dropped", Attr{"delta", time.Duration(c.delta)})
		n.servo.Jump(c.raw, c.delta, c.bound)
	default:
		n.servo.Correct(c.raw, c.delta, c.bound)
	}
	n.standing, n.pace = c.standing, c.pace
	n.rounds++
	n.age++
	n.settle(c.alone)
}

// belong goes over to another lineage: to another LAN, or with this one to a time that an operator set.
func (n *Node) belong(c correction) {
	late := n.order.known && c.lineage == n.order.move.Lineage && n.lineage == n.order.move.From
	// It carried out an order that the LAN has not heard of: given by a master that was cut off, say. Known still, it would be awaited again.
	back := n.order.known && n.lineage == n.order.move.Lineage && c.lineage == n.order.move.From
	n.merging = n.lineage != 0 && !c.founding && !late
	n.lineage = c.lineage
	switch {
	case late:
	case c.founding:
		n.age = 0
	default:
		n.age = foundingRounds
	}
	if back || n.order.known && c.lineage != n.order.move.Lineage && c.lineage != n.order.move.From {
		n.order, n.course = order{}, course{}
	}
}

// strange says whether a delta is too large to be noise about the timescale.
func (n *Node) strange(c correction) bool {
	own := n.servo.Bound(c.raw)
	if own == math.MaxInt64 {
		return false
	}
	size := max(c.delta, -c.delta)
	if !n.servo.Fitted() {
		return size > strangeFloor+4*(own+c.bound)
	}
	if c.standing == netproto.StandingNewcomer { // another LAN's time, perhaps: its past says nothing about this one's
		return size > strangeFitted+c.bound
	}
	return size > strangeFitted+4*(own+c.bound)
}

// turn brings the timescale from the last known sum of common moves to a new one. Sums of different masters, starts or
// terms have different beginnings: the first of a new one moves nothing. It returns how far (ns) Adjusts that this node missed had moved
// LAN time: the master's timescale had taken that in when it measured, so the delta holds it too. At the new sum's own
// epoch, sums that follow each other are equal, so nothing is taken off where none was missed.
func (n *Node) turn(r rotation) (missed int64) {
	old := n.rotation
	n.rotation = r
	if r.master != old.master || r.start != old.start || r.term != old.term || r.sum == old.sum {
		return 0
	}
	now := n.stamp(n.at.Raw)
	move, rate := r.sum.Since(old.sum, now)
	if max(move, -move) > int64(n.cfg.MaxSkew) || max(rate.Fraction(), -rate.Fraction()) > mostTurn {
		n.note(Warn, "a common move beyond max_skew, or beyond what oscillators differ by, is not believed", Attr{"move", time.Duration(move)})
		return 0
	}
	missed, _ = r.sum.Since(old.sum, r.sum.Epoch)
	n.servo.Turn(func(t int64) int64 {
		move, _ := r.sum.Since(old.sum, netproto.Stamp(t))
		return move
	}, (r.sum.Rate - old.sum.Rate).Fraction())
	return missed
}

// settle steps the clock where policy allows and slews it otherwise. alone is no synchronisation with anybody: a host that founded a
// LAN by itself while its switch was still starting may still step when it meets the others.
func (n *Node) settle(alone bool) {
	_, phase := n.steering()
	size := max(phase, -phase)
	always := n.cfg.Step == StepAlways && size > int64(n.cfg.StepThreshold)
	if always {
		n.course = course{}
	}
	gap := n.gap()
	n.merging = n.merging && size > firstStep
	first := !n.together
	n.synced = true
	if first && !alone {
		n.together = true
		n.do(Synchronised{})
	}
	switch {
	case first && n.cfg.Step != StepNever && n.mayStep && max(gap, -gap) > firstStep:
		n.step(gap, "first synchronisation: clock stepped")
	case always:
		n.step(gap, "clock stepped")
	}
	n.mayStep = n.mayStep && alone
	n.steer()
	n.remember()
}

// alarm decides, and logs once, whether the way to LAN time is too long to be gone unasked.
func (n *Node) alarm(phase int64) {
	switch {
	case n.panics(phase) && !n.panic:
		n.panic = true
		n.note(Warn, "the clock is further from LAN time than the panic limit: it is left alone until you set it, raise the limit "+
			"or configure step: always", Attr{"away", time.Duration(phase)},
			Attr{"panic_forward", n.cfg.PanicForward}, Attr{"panic_backward", n.cfg.PanicBackward})
	case n.panics(phase):
	case n.panic:
		n.panic = false
		n.note(Info, "the clock is within the panic limits again", Attr{"away", time.Duration(phase)})
	}
}

// tell logs, once, that the clock is on a long way to LAN time.
func (n *Node) tell(phase int64) {
	size := max(phase, -phase)
	switch {
	case size > longWay && !n.panic && !n.away:
		n.away = true
		n.note(Info, "slewing to LAN time, as the step policy wants", Attr{"phase", time.Duration(phase)}, Attr{"takes", n.slewTime(size)})
	case size <= firstStep:
		n.away = false
	}
}

// panics says whether a phase (ns) is beyond what is corrected without an operator's word.
func (n *Node) panics(phase int64) bool {
	if n.cfg.Step == StepAlways {
		return false
	}
	forward, backward := int64(n.cfg.PanicForward), int64(n.cfg.PanicBackward)
	return forward > 0 && phase > forward || backward > 0 && -phase > backward
}

// remember has the oscillator's rate kept, for the next start: once the window is full, and then once an hour.
func (n *Node) remember() {
	if n.at.Now < n.rememberAt || n.servo.Points() < rememberPoints {
		return
	}
	n.rememberAt = n.at.Now + rememberEvery
	rate, err := n.servo.Rate()
	n.do(Remember{Frequency: rate, Error: err})
}

// slewRate is the largest extra rate (fractional) to slew at. Those who go over from one LAN to another together stay together: none
// of them slews faster than the slowest can.
func (n *Node) slewRate() float64 {
	if !n.merging || n.pace < slowestPace {
		return n.cfg.MaxSlew
	}
	return min(n.cfg.MaxSlew, float64(n.pace)/1e9)
}

// pacing is at which rate (fractional) to slew a phase (ns), and what to order for that: on the common course, as it wants, else as fast as
// may be. Operating systems pay no more than a quarter of what is ordered in a second.
func (n *Node) pacing(phase int64) (pace float64, order int64) {
	if n.course.left != 0 {
		rate, ok := n.course.rate(n.servo.Line().At(n.at.Raw), phase)
		if ok {
			pace = min(max(rate, slowestPace/1e9), n.cfg.MaxSlew)
			most := max(float64(max(phase, -phase)), quarter*pace*1e9)
			return pace, int64(math.Copysign(most, float64(phase)))
		}
		n.course = course{}
	}
	return n.slewRate(), phase
}

// slewTime is how long a phase (ns) takes at the largest slew.
func (n *Node) slewTime(size int64) time.Duration {
	return time.Duration(min(float64(size)/n.slewRate(), math.MaxInt64/2)).Round(time.Second)
}

func (n *Node) step(phase int64, text string) {
	n.do(Step{phase})
	n.note(Info, text, Attr{"by", time.Duration(phase)})
	n.clock.stepped(phase)
	n.deaf = n.at.Now + deafness
}

// steer tells the clock its frequency and what is left to slew. A node that never adopted LAN time leaves its clock alone.
func (n *Node) steer() {
	if !n.synced {
		n.steerAt = never
		return
	}
	n.steerAt = n.at.Now + n.untilTurn()
	frequency, phase := n.steering()
	pace, due := n.pacing(phase)
	n.alarm(n.gap())
	n.tell(phase)
	_, known := n.servo.Heard()
	alone := n.itself()
	s := Steer{
		Frequency: frequency,
		Phase:     due,
		MaxSlew:   pace,
		MaxError:  add(n.servo.Bound(n.at.Raw), max(phase, -phase)),
		EstError:  add(int64(n.servo.Error()), max(phase, -phase)),

		Synchronised: !n.panic && (known || alone),
	}
	switch {
	case n.panic:
		s.Phase = 0
	case alone && !known:
		s.MaxError = max(phase, -phase)
	}
	n.clock.steered(n.at.Raw, s.Frequency, s.Phase, s.MaxSlew)
	n.command(s)
}

// steering is what the clock needs to reach the timescale, by the best pair of readings there is.
func (n *Node) steering() (frequency float64, phase int64) {
	return n.servo.Steer(n.at.Raw, n.clock.wall(n.at.Raw))
}

// untilTurn is how long it is until the clock's second has turned and the kernel has seen it.
func (n *Node) untilTurn() time.Duration {
	lag := turnLag + time.Duration(n.cfg.ID%turnSpread)*time.Millisecond
	since := time.Duration(n.clock.wall(n.at.Raw)) % steerEvery
	if since < 0 { // before 1970
		since += steerEvery
	}
	if since < tickLag {
		return lag - since
	}
	return steerEvery + lag - since
}

// itself says whether this node's timescale is LAN time, because nobody else was ever measured.
func (n *Node) itself() bool { return n.lead != nil && !n.together }

// steers says whether the clock is being steered at present.
func (n *Node) steers() bool { return n.steerAt != never }

// add sums two quantities that are not negative, saturating.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
