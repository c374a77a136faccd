package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
	"meantime/sysclock"
)

// oracle is a daemon that says one thing after the other, second by second; the last stays.
type oracle struct {
	control.Source
	began time.Time
	says  []any // a control.Status or an error
}

func (d oracle) Status(ctx context.Context) (control.Status, error) {
	if ctx.Err() != nil {
		return control.Status{}, fmt.Errorf("broken off: %w", ctx.Err())
	}
	switch now := d.says[min(int(time.Since(d.began)/time.Second), len(d.says)-1)].(type) {
	case error:
		return control.Status{}, now
	case control.Status:
		return now, nil
	}
	panic("a test's daemon says something else")
}

// The daemon's word decides, and where there is none the kernel's; the time that was given ends the wait with why it was in vain.
func TestWaitSync(t *testing.T) {
	const ms = int64(time.Millisecond)
	unkept := sysclock.KernelState{MaxError: 16000 * ms}
	coarse, fine := sysclock.KernelState{Synchronised: true, MaxError: 101 * ms}, sysclock.KernelState{Synchronised: true, MaxError: 100 * ms}
	is := func(state string, bound time.Duration) control.Status {
		return control.Status{State: state, Bound: new(control.SecondsOf(bound))}
	}
	gone, closed := fmt.Errorf("%w at /s", control.ErrNoDaemon), fmt.Errorf("%w at /s", control.ErrForbidden)
	following, far := is("following", 100*time.Millisecond), is("following", 101*time.Millisecond)
	for name, tt := range map[string]struct {
		daemon []any
		kernel *sysclock.KernelState
		takes  time.Duration // whole seconds; 10 s = in vain
		wrong  error
		text   string // of the error, or who said it
	}{
		"at once":               {[]any{following}, nil, 0, nil, "daemon"},
		"a master":              {[]any{is("keeping", 0)}, nil, 0, nil, "daemon"},
		"after a while":         {[]any{is("joining", 0), far, following}, nil, 2 * time.Second, nil, "daemon"},
		"a daemon that comes":   {[]any{gone, gone, following}, &unkept, 2 * time.Second, nil, "daemon"},
		"it knows better":       {[]any{is("holdover", 0)}, &fine, 10 * time.Second, ErrNotSynchronised, "the daemon is holdover"},
		"never close":           {[]any{far}, &fine, 10 * time.Second, ErrNotSynchronised, "to within 100ms: it may be off by 101ms (`meantime status`"},
		"no bound":              {[]any{control.Status{State: "following"}}, nil, 10 * time.Second, ErrNotSynchronised, "following"},
		"the kernel says":       {[]any{gone}, &fine, 0, nil, "kernel"},
		"the kernel says, too":  {[]any{closed}, &fine, 0, nil, "kernel"},
		"nobody keeps it":       {[]any{gone}, &unkept, 10 * time.Second, control.ErrNoDaemon, "no meantime answers at /s, and to the kernel nobody"},
		"small error, not kept": {[]any{gone}, &sysclock.KernelState{MaxError: ms}, 10 * time.Second, control.ErrNoDaemon, "nobody keeps it"},
		"another keeps it":      {[]any{gone}, &coarse, 10 * time.Second, ErrNotSynchronised, "off by 101ms (the kernel says so: no meantime"},
		"that daemon or none":   {[]any{gone}, nil, 10 * time.Second, control.ErrNoDaemon, "at /s"},
		"no word for this user": {[]any{closed}, nil, 0, control.ErrForbidden, "at /s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := syncWait{within: 100 * time.Millisecond, daemon: oracle{began: time.Now(), says: tt.daemon}}
			if tt.kernel != nil {
				w.kernel = func() (sysclock.KernelState, error) { return *tt.kernel, nil }
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			s, err := w.wait(ctx)
			if took := time.Since(began); took < tt.takes || took > tt.takes+syncEvery {
				t.Errorf("%s: after %v, want %v", name, took, tt.takes)
			}
			if tt.wrong == nil && (err != nil || s.Says != tt.text || s.Off > 100*time.Millisecond) {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
			if tt.wrong != nil && (!errors.Is(err, tt.wrong) || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// Where the kernel cannot be asked, as on Windows, a daemon is waited for, and a socket that is closed to this user is told at once.
func TestWaitSyncWithoutKernel(t *testing.T) {
	for want, daemon := range map[error][]any{control.ErrForbidden: {control.ErrForbidden}, nil: {control.ErrNoDaemon, control.Status{State: "keeping", Bound: new(control.Seconds)}}} {
		synctest.Test(t, func(t *testing.T) {
			w := syncWait{within: time.Second, daemon: oracle{began: time.Now(), says: daemon}, kernel: func() (sysclock.KernelState, error) {
				return sysclock.KernelState{}, sysclock.ErrUnsupported
			}}
			if s, err := w.wait(t.Context()); !errors.Is(err, want) || want == nil && s.Says != "daemon" {
				t.Errorf("%+v, %v, want %v", s, err, want)
			}
		})
	}
}
