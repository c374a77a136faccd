//go:build !linux

package daemon

import (
	"os"
	"runtime"
	"testing"
)

// unprivileged runs f as somebody to whom the permissions of files apply.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("the permissions of files do not apply here")
	}
	f()
}
