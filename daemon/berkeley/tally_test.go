package berkeley

import (
	"math"
	"math/rand/v2"
	"testing"
)

// said tells voters' sums to Moved.
func said(tallies []Tally, gain float64, sums ...float64) float64 {
	var claims []Claim
	for i, s := range sums {
		claims = append(claims, Claim{&tallies[i], s})
	}
	return Moved(claims, gain)
}

func TestMovedByHand(t *testing.T) {
	tallies := make([]Tally, 4)
	for _, c := range []struct {
		name string
		sums []float64
		gain float64
		want float64
	}{
		{"the first time nothing is known", []float64{100, -7, 30}, 1, 0},
		{"the mean of what is new", []float64{101, -5, 33}, 1, 2},
		{"nothing new", []float64{101, -5, 33}, 1, 0},
		{"a quarter of it", []float64{105, -1, 37}, 0.25, 1},
		{"of the rest", []float64{105, -1, 37}, 0.25, 0.75},
		{"all of the rest, and a newcomer", []float64{105, -1, 37, 9000}, 1, 2.25},
		{"whoever is not there counts no more", []float64{106, 1}, 1, 1.5},
	} {
		if got := said(tallies, c.gain, c.sums...); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: moved by %v, want %v", c.name, got, c.want)
		}
	}
	if got := Moved(nil, 1); got != 0 {
		t.Errorf("nobody: moved by %v", got)
	}
}

// TestMovedFollowsTheMeanOfHonestVoters: over time nothing of what they say is lost or doubled, though one of them is far ahead of the others
// for a while.
func TestMovedFollowsTheMeanOfHonestVoters(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	tallies, sums, moved := make([]Tally, 5), make([]float64, 5), 0.0
	said(tallies, 1, sums...)
	for round := range 5000 {
		for i := range sums {
			sums[i] += random.NormFloat64()
		}
		if round == 100 {
			sums[2] += 1000
		}
		moved += said(tallies, 1, sums...)
	}
	mean := (sums[0] + sums[1] + sums[2] + sums[3] + sums[4]) / 5
	if math.Abs(moved-mean) > 1 {
		t.Errorf("the mean moved by %v, counted %v", mean, moved)
	}
}

// TestMovedBoundsALiar: one of four that claims whatever it likes, all at once or more each round, gains what the noise of the others would
// excuse, and a share of that a round.
func TestMovedBoundsALiar(t *testing.T) {
	const rounds, noise = 200, 1.0
	for name, lie := range map[string]func(round int) float64{
		"at once":     func(int) float64 { return 1e9 },
		"more a time": func(round int) float64 { return 1e6 * float64(round) },
		"to and fro":  func(round int) float64 { return 1e9 * float64(1-2*(round&1)) },
	} {
		random := rand.New(rand.NewPCG(1, 2))
		honest, lying := make([]Tally, 4), make([]Tally, 4)
		sums := make([]float64, 4)
		apart := 0.0
		for round := range rounds {
			for i := range 3 {
				sums[i] = noise * random.NormFloat64()
			}
			sums[3] = 0
			apart -= said(honest, 1, sums...)
			if sums[3] = lie(round); round == 0 {
				sums[3] = 0
			}
			apart += said(lying, 1, sums...)
			if most := 2.0 * tallyLimit * noise / 4 * (1 + float64(round)/tallyTime); math.Abs(apart) > most {
				t.Fatalf("%s: after %d rounds the liar has moved the mean by %v, at most %v is allowed", name, round, apart, most)
			}
		}
	}
}
