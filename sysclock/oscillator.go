package sysclock

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// machine, of every operating system's own file, tells what names this installation of the operating system, and what its raw
// oscillator is, "" where there is one only or the system does not say.

// oscillatorKey keys the names that Oscillator gives: 128 random bits, drawn for this program and never to change.
const oscillatorKey = "\x5f\x0c\x8e\x41\x9a\x73\x4d\x26\xb1\x68\xe2\x17\x3c\xd5\xf0\xa9"

// ErrNameless says that nothing tells this machine from others.
var ErrNameless = errors.New("this machine has no id")

// Oscillator names this machine's raw oscillator: 32 hex digits, the same at each start, another after a change of the machine
// or of what its kernel counts (tsc, hpet, kvm-clock: each is wrong by a rate of its own). It is a keyed hash, as
// machine-id(5) asks of whoever uses that id, so the id itself gets nowhere. Weakness: machines cloned with
// their id are told apart by nothing; their oscillators differ by some ppm.
func Oscillator() (string, error) {
	id, source, err := machine()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNameless, err)
	}
	if id == "" {
		return "", ErrNameless
	}
	return OscillatorNamed(id, source), nil
}

// OscillatorNamed is the name of an oscillator of a machine that goes by id: a virtual one's, say.
func OscillatorNamed(id, source string) string {
	mac := hmac.New(sha256.New, []byte(id))
	mac.Write([]byte(oscillatorKey + source))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
