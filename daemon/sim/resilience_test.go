package sim

import (
	"testing"
	"time"

	"meantime/daemon/node"
)

// united demands that a run's LAN ends with exactly one master, whom everybody obeys, and with clocks that agree or are on their way: a
// host that had its one step in a smaller LAN is slewed over, has no vote meanwhile, and knows how far it has to go.
func united(t *testing.T, o Options) {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	w := start(t, o.Plan())
	run(t, w, o.For)
	var masters, alive []int
	for i, h := range w.Hosts() {
		if !h.up() {
			continue
		}
		alive = append(alive, i)
		if s := h.Node.Status(); s.Master == s.ID {
			masters = append(masters, i)
		}
	}
	if len(masters) != 1 {
		t.Fatalf("masters %v at the end of %v, want exactly one", masters, o)
	}
	ruler := w.Hosts()[masters[0]].Node.Status()
	slewed := 0
	for _, i := range alive {
		if w.Hosts()[i].Node.Status().Residual.Abs() > time.Millisecond {
			slewed++
		}
	}
	if ruler.State != node.StateKeeping || ruler.Voters+slewed < len(alive) {
		t.Errorf("the master is %s with %d voters of %d, %d on their way: %v", ruler.State, ruler.Voters, len(alive), slewed, o)
	}
	for _, i := range alive {
		if s := w.Hosts()[i].Node.Status(); s.Master != ruler.ID || s.Lineage != ruler.Lineage {
			t.Errorf("host %d obeys %v in lineage %d, not %v in %d: %v", i, s.Master, s.Lineage, ruler.ID, ruler.Lineage, o)
		}
	}
	errs := errorsOf(t, w, alive...)
	for k, i := range alive {
		errs[k] += int64(w.Hosts()[i].Node.Status().Residual)
	}
	if apart := spread(errs); apart > time.Millisecond {
		t.Errorf("the clocks are %v apart beyond what they know: %v", apart, o)
	}
}

// PROTOCOL.md 9.16 to 9.19. Rounds of LAN time once ranked masters too. Hosts whose switch came up late had each founded a LAN of
// their own, with a round more or less; asking each other at different moments, each found itself the better one, and both stayed.
func TestHostsThatFoundedAloneMerge(t *testing.T) {
	for seed := range seeds(t, 20) {
		o := Default()
		o.Nodes, o.Apart, o.For, o.Seed = 3, 5*time.Second, 10*time.Minute, seed+1
		o.Faults = []Fault{{Kind: Cut, Hosts: []int{1, 2}, For: 9 * time.Second}}
		united(t, o)
	}
}

// PROTOCOL.md 9.15, 9.25 and 9.29. A master killed in the moment of its LAN's founding left founders whom no second round had confirmed:
// nobody voted, and the LAN held for ever.
func TestMasterKilledAtTheFounding(t *testing.T) {
	for seed := range seeds(t, 5) {
		for _, at := range []time.Duration{6 * time.Second, 7 * time.Second, 8 * time.Second} {
			o := Default()
			o.For, o.Seed = 5*time.Minute, seed+1
			o.Faults = []Fault{{Kind: Kill, Hosts: []int{Master}, At: at}}
			united(t, o)
		}
	}
}
