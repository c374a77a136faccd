package udp

import (
	"net/netip"
	"testing"
)

// TestDestination: where the interface travels by index, a zone must not contradict it: the standard library may be a minute
// behind with the names of interfaces. Elsewhere the zone is what chooses.
func TestDestination(t *testing.T) {
	lan := &Interface{Name: "lan0", Index: 3}
	zone := "%lan0"
	if sendControl {
		zone = ""
	}
	for _, test := range []struct {
		to   string
		i    *Interface
		want string
	}{
		{"10.0.0.1:5", lan, "10.0.0.1:5"},
		{"[::ffff:10.0.0.1]:5", nil, "10.0.0.1:5"},
		{"[fe80::1%old]:5", lan, "[fe80::1" + zone + "]:5"},
		{"[fe80::1]:5", lan, "[fe80::1" + zone + "]:5"},
		{"[ff12::8000:525]:5", lan, "[ff12::8000:525" + zone + "]:5"},
		{"[2001:db8::1]:5", lan, "[2001:db8::1]:5"},
		{"[fe80::1%lan9]:5", nil, "[fe80::1%lan9]:5"},
	} {
		if got := destination(netip.MustParseAddrPort(test.to), test.i); got != netip.MustParseAddrPort(test.want) {
			t.Errorf("%s: %v, want %s", test.to, got, test.want)
		}
	}
}
