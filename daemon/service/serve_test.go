package service

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	kardianos "github.com/kardianos/service"
)

var errTest = errors.New("planted by the test")

// stopper is a service manager that is asked to stop.
type stopper struct {
	kardianos.Service
	program *program
	asked   int
}

func (m *stopper) Stop() error {
	m.asked++
	return m.program.Stop(m)
}

// Start returns at once; Stop ends the run and waits for it.
func TestServiceStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := false
		p := &program{run: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // what is left to do
			finished = true
			return errTest
		}}
		m := &stopper{program: p}
		if err := p.Start(m); err != nil || finished {
			t.Fatalf("Start: %v, finished %v", err, finished)
		}
		if err := p.Stop(m); err != nil || !finished || !errors.Is(p.err, errTest) {
			t.Errorf("Stop: %v, finished %v, run gave %v", err, finished, p.err)
		}
		synctest.Wait()
		if m.asked != 0 {
			t.Error("the manager that stopped the service was asked to stop it")
		}
	})
}

// A run that ends by itself tells the manager.
func TestServiceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{run: func(context.Context) error { return errTest }}
		m := &stopper{program: p}
		if err := p.Start(m); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if m.asked != 1 || !errors.Is(p.err, errTest) {
			t.Errorf("asked %d times, run gave %v", m.asked, p.err)
		}
	})
}

// Where there is no manager's protocol the run is called as it is.
func TestServe(t *testing.T) {
	if runtime.GOOS == "windows" && !kardianos.Interactive() {
		t.Skip("the test itself runs as a service")
	}
	if err := Serve(t.Context(), func(ctx context.Context) error { return errors.Join(errTest, ctx.Err()) }); !errors.Is(err, errTest) {
		t.Errorf("Serve gave %v", err)
	}
}
