//go:build unix && !linux

package udp

import "time"

// wallNow reads the clock that the kernel stamps packets by, CLOCK_REALTIME, in ns since the Unix epoch.
func wallNow() int64 { return time.Now().UnixNano() }
