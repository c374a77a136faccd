package berkeley

import "slices"

// rateLimit is how far from the median a frequency correction counts: honest oscillators lie within ±200 ppm of each
// other, so theirs always count whole, and one liar of n moves the mean by 400 ppm/n at the most (from the one end of
// what counts to the other).
const rateLimit = 200e-6

// MeanRate is the plain mean of the voters' frequency corrections (fractional), each first clamped to ±200 ppm around
// their median. It is what the LAN's time has run away from its members' oscillators. It is 0 without rates.
func MeanRate(rates []float64) float64 {
	if len(rates) == 0 {
		return 0
	}
	sorted := slices.Clone(rates)
	middle := median(sorted)
	sum := 0.0
	for _, r := range sorted {
		sum += min(max(r, middle-rateLimit), middle+rateLimit)
	}
	return sum / float64(len(sorted))
}
