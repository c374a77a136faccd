package udp

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestByDefault(t *testing.T) {
	const lan = net.FlagUp | net.FlagMulticast | net.FlagBroadcast
	for _, test := range []struct {
		name  string
		flags net.Flags
		want  bool
	}{
		{"eth0", lan, true},
		{"enp3s0", lan, true},
		{"wlan0", lan, true},
		{"bond0", lan, true},
		{"br0", lan, true},
		{"br-lan", lan, true},
		{"Ethernet", lan, true},
		{"vEthernet (External)", lan, true},
		{"eth0", lan &^ net.FlagUp, false},
		{"lo", net.FlagUp | net.FlagLoopback, false},
		{"tun0", net.FlagUp | net.FlagMulticast | net.FlagPointToPoint, false},
		{"docker0", lan, false},
		{"br-0123456789ab", lan, false},
		{"veth12ab", lan, false},
		{"virbr0", lan, false},
		{"vmnet8", lan, false},
		{"cni0", lan, false},
		{"flannel.1", lan, false},
		{"lxcbr0", lan, false},
		{"vEthernet (WSL (Hyper-V firewall))", lan, false},
		{"awdl0", lan, false},
	} {
		if got := byDefault(test.name, test.flags); got != test.want {
			t.Errorf("%s with %v: %v", test.name, test.flags, got)
		}
	}
}

func TestBroadcastOf(t *testing.T) {
	for prefix, want := range map[string]string{"10.1.2.3/8": "10.255.255.255", "192.168.7.9/24": "192.168.7.255",
		"192.168.7.9/30": "192.168.7.11", "172.16.5.4/20": "172.16.15.255"} {
		if got := broadcastOf(netip.MustParsePrefix(prefix)); got.String() != want {
			t.Errorf("%s: %v, want %s", prefix, got, want)
		}
	}
	for _, prefix := range []string{"10.0.0.1/32", "10.0.0.0/31", "fe80::1/64"} {
		if got := broadcastOf(netip.MustParsePrefix(prefix)); got.IsValid() {
			t.Errorf("%s: %v, want none", prefix, got)
		}
	}
}

// TestChoose: names are kept in order, once each, with a problem for each that does not fit; loopback is used when named.
func TestChoose(t *testing.T) {
	g, err := parseGroup(netip.MustParseAddrPort("239.255.52.5:10525"))
	if err != nil {
		t.Fatal(err)
	}
	const lan = net.FlagUp | net.FlagMulticast | net.FlagBroadcast
	addr := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}
	host := []hostInterface{
		{Interface{Name: "lo", Index: 1, Addrs: addr, Loopback: true}, net.FlagUp | net.FlagLoopback},
		{Interface{Name: "eth0", Index: 2, Addrs: addr}, lan},
		{Interface{Name: "docker0", Index: 3, Addrs: addr}, lan},
		{Interface{Name: "eth1", Index: 4}, lan},
		{Interface{Name: "eth2", Index: 5, Addrs: addr}, lan &^ net.FlagMulticast},
	}
	for _, test := range []struct{ names, use, problems string }{
		{"", "eth0", ""},
		{"docker0 lo docker0", "docker0 lo", ""},
		{"eth1 eth0 eth9 eth2", "eth0", "eth1 eth9 eth2"},
	} {
		use, problems := g.choose(strings.Fields(test.names), host)
		var got, bad []string
		for _, i := range use {
			got = append(got, i.Name)
		}
		for _, p := range problems {
			bad = append(bad, p.Name)
		}
		if !slices.Equal(got, strings.Fields(test.use)) || !slices.Equal(bad, strings.Fields(test.problems)) {
			t.Errorf("names %q: use %v, problems %v; want %s and %s", test.names, got, bad, test.use, test.problems)
		}
	}
}
