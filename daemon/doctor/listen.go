package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"meantime/netproto"
	"meantime/netproto/udp"
)

// heard is what came in while listening.
type heard struct {
	masters []master            // in the order in which they were heard first
	refused map[string][]string // senders' addresses by what is wrong with their packets
	reasons []string            // keys of refused, in order
}

// master is one that polls.
type master struct {
	id       netproto.ID
	from     netip.AddrPort
	term     uint64
	lineage  uint64
	interval time.Duration
	members  uint16
	key      uint32
	dry      bool
	polls    int
}

// checkMasters listens to the group, beside a daemon that may run, and tells whom it hears.
func checkMasters(ctx context.Context, m *Machine) []Finding {
	ring, keysErr := m.Keys(m.Config)
	cfg := m.udpConfig()
	cfg.Unicast = 0 // the daemon's port is the daemon's
	conn, err := m.Bind(cfg)
	if err != nil {
		return []Finding{skip("see to the sockets first", "the group cannot be listened to")}
	}
	defer conn.Close()
	for _, end := range []func() bool{
		time.AfterFunc(m.Listen, func() { _ = conn.Close() }).Stop, context.AfterFunc(ctx, func() { _ = conn.Close() }),
	} {
		defer end()
	}
	h := listen(conn, ring)
	if keysErr != nil {
		return h.unverified(m.Listen, errors.Is(keysErr, fs.ErrPermission))
	}
	own := netproto.ID(0)
	if s, err := m.daemon(ctx); err == nil {
		_, _ = fmt.Sscanf(s.ID, "%x", &own) // of another version, perhaps: then nobody is this host
	}
	return m.findings(h, own)
}

// listen takes in packets of the group until the connection is closed.
func listen(conn Conn, ring *netproto.Ring) (h heard) {
	h.refused = map[string][]string{}
	batch := []udp.Packet{{Data: make([]byte, netproto.MaxPacket+1)}}
	for {
		_, err := conn.ReceiveGroup(batch)
		switch {
		case errors.Is(err, net.ErrClosed):
			return h
		case err != nil: // temporary
			continue
		}
		p := batch[0]
		header, body, err := ring.Open(p.Data)
		if err != nil {
			h.refuse(whyRefused(p.Data, err), p.From.Addr())
			continue
		}
		if poll, err := netproto.ParsePoll(body); header.Kind == netproto.KindPoll && err == nil {
			h.poll(header, poll, p)
		}
	}
}

// most is how many masters, reasons, and senders for a reason are noted: a flood comes from any number of them.
const most = 16

// refuse notes a sender whose packets a daemon would drop, once for each reason.
func (h *heard) refuse(why string, from netip.Addr) {
	if h.refused[why] == nil {
		if len(h.reasons) == most {
			return
		}
		h.reasons = append(h.reasons, why)
	}
	if list := h.refused[why]; len(list) < most && !slices.Contains(list, from.String()) {
		h.refused[why] = append(list, from.String())
	}
}

// poll notes who polls. A master that holds two keys polls under each.
func (h *heard) poll(header netproto.Header, poll netproto.Poll, p udp.Packet) {
	at := slices.IndexFunc(h.masters, func(m master) bool { return m.id == header.Sender })
	if at < 0 {
		if at = len(h.masters); at == most {
			return
		}
		h.masters = append(h.masters, master{id: header.Sender})
	}
	last := &h.masters[at]
	*last = master{
		id: header.Sender, from: p.From, term: header.Term, lineage: header.Lineage, key: header.KeyID, members: poll.Members,
		interval: time.Duration(poll.Interval) * time.Microsecond, dry: header.Flags&netproto.FlagDry != 0, polls: last.polls + 1,
	}
}

// Reasons why packets are dropped that something can be done about.
const (
	otherGroup   = "another group"
	otherVersion = "another version of the protocol"
	wrongTag     = "a key of the same id and another secret, or damaged"
	noPacket     = "nothing of meantime's"
	otherKey     = "key "
)

