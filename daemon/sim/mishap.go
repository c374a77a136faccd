package sim

import (
	"slices"
	"time"
)

// strike begins a fault.
func (w *World) strike(i int) error {
	f := &w.plan.Faults[i]
	f.Hosts = w.victims(f.Hosts)
	if f.For > 0 && f.Kind >= Freeze {
		w.queue.push(w.now+int64(f.For)).mishap(ceases, i)
	}
	switch f.Kind {
	case Partition:
		w.part(i)
		return nil
	case Lossy:
		w.lossy += f.Fraction
		return nil
	case Flap:
		w.plugOrUnplug(i)
		return nil
	case Attack, Replay:
		w.attacker.assail(i)
		return nil
	}
	for _, v := range f.Hosts {
		if err := w.befall(w.hosts[v], *f); err != nil {
			return err
		}
	}
	return nil
}

// victims resolves Master and All.
func (w *World) victims(named []int) []int {
	var hosts []int
	for _, v := range named {
		switch {
		case v == All:
			for i := range w.hosts {
				hosts = append(hosts, i)
			}
		case v >= 0:
			hosts = append(hosts, v)
		case w.lastPoll >= 0:
			hosts = append(hosts, w.lastPoll)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// befall brings a fault upon one host.
func (w *World) befall(h *Host, f Fault) error {
	switch f.Kind {
	case Kill, Stop, Wipe:
		return w.end(h, f)
	case Power:
		return w.unplug(h, f)
	case Freeze:
		h.frozen++
	case VMPause, Suspend:
		h.sleep()
	case Step:
		return w.meddle(h, f.Amount)
	case SetTime:
		return h.SetTime(f.Amount)
	case Cut:
		h.cut, h.deaf = h.cut+1, h.deaf+1
	case Deaf:
		h.deaf++
	case Mute:
		h.cut++
	case Delayed:
		h.behind += int64(f.Amount)
	}
	return nil
}

// end ends a daemon, and plans its restart if there is to be one.
func (w *World) end(h *Host, f Fault) error {
	if h.Node == nil {
		return nil
	}
	if f.Kind == Stop && h.frozen+h.asleep == 0 {
		if err := h.Stop(); err != nil {
			return err
		}
	}
	h.Halt()
	if f.Kind == Wipe {
		h.wipe()
	}
	if f.For > 0 {
		w.plans(w.now+int64(f.For), restarts, h.index)
	}
	return nil
}

// unplug takes a host's power. Its wall clock comes back from the battery's, which goes on by itself.
func (w *World) unplug(h *Host, f Fault) error {
	if h.off {
		return nil
	}
	stood, err := w.Error(h.index)
	if err != nil {
		return err
	}
	h.Halt()
	if h.asleep > 0 {
		h.asleep = 1
		h.rise()
	}
	h.upset()
	h.off, h.synced = true, false
	h.battery = time.Duration(stood + int64(even(h.dice)*float64(f.Amount)))
	w.plans(w.now+int64(f.For), restarts, h.index)
	return nil
}

// boot starts a host that had no power, and its daemon.
func (h *Host) boot() error {
	if h.off {
		h.off = false
		h.spin(h.battery)
	}
	return h.begin()
}

// meddle steps a host's clock as another program would.
func (w *World) meddle(h *Host, by time.Duration) error {
	if h.off {
		return nil
	}
	h.upset()
	return h.Clock.Step(int64(by))
}

// upset notes that a host's clock was moved by something that no node did: it is not expected to be on LAN time any more.
func (h *Host) upset() {
	h.forgetReading()
	h.view.settled, h.view.ripe, h.view.steady = false, 0, 0
}

// cease ends a fault.
func (w *World) cease(i int) error {
	f := &w.plan.Faults[i]
	switch f.Kind {
	case Partition:
		w.join(i)
		return nil
	case Lossy:
		w.lossy -= f.Fraction
		return nil
	case Flap:
		if f.down {
			w.plugOrUnplug(i)
		}
		f.over = true
		return nil
	}
	for _, v := range f.Hosts {
		if err := w.relieve(w.hosts[v], *f); err != nil {
			return err
		}
	}
	return nil
}

// relieve takes a fault from one host.
func (w *World) relieve(h *Host, f Fault) error {
	switch f.Kind {
	case Freeze:
		h.frozen = max(0, h.frozen-1)
		return h.thaw()
	case VMPause, Suspend:
		slept := h.rise()
		if slept == 0 {
			return nil
		}
		h.upset()
		if f.Kind == Suspend {
			if err := h.Clock.Step(slept + int64(even(h.dice)*float64(f.Amount))); err != nil {
				return err
			}
		}
		if h.late {
			return h.begin()
		}
		if f.Kind == Suspend {
			if err := h.wake(time.Duration(slept)); err != nil {
				return err
			}
		}
		return h.thaw()
	case Cut:
		h.cut, h.deaf = h.cut-1, h.deaf-1
	case Deaf:
		h.deaf--
	case Mute:
		h.cut--
	case Delayed:
		h.behind -= int64(f.Amount)
	}
	return nil
}

// wall is a partition in force.
type wall struct {
	fault  int
	inside []bool // by host
}

// part puts a fault's wall around its hosts.
func (w *World) part(fault int) {
	side := wall{fault, make([]bool, len(w.hosts))}
	for _, i := range w.plan.Faults[fault].Hosts {
		side.inside[i] = true
		w.hosts[i].parted++
	}
	w.walls = append(w.walls, side)
}

// join takes it away again.
func (w *World) join(fault int) {
	w.walls = slices.DeleteFunc(w.walls, func(x wall) bool { return x.fault == fault })
	for _, i := range w.plan.Faults[fault].Hosts {
		w.hosts[i].parted--
	}
}

// walled says whether a wall stands between two hosts.
func (w *World) walled(from, to *Host) bool {
	for _, x := range w.walls {
		if x.inside[from.index] != x.inside[to.index] {
			return true
		}
	}
	return false
}

// flap changes a flapping link once more, until the fault is over.
func (w *World) flap(i int) error {
	if f := &w.plan.Faults[i]; !f.over {
		w.plugOrUnplug(i)
	}
	return nil
}

// plugOrUnplug changes a flapping link and plans the next change.
func (w *World) plugOrUnplug(i int) {
	f := &w.plan.Faults[i]
	f.down = !f.down
	by := -1
	if f.down {
		by = 1
	}
	for _, v := range f.Hosts {
		h := w.hosts[v]
		h.cut, h.deaf = h.cut+by, h.deaf+by
	}
	w.queue.push(w.now+int64(f.Amount)).mishap(flaps, i)
}
