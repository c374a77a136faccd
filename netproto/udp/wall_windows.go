package udp

import "golang.org/x/sys/windows"

// wallNow reads the system clock in ns since the Unix epoch. Package time shows it only as of the last timer tick,
// up to 15.6 ms ago.
func wallNow() int64 {
	var ft windows.Filetime
	windows.GetSystemTimePreciseAsFileTime(&ft)
	return ft.Nanoseconds()
}
