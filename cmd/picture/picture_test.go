package picture

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestScale: offsets are linear near nothing and a step for each power of ten beyond.
func TestScale(t *testing.T) {
	for _, c := range []struct {
		linear, offset time.Duration
		want           float64
	}{
		{time.Microsecond, 0, 0}, {time.Microsecond, 500, 0.5}, {time.Microsecond, time.Microsecond, 1},
		{time.Microsecond, 10 * time.Microsecond, 2}, {time.Microsecond, time.Second, 7},
		{time.Microsecond, -500, -0.5}, {time.Microsecond, -time.Millisecond, -4},
		{10 * time.Microsecond, 10 * time.Microsecond, 1}, {10 * time.Microsecond, -5 * time.Microsecond, -0.5},
		{10 * time.Microsecond, time.Millisecond, 3},
	} {
		if got := (Scale{c.linear}).Height(float64(c.offset)); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v stands at %v, want %v", c.offset, got, c.want)
		}
	}
	scale := Scale{time.Microsecond}
	ticks := scale.ticks(math.Ceil(scale.Height(float64(30 * time.Minute))))
	if last := ticks[len(ticks)-2]; last.Value != 11 || strings.TrimSpace(last.Label) != "+10000 s" {
		t.Errorf("half an hour ends at %v", last)
	}
}

// TestClocksHaveColors: as many of their own as is said.
func TestClocksHaveColors(t *testing.T) {
	seen := map[Color]bool{}
	for i := range 2 * Colors {
		seen[Clock(i)] = true
	}
	if len(seen) != Colors || len(clocks) != Colors {
		t.Errorf("%d colours of %d, want %d", len(seen), len(clocks), Colors)
	}
}
