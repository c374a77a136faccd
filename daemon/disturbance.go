package daemon

import (
	"context"
	"errors"
	"os"
	"time"

	"meantime/daemon/node"
	"meantime/sysclock"
)

const (
	// foreignForget is how long the same finding stays old news after it was last seen.
	foreignForget = time.Minute
	// foreignPause is between two findings that differ: a program that steers writes other values each time.
	foreignPause = 10 * time.Second
	// leastSleep is the shortest suspend that is told: what a system says of its sleep is good to 20 ms.
	leastSleep = 50 * time.Millisecond
	// setPause is how long the driver is not woken again after the clock was set, so that a program that sets it in a loop
	// cannot keep it busy.
	setPause = 10 * time.Millisecond
)

// foreign sifts what a clock says of other programs' writes: each finding is news once.
type foreign struct {
	said       string    // the last that was news
	told, seen time.Time // when it was, and when anything was seen last
}

// news says whether a finding ("" = none) is new.
func (f *foreign) news(what string, now time.Time) bool {
	if what == "" {
		return false
	}
	if now.Sub(f.seen) > foreignForget {
		f.said = ""
	}
	f.seen = now
	if what == f.said || f.said != "" && now.Sub(f.told) < foreignPause {
		return false
	}
	f.said, f.told = what, now
	return true
}

// look asks the clock whether somebody else has written to it, and keeps what is new for the node.
func (d *driver) look() {
	w, ok := d.clock.(sysclock.Watcher)
	if !ok {
		return
	}
	what, err := w.Foreign()
	if err != nil {
		if d.lookErr.allow() {
			d.log.Warn("cannot see whether other programs steer the clock", "err", err)
		}
		return
	}
	if d.foreign.news(what, time.Now()) {
		d.found = what
	}
}

// beside notes which other time programs run. The log has the warning already.
func (d *driver) beside(found []rival) {
	switch {
	case len(found) > 0:
		d.events.add(time.Now(), note(node.Warn, ErrBeside.Error(), "daemons", names(found), "do", remedies(found)))
	case len(d.rivals) > 0:
		d.say(note(node.Info, "no other time daemon sets this host's clock any more", "was", names(d.rivals)))
	}
	d.rivals = found
}

// interference is who else has a hand at the clock: other time programs that run, and what was seen of their writes lately.
func (d *driver) interference(now time.Time) []string {
	all := []string{}
	for _, r := range d.rivals {
		all = append(all, r.String())
	}
	if d.foreign.said != "" && now.Sub(d.foreign.seen) <= foreignForget {
		all = append(all, d.foreign.said)
	}
	return all
}

// tellForeign hands what look has found to the node.
func (d *driver) tellForeign(at node.Moment) error {
	if d.found == "" {
		return nil
	}
	what := d.found
	d.found = ""
	return d.once(at, node.Foreign{What: what})
}

// overslept is for how long the machine was suspended since this was last asked.
func (d *driver) overslept() time.Duration {
	s, ok := d.clock.(sysclock.Sleeper)
	if !ok {
		return 0
	}
	total, err := s.Slept()
	if err != nil {
		if d.lookErr.allow() {
			d.log.Warn("cannot see whether the machine slept", "err", err)
		}
		return 0
	}
	slept := time.Duration(total - d.slept)
	if d.awake && slept < leastSleep { // not taken over: many little ones add up
		return 0
	}
	if !d.awake { // before the start: nobody's business
		slept, d.awake = 0, true
	}
	d.slept = total
	return slept
}

// notice begins to listen for the clock being set, where the system can tell; nil where it cannot.
func (d *driver) notice() sysclock.Notice {
	n, ok := d.clock.(sysclock.Notifier)
	if !ok {
		return nil
	}
	notice, err := n.Notice()
	if err != nil {
		d.log.Warn("a clock set by another program will be noticed late", "err", err)
		return nil
	}
	return notice
}

// await wakes the loop each time the clock is set, until notice is closed. The node finds out by itself whether that was its own doing:
// it reads the clock and knows what it has asked for.
func (d *driver) await(ctx context.Context, notice sysclock.Notice) {
	for {
		err := notice.Wait()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			d.log.Warn("a clock set by another program will be noticed late", "err", err)
			return
		}
		select {
		case d.sets <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(setPause):
		case <-ctx.Done():
			return
		}
	}
}
