package daemon

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged runs f as somebody to whom the permissions of files apply: root gives up its thread's rights to files.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	const nobody = 65534
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_, _ = unix.SetfsuidRetUid(nobody)
		if now, _ := unix.SetfsuidRetUid(nobody); now != nobody { // which tells what it was, whatever it is given
			t.Error("cannot become somebody else")
			return
		}
		f()
	}()
	<-done
}
