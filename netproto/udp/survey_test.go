package udp

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestSurvey: what Listen would use is used, and of everything else it is said why not.
func TestSurvey(t *testing.T) {
	const lan = net.FlagUp | net.FlagMulticast | net.FlagBroadcast
	address := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}
	host := []hostInterface{
		{Interface{Name: "lo", Loopback: true, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}, net.FlagUp | net.FlagLoopback},
		{Interface{Name: "eth0", Addrs: address}, lan},
		{Interface{Name: "eth1", Addrs: address}, lan &^ net.FlagUp},
		{Interface{Name: "eth2"}, lan},
		{Interface{Name: "eth3", Addrs: address}, lan &^ net.FlagMulticast},
		{Interface{Name: "docker0", Addrs: address}, lan},
		{Interface{Name: "tun0", Addrs: address}, lan | net.FlagPointToPoint},
	}
	g, err := parseGroup(netip.MustParseAddrPort("239.255.52.5:10525"))
	if err != nil {
		t.Fatal(err)
	}
	for names, want := range map[string]string{
		"": "lo: loopback|eth0 used|eth1: it is down|eth2: it has no IPv4 address|eth3: it has no multicast|" +
			"docker0: it leads to containers or virtual machines of this host|tun0: a tunnel",
		"lo docker0 eth1 eth9": "lo used|eth0: others are named|eth1: it is down|eth2: others are named|eth3: others are named|docker0 used|" +
			"tun0: others are named|eth9: no such interface",
	} {
		named := strings.Fields(names)
		used, problems := g.choose(named, host)
		var got []string
		for _, c := range g.survey(named, host, problems) {
			if c.Use {
				got = append(got, c.Name+" used")
				used = used[1:]
				continue
			}
			got = append(got, fmt.Sprintf("%s: %s", c.Name, c.Why))
		}
		if text := strings.Join(got, "|"); text != want || len(used) != 0 {
			t.Errorf("%q:\n%s\nwant\n%s\n%d more are used", names, text, want, len(used))
		}
	}
	if list, err := Survey(Config{Group: netip.MustParseAddrPort("239.255.52.5:10525")}); err != nil || len(list) == 0 {
		t.Errorf("this host: %v, %v", list, err)
	}
}
