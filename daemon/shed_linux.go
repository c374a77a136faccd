package daemon

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shed gives back what the start has left in memory: the heap's free pages, and the pages of the program's own file that were read for it. What
// is wanted again comes back from the system's cache of files, a page at a time.
func shed() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return // no loss but memory
	}
	for line := range strings.Lines(string(maps)) {
		if from, size, ok := readOnlyFile(line); ok {
			_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, from, size, unix.MADV_DONTNEED)
		}
	}
}

// readOnlyFile is where a line of /proc/self/maps says that a file lies which nobody can have written to: proc_pid_maps(5).
func readOnlyFile(line string) (from, size uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") || len(fields[1]) != 4 || fields[1][1] != '-' {
		return 0, 0, false
	}
	low, high, _ := strings.Cut(fields[0], "-")
	begin, err := strconv.ParseUint(low, 16, 64)
	if err != nil {
		return 0, 0, false
	}
	end, err := strconv.ParseUint(high, 16, 64)
	if err != nil || end < begin {
		return 0, 0, false
	}
	return uintptr(begin), uintptr(end - begin), true
}
