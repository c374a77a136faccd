package daemon

import (
	"os"
	"slices"
	"testing"
)

// Only what a file can bring back is given back.
func TestUnwritten(t *testing.T) {
	const smaps = `00400000-00b62000 r-xp 00000000 fd:00 123                        /usr/bin/meantime
Size:               7560 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00b62000-0142a000 r--p 00762000 fd:00 123                        /usr/bin/meantime
Anonymous:             4 kB
00b62000-00b63000 r--p 00762000 fd:00 123                        /usr/lib/x86_64-linux-gnu/libc.so.6
Anonymous:             0 kB
Swap:                  4 kB
SwapPss:               4 kB
0142a000-0149c000 rw-p 0102a000 fd:00 123                        /usr/bin/meantime
Anonymous:             0 kB
24ceb7400000-24ceb7800000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f6742dee000-7f6742df0000 r-xp 00000000 00:00 0                  [vdso]
Anonymous:             0 kB
2000-1000 r--p 00000000 fd:00 124                                /usr/share/zoneinfo/Europe/Rome
Anonymous:             0 kB
x-y r--p 00000000 fd:00 124                                /nonsense
Anonymous:             0 kB
1000-2000 r--p 00000000 fd:00 124                                /srv/a b (deleted)
Anonymous:             0 kB
`
	if got, want := unwritten(smaps), []mapping{{0x400000, 0x762000}, {0x1000, 0x1000}}; !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
	own, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	if shed(); len(unwritten(string(own))) == 0 { // a program that has lost too much does not come back
		t.Error("none of this program's own file")
	}
}
