package daemon

import (
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shed gives back what the start has left in memory: the heap's free pages, and those of the program's own file that were read for it.
// What is wanted again comes back from the system's cache of files.
func shed() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return // no loss but memory
	}
	for _, m := range unwritten(string(maps)) {
		_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, m.from, m.size, unix.MADV_DONTNEED)
	}
}

// mapping is a stretch of this process' memory.
type mapping struct{ from, size uintptr }

// unwritten are the mappings of files, as /proc/self/smaps lists them (proc(5)), that cannot be written to and never were: a loader writes
// addresses into what is read-only later. A page of one's own is in memory or, on a machine that has too little, in the swap.
func unwritten(smaps string) (all []mapping) {
	for line := range strings.Lines(smaps) {
		switch fields := strings.Fields(line); {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"): // the first line of a mapping
			all = append(all, readOnly(fields))
		case len(all) > 0 && len(fields) == 3 && fields[1] != "0" && (fields[0] == "Anonymous:" || fields[0] == "Swap:"):
			all[len(all)-1] = mapping{}
		}
	}
	return slices.DeleteFunc(all, func(m mapping) bool { return m.size == 0 })
}

// readOnly is the mapping of a file that cannot be written to, as its first line tells; of any other, none.
func readOnly(fields []string) mapping {
	if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") || len(fields[1]) != 4 || fields[1][1] != '-' {
		return mapping{}
	}
	low, high, _ := strings.Cut(fields[0], "-")
	from, err := strconv.ParseUint(low, 16, 64)
	if err != nil {
		return mapping{}
	}
	to, err := strconv.ParseUint(high, 16, 64)
	if err != nil || to < from {
		return mapping{}
	}
	return mapping{uintptr(from), uintptr(to - from)}
}
