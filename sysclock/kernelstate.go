package sysclock

// KernelState is what the operating system says of its clock to any program that asks, whoever keeps it. ReadKernelState, of every
// operating system's own file, needs no privilege.
type KernelState struct {
	Synchronised bool
	MaxError     int64 // ns: the clock is off by no more, as its keeper says; grows from the last word of that on

	Frequency float64 // fractional correction of the oscillator in force, whoever has written it
	Rest      int64   // ns that the kernel is still slewing the clock by
	Leap      int     // seconds that it will insert (1) or leave out (-1) at the end of the day
}

// leapOf is what two flags of a kernel's say about the leap second of the day.
func leapOf(insert, leaveOut bool) int {
	switch {
	case insert:
		return 1
	case leaveOut:
		return -1
	}
	return 0
}
