package udp

import (
	"net/netip"
	"slices"
)

// links is what was last seen of the host's interfaces. It is replaced as a whole and never changed, so that
// readers need no lock.
type links struct {
	joined []Interface
	own    []netip.Addr // this host's addresses on the interfaces that may matter
	loop   []int        // indices of loopback interfaces
}

// newLinks notes the interfaces in use and the host's own addresses.
func newLinks(joined []Interface, host []hostInterface) *links {
	l := &links{joined: joined}
	for _, h := range host {
		if h.Loopback {
			l.loop = append(l.loop, h.Index)
		}
		for _, p := range h.Addrs {
			l.own = append(l.own, p.Addr())
		}
	}
	return l
}

// byIndex finds an interface in use; nil if there is none with that index.
func (l *links) byIndex(index int) *Interface {
	for i := range l.joined {
		if l.joined[i].Index == index {
			return &l.joined[i]
		}
	}
	return nil
}

// byZone finds the index of the interface in use that an address's zone names; 0 if there is none.
func (l *links) byZone(zone string) int {
	for i := range l.joined {
		if l.joined[i].Name == zone {
			return l.joined[i].Index
		}
	}
	return 0
}

// loopback tells whether the interface with that index is a loopback one.
func (l *links) loopback(index int) bool { return slices.Contains(l.loop, index) }

// unicast tells whether dst can be an address of this host: neither multicast nor the broadcast address of a
// network here. It need not be a known one, because an address may be newer than the last look.
func (l *links) unicast(dst netip.Addr) bool {
	if !dst.IsValid() || dst.IsMulticast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	for i := range l.joined {
		for _, p := range l.joined[i].Addrs {
			if dst == broadcastOf(p) {
				return false
			}
		}
	}
	return true
}

// onLink tells whether addr is a neighbour on the interface with that index: see Conn.OnLink.
func (l *links) onLink(addr netip.Addr, index int) bool {
	bare := addr.Unmap().WithZone("")
	if !l.unicast(bare) || bare.IsUnspecified() {
		return false
	}
	if bare.IsLoopback() {
		return l.loopback(index)
	}
	i := l.byIndex(index)
	switch {
	case i == nil:
		// Another node on this host: its unicast may come over loopback, whatever interface is in use.
		return l.loopback(index) && slices.Contains(l.own, bare)
	case addr.Zone() != "" && addr.Zone() != i.Name:
		return false
	case bare.IsLinkLocalUnicast() || slices.Contains(l.own, bare):
		return true
	}
	return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Contains(bare) })
}
