//go:build unix && !linux

package confine

// NoCoreDumps keeps a crash from leaving this process' memory in a file. Who may trace the process still sees it.
func NoCoreDumps() error { return noCores() }
