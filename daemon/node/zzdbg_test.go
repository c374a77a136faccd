package node
import ("testing";"time";"meantime/netproto")
func TestZZ(t *testing.T) {
			b := auto(t, nil)
			nonce := b.exchange(1)
			b.packet(masterAddr, adjustOf(1, nonce, 0, func(_ *netproto.Header, a *netproto.Adjust) {
				a.Successors[0] = 2
				a.Entries[0].Standing = netproto.StandingNewcomer
			}))
			b.upTo(netproto.KindCandidate, 10*time.Second)
			f := following(3, 4)
			f[0].offset, f[0].lineage, f[1].lineage = time.Second, 99, 99
			for i := range 24 {
				b.round(f...)
				s := b.node.Status()
				t.Log(i, s.State, s.Voters, b.node.standing, f[0].entry, f[0].offset, f[1].entry, f[1].offset, b.node.lead.resuming)
			}
}
