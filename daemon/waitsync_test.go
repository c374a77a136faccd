package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/sysclock"
)

// What the kernel says decides, and the time that was given ends the wait with why it was in vain.
func TestWaitSync(t *testing.T) {
	const ms = int64(time.Millisecond)
	unkept := sysclock.KernelState{MaxError: 16000 * ms}
	coarse, fine := sysclock.KernelState{Synchronised: true, MaxError: 101 * ms}, sysclock.KernelState{Synchronised: true, MaxError: 100 * ms}
	for name, tt := range map[string]struct {
		says  []sysclock.KernelState // second by second; the last stays
		takes time.Duration          // 0 = in vain
		says2 string
	}{
		"at once":                {says: []sysclock.KernelState{fine}, takes: time.Nanosecond},
		"after a while":          {says: []sysclock.KernelState{unkept, coarse, fine}, takes: 2 * time.Second},
		"never kept":             {says: []sysclock.KernelState{unkept}, says2: "nobody keeps it"},
		"small error, not kept":  {says: []sysclock.KernelState{{MaxError: ms}}, says2: "nobody keeps it"},
		"never well enough kept": {says: []sysclock.KernelState{coarse}, says2: "to within 100ms: it may be off by 101ms"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			off, err := waitSync(ctx, 100*time.Millisecond, func() (sysclock.KernelState, error) {
				return tt.says[min(int(time.Since(began)/time.Second), len(tt.says)-1)], nil
			})
			took := time.Since(began)
			if tt.takes == 0 {
				if !errors.Is(err, ErrNotSynchronised) || !strings.Contains(err.Error(), tt.says2) || took != 10*time.Second {
					t.Errorf("%s: %v after %v", name, err, took)
				}
			} else if err != nil || off != 100*time.Millisecond || took > tt.takes+syncEvery || took < tt.takes-time.Second {
				t.Errorf("%s: off by %v, %v, after %v", name, off, err, took)
			}
		})
	}
	if _, err := waitSync(t.Context(), time.Second, func() (sysclock.KernelState, error) { return sysclock.KernelState{}, errTest }); !errors.Is(err, errTest) {
		t.Errorf("a kernel that says nothing: %v", err)
	}
}
