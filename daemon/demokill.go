package daemon

import (
	"context"
	"sync"
	"time"

	"meantime/configs"
)

// demoKill is the sudden end of a demo's master, and what followed. Its zero value has killed nobody.
type demoKill struct {
	ended chan struct{} // closed when the victim's driver has ended

	mu   sync.Mutex
	who  int           // number of the victim, from 1
	last time.Duration // of all polls before its end
	next time.Duration // first poll after it
}

// strike ends a node as kill -9 would: its sockets are closed under it, and it has no chance to hand over.
func (l *demoLAN) strike(ctx context.Context, i int) {
	l.kill.mu.Lock()
	l.kill.who = i + 1
	l.kill.mu.Unlock()
	_ = l.drivers[i].link.Close() // the driver closes it again and fails: that is the point
	select {
	case <-l.kill.ended:
	case <-ctx.Done():
	}
}

// polled notes a node's poll.
func (k *demoKill) polled(i int, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.who == 0:
		k.last = at
	case k.who != i+1 && k.next == 0:
		k.next = at
	}
}

// victim is the number of the killed node, 0 if there is none.
func (k *demoKill) victim() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.who
}

// struck says whether a node has been killed.
func (k *demoKill) struck(i int) bool { return k.victim() == i+1 }

// polls are the poll intervals between the victim's last poll and the next master's first.
func (k *demoKill) polls() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.who == 0:
		return 0
	case k.next == 0:
		return -1
	}
	return float64(k.next-k.last) / float64(configs.Default().Poll)
}
