package berkeley

import "slices"

const (
	// tallyLimit is how many times as far from the middle as the median voter's a voter's tally may lie and still count whole. Nobody
	// raises the median alone: what a liar can claim is within the honest voters' own noise.
	tallyLimit = 4
	// tallyTime is in how many rounds what counts as usual of a voter follows what it says: the points of a full fit. So a liar that claims
	// more and more gains no more than tallyLimit/tallyTime of the honest voters' noise a round.
	tallyTime = 64
)

// Tally follows what a voter says that its own corrections add up to, in rate or in phase.
type Tally struct {
	known   bool
	counted float64 // of what it said last
	usual   float64
}

// Claim is what a voter says now, and its tally.
type Claim struct {
	*Tally
	Sum float64
}

// Moved is by how much the voters' own corrections have moved their mean since it was asked last. A voter counts from the second time on,
// and with what it says clamped to where the others' noise may have taken it.
func Moved(claims []Claim, gain float64) (mean float64) {
	away := make([]float64, 0, len(claims))
	for _, c := range claims {
		if c.known {
			away = append(away, c.Sum-c.usual)
		}
	}
	if len(away) == 0 {
		away = append(away, 0)
	}
	middle, limit := spread(away)
	for _, c := range claims {
		if !c.known {
			*c.Tally = Tally{known: true, counted: c.Sum, usual: c.Sum}
			continue
		}
		now := c.usual + min(max(c.Sum-c.usual, middle-limit), middle+limit)
		taken := gain * (now - c.counted)
		mean += taken / float64(len(away))
		c.counted += taken
		c.usual += (now - c.usual) / tallyTime
	}
	return mean
}

// spread is the median of the values, which it sorts, and how far from it a value may lie.
func spread(values []float64) (middle, limit float64) {
	middle = median(values)
	apart := make([]float64, len(values))
	for i, v := range values {
		apart[i] = max(v-middle, middle-v)
	}
	return middle, tallyLimit * median(apart)
}

// median of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
