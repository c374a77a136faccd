package sim
import ("testing";"time")
func TestZZ(t *testing.T) {
	for _, seed := range []uint64{11, 19} {
		o := Default()
		o.Nodes, o.Apart, o.For, o.Seed = 3, 5*time.Second, 10*time.Minute, seed
		o.Faults = []Fault{{Kind: Cut, Hosts: []int{1, 2}, For: 9 * time.Second}}
		w := start(t, o.Plan())
		for at := time.Second; at < 10*time.Minute; at += time.Second {
			n := []int{}
			for _, h := range w.Hosts() { n = append(n, len(h.Notes)) }
			w.Run(at)
			for i, h := range w.Hosts() { for _, x := range h.Notes[n[i]:] { t.Log(at, i, x.Text, x.Attrs) } }
		}
		for i, h := range w.Hosts() { s := h.Node.Status(); t.Log(i, s.State, s.Standing, s.Voters, s.Members, s.Lineage, s.Residual, h.Steps) }
	}
}
