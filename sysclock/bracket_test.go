package sysclock

import (
	"errors"
	"testing"
)

// script plays clock readings from a list.
func script(values ...int64) func() (int64, error) {
	return func() (int64, error) {
		if len(values) == 0 {
			return 0, errors.New("script ended")
		}
		v := values[0]
		values = values[1:]
		return v, nil
	}
}

func TestNarrowest(t *testing.T) {
	for _, c := range []struct {
		name      string
		raw, wall []int64
		want      Reading
	}{
		{"first is good", []int64{100, 100 + narrowEnough}, []int64{7},
			Reading{Raw: 100 + narrowEnough/2, Wall: 7, Width: narrowEnough}},
		{"preempted first", []int64{0, 900_000, 900_400}, []int64{7, 8}, Reading{Raw: 900_200, Wall: 8, Width: 400}},
		{"best of five", []int64{0, 9000, 15_000, 22_000, 30_000, 36_500}, []int64{1, 2, 3, 4, 5},
			Reading{Raw: 12_000, Wall: 2, Width: 6000}},
	} {
		got, err := narrowest(script(c.raw...), script(c.wall...), brackets, narrowEnough)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	if _, err := narrowest(script(1, 2), script(), 5, 500); err == nil {
		t.Error("a clock that cannot be read gave a reading")
	}
	if _, err := narrowest(script(), script(1), 5, 500); err == nil {
		t.Error("an oscillator that cannot be read gave a reading")
	}
	if _, err := narrowest(script(1), script(1), 5, 500); err == nil {
		t.Error("an oscillator that fails later gave a reading")
	}
}

func TestHabitLearnsAndForgets(t *testing.T) {
	var h habit
	if h.enough() != narrowEnough {
		t.Errorf("at first enough is %d", h.enough())
	}
	for _, w := range []int64{90_000, 80_000, 200_000} {
		h.saw(w)
	}
	if e := h.enough(); e < 100_000 || e > 101_000 {
		t.Errorf("after a finest of 80 µs enough is %d ns, want a quarter more", e)
	}
	for range 1000 {
		h.saw(900_000)
	}
	if h.enough() < 900_000 {
		t.Errorf("a machine that has become slower is still held to %d ns", h.enough())
	}
}
