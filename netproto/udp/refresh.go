package udp

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
)

// ChangeKind says what happened to an interface.
type ChangeKind uint8

// The kinds of Change.
const (
	Joined      ChangeKind = iota + 1 // now in use
	Left                              // no longer in use: gone, down, or without address; Err says which
	Readdressed                       // its addresses changed; still in use
	Failed                            // cannot be used; Err says why. Reported once, until the reason changes
)

// String gives the kind as a word.
func (k ChangeKind) String() string {
	switch k {
	case Joined:
		return "joined"
	case Left:
		return "left"
	case Readdressed:
		return "readdressed"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("ChangeKind(%d)", uint8(k))
}

// Change is what Refresh did to an interface, or could not do.
type Change struct {
	Name  string // empty with Failed when no interface at all is usable
	Index int    // 0 if there is no such interface
	Kind  ChangeKind
	Err   error // an *InterfaceError with Left and Failed, else nil
}

// mostUnseen is how often Refresh passes without a look where the kernel tells of no change: a minute's worth, should it not tell of one.
const mostUnseen = 20

// Refresh looks at the host's interfaces again: it joins the group on new ones and on ones that were re-created,
// leaves it on ones that are gone, and notes changed addresses. Call it every few seconds: it costs little where the kernel tells that
// nothing has changed. It returns what changed; its error means that the interfaces could not be read, and that nothing was
// changed.
func (c *Conn) Refresh() ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.watch.changed() && len(c.failed) == 0 && c.unseen < mostUnseen {
		c.unseen++
		return nil, nil
	}
	host, err := hostInterfaces(c.cfg.Interfaces)
	if err != nil {
		c.unseen = mostUnseen
		return nil, err
	}
	c.unseen = 0
	use, problems := c.group.choose(c.cfg.Interfaces, host)
	old := c.links.Load().joined
	changes := c.leaveGone(old, use, host)
	joined := make([]Interface, 0, len(use))
	for _, i := range use {
		was := slices.IndexFunc(old, func(o Interface) bool { return o.Index == i.Index && o.Name == i.Name })
		readdressed := was >= 0 && !equalAddrs(old[was], i)
		if readdressed && rejoinOnAddress {
			c.leave(old[was])
		}
		if was < 0 || readdressed && rejoinOnAddress {
			if p := c.join(i); p != nil {
				problems = append(problems, p)
				continue
			}
		}
		joined = append(joined, i)
		switch {
		case was < 0:
			changes = append(changes, Change{Name: i.Name, Index: i.Index, Kind: Joined})
		case readdressed:
			changes = append(changes, Change{Name: i.Name, Index: i.Index, Kind: Readdressed})
		}
	}
	c.links.Store(newLinks(joined, host))
	return c.newProblems(changes, problems), nil
}

// leaveGone leaves the group on interfaces that were in use and are not to be any more.
func (c *Conn) leaveGone(old, use []Interface, host []hostInterface) (changes []Change) {
	for _, o := range old {
		if slices.ContainsFunc(use, func(i Interface) bool { return i.Index == o.Index && i.Name == o.Name }) {
			continue
		}
		c.leave(o)
		delete(c.ledger.ways, o.Index)
		why := &InterfaceError{Name: o.Name, Problem: "it is gone", Err: ErrMissing}
		at := slices.IndexFunc(host, func(h hostInterface) bool { return h.Index == o.Index && h.Name == o.Name })
		if at >= 0 {
			if p := c.group.check(host[at].Interface, host[at].flags); p != nil {
				why = p
			}
		}
		changes = append(changes, Change{Name: o.Name, Index: o.Index, Kind: Left, Err: why})
	}
	return changes
}

// newProblems appends the problems not yet reported, and forgets the ones that are over.
func (c *Conn) newProblems(changes []Change, problems []*InterfaceError) []Change {
	now := make(map[string]string, len(problems))
	for _, p := range problems {
		now[p.Name] = p.Error()
		left := slices.ContainsFunc(changes, func(ch Change) bool { return ch.Name == p.Name && ch.Kind == Left })
		if c.failed[p.Name] != now[p.Name] && !left { // why it was left has just been told
			changes = append(changes, Change{Name: p.Name, Kind: Failed, Err: p})
		}
	}
	c.failed = now
	return changes
}

// Rejoin leaves the group and joins it again on every interface in use. That makes the host report its membership afresh,
// which helps where a switch has lost it: for when nothing has been heard for long. Packets that arrive in
// the few microseconds between are lost.
func (c *Conn) Rejoin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, i := range c.links.Load().joined {
		c.leave(i)
		if p := c.join(i); p != nil {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// join joins the group on interface i; nil if it worked. Broadcast needs no joining.
func (c *Conn) join(i Interface) *InterfaceError {
	if c.group.broadcast {
		return nil
	}
	ifi, addr := &net.Interface{Index: i.Index, Name: i.Name}, &net.UDPAddr{IP: c.group.addr.Addr().AsSlice()}
	var err error
	if c.group.v6 {
		err = c.shared.p6.JoinGroup(ifi, addr)
	} else {
		err = c.shared.p4.JoinGroup(ifi, addr)
	}
	switch {
	case err == nil || portTaken(err): // "address in use" means a member already
		return nil
	case errors.Is(err, syscall.ENOBUFS):
		return &InterfaceError{Name: i.Name, Err: err, Problem: "the socket cannot join more groups",
			Hint: "name the interfaces to use, at most 20, or raise net.ipv4.igmp_max_memberships"}
	}
	return &InterfaceError{Name: i.Name, Err: err, Problem: fmt.Sprintf("joining the group failed: %v", err),
		Hint: "use a broadcast address as group, or leave this interface out"}
}

// leave leaves the group on interface i. Where the interface is gone this only frees its place on the socket;
// an error then means that the place is free already.
func (c *Conn) leave(i Interface) {
	if c.group.broadcast {
		return
	}
	ifi, addr := &net.Interface{Index: i.Index, Name: i.Name}, &net.UDPAddr{IP: c.group.addr.Addr().AsSlice()}
	if c.group.v6 {
		_ = c.shared.p6.LeaveGroup(ifi, addr)
	} else {
		_ = c.shared.p4.LeaveGroup(ifi, addr)
	}
}
