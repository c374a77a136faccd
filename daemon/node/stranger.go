package node

import (
	"net/netip"
	"slices"
	"time"

	"meantime/netproto"
)

const (
	// strangeFor is how long packets of one address are refused for their key, and none accepted, before the log names it: in the middle of
	// a change of keys a member may send under one that this node has no more, beside one that it has.
	strangeFor = 10 * time.Second
	// strangerGone is after how long without a packet an address makes room for another.
	strangerGone = 5 * time.Minute
	// mostStrangers are named in strangersEvery: made-up addresses must not fill a disk.
	mostStrangers  = 8
	strangersEvery = time.Hour
)

// stranger is an address whose packets are refused for their key.
type stranger struct {
	addr  netip.AddrPort
	since time.Duration
	last  time.Duration
	named bool
}

// strangers are what this node has seen of them lately.
type strangers struct {
	list  []stranger
	since time.Duration
}

func (s *strangers) find(addr netip.AddrPort) int {
	return slices.IndexFunc(s.list, func(x stranger) bool { return x.addr == addr })
}

// met forgets an address that has just sent something under a key that is held.
func (s *strangers) met(addr netip.AddrPort) {
	if i := s.find(addr); i >= 0 && !s.list[i].named {
		s.list = slices.Delete(s.list, i, i+1)
	}
}

// add begins to watch an address, in the place of one that has fallen silent where all are taken. What was named keeps its place.
func (s *strangers) add(addr netip.AddrPort, now time.Duration) {
	fresh := stranger{addr: addr, since: now, last: now}
	if len(s.list) < mostStrangers {
		s.list = append(s.list, fresh)
		return
	}
	if i := slices.IndexFunc(s.list, func(x stranger) bool { return !x.named && now-x.last >= strangerGone }); i >= 0 {
		s.list[i] = fresh
	}
}

// refuse notes that a packet was refused for its key or tag, and names whoever sends nothing else.
func (n *Node) refuse(addr netip.AddrPort, key uint32) {
	s := &n.strangers
	if n.at.Now-s.since >= strangersEvery {
		s.list, s.since = s.list[:0], n.at.Now
	}
	i := s.find(addr)
	if i < 0 {
		s.add(addr, n.at.Now)
		return
	}
	s.list[i].last = n.at.Now
	if x := &s.list[i]; !x.named && n.at.Now-x.since >= strangeFor {
		x.named = true
		n.note(Warn, n.complaint(key), Attr{"at", addr.String()}, Attr{"key", netproto.KeyName(key)})
	}
}

// complaint says what is wrong with packets that were refused under a key, and what to do.
func (n *Node) complaint(key uint32) string {
	switch r := n.cfg.Ring; {
	case r.Holds(key):
		return "packets have a wrong tag: damaged or forged, perhaps under an address that is not their sender's; nothing of them is used"
	case r == nil:
		return "packets are sealed with a key, and this node has none: give it the key file of that host, or another group"
	case key == 0:
		return "packets are not sealed: give that host this one's key file, or another group"
	}
	return "packets are sealed with a key that this node does not hold: compare `meantime key show-id` on both hosts, which need the same " +
		"key file if they are one LAN, and another group if not"
}
