package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/sysclock"
)

// syncEvery is between two looks at how a clock does. One costs the daemon nothing, since its answers are kept for half as long, and
// the kernel 1 µs.
const syncEvery = 200 * time.Millisecond

// ErrNotSynchronised says that the clock was not kept, or not well enough, in the time that was given.
var ErrNotSynchronised = errors.New("the clock is not synchronised")

// Synced is by how much a clock that is kept may be off.
type Synced struct {
	Off  time.Duration
	Says string // who says so: daemon, or kernel
	Dry  bool   // it is the virtual clock of a dry run
}

// WaitSync waits until the clock is kept and off by no more than within, as the daemon says: that it is on LAN time, and how far from it
// at most. Where alone is false and no daemon answers, or not to this user, the kernel's word is taken, whoever keeps its clock.
func WaitSync(ctx context.Context, within time.Duration, daemon control.Source, alone bool) (Synced, error) {
	w := syncWait{within: within, daemon: daemon}
	if !alone {
		w.kernel = sysclock.ReadKernelState
	}
	return w.wait(ctx)
}

// syncWait is whom a wait asks.
type syncWait struct {
	within time.Duration
	daemon control.Source
	kernel func() (sysclock.KernelState, error) // nil = not asked
}

func (w syncWait) wait(ctx context.Context) (Synced, error) {
	look := time.NewTicker(syncEvery)
	defer look.Stop()
	var why error
	for {
		s, not, last := w.look(ctx)
		if not == nil || last {
			return s, not
		}
		if why == nil || ctx.Err() == nil { // a question that was broken off tells nothing
			why = not
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return s, why
		}
	}
}

// look asks once: how the clock does, why that is not enough, and whether waiting is in vain.
func (w syncWait) look(ctx context.Context) (s Synced, not error, last bool) {
	a, err := w.daemon.Status(ctx)
	if err == nil {
		s, not = w.daemonWord(a)
		return s, not, false
	}
	if w.kernel == nil || ctx.Err() != nil { // the end of the time is no daemon's absence
		return s, err, ctx.Err() == nil && errors.Is(err, control.ErrForbidden)
	}
	k, kernelErr := w.kernel()
	if kernelErr != nil {
		return s, err, errors.Is(err, control.ErrForbidden)
	}
	s, not = w.kernelWord(k, err)
	return s, not, false
}

// daemonWord takes the daemon's word.
func (w syncWait) daemonWord(a control.Status) (Synced, error) {
	s := Synced{Says: "daemon", Dry: a.DryRun}
	if state := node.State(a.State); state != node.StateKeeping && state != node.StateFollowing || a.Bound == nil {
		return s, fmt.Errorf("%w: the daemon is %s (`meantime status` shows why)", ErrNotSynchronised, a.State)
	}
	s.Off = a.Bound.Duration()
	return s, w.enough(s, "`meantime status` shows how the LAN does")
}

// kernelWord takes the kernel's, for want of a daemon's.
func (w syncWait) kernelWord(k sysclock.KernelState, noDaemon error) (Synced, error) {
	s := Synced{Says: "kernel", Off: time.Duration(k.MaxError)}
	if !k.Synchronised {
		return s, fmt.Errorf("%w: %w, and to the kernel nobody keeps it", ErrNotSynchronised, noDaemon)
	}
	return s, w.enough(s, "the kernel says so: "+noDaemon.Error())
}

// enough is nil where a clock that is kept is off by little enough.
func (w syncWait) enough(s Synced, more string) error {
	if s.Off <= w.within {
		return nil
	}
	return fmt.Errorf("%w to within %v: it may be off by %v (%s)", ErrNotSynchronised, w.within, s.Off, more)
}
