package udp

import "testing"

// testWatch: Refresh lists the interfaces only where something may have changed: when the kernel tells, more of it than its queue holds
// included, and now and then all the same.
func testWatch(t *testing.T, a, _ *netns) {
	c := a.listen(t, Config{Group: group4})
	looked := func(what string, want bool, changes ...Change) {
		t.Helper()
		if a.refresh(t, c, changes...); (c.unseen == 0) != want {
			t.Errorf("%s: looked %v, want %v", what, !want, want)
		}
	}
	looked("at first", true)
	for range mostUnseen {
		looked("nothing new", false)
	}
	looked("nothing new for long", true)
	a.ip(t, "addr add 10.98.0.1/24 dev lan0")
	looked("an address", true, Change{Name: "lan0", Kind: Readdressed})
	looked("nothing new", false)
	for range 4 {
		a.ip(t, "link set lo up\n link set lo down")
	}
	looked("more than is kept", true)
	a.ip(t, "link set lan0 down")
	looked("down", true, Change{Name: "lan0", Kind: Left, Err: ErrDown}, Change{Kind: Failed, Err: ErrMissing})
	looked("a problem", true)
	a.ip(t, "link set lan0 up")
	looked("up", true, Change{Name: "lan0", Kind: Joined})
	looked("nothing new", false)
}
