package sysclock

import (
	"testing"

	"golang.org/x/sys/windows"
)

// ownClock refuses wine, whose SetSystemTime sets the clock of the machine that it runs on.
func ownClock(t *testing.T) {
	t.Helper()
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		t.Fatal("the contract writes to no clock under wine, which has none of its own: refused")
	}
}

// writesReal writes as another program does.
func writesReal(t *testing.T, b *bed) {
	b.settle = maxTurn + minTurn
	b.write = func() error {
		api := b.clock.(*adjuster).api
		value, _, _, err := api.adjustment()
		if err != nil {
			return err
		}
		return api.setAdjustment(value+5, false)
	}
	b.set = func(ns int64) error {
		r, err := readHost(narrowEnough)
		if err != nil {
			return err
		}
		return b.clock.(*adjuster).api.setTime(nearestMilli(r.Wall + ns))
	}
}
