package udp

import (
	"testing"
	"time"
)

// newLedger gives a ledger with three packets, tokens 1 to 3, sent at 1,000, 2,000 and 3,000 ns.
func newLedger(start time.Time) *ledger {
	l := &ledger{on: true, ways: map[int]*way{}}
	for k := range 3 {
		l.asked(Sent{Token: uint64(k + 1), Iface: 7, Stamp: int64(k+1) * 1000}, askSent, start)
	}
	return l
}

// TestLedgerOrder: stamps find their packets in whatever order they come, each once.
func TestLedgerOrder(t *testing.T) {
	l := newLedger(time.Now())
	for _, id := range []uint32{2, 0, 1, 1} {
		if !l.report(report{stamp: int64(id)*1000 + 1500, id: id}, 9999) {
			t.Errorf("id %d: out of step", id)
		}
	}
	got := l.collect(nil)
	for k, token := range []uint64{3, 1, 2} {
		if len(got) != 3 || got[k].Token != token || got[k].Stamp != int64(token)*1000+500 || !got[k].Kernel || got[k].Iface != 7 {
			t.Fatalf("collected %+v", got)
		}
	}
	if got := l.collect(nil); len(got) != 0 {
		t.Errorf("collected twice: %+v", got)
	}
}

// TestLedgerStrangers: an id not given yet means that counting is out of step; a stamp from before its packet or from the future
// is nobody's.
func TestLedgerStrangers(t *testing.T) {
	l := newLedger(time.Now())
	if l.report(report{stamp: 5000, id: 3}, 9999) {
		t.Error("an id from the future is in step")
	}
	l.report(report{stamp: 999, id: 0}, 9999)
	l.report(report{stamp: 10000, id: 1}, 9999)
	if got := l.collect(nil); len(got) != 2 || got[0].Kernel || got[0].Stamp != 1000 || got[1].Kernel || got[1].Stamp != 2000 {
		t.Errorf("instead of impossible stamps: %+v, want the user's", got)
	}
	l.restarted()
	if got := l.collect(nil); len(got) != 1 || got[0].Token != 3 || got[0].Kernel {
		t.Errorf("at a restart: %+v, want the user stamp of token 3", got)
	}
	l.asked(Sent{Token: 4, Stamp: 4000}, askSent, time.Now())
	l.report(report{stamp: 4500, id: 0}, 9999)
	if got := l.collect(nil); len(got) != 1 || got[0].Token != 4 {
		t.Errorf("after a restart: %+v, want token 4", got)
	}
}

// TestLedgerGivesUp: where a driver's stamps never come, those of its queue are asked for, and where these do not come either, none is waited
// for; one that comes restores it.
func TestLedgerGivesUp(t *testing.T) {
	now := time.Now()
	l := newLedger(now)
	if p := l.patience(now.Add(stampPatience / 2)); p != stampPatience/2 {
		t.Errorf("patience %v, want half", p)
	}
	miss := func(times int) {
		for range times {
			l.asked(Sent{Iface: 7, Stamp: 1}, l.asks(7), now)
		}
		l.expire(now.Add(stampExpiry))
		if len(l.pending) < times {
			t.Error("expired too early")
		}
		now = now.Add(stampExpiry + 1)
		l.expire(now)
	}
	wants := func(want asking, given bool) {
		t.Helper()
		l.way(7).sent = askAgain // the next one is not that which asks again
		if got := l.asks(7); got != want || l.givenUp(7) != given || l.givenUp(8) || l.asks(8) != askSent {
			t.Errorf("asks for %b, given up %v, other interface %v; want %b, %v, false", got, l.givenUp(7), l.givenUp(8), want, given)
		}
	}
	wants(askSent, false)
	miss(3 * missesToGiveUp) // all of the driver's: what was not asked for is not missed
	wants(askQueued, false)
	miss(missesToGiveUp)
	wants(0, true)
	l.asked(Sent{Iface: 7, Stamp: 1}, askQueued, now)
	if p := l.patience(now); p > 0 {
		t.Errorf("still waits %v", p)
	}
	l.asked(Sent{Iface: 8, Stamp: 1}, askSent, now)
	if p := l.patience(now); p != stampPatience {
		t.Errorf("waits %v for another interface", p)
	}
	l.report(report{stamp: 2, id: l.nextID - 2, queued: true}, 3)
	wants(askQueued, false)
	l.way(7).sent = askAgain - 1
	if got := l.asks(7); got != askSent|askQueued {
		t.Errorf("asks for %b once in %d, want both", got, askAgain)
	}
	l.asked(Sent{Iface: 7, Stamp: 1}, askSent|askQueued, now)
	l.report(report{stamp: 2, id: l.nextID - 1, queued: true}, 3)
	l.collect(nil)
	l.report(report{stamp: 3, id: l.nextID - 1}, 4)
	if got := l.collect(nil); len(got) != 1 || got[0].Stamp != 3 || !got[0].Kernel {
		t.Errorf("collected %+v, want the driver's stamp after the queue's", got)
	}
	wants(askSent, false)
	l.asked(Sent{Iface: 7, Stamp: 1}, askQueued, now)
	l.report(report{stamp: 3, id: l.nextID - 1, queued: true}, 4)
	wants(askSent, false) // a stamp that was asked for before does not undo it
	for range missesToGiveUp {
		l.asked(Sent{Iface: 7, Stamp: 1}, askQueued, now)
	}
	now = now.Add(stampExpiry + 1)
	l.expire(now)
	wants(askSent, false) // nor do those of the queue that never came
}

// TestAWayOfItsOwn: each interface is asked again by its own count, and a packet whose queue stamp came is no miss.
func TestAWayOfItsOwn(t *testing.T) {
	now := time.Now()
	l := &ledger{on: true, ways: map[int]*way{7: {misses: missesToGiveUp}, 8: {misses: missesToGiveUp}}}
	both := map[int]int{}
	for range 4 * askAgain {
		for _, iface := range []int{7, 8} {
			want := l.asks(iface)
			if want == askSent|askQueued {
				both[iface]++
			}
			l.asked(Sent{Iface: iface, Stamp: 1}, want, now)
			l.report(report{stamp: 2, id: l.nextID - 1, queued: true}, 3)
		}
	}
	l.expire(now.Add(stampExpiry + 1))
	if both[7] != 4 || both[8] != 4 || len(l.pending) != 0 {
		t.Errorf("asked the drivers again %v times, %d pending; want 4 each and none", both, len(l.pending))
	}
	for iface, w := range l.ways {
		if w.misses != missesToGiveUp {
			t.Errorf("interface %d: %d misses, want still %d", iface, w.misses, missesToGiveUp)
		}
	}
}

// TestLedgerBounded: a caller that never collects costs no more than a fixed amount of memory.
func TestLedgerBounded(t *testing.T) {
	l := newLedger(time.Now())
	for range 3 * maxPending {
		l.asked(Sent{Stamp: 1}, askSent, time.Now())
		l.report(report{stamp: 2, id: l.nextID - 1}, 3)
		l.asked(Sent{Stamp: 1}, askSent, time.Now())
	}
	if len(l.pending) > maxPending || len(l.ready) > maxPending {
		t.Errorf("%d pending, %d ready", len(l.pending), len(l.ready))
	}
}
