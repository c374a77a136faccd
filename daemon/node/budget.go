package node

import (
	"time"

	"meantime/netproto"
)

// Answers to packets that anybody may send, known or not: to each sender so many at once, and so many a second ever after. The exchanges of
// four rounds a second, before a node obeys who leads them, need three quarters of it. Each sender has its own, or whoever plays
// recordings of one would keep all others from being answered.
const (
	budgetBurst = 16
	budgetRate  = 16
	// budgetCells is how many there are. Ids are random: two that are awake at a time hardly share one.
	budgetCells = 64
)

// quotas are the budgets, by the sender's id.
type quotas [budgetCells]Budget

// Budget is a bucket of what may be done so many times at once, and so many times a second ever after. Its zero value is full.
type Budget struct {
	spent float64
	at    time.Duration
}

// Take spends one, if there is one left: burst at once, rate a second.
func (b *Budget) Take(now time.Duration, burst, rate float64) bool {
	b.spent = max(0, b.spent-rate*(now-b.at).Seconds())
	b.at = now
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}

// mayAnswer spends of the answers that a sender may have without proof that it lives.
func (n *Node) mayAnswer(sender netproto.ID) bool {
	return n.quotas[sender%budgetCells].Take(n.at.Now, budgetBurst, budgetRate)
}
