// Package sim is a deterministic LAN: virtual time, virtual oscillators and a virtual network around the very node that
// runs on real sockets and real clocks.
//
// One goroutine, one seed, one heap of events: the same Plan gives the same run to the last nanosecond, and a run is
// thousands of times faster than the LAN it stands for. Truth is at hand, so a clock's true error is a subtraction.
package sim
