// Package sim is a deterministic LAN: virtual time, virtual oscillators and a virtual network around the very node that
// runs on real sockets and real clocks.
//
// One goroutine, one seed, one heap of events: the same Plan gives the same run to the last nanosecond, and a run is
// thousands of times faster than the LAN it stands for. Truth is at hand, so a clock's true error is a subtraction.
//
// A Plan says what the LAN is and what befalls it; Options are a planner's short form of one, Draw makes one at random, and each Scenario
// builds one and holds it to Limits. A run is judged by its invariants as it goes on (invariant.go: at every input; record.go: at every
// simulated second), and its Report tells what came of it.
//
// Not modelled: name service, interfaces (each host has one), address families, authentication's cost in time, and a processor that is
// too slow for its packets. Timers run on each host's own oscillator.
package sim
