package sim

import (
	"slices"
	"testing"
	"time"
)

// TestPartsOfAnAdjustGoToThoseConcerned: bringing the parts of an Adjust only to the hosts that have an entry in them changes nothing that any
// host does, to the nanosecond. On this LAN an Adjust has three parts.
func TestPartsOfAnAdjustGoToThoseConcerned(t *testing.T) {
	run := func(sparing bool) (deeds []deed, inputs uint64) {
		o := Default()
		o.Nodes, o.For, o.Loss = 80, 17*time.Second, 0.01
		w, err := New(o.Plan().compared(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.links, w.sparing = newLinks(w, true), sparing
		w.deeds = func(d deed) { deeds = append(deeds, d) }
		if err := w.Run(o.For); err != nil {
			t.Fatal(err)
		}
		return deeds, w.inputs
	}
	all, heard := run(false)
	some, spared := run(true)
	if !slices.Equal(all, some) || len(all) < 80*5 {
		t.Errorf("%d deeds where everybody hears every part, %d where not: they are to be the same", len(all), len(some))
	}
	if spared > heard-80*2*3 {
		t.Errorf("%d inputs spared, %d where everybody hears every part", spared, heard)
	}
}

// TestAddresses: every member of the largest LAN has an address of its own.
func TestAddresses(t *testing.T) {
	w := &World{hosts: make([]*Host, MaxNodes)}
	for i := range w.hosts {
		if at := w.index(address(i)); at != i {
			t.Fatalf("member %d has the address %v, which is member %d's", i, address(i), at)
		}
	}
	if at := w.index(outsider); at != -1 {
		t.Errorf("the attacker has the address of member %d", at)
	}
}
