package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Host is what started the process and wants to hear from it.
type Host struct {
	Log func(slog.Level) io.Writer // where lines of a level go
	// Plain says that Log keeps neither time nor level of a line by itself.
	Plain bool
	Ready func() // to be called once the service is up
}

// Serve calls run under whatever started the process. Windows' service manager must be answered in its own protocol, and has a log of its
// own; it says managed, as Install has told it to. Everywhere else the process is plain, its log goes to standard error, and ctx
// ends by a signal.
func Serve(ctx context.Context, managed bool, stderr io.Writer, run func(context.Context, Host) error) error {
	plain := Host{Log: func(slog.Level) io.Writer { return stderr }, Plain: true, Ready: func() {}}
	if managed {
		return answer(run, plain)
	}
	return run(ctx, plain)
}

// phase is what a service manager believes of its service.
type phase int

const (
	starting phase = iota
	up
	stopping
)

// report is what a service manager is told: a phase, and how far it has got. One that gets no further is given up.
type report struct {
	phase phase
	step  uint32
}

const (
	// stepEvery is how often a service manager hears that a start or an end goes on; it is told to wait for three.
	stepEvery = time.Second
	// stopLimit is how long a run may take to end before the process ends without it: a node takes leave within a second.
	stopLimit = 15 * time.Second
)

// asked is what a service manager asks for.
type asked int

const (
	askState asked = iota
	askStop
)

// conduct runs a service for its manager: it tells how far it has got, answers what is asked, and ends the run when it is asked to.
func conduct(run func(ctx context.Context, ready func()) error, requests <-chan asked, tell func(report)) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, func() {
			select {
			case ready <- struct{}{}:
			default: // known already
			}
		})
	}()
	now := report{phase: starting}
	tell(now)
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-late:
			return fmt.Errorf("not at its end %v after it was asked to stop: ended without", stopLimit)
		case <-ready:
			if now.phase == starting {
				now = report{phase: up}
			}
		case request := <-requests:
			if request == askStop && now.phase != stopping {
				now, late = report{phase: stopping}, time.After(stopLimit)
				cancel()
			}
		case <-tick.C:
			if now.phase == up {
				continue
			}
			now.step++
		}
		tell(now)
	}
}
