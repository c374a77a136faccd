package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"meantime/netproto/udp"
)

// udpConfig is how the daemon would open its sockets.
func (m *Machine) udpConfig() udp.Config {
	c := m.Config
	return udp.Config{Group: c.Address, Unicast: c.UnicastPort, Interfaces: c.Interfaces, UserStamps: !c.KernelStamps}
}

// used are the interfaces that the daemon would use.
func (m *Machine) used() (list []udp.Candidate) {
	all, _ := m.Survey(m.udpConfig()) // checkInterfaces tells what is wrong
	return slices.DeleteFunc(all, func(c udp.Candidate) bool { return !c.Use })
}

// checkInterfaces says of each interface whether it is used, and why not.
func checkInterfaces(_ context.Context, m *Machine) (list []Finding) {
	all, err := m.Survey(m.udpConfig())
	if err != nil {
		problem, advice := told(err, "correct address in the configuration")
		return []Finding{fail(advice, "%s", problem)}
	}
	left := map[string][]string{} // names by reason
	var reasons []string
	used := 0
	for _, c := range all {
		switch {
		case c.Use:
			used++
			list = append(list, pass("used%s", addresses(c.Addrs)).about(c.Name))
		case c.Named:
			list = append(list, fail(orElse(c.Hint, "name another one"), "configured, but %s", c.Why).about(c.Name))
		default:
			if left[c.Why] == nil {
				reasons = append(reasons, c.Why)
			}
			left[c.Why] = append(left[c.Why], c.Name)
		}
	}
	for _, why := range reasons {
		list = append(list, skip("", "not used: %s", why).about(fewOf(left[why])))
	}
	if used == 0 {
		list = append(list, fail("plug the network in, or name interfaces that are to be used (interfaces: in the configuration)",
			"none can be used"))
	}
	return list
}

// addresses are those of an interface, as a few words.
func addresses(list []netip.Prefix) string {
	var all []string
	for _, p := range list {
		all = append(all, p.String())
	}
	if all == nil {
		return ""
	}
	return ", " + fewOf(all)
}

