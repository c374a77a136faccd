package service

import (
	"context"
	"fmt"
	"runtime"

	kardianos "github.com/kardianos/service"
)

// Serve calls run under whatever started the process. Windows' service manager must be answered in its own protocol;
// everywhere else the process is plain, and ctx ends by a signal.
func Serve(ctx context.Context, run func(context.Context) error) error {
	if runtime.GOOS != "windows" || kardianos.Interactive() {
		return run(ctx)
	}
	p := &program{run: run}
	s, err := kardianos.New(p, &kardianos.Config{Name: Name, DisplayName: displayName, Description: description})
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	if err := s.Run(); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return p.err
}

// program is what the service manager starts and stops.
type program struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read after done is closed
}

// Start returns at once, as the service manager wants.
func (p *program) Start(s kardianos.Service) error {
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	go func() {
		p.err = p.run(ctx)
		close(p.done)
		if ctx.Err() == nil { // it ended by itself: tell the service manager
			_ = s.Stop()
		}
	}()
	return nil
}

// Stop ends the run and waits for it.
func (p *program) Stop(kardianos.Service) error {
	p.cancel()
	<-p.done
	return nil
}
