package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Why an interface cannot be used; InterfaceError wraps one of them.
var (
	// ErrMissing: no interface of that name exists, or none fits at all. It may come later.
	ErrMissing = errors.New("interface missing")
	// ErrDown: the interface is administratively down. It may come up later.
	ErrDown = errors.New("interface down")
	// ErrNoAddress: it has no address of the group's family yet (DHCP, duplicate detection). It may get one later.
	ErrNoAddress = errors.New("interface without usable address")
	// ErrUnsuited: it cannot carry the group at all: no multicast, no broadcast, IPv6 on loopback.
	ErrUnsuited = errors.New("interface unsuited")
)

// InterfaceError says which interface cannot be used, why, and what to do about it.
type InterfaceError struct {
	Name    string // the interface; empty when it concerns none in particular
	Problem string // what is wrong, in plain words
	Hint    string // what to do next
	Err     error  // ErrMissing, ErrDown, ErrNoAddress, ErrUnsuited, or the system's own error
}

// Error gives problem and hint in one line.
func (e *InterfaceError) Error() string {
	s := e.Problem
	if e.Name != "" {
		s = "interface " + e.Name + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the reason for errors.Is.
func (e *InterfaceError) Unwrap() error { return e.Err }

// Interface is a network interface in use.
type Interface struct {
	Name     string
	Index    int
	Addrs    []netip.Prefix // all its addresses, each with the length of its network
	Loopback bool
	KernelTx bool // the kernel stamps what is sent here, at the driver or its queue; false where both fail, until one works again
}

// equalAddrs tells whether two looks at an interface saw the same addresses.
func equalAddrs(a, b Interface) bool { return slices.Equal(a.Addrs, b.Addrs) }

// source gives the interface's first IPv4 address; the zero Addr if it has none.
func (i *Interface) source() netip.Addr {
	for _, p := range i.Addrs {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// broadcast gives the directed broadcast address of the interface's first IPv4 network that has one.
func (i *Interface) broadcast() netip.Addr {
	for _, p := range i.Addrs {
		if b := broadcastOf(p); b.IsValid() {
			return b
		}
	}
	return netip.Addr{}
}

// broadcastOf gives the directed broadcast address of an IPv4 network; the zero Addr when it has none
// (IPv6, and networks of one or two addresses).
func broadcastOf(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// group is the address all nodes listen to, and what kind it is.
type group struct {
	addr      netip.AddrPort
	v6        bool
	broadcast bool // addr is an IPv4 broadcast address
	limited   bool // addr is 255.255.255.255, which stands for the broadcast address of each network
}

// parseGroup classifies the configured group. Its errors name the field and what it may hold.
func parseGroup(ap netip.AddrPort) (group, error) {
	a := ap.Addr().Unmap().WithZone("")
	g := group{addr: netip.AddrPortFrom(a, ap.Port()), v6: a.Is6()}
	switch {
	case ap.Port() == 0:
		return g, fmt.Errorf("group %v: port missing (the standard one is 10525)", ap)
	case a.IsMulticast() && a.Is6() && !a.IsLinkLocalMulticast():
		return g, fmt.Errorf("group %v: not link-local (use ff12::8000:525 or another ff12:: address)", ap)
	case a.IsMulticast():
		return g, nil
	case !a.Is4() || a.IsUnspecified() || a.IsLoopback():
		return g, fmt.Errorf("group %v: neither multicast nor an IPv4 broadcast address (the standard one is 239.255.52.5)", ap)
	}
	// An IPv4 address that is not multicast can only be meant as a broadcast address; whether it is one
	// is seen from the interfaces' networks.
	g.broadcast, g.limited = true, a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return g, nil
}

// accepts tells whether a datagram that came in on i was addressed to the group.
func (g group) accepts(dst netip.Addr, i *Interface) bool {
	return dst == g.addr.Addr() || g.limited && dst.IsValid() && dst == i.broadcast()
}

// check tells whether interface i with these flags can carry the group; nil if so.
func (g group) check(i Interface, flags net.Flags) *InterfaceError {
	fail := func(err error, problem, hint string) *InterfaceError {
		return &InterfaceError{Name: i.Name, Problem: problem, Hint: hint, Err: err}
	}
	switch {
	case flags&net.FlagUp == 0:
		return fail(ErrDown, "it is down", "bring it up, or name another interface")
	case g.broadcast && flags&net.FlagBroadcast == 0:
		return fail(ErrUnsuited, "it has no broadcast", "use a multicast group, or name another interface")
	case g.v6 && i.Loopback:
		return fail(ErrUnsuited, "IPv6 multicast does not work on loopback", "use an IPv4 group")
	// Linux's lo lacks the multicast flag, yet carries IPv4 multicast.
	case !g.broadcast && !i.Loopback && flags&net.FlagMulticast == 0:
		return fail(ErrUnsuited, "it has no multicast", "use a broadcast address as group, or name another interface")
	}
	usable := func(p netip.Prefix) bool {
		switch {
		case g.v6:
			return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()
		case g.broadcast && !g.limited:
			return broadcastOf(p) == g.addr.Addr()
		}
		return p.Addr().Is4()
	}
	if slices.ContainsFunc(i.Addrs, usable) {
		return nil
	}
	switch {
	case g.v6:
		return fail(ErrNoAddress, "it has no link-local IPv6 address", "enable IPv6 on it, or use an IPv4 group")
	case g.broadcast && !g.limited:
		return fail(ErrNoAddress, fmt.Sprintf("%v is not the broadcast address of any of its networks", g.addr.Addr()),
			"correct the group, or use 255.255.255.255")
	}
	return fail(ErrNoAddress, "it has no IPv4 address", "give it one, or use an IPv6 group")
}

// virtualPrefixes begin the names of interfaces that lead to containers, virtual machines or tunnels on
// the same host and not to the LAN. They are left out unless named, since a host would otherwise keep time
// with its own guests, which follow the host's clock anyhow.
var virtualPrefixes = []string{
	"docker", "veth", "virbr", "vmnet", "vboxnet", "vnet", "cni", "flannel", "cali", "cilium", "kube", "lxc", "lxdbr",
	"incusbr", "podman", "nerdctl", "tap", "awdl", "llw", "anpi", "vEthernet (WSL", "vEthernet (Default Switch",
}

// virtual tells whether an interface's name is one that container and VM software gives.
func virtual(name string) bool {
	// Docker calls the bridges of its own networks br- and 12 hex digits. Other names with br- are real
	// bridges: OpenWrt's LAN is br-lan.
	if id, ok := strings.CutPrefix(name, "br-"); ok && len(id) == 12 {
		return strings.Trim(id, "0123456789abcdef") == ""
	}
	return slices.ContainsFunc(virtualPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// byDefault tells whether an interface is used when none is named: one that leads to a LAN.
// A point-to-point link is a tunnel.
func byDefault(name string, flags net.Flags) bool {
	return flags&net.FlagUp != 0 && flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 && !virtual(name)
}

// hostInterface is an interface as the system shows it.
type hostInterface struct {
	Interface
	flags net.Flags
}

// hostInterfaces reads the system's interfaces, with the addresses of those that may matter: the named, the
// ones used by default, and loopback. (Reading addresses costs a system call per interface, and a container
// host has hundreds.)
func hostInterfaces(names []string) ([]hostInterface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the network interfaces: %w", err)
	}
	list := make([]hostInterface, 0, len(all))
	for _, ifi := range all {
		h := hostInterface{flags: ifi.Flags, Interface: Interface{
			Name: ifi.Name, Index: ifi.Index, Loopback: ifi.Flags&net.FlagLoopback != 0, KernelTx: true}}
		if h.Loopback || slices.Contains(names, h.Name) || byDefault(h.Name, h.flags) {
			addrs, err := ifi.Addrs()
			if err != nil {
				continue // it went away since net.Interfaces
			}
			h.Addrs = prefixes(addrs)
		}
		list = append(list, h)
	}
	return list, nil
}

// prefixes converts the standard library's addresses, in the order in which the system gives them.
func prefixes(addrs []net.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		bits, _ := n.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), bits))
	}
	return out
}

// choose picks the interfaces to use from the system's: the named ones, or those used by default.
// Each named interface that cannot be used is a problem, in the order of the names.
func (g group) choose(names []string, host []hostInterface) (use []Interface, problems []*InterfaceError) {
	if len(names) == 0 {
		for _, h := range host {
			if byDefault(h.Name, h.flags) && g.check(h.Interface, h.flags) == nil {
				use = append(use, h.Interface)
			}
		}
		if len(use) == 0 {
			hint := "plug in the network, or name interfaces: loopback, tunnels and bridges of containers must be named"
			problems = append(problems, &InterfaceError{Err: ErrMissing, Problem: "no network interface is usable", Hint: hint})
		}
		return use, problems
	}
	for i, name := range names {
		at := slices.IndexFunc(host, func(h hostInterface) bool { return h.Name == name })
		switch {
		case slices.Contains(names[:i], name):
			continue
		case at < 0:
			problems = append(problems, &InterfaceError{Name: name, Err: ErrMissing, Problem: "no such interface",
				Hint: "this host has " + nameList(host)})
		default:
			if p := g.check(host[at].Interface, host[at].flags); p != nil {
				problems = append(problems, p)
				continue
			}
			use = append(use, host[at].Interface)
		}
	}
	return use, problems
}

// nameList names the host's interfaces for a hint, the first few of them.
func nameList(host []hostInterface) string {
	const most = 8 // a line that can still be read; a container host has hundreds
	names := make([]string, 0, most+1)
	for _, h := range host {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		names = append(names, h.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