// fewOf lists the first names of many.
func fewOf(names []string) string {
	const few = 3
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// checkMedium looks at what the interfaces in use are made of.
func checkMedium(_ context.Context, m *Machine) (list []Finding) {
	for _, c := range m.used() {
		dir := "/sys/class/net/" + c.Name
		switch {
		case c.Loopback:
			list = append(list, pass("loopback: reaches nodes on this host only").about(c.Name))
		case m.text(dir+"/carrier") == "0":
			list = append(list, fail("plug the cable in", "no carrier").about(c.Name))
		case m.exists(dir+"/wireless") || m.exists(dir+"/phy80211"):
			list = append(list, warn("a cable is better; else switch power saving off (`iw dev "+c.Name+" set power_save off`), and let the access "+
				"point neither isolate clients nor drop multicast", "Wi-Fi: packets wait for beacons").about(c.Name))
		case m.text(dir+"/bridge/multicast_snooping") == "1" && m.text(dir+"/bridge/multicast_querier") == "0":
			list = append(list, warn("unless a switch or router on it asks for members: `ip link set "+c.Name+" type bridge mcast_querier 1`",
				"a bridge that watches for members (IGMP snooping) and does not ask: multicast may end after some minutes").about(c.Name))
		default:
			list = append(list, pass("wired, or like it").about(c.Name))
		}
	}
	return list
}

// checkNeighbours looks whether the kernel remembers the addresses of as many hosts as the LAN has: answers to those that it forgets get
// lost. Other hosts are on the link too, so a quarter is left to them. Only the machine's first network namespace shows the limit.
func checkNeighbours(ctx context.Context, m *Machine) []Finding {
	limit, err := strconv.Atoi(m.text("/proc/sys/net/ipv4/neigh/default/gc_thresh3"))
	if err != nil {
		return []Finding{skip("", "the limit of the neighbour table is not shown here")}
	}
	s, err := m.daemon(ctx)
	if err == nil && s.Members > limit-limit/4 {
		return []Finding{warn(fmt.Sprintf("on every host that may be master: `sysctl net.ipv4.neigh.default.gc_thresh3=%d "+
			"net.ipv4.neigh.default.gc_thresh2=%d net.ipv4.neigh.default.gc_thresh1=%d`, and the same in /etc/sysctl.d",
			4*s.Members, 3*s.Members, 2*s.Members),
			"the neighbour table holds %d hosts, and the LAN has %d: answers get lost", limit, s.Members)}
	}
	return []Finding{pass("the neighbour table holds %d hosts", limit)}
}

// checkSockets opens what the daemon would open: the group's port on each interface, and a port of its own.
func checkSockets(ctx context.Context, m *Machine) []Finding {
	cfg := m.udpConfig()
	conn, err := m.Bind(cfg)
	if err != nil {
		problem, advice := told(err, "stop what holds the port, or choose another (address, unicast_port)")
		return []Finding{fail(advice, "%s", problem)}
	}
	var names []string
	for _, i := range conn.Interfaces() {
		names = append(names, i.Name)
	}
	taken := conn.PortTaken()
	_ = conn.Close() // nothing was sent
	list := []Finding{pass("group %v joined on %s", cfg.Group, fewOf(names))}
	for _, c := range m.used() {
		if !slices.Contains(names, c.Name) {
			list = append(list, fail("leave it out with interfaces: in the configuration", "joining %v failed", cfg.Group).about(c.Name))
		}
	}
	switch _, err := m.daemon(ctx); {
	case !taken:
		list = append(list, pass("port %d is free", cfg.Unicast))
	case err == nil:
		list = append(list, pass("port %d is the daemon's", cfg.Unicast))
	default:
		list = append(list, warn(fmt.Sprintf("`ss -ulpn 'sport = %d'` shows who has it; meantime takes another, which a firewall has to let in",
			cfg.Unicast), "port %d is taken", cfg.Unicast))
	}
	return list
}

// checkFirewall looks for what may keep packets out. What a filter lets in is known only to who may read its rules.
func checkFirewall(_ context.Context, m *Machine) []Finding {
	ports := []string{fmt.Sprint(m.Config.Address.Port()), fmt.Sprint(m.Config.UnicastPort)}
	open := strings.Join(ports, " and ") + " (UDP)"
	var found []Finding
	if strings.Contains(m.text("/etc/ufw/ufw.conf"), "ENABLED=yes") {
		found = append(found, m.filter("ufw", "ufw allow in proto udp to any port "+strings.Join(ports, ","), ports,
			m.glob("/etc/ufw/user*.rules")))
	}
	if m.running("firewalld") {
		found = append(found, m.filter("firewalld", "firewall-cmd --permanent --add-port="+ports[0]+"/udp --add-port="+ports[1]+
			"/udp && firewall-cmd --reload", ports, m.glob("/etc/firewalld/zones/*.xml")))
	}
	switch tables := m.text("/proc/net/ip_tables_names"); {
	case found != nil:
		return found
	case strings.Contains(tables, "filter"), m.exists("/sys/module/nf_tables"):
		return []Finding{skip("if masters are not heard: `nft list ruleset` and `iptables -S` show the rules; let "+open+" and IGMP in",
			"the kernel can filter packets (netfilter); its rules are not looked at")}
	}
	return []Finding{pass("none seen; one elsewhere has to let in %s", open)}
}

// filter judges a firewall by whether the files that hold its rules name the ports.
func (m *Machine) filter(name, command string, ports, files []string) Finding {
	var rules strings.Builder
	for _, file := range files {
		rules.WriteString(m.text(file))
	}
	for _, port := range ports {
		if port != "0" && !strings.Contains(rules.String(), port) {
			return warn("`"+command+"`", "%s runs, and no rule for port %s is seen", name, port)
		}
	}
	return pass("%s runs, with rules for ports %s", name, strings.Join(ports, " and "))
}

const (
	// testPackets are sent over loopback, one after the other.
	testPackets = 40
	// testTime is how long they may take. It is 100 times what they do.
	testTime = time.Second
	// warmUp: the first packets after stamping is switched on carry the time of the read (netproto/udp).
	warmUp = 50 * time.Millisecond
)

// testGroup is nobody's but these tests': another address than a daemon's on this host's loopback.
var testGroup = netip.MustParseAddr("239.255.52.6")

// onLoopback has sockets on loopback looked at, which close by themselves after a while.
func (m *Machine) onLoopback(ctx context.Context, look func(conn Conn, lo int) Finding) []Finding {
	conn, lo, err := m.loopback()
	if err != nil {
		problem, advice := told(err, "bring loopback up: `ip link set lo up`")
		return []Finding{fail(advice, "%s", problem)}
	}
	defer conn.Close()
	end := time.AfterFunc(testTime, func() { _ = conn.Close() })
	defer end.Stop()
	m.Sleep(ctx, warmUp)
	return []Finding{look(conn, lo)}
}

// loopback opens sockets on the loopback interface of an index.
func (m *Machine) loopback() (conn Conn, index int, err error) {
	cfg := m.udpConfig()
	cfg.Group, cfg.Unicast, cfg.Interfaces = netip.AddrPortFrom(testGroup, m.Config.Address.Port()), 0, nil
	all, err := m.Survey(cfg)
	if err != nil {
		return nil, 0, err
	}
	at := slices.IndexFunc(all, func(c udp.Candidate) bool { return c.Loopback })
	if at < 0 {
		return nil, 0, errors.New("there is no loopback interface")
	}
	cfg.Interfaces = []string{all[at].Name}
	conn, err = m.Bind(cfg)
	return conn, all[at].Index, err
}

// checkStamps sends packets to itself and looks at who stamps them, and how steadily.
func checkStamps(ctx context.Context, m *Machine) []Finding {
	return m.onLoopback(ctx, func(conn Conn, lo int) Finding {
		var took []time.Duration
		received, sent := 0, 0
		batch := []udp.Packet{{Data: make([]byte, 64)}}
		for k := range testPackets {
			d := udp.Datagram{Data: []byte("doctor"), To: conn.LocalAddr(), Iface: lo, Token: uint64(k + 1)}
			if conn.Send([]udp.Datagram{d}) != nil {
				break
			}
			var s udp.Sent
			for _, stamp := range conn.Stamps(nil, 2*time.Millisecond) {
				if stamp.Token == d.Token {
					s = stamp
				}
			}
			if _, err := conn.ReceiveUnicast(batch); err != nil {
				break
			}
			p := batch[0]
			took = append(took, time.Duration(p.Stamp-s.Stamp))
			received += count(p.Kernel)
			sent += count(s.Kernel)
		}
		return m.stamped(took, received, sent)
	})
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stamped judges the stamps of packets over loopback.
func (m *Machine) stamped(took []time.Duration, received, sent int) Finding {
	if len(took) < testPackets {
		return fail("look for a firewall that filters loopback, and for a sandbox around this program",
			"of %d packets over loopback %d came", testPackets, len(took))
	}
	slices.Sort(took)
	n := len(took)
	who := func(kernel int) string {
		if kernel > n/2 {
			return "the kernel"
		}
		return "the program"
	}
	text := fmt.Sprintf("received packets are stamped by %s, sent ones by %s; over loopback %v, jitter %v", who(received), who(sent),
		took[n/2].Round(10*time.Nanosecond), (took[n*3/4] - took[n/4]).Round(10*time.Nanosecond))
	if m.System == "linux" && (received <= n/2 || sent <= n/2) {
		advice := "kernel stamps are some 10 times as steady; this kernel or its sandbox gives none"
		if !m.Config.KernelStamps {
			advice = "kernel stamps are some 10 times as steady: kernel_stamps: true asks for them"
		}
		return warn(advice, "%s", text)
	}
	return pass("%s", text)
}

// checkLoop sends one packet to a group on loopback, with a hop limit of 0, and waits for it to come back.
func checkLoop(ctx context.Context, m *Machine) []Finding {
	return m.onLoopback(ctx, func(conn Conn, _ int) Finding {
		err := conn.Send([]udp.Datagram{{Data: []byte("doctor"), Group: true}})
		if err != nil && m.System == "darwin" {
			return skip("", "macOS sends no multicast on loopback")
		}
		if err != nil {
			problem, advice := told(err, "look for a firewall that filters loopback")
			return fail(advice, "%s", problem)
		}
		if _, err := conn.ReceiveGroup([]udp.Packet{{Data: make([]byte, 64)}}); err != nil {
			return fail("look for a firewall that filters loopback, and for an `ip rule` that leads "+testGroup.String()+" elsewhere",
				"a packet to a group on loopback does not come back")
		}
		return pass("a packet to a group comes back on loopback")
	})
}
