package model

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// required says whether the environment asks for the whole search.
func required() bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), "model")
}

// explorer searches depth first, with ever more actions of the attacker, and remembers what it has seen.
type explorer struct {
	rules
	scenario
	until                                  time.Duration
	parted                                 func(flight) bool // what the network loses while the beginning is played
	bound                                  int               // actions of the attacker on one path
	seen                                   map[hash]int      // how many actions were left when a state was met
	calm                                   map[hash]bool     // states from which an honest network was shown to unite the LAN
	idle                                   map[noop]bool
	states, paths, steps, replays, deepest int // the last five figures are of the last bound
	err                                    error
	broken                                 *world
	united                                 int
}

// noop is a packet that a node in some state, at some time, takes no notice of.
type noop struct {
	node   hash
	now    time.Duration
	packet hash
}

func (x *explorer) start() *world {
	w := &world{}
	for i := range size {
		m := &w.members[i]
		m.id, m.wall = netproto.ID(i+1), time.Duration(i)*40*time.Millisecond-40*time.Millisecond
		x.begin(w, i)
	}
	return w
}

// fail keeps the first rule that was broken.
func (x *explorer) fail(w *world, err error) bool {
	if err != nil && x.err == nil {
		x.err, x.broken = err, w
	}
	return x.err != nil
}

// bring brings a packet to a node.
func (x *explorer) bring(w *world, i int, r *record) {
	m := &w.members[i]
	if m.node == nil {
		return
	}
	proves, before := w.proves(i, r), m.view
	effects := x.give(w, i, &node.Packet{
		Data: r.data, From: address(r.from), Iface: 1, ToGroup: r.to < 0, Stamp: m.moment(w.now).Wall, Kernel: true,
	}, r)
	m.brought[r.index/64] |= 1 << (r.index % 64)
	x.steps++
	if !x.fail(w, w.judge(i, r, proves, before, effects)) {
		x.fail(w, w.judgeTerms(i, before))
	}
}

// pass lets time pass to the next deadline, and everybody do what is due.
func (x *explorer) pass(w *world) {
	w.now = w.next()
	for i := range w.members {
		m := &w.members[i]
		for range 20 {
			if m.node == nil || m.node.Deadline() > w.now {
				break
			}
			before := m.view
			x.give(w, i, node.Tick{}, nil)
			x.steps++
			if x.fail(w, w.judgeTick(i, before)) || x.fail(w, w.judgeTerms(i, before)) {
				return
			}
		}
	}
}

// deliver brings the oldest packet in flight to its receiver.
func (x *explorer) deliver(w *world) {
	f := w.queue[0]
	w.queue = w.queue[1:]
	if x.parted == nil || !x.parted(f) {
		x.bring(w, f.to, f.record)
	}
}

// run plays an honest network up to a time.
func (x *explorer) run(w *world, until time.Duration) {
	for x.err == nil {
		switch {
		case len(w.queue) > 0:
			x.deliver(w)
		case w.next() > until:
			w.now = until
			return
		default:
			x.pass(w)
		}
	}
}

// stop ends a node cleanly.
func (x *explorer) stop(w *world, i int) {
	x.give(w, i, node.Stop{}, nil)
	x.kill(w, i)
}

func (x *explorer) kill(w *world, i int) {
	w.members[i].end()
	w.tell(true, "%s is killed", letter(i))
}

// restart starts a node that is down, or ends and starts one that is not; wiped takes its state directory.
func (x *explorer) restart(w *world, i int, wiped bool) {
	m := &w.members[i]
	if m.node != nil {
		m.end()
	}
	memory := "with its state"
	if wiped {
		m.forget(i)
		memory = "without its state"
	}
	w.tell(true, "%s starts again, %s", letter(i), memory)
	x.begin(w, i)
}

