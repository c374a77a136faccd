package sysclock

import (
	"testing"
	"time"
)

// Either kind rings when it was set to last, also at once and more than once, and is done when it is closed.
func TestAlarm(t *testing.T) {
	for _, a := range []Alarm{OpenAlarm(), TimerAlarm()} {
		over := make(chan struct{})
		go func() { defer close(over); a.Watch() }()
		for _, set := range [][]time.Duration{{time.Millisecond}, {0}, {-time.Second}, {time.Hour, time.Millisecond}} {
			for _, d := range set {
				if err := a.Set(d); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-a.Rings():
			case <-time.After(10 * time.Second):
				t.Fatalf("%T: no ring after %v", a, set)
			}
		}
		if err := a.Set(time.Hour); err != nil {
			t.Fatal(err)
		}
		select {
		case <-a.Rings():
			t.Errorf("%T: a ring an hour too early", a)
		default:
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		<-over
	}
}
