package sim

import (
	"fmt"
	"time"
)

// Limits are what a run must keep beside the invariants; 0 means no limit.
type Limits struct {
	Sync      time.Duration // longest time to synchronise
	Max       time.Duration // largest disagreement of settled clocks
	Scatter   time.Duration // largest rms of clocks from their mean
	Rate      float64       // ppm: largest distance of the LAN's rate from Report.DuePPM
	Turn      float64       // ppm: largest change of the LAN's rate from one round to the next
	Polls     float64       // poll intervals after the last fault by which there must be exactly one master
	Contested time.Duration // for so long there may be none or two nevertheless: the trouble never ceases
	Settle    time.Duration // after the last fault until Max holds again for every host that runs
	Beyond    time.Duration // for so long in all may clocks be further from LAN time than their nodes say
	Refuses   bool          // the run is to end without a majority: nobody is steered, and the master says so
}

// Scenario is a story that must come out well, whatever the seed.
type Scenario struct {
	Name   string
	About  string // one sentence for the list
	Build  func(seed uint64) Plan
	Limits Limits
	Paired bool // compared with a run of the same seed without its liars
}

// RunScenario runs a scenario by name. observe, which may be nil, sees a Point each simulated second.
func RunScenario(name string, seed uint64, observe func(Point)) (Report, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s.Run(seed, observe)
		}
	}
	return Report{}, fmt.Errorf("no scenario %q", name)
}

// Run runs the scenario with a seed. observe, which may be nil, sees a Point each simulated second.
func (s Scenario) Run(seed uint64, observe func(Point)) (Report, error) {
	if !s.Paired {
		return RunPlan(s.Build(seed), s.Limits, observe)
	}
	return s.runPaired(seed, observe)
}