// explore goes on from a world in every way, with so many actions of the attacker left.
func (x *explorer) explore(w *world, left, depth int) {
	if x.err != nil {
		return
	}
	key := w.name()
	if known, ok := x.seen[key]; ok && known >= left {
		return
	} else if !ok {
		x.states++
	}
	x.seen[key] = left
	x.deepest = max(x.deepest, depth)
	if len(w.queue) == 0 && w.next() > x.until {
		x.paths++
		x.unite(w, key)
		return
	}
	branch := func(act func(w *world), cost int) {
		next := *w
		act(&next)
		x.explore(&next, left-cost, depth+1)
	}
	if len(w.queue) > 0 {
		branch(x.deliver, 0)
	} else {
		branch(x.pass, 0)
	}
	if left == 0 {
		return
	}
	if len(w.queue) > 0 {
		branch(func(w *world) {
			w.tell(true, "withheld from %s: %v", letter(w.queue[0].to), w.queue[0])
			w.queue = w.queue[1:]
		}, 1)
	}
	for i := range size {
		branch(func(w *world) { x.restart(w, i, false) }, 1)
		if w.members[i].node != nil {
			branch(func(w *world) { x.kill(w, i) }, 1)
		}
	}
	for _, r := range w.log {
		for i := range size {
			x.replay(w, i, r, left, depth)
		}
	}
}

// replay brings an old packet to a node, unless that takes no notice of it.
func (x *explorer) replay(w *world, i int, r *record, left, depth int) {
	m := &w.members[i]
	id := noop{m.view.name, w.now, r.name}
	if m.node == nil || x.idle[id] {
		return
	}
	if slices.ContainsFunc(w.queue, func(f flight) bool { return f.record == r && f.to == i }) {
		return // it is on its way anyhow: what comes before it is withheld first
	}
	x.replays++
	next := *w
	next.tell(true, "brought to %s: %v", letter(i), r)
	x.bring(&next, i, r)
	if x.err == nil && next.members[i].view.name == m.view.name && len(next.log) == len(w.log) {
		x.idle[id] = true
		return
	}
	x.explore(&next, left-1, depth+1)
}

// grace is how long the LAN may take to be one again, once the attacker has stopped.
const grace = 20 * time.Second

// unite demands that an honest network brings whoever lives under one master.
func (x *explorer) unite(w *world, key hash) {
	if x.calm[key] {
		return
	}
	x.calm[key] = true
	next := *w
	next.tell(false, "the attacker stops")
	for until := w.now; until < w.now+grace && x.err == nil; {
		until += interval
		x.run(&next, until)
		if x.one(&next) {
			x.united++
			return
		}
	}
	x.fail(&next, fmt.Errorf("no single master within %v", grace))
}

// one says whether everybody who lives obeys one master who lives, or nobody lives who may be one.
func (x *explorer) one(w *world) bool {
	var master netproto.ID
	masters, able := 0, 0
	for i := range w.members {
		if m := &w.members[i]; m.node != nil {
			if x.rules.role[i] != node.RoleSlave {
				able++
			}
			if m.view.office {
				masters, master = masters+1, m.view.id
			}
		}
	}
	if able == 0 {
		return masters == 0
	}
	for i := range w.members {
		if m := &w.members[i]; m.node != nil && (m.view.master != master || w.now-m.view.heard > 2*interval && !m.view.office) {
			return false
		}
	}
	return masters == 1
}

// search explores one scenario with at most so many actions of the attacker, the shortest attacks first.
func search(s scenario, most int) *explorer {
	x := &explorer{scenario: s, rules: rules{role: s.role, ring: newRing()}}
	w := x.start()
	s.play(x, w)
	x.until, x.parted = w.now+s.attack, nil
	w.trail = nil
	for bound := 0; bound <= most && x.err == nil; bound++ {
		x.bound = bound
		x.seen, x.calm, x.idle = map[hash]int{}, map[hash]bool{}, map[noop]bool{}
		x.states, x.paths, x.steps, x.replays, x.deepest, x.united = 0, 0, 0, 0, 0, 0
		x.explore(w, bound, 0)
	}
	return x
}

func TestExplore(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			most := 1
			if required() {
				most = s.most
			}
			began := time.Now()
			x := search(s, most)
			t.Logf("after %s, up to %d actions of the attacker in %v: %d states, %d paths, depth %d, %d inputs, %d replays, %d ends united; %.1f s",
				s.name, x.bound, s.attack, x.states, x.paths, x.deepest, x.steps, x.replays, x.united, time.Since(began).Seconds())
			if x.err != nil {
				t.Fatalf("after %s, the attacker (!) and what came of it:\n%s\n => %v", s.name, x.broken.story(), x.err)
			}
		})
	}
}
