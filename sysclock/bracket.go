package sysclock

// Two clocks cannot be read at one instant. A bracket reads the raw oscillator, the wall clock and the raw oscillator
// again: the wall reading belongs to the middle, wrong by at most half the width. A thread that is preempted in between
// gives a wide bracket (hundreds of µs), so several are tried and the narrowest is kept.
const (
	// brackets bounds the tries: one that fails five times in a row is on a machine with worse troubles.
	brackets = 5
	// narrowEnough (ns) ends the tries early. Three system calls take about 1 µs on a present-day machine and the
	// uncertainty, half of it, is then below what a network exchange can resolve.
	narrowEnough = 1500
)

// narrowest reads up to tries brackets and returns the one of least width, stopping at the first of at most enough
// ns. Both functions return ns; raw must not run backwards.
func narrowest(raw, wall func() (int64, error), tries int, enough int64) (Reading, error) {
	var best Reading
	before, err := raw()
	if err != nil {
		return best, err
	}
	for i := range tries {
		w, err := wall()
		if err != nil {
			return Reading{}, err
		}
		after, err := raw()
		if err != nil {
			return Reading{}, err
		}
		width := after - before
		if i == 0 || width < best.Width {
			best = Reading{Raw: before + width/2, Wall: w, Width: width}
		}
		if width <= enough {
			break
		}
		before = after
	}
	return best, nil
}

// habit remembers how narrow brackets come on a machine, so that a slow one (system calls of a guest take tens of µs) is not
// read five times at each look in vain.
type habit struct{ finest int64 }

// enough is the width (ns) that ends the tries: a quarter above the finest seen lately.
func (h *habit) enough() int64 { return max(narrowEnough, h.finest+h.finest/4) }

// saw takes in a width (ns). The finest is forgotten slowly, so that a machine that has become slower is found out.
func (h *habit) saw(width int64) {
	if h.finest == 0 || width < h.finest {
		h.finest = width
		return
	}
	h.finest += h.finest / 256
}
