//go:build darwin || freebsd

package sysclock

// ReadKernelState asks ntp_adjtime(2).
func ReadKernelState() (KernelState, error) {
	if err := growError(); err != nil {
		return KernelState{}, err
	}
	var tx bsdTimex
	if err := (bsdCalls{}).ntpAdjtime("read", &tx); err != nil {
		return KernelState{}, err
	}
	return tx.kernelState(), nil
}
