package sysclock

import (
	"errors"
	"regexp"
	"testing"
)

// The same machine and source have one name, others other names, and the name does not tell the id.
func TestOscillatorNamed(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	name := OscillatorNamed(id, "tsc")
	// HMAC-SHA256 of key and source under the id, by another program.
	if want := "3c6b326acd10573fc8544251924905b8"; name != want {
		t.Errorf("the name is %s, want %s: the memory of every machine in the field would be lost", name, want)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(name) {
		t.Errorf("the name is %q", name)
	}
	seen := map[string]string{}
	for _, of := range [][2]string{{id, "tsc"}, {id, "hpet"}, {id, ""}, {"1" + id[1:], "tsc"}, {"", ""}} {
		n := OscillatorNamed(of[0], of[1])
		if other, twice := seen[n]; twice {
			t.Errorf("%v and %s are both %s", of, other, n)
		}
		seen[n] = of[0] + of[1]
	}
}

// This machine has one name or says why it has none.
func TestOscillator(t *testing.T) {
	a, err := Oscillator()
	if err != nil {
		if !errors.Is(err, ErrNameless) || a != "" {
			t.Errorf("%q, %v", a, err)
		}
		t.Skipf("nothing names this machine: %v", err)
	}
	if b, _ := Oscillator(); a != b || len(a) != 32 {
		t.Errorf("%q, then %q", a, b)
	}
}
