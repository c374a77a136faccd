package udp

import (
	"testing"
	"time"
)

// newLedger gives a ledger with three packets, tokens 1 to 3, sent at 1,000, 2,000 and 3,000 ns.
func newLedger(start time.Time) *ledger {
	l := &ledger{on: true, misses: map[int]int{}}
	for k := range 3 {
		l.asked(Sent{Token: uint64(k + 1), Iface: 7, Stamp: int64(k+1) * 1000}, start)
	}
	return l
}

// TestLedgerOrder: stamps find their packets in whatever order they come, each once.
func TestLedgerOrder(t *testing.T) {
	l := newLedger(time.Now())
	for _, id := range []uint32{2, 0, 1, 1} {
		if !l.report(int64(id)*1000+1500, id, 9999) {
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
	if l.report(5000, 3, 9999) {
		t.Error("an id from the future is in step")
	}
	l.report(999, 0, 9999)
	l.report(10000, 1, 9999)
	if got := l.collect(nil); len(got) != 2 || got[0].Kernel || got[0].Stamp != 1000 || got[1].Kernel || got[1].Stamp != 2000 {
		t.Errorf("instead of impossible stamps: %+v, want the user's", got)
	}
	l.restarted()
	if got := l.collect(nil); len(got) != 1 || got[0].Token != 3 || got[0].Kernel {
		t.Errorf("at a restart: %+v, want the user stamp of token 3", got)
	}
	l.asked(Sent{Token: 4, Stamp: 4000}, time.Now())
	l.report(4500, 0, 9999)
	if got := l.collect(nil); len(got) != 1 || got[0].Token != 4 {
		t.Errorf("after a restart: %+v, want token 4", got)
	}
}

// TestLedgerGivesUp: stamps that never come are waited for until there were eight, and one that comes restores it.
func TestLedgerGivesUp(t *testing.T) {
	now := time.Now()
	l := newLedger(now)
	if p := l.patience(now.Add(stampPatience / 2)); p != stampPatience/2 {
		t.Errorf("patience %v, want half", p)
	}
	for range missesToGiveUp {
		l.asked(Sent{Iface: 7, Stamp: 1}, now)
	}
	l.expire(now.Add(stampExpiry))
	if l.givenUp(7) || len(l.pending) != 3+missesToGiveUp {
		t.Error("expired too early")
	}
	now = now.Add(stampExpiry + 1)
	l.expire(now)
	if !l.givenUp(7) || l.givenUp(8) || len(l.pending) != 0 {
		t.Errorf("after %d misses: given up %v, other interface %v, pending %d", missesToGiveUp, l.givenUp(7), l.givenUp(8), len(l.pending))
	}
	l.asked(Sent{Iface: 7, Stamp: 1}, now)
	if p := l.patience(now); p > 0 {
		t.Errorf("still waits %v", p)
	}
	l.asked(Sent{Iface: 8, Stamp: 1}, now)
	if p := l.patience(now); p != stampPatience {
		t.Errorf("waits %v for another interface", p)
	}
	l.report(2, l.nextID-2, 3)
	if l.givenUp(7) {
		t.Error("a stamp came and the interface is still given up")
	}
}

// TestLedgerBounded: a caller that never collects costs no more than a fixed amount of memory.
func TestLedgerBounded(t *testing.T) {
	l := newLedger(time.Now())
	for range 3 * maxPending {
		l.asked(Sent{Stamp: 1}, time.Now())
		l.report(2, l.nextID-1, 3)
		l.asked(Sent{Stamp: 1}, time.Now())
	}
	if len(l.pending) > maxPending || len(l.ready) > maxPending {
		t.Errorf("%d pending, %d ready", len(l.pending), len(l.ready))
	}
}
