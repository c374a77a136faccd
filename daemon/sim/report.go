package sim

import (
	"fmt"
	"time"
)

// Report is what a run came to.
type Report struct {
	Seed      uint64
	Simulated time.Duration
	Nodes     int

	// TimeToSync is from the start until every host that runs is on LAN time, within a millisecond of each other; negative: never.
	TimeToSync   time.Duration
	Disagreement Disagreement  // of the settled hosts, sampled each simulated second from TimeToSync on
	RMSOffset    time.Duration // of their clocks from their mean
	Compared     int           // samples that had two clocks or more; 0: neither of the two was measured

	LANRatePPM        float64       // LAN time's rate against true time over the second half of the run
	MeanOscillatorPPM float64       // mean error of the oscillators of those present over the same time
	DuePPM            float64       // rate that LAN time should have: that mean, but slowly after a join or a leave
	Rated             time.Duration // how much of that time counts; 0: no rate was measured

	Masters    []Change      // every poll of another host, or under another term, than the one before
	Takeover   []float64     // from a dead master's last poll to the first of the next, in the polls that the last promised
	TurnPPM    float64       // largest change of the LAN's rate from one second to the next, once it was steady
	Steps      int           // clocks stepped by the nodes
	Packets    uint64        // datagrams sent
	Contested  time.Duration // simulated seconds without exactly one master, once Limits.Polls after the last fault are over
	Refused    int           // times a master said that no majority agrees and steered nobody
	Inputs     uint64        // inputs handled by all nodes: what a run costs
	Violations []Violation   // of invariants and limits; empty = the run holds
	Assault    *Assault      // nil on a LAN without an attacker
	TraceHash  uint64        // over every input and effect: the same seed gives the same
}

// Disagreement is the distance of the fastest clock from the slowest.
type Disagreement struct{ Median, P95, P99, Max time.Duration }

// Change is a host's first poll under a term.
type Change struct {
	At   time.Duration
	Host int // index of the member
	Term uint64
}

// Down stands in Point.Offsets for a host that is not there: not started yet, crashed, or asleep.
const Down = time.Duration(-1 << 63)

// Point is the LAN as it truly was at an instant.
type Point struct {
	At      time.Duration
	Offsets []time.Duration // of each host's wall clock from true time, or Down; the receiver may keep the slice
	Master  int             // the host that polled last, −1 before the first poll
}

// Violation says that an invariant or a limit did not hold. It is an error.
type Violation struct {
	Invariant string        // its name, one of the constants
	At        time.Duration // since the start of the run
	Host      int           // index of the member, −1 where it is the whole LAN's
	Seed      uint64
	Detail    string
}

// The invariants.
const (
	OneMaster  = "one master per node and term"
	NoStep     = "no step after the first synchronisation"
	Monotone   = "clocks never go back"
	RateLimit  = "no clock's rate beyond its limit"
	Recovery   = "one master soon after the faults cease"
	Agreement  = "disagreement below its bound"
	Liars      = "lying slaves under a third move nothing"
	Continuity = "LAN rate continuous"
	Bounded    = "clocks within their own bounds"
	Unmoved    = "nothing hostile is obeyed"
	Refusal    = "no majority, no steering, and said so"
	Dated      = "LAN time goes where an operator sets it"
	Limit      = "limits of the scenario"
)

// Error tells the whole of it in a line.
func (v Violation) Error() string {
	who := "LAN"
	if v.Host >= 0 {
		who = fmt.Sprintf("host %d", v.Host)
	}
	return fmt.Sprintf("%s: at %v, %s, seed %d: %s", v.Invariant, v.At, who, v.Seed, v.Detail)
}

// Err returns the first violation, nil if the run holds.
func (r Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	return r.Violations[0]
}