// whyRefused says why a daemon would drop a packet.
func whyRefused(packet []byte, err error) string {
	switch {
	case errors.Is(err, netproto.ErrGroup):
		return otherGroup
	case errors.Is(err, netproto.ErrVersion):
		return otherVersion
	case errors.Is(err, netproto.ErrTag):
		return wrongTag
	case errors.Is(err, netproto.ErrKey):
		return otherKey + nameOfKey(netproto.KeyOf(packet))
	}
	return noPacket
}

func nameOfKey(id uint32) string {
	if id == 0 {
		return "none"
	}
	return netproto.KeyName(id)
}

// remedies say what those send whose packets are dropped, and what to do about it.
var remedies = map[string][2]string{
	otherGroup:              {"sends for another group", "write the same group on both hosts, if they are to be one LAN"},
	otherVersion:            {"sends another version of the protocol", "install the same version on both hosts"},
	wrongTag:                {"sends packets that are sealed wrongly", "copy the key file again, from one host to the other"},
	noPacket:                {"sends what is not meantime's", "find out what sends to meantime's port there"},
	otherKey + nameOfKey(0): {"sends without a key", "give it the LAN's key file, or say insecure: true on neither"},
}

// refusals tells whose packets would be dropped.
func (h heard) refusals() (list []Finding) {
	for _, why := range h.reasons {
		r, known := remedies[why]
		if !known {
			r = [2]string{"sends under " + why + ", which is not held here",
				"copy the LAN's key file from one host to the other; `meantime key show-id` shows what one holds"}
		}
		list = append(list, warn(r[1], "%s, and is dropped", r[0]).about(fewOf(h.refused[why])))
	}
	return list
}

// unverified tells what was heard where the keys cannot be used: who is authentic cannot be said.
func (h heard) unverified(listened time.Duration, forbidden bool) []Finding {
	var names []string
	for _, why := range h.reasons {
		names = append(names, fmt.Sprintf("%s (%s)", fewOf(h.refused[why]), why))
	}
	for _, m := range h.masters {
		names = append(names, fmt.Sprintf("%v (no key)", m.from.Addr()))
	}
	advice := "see to the key first"
	if forbidden {
		advice = "run it as root, who may read the key"
	}
	if names == nil {
		return []Finding{skip(advice, "nothing was heard in %v, and without the key nothing could be told of it", listened)}
	}
	return []Finding{skip(advice, "heard, but not to be told of without the key: %s", fewOf(names))}
}

// findings tells of masters and of others, where the keys can be used.
func (m *Machine) findings(h heard, own netproto.ID) (list []Finding) {
	lineages := map[uint64]bool{}
	for _, x := range h.masters {
		who := x.from.Addr().String()
		if x.id == own {
			who = "this host"
		}
		dry := ""
		if x.dry {
			dry = ", of a dry run"
		} else {
			lineages[x.lineage] = true
		}
		list = append(list, pass("master %v%s, term %d, members %d, a poll each %v, key %s", x.id, dry, x.term, x.members, x.interval,
			nameOfKey(x.key)).about(who))
	}
	if len(lineages) > 1 {
		list = append(list, warn("they become one by themselves if they hear each other: look here again, and at `meantime events`",
			"%d LANs with a time of their own on one wire", len(lineages)))
	}
	list = append(list, h.refusals()...)
	if len(h.masters) > 0 {
		return list
	}
	advice := "start meantime on another host. If one runs: let in its ports at both firewalls, and look for IGMP snooping without a " +
		"querier in the switch, client isolation of the Wi-Fi, another address in the configuration"
	if m.Config.PollMax > m.Listen {
		advice += fmt.Sprintf("; polls may be %v apart: --listen %v", m.Config.PollMax, 2*m.Config.PollMax)
	}
	return append(list, warn(advice, "no master was heard in %v at %v", m.Listen, m.Config.Address))
}
