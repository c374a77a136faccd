package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meantime/sysclock"
)

// syncEvery is between two looks at what the kernel says of its clock. One costs 1 µs.
const syncEvery = 200 * time.Millisecond

// ErrNotSynchronised says that the clock was not kept, or not well enough, in the time that was given.
var ErrNotSynchronised = errors.New("the clock is not synchronised")

// WaitSync waits until the kernel says that its clock is kept and off by no more than within, and returns by how much it may be off
// then. It takes the kernel's word, whoever keeps the clock, so it needs no privilege and no daemon that answers.
func WaitSync(ctx context.Context, within time.Duration) (off time.Duration, err error) {
	return waitSync(ctx, within, sysclock.ReadKernelState)
}

func waitSync(ctx context.Context, within time.Duration, read func() (sysclock.KernelState, error)) (time.Duration, error) {
	look := time.NewTicker(syncEvery)
	defer look.Stop()
	for {
		s, err := read()
		if err != nil {
			return 0, err
		}
		off := time.Duration(s.MaxError)
		if s.Synchronised && off <= within {
			return off, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			if s.Synchronised {
				return off, fmt.Errorf("%w to within %v: it may be off by %v (`meantime service logs` shows what the LAN does)",
					ErrNotSynchronised, within, off)
			}
			return off, fmt.Errorf("%w: nobody keeps it, or does not say so (`meantime service status` shows whether meantime runs)",
				ErrNotSynchronised)
		}
	}
}
