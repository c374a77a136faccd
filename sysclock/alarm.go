package sysclock

import (
	"math"
	"time"
)

// Alarm wakes a goroutine when something is due.
type Alarm interface {
	// Set has it ring once, when d is over, and not as it was set before.
	Set(d time.Duration) error
	Rings() <-chan struct{}
	// Watch has it ring, until it is closed; it is for a goroutine of its own.
	Watch()
	Close() error
}

// bell rings for who may not listen just then: once, however often it rang.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

// Rings is heard once, however often it rang.
func (b bell) Rings() <-chan struct{} { return b }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

type timerAlarm struct {
	bell
	timer *time.Timer
}

// TimerAlarm is one of Go's timers.
func TimerAlarm() Alarm {
	b := newBell()
	return &timerAlarm{b, time.AfterFunc(math.MaxInt64, b.ring)}
}

func (a *timerAlarm) Set(d time.Duration) error {
	a.timer.Reset(d)
	return nil
}

// Watch has nothing to do: the runtime rings.
func (a *timerAlarm) Watch() {}

func (a *timerAlarm) Close() error {
	a.timer.Stop()
	return nil
}
