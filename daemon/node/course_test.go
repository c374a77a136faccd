package node

import (
	"math"
	"testing"
	"time"
)

// steered is a clock on a course as an operating system slews it: straight on for a second after each order. It returns what it still has to
// go (ns) at each tenth of a second from the course's beginning on. It is steered so late (in tenths), and began with lag (ns) more to go.
func steered(t *testing.T, c course, late int, lag int64, seconds int) (left []int64) {
	t.Helper()
	const fastest = 0.1
	phase, pace := c.left+lag, 0.0
	for tenth := range 10 * seconds {
		at := c.from + int64(tenth)*100_000_000
		left = append(left, phase)
		if tenth%10 == late%10 && tenth >= late {
			rate, ok := c.rate(at, phase)
			if pace = min(max(rate, 0), fastest); !ok {
				pace = min(fastest, math.Abs(float64(phase))/1e9)
			}
		}
		step := min(pace*100_000_000, math.Abs(float64(phase)))
		if phase -= int64(math.Copysign(step, float64(phase))); step < 0 {
			t.Fatalf("at %d the clock goes back", tenth)
		}
	}
	return left
}

// TestClocksOnACourseStayTogether: however they are steered, two clocks are within a millisecond from the beginning to the end, forward and
// backward, and then stand where they were to go.
func TestClocksOnACourseStayTogether(t *testing.T) {
	for _, left := range []time.Duration{90 * time.Second, -90 * time.Second, 900 * time.Millisecond, -3 * time.Millisecond} {
		c := course{left: int64(left), from: wallStart, pace: 0.0875}
		seconds := int(c.takes()/time.Second) + 60
		a := steered(t, c, 0, 0, seconds)
		worst := int64(0)
		for late := range 10 {
			for i, x := range steered(t, c, late, 0, seconds) {
				if i > 600 { // who is steered later catches up within a minute
					worst = max(worst, x-a[i], a[i]-x)
				}
			}
		}
		t.Logf("%v takes %v, apart by %v", left, c.takes().Round(time.Second), time.Duration(worst))
		if last := a[len(a)-1]; worst > 1e6 || max(last, -last) > 1000 {
			t.Errorf("%v: apart by %v, %v left at the end", left, time.Duration(worst), time.Duration(last))
		}
	}
}

// TestWhoIsBehindCatchesUp: a clock that has a quarter of a second more to go is on the course before its end.
func TestWhoIsBehindCatchesUp(t *testing.T) {
	c := course{left: int64(15 * time.Second), from: wallStart, pace: (1 - spare) * 0.1}
	on, behind := steered(t, c, 0, 0, 120), steered(t, c, 0, 250_000_000, 120)
	if d := behind[len(behind)-1] - on[len(on)-1]; max(d, -d) > 1e6 {
		t.Errorf("%v behind after two minutes", time.Duration(d))
	}
}

// TestCourseIsContinuous: it begins with all that is left and never goes back, at no more than its pace, to nothing.
func TestCourseIsContinuous(t *testing.T) {
	for _, c := range []course{
		{left: int64(90 * time.Second), pace: 0.0875}, {left: -int64(time.Hour), pace: 437.5e-6}, {left: 1, pace: 1e-6},
		{left: 1 << 61, pace: 0.1}, {left: -5_000_000, pace: 0.0875},
	} {
		if got := c.rest(c.from - 1e9); got != c.left {
			t.Errorf("%+v: %d before its beginning", c, got)
		}
		most := int64(c.pace*1e9*0.25) + 1000
		for at, last := c.from, c.left; last != 0 && at < c.from+int64(10*time.Minute); at += 250_000_000 {
			rest := c.rest(at)
			if gone := max(last, -last) - max(rest, -rest); gone < 0 || gone > most+abs(c.left)>>50 {
				t.Fatalf("%+v: %d goes in a quarter of a second, at most %d", c, gone, most)
			}
			last = rest
		}
		if end := c.rest(c.from + int64(c.takes()) + 1e6); end != 0 && c.takes() < math.MaxInt64/4 {
			t.Errorf("%+v: %d left after %v", c, end, c.takes())
		}
	}
	if (course{}).rest(5) != 0 || (course{}).takes() != 0 {
		t.Error("no course leads somewhere")
	}
}

func abs(v int64) int64 { return max(v, -v) }
