//go:build darwin || freebsd

package sysclock

// ReadKernelState asks ntp_adjtime(2).
func ReadKernelState() (KernelState, error) {
	var tx bsdTimex
	if err := ntpAdjtime("read", &tx); err != nil {
		return KernelState{}, err
	}
	return KernelState{Synchronised: tx.status&staUnsync == 0, MaxError: int64(tx.maxerror) * 1000}, nil
}
