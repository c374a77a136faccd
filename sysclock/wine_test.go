//go:build windows

package sysclock

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// TestWine opens, reads and steers the clock of wine, whose calls set nothing: what is missing is said, and that nothing follows is
// noticed. Elsewhere it would set a real clock.
func TestWine(t *testing.T) {
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() != nil {
		t.Skip("this is no wine, but a Windows with a clock")
	}
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	findings := func() []string { return c.(Finder).Findings() }
	if found := findings(); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, preciseName+" is missing") }) {
		t.Errorf("found %q", found)
	}
	first, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	r, err := c.Read()
	if err != nil || r.Raw-first.Raw < 1e8 || r.Wall-first.Wall < 1e8-1e6 || time.Since(time.Unix(0, r.Wall)).Abs() > time.Second {
		t.Errorf("read %+v and %+v, %v", first, r, err)
	}
	err = c.Steer(Steering{Frequency: 20e-6, Phase: 100_000, MaxSlew: 5e-4})
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "no effect") {
		t.Errorf("a stub was steered: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if found := findings(); len(found) != 1 || !strings.Contains(found[0], "handed back") {
		t.Errorf("at the end found %q", found)
	}
	if slept, err := c.(Sleeper).Slept(); err != nil || time.Duration(slept).Abs() > 20*time.Millisecond {
		t.Errorf("slept %d, %v", slept, err)
	}
}
