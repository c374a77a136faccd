package sysclock

import (
	"errors"
	"testing"
)

// A trial writes the frequency alone, and its end puts back what was found, to the last bit.
func TestShiftBSD(t *testing.T) {
	k := newFakeBSD(darwinKind)
	k.state.freq, k.state.maxerror = -1_234_567, 77
	before := k.state
	c, err := openBSD(k, k.kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(Shifter).Shift(100e-6); err != nil || k.state.freq != -1_234_567+100<<16 {
		t.Errorf("frequency %d, %v", k.state.freq, err)
	}
	if err := errors.Join(c.(Shifter).Shift(0), c.Close()); err != nil || k.state != before {
		t.Errorf("%v; after %+v\nbefore %+v", err, k.state, before)
	}
	k = newFakeBSD(freebsdKind)
	if c, err = openBSD(k, k.kind); err != nil {
		t.Fatal(err)
	}
	if err := c.(Shifter).Shift(100e-6); !errors.Is(err, ErrUnsupported) || k.state.freq != 0 {
		t.Errorf("an oscillator that is rebuilt: %v, frequency %d", err, k.state.freq)
	}
}

func TestShiftWindows(t *testing.T) {
	for _, found := range []fakeWindows{
		{value: 156_250, nominal: 156_250, disabled: true}, {value: 156_260, nominal: 156_250}, {value: 156_999, nominal: 156_250, disabled: true},
	} {
		w := found
		a, err := newAdjuster("fake", &w)
		if err != nil {
			t.Fatal(err)
		}
		want := found.value + 16 // 100 ppm of the nominal value
		if found.disabled {
			want = found.nominal + 16
		}
		if err := a.Shift(100e-6); err != nil || w.value != want || w.disabled {
			t.Errorf("found %+v: %d, disabled %v, %v; want %d", found, w.value, w.disabled, err, want)
		}
		if err := errors.Join(a.Shift(0), a.Close()); err != nil || w.value != found.value || w.disabled != found.disabled {
			t.Errorf("found %+v: left %d, disabled %v, %v", found, w.value, w.disabled, err)
		}
	}
}

// What a kernel would clamp is not written at all.
func TestShiftBeyond(t *testing.T) {
	if _, err := shifted(450<<16, 100e-6); !errors.Is(err, errBadSteering) {
		t.Errorf("550 ppm: %v", err)
	}
	if units, err := shifted(-450<<16, 100e-6); err != nil || units != -350<<16 {
		t.Errorf("-350 ppm: %d, %v", units, err)
	}
}
