package sysclock

// KernelState is what the operating system says of its clock to any program that asks, whoever keeps it. ReadKernelState, of every
// operating system's own file, needs no privilege.
type KernelState struct {
	Synchronised bool
	MaxError     int64 // ns: the clock is off by no more, as its keeper says; grows from the last word of that on
}
