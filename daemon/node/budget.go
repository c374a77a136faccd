package node

import "time"

// Answers to packets that anybody may send, known or not: so many at once, and so many a second ever after. A LAN with four masters at
// four polls a second, and an election on top, needs a third of it.
const (
	budgetBurst = 64
	budgetRate  = 64
)

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

// mayAnswer spends of the answers to packets that anybody may send.
func (n *Node) mayAnswer() bool { return n.budget.Take(n.at.Now, budgetBurst, budgetRate) }
