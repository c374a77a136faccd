//go:build !linux

package daemon

import "runtime/debug"

// shed gives back the heap's pages that the start has left free.
func shed() { debug.FreeOSMemory() }
