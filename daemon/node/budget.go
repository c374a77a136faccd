package node

import "time"

// Answers to packets that anybody may send, known or not: so many at once, and so many a second ever after. A LAN with four masters at
// four polls a second, and an election on top, needs a third of it.
const (
	budgetBurst = 64
	budgetRate  = 64
)

// budget is a bucket of answers. Its zero value is full.
type budget struct {
	spent float64
	at    time.Duration
}

// take spends an answer, if there is one left.
func (b *budget) take(now time.Duration) bool {
	b.spent = max(0, b.spent-budgetRate*(now-b.at).Seconds())
	b.at = now
	if b.spent+1 > budgetBurst {
		return false
	}
	b.spent++
	return true
}
