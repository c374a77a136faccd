//go:build !linux

package sysclock

// OpenAlarm makes an alarm that costs as little as this system can.
func OpenAlarm() Alarm { return TimerAlarm() }
