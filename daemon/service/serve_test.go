package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errTest = errors.New("planted by the test")

// manager is a service manager that keeps what it was told.
type manager struct {
	requests chan asked
	mu       sync.Mutex
	told     []report
	err      error
	ended    chan struct{}
}

// conducted starts a run for a manager, in a bubble of its own time.
func conducted(run func(ctx context.Context, ready func()) error) *manager {
	m := &manager{requests: make(chan asked), ended: make(chan struct{})}
	go func() {
		m.err = conduct(run, m.requests, func(r report) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.told = append(m.told, r)
		})
		close(m.ended)
	}()
	synctest.Wait()
	return m
}

func (m *manager) expect(t *testing.T, what string, want ...report) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(slices.Compact(m.told), want) {
		t.Errorf("%s: told %v, want %v", what, m.told, want)
	}
	m.told = nil
}

// A manager hears that a start goes on, that the service is up, what it asks for, and that the end goes on.
func TestConduct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := conducted(func(ctx context.Context, ready func()) error {
			time.Sleep(2500 * time.Millisecond)
			ready()
			ready()
			<-ctx.Done()
			time.Sleep(1500 * time.Millisecond)
			return errTest
		})
		time.Sleep(2200 * time.Millisecond)
		m.expect(t, "start", report{starting, 0}, report{starting, 1}, report{starting, 2})
		time.Sleep(10 * time.Second)
		m.expect(t, "up", report{up, 0})
		m.requests <- askState
		m.expect(t, "asked", report{up, 0})
		m.requests <- askStop
		m.expect(t, "stop", report{stopping, 0})
		m.requests <- askStop // a shutdown after a stop
		m.expect(t, "stop again", report{stopping, 0})
		time.Sleep(1200 * time.Millisecond)
		m.expect(t, "end", report{stopping, 1})
		<-m.ended
		if !errors.Is(m.err, errTest) {
			t.Errorf("ended with %v", m.err)
		}
	})
}

// A run that hangs is left behind, in bounded time; one that ends by itself ends its service.
func TestConductEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		m := conducted(func(context.Context, func()) error { <-hang; return nil })
		m.requests <- askStop
		begin := time.Now()
		<-m.ended
		if took := time.Since(begin); m.err == nil || took != stopLimit {
			t.Errorf("a run that hangs: %v after %v", m.err, took)
		}
		close(hang)
		m = conducted(func(context.Context, func()) error { return errTest })
		<-m.ended
		if !errors.Is(m.err, errTest) {
			t.Errorf("ended with %v", m.err)
		}
	})
}

// Where no manager started the process the run is called as it is.
func TestServe(t *testing.T) {
	var stderr bytes.Buffer
	err := Serve(t.Context(), false, &stderr, func(ctx context.Context, host Host) error {
		host.Ready()
		_, err := io.WriteString(host.Log(slog.LevelWarn), "x")
		return errors.Join(errTest, err, ctx.Err())
	})
	if !errors.Is(err, errTest) || stderr.String() != "x" {
		t.Errorf("Serve gave %v, wrote %q", err, &stderr)
	}
}
