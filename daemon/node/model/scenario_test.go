package model

import (
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// scenario is where an attack begins: three nodes play it, then the attacker has the network for a while.
type scenario struct {
	name   string
	role   [size]node.Role
	play   func(x *explorer, w *world)
	attack time.Duration // for how long
	most   int           // actions of the attacker on one path
}

const ms = time.Millisecond

var (
	oneMaster  = [size]node.Role{node.RoleMaster}
	twoMasters = [size]node.Role{node.RoleMaster, node.RoleMaster}
	twoAndOne  = [size]node.Role{node.RoleMaster, node.RoleMaster, node.RoleSlave}
)

var scenarios = []scenario{
	{
		name: "a founding", role: oneMaster, attack: 1500 * ms, most: 2,
		play: func(x *explorer, w *world) { x.run(w, 6500*ms) },
	},
	{
		name: "its master's death", role: twoMasters, attack: 2600 * ms, most: 2, // both stand at the start: there are old Claims
		play: func(x *explorer, w *world) {
			x.run(w, 6500*ms)
			x.withhold(w, 1, netproto.KindAck)
			x.kill(w, 1)
		},
	},
	{
		name: "nothing", role: twoMasters, attack: 900 * ms, most: 2,
		play: func(*explorer, *world) {},
	},
	{
		name: "its master's return", role: oneMaster, attack: 1500 * ms, most: 1,
		play: func(x *explorer, w *world) {
			x.run(w, 6500*ms)
			x.kill(w, 0)
			x.run(w, 10*time.Second)
			x.restart(w, 0, false)
			x.run(w, 12*time.Second)
		},
	},
	{
		name: "the meeting of two LANs and the winner's death", role: twoMasters, attack: 700 * ms, most: 2,
		play: func(x *explorer, w *world) {
			x.parted = func(f flight) bool { return f.from == 0 || f.to == 0 }
			x.run(w, 6500*ms)
			x.parted = nil
			x.run(w, 10500*ms)
			x.kill(w, 1)
			x.run(w, 13600*ms)
		},
	},
	{
		name: "a newcomer's restart within a round", role: oneMaster, attack: 300 * ms, most: 3,
		play: func(x *explorer, w *world) {
			x.run(w, 6500*ms)
			x.restart(w, 2, true)
			first := x.withhold(w, 2, netproto.KindReply)
			x.restart(w, 2, false)
			x.bring(w, 2, first.round)
			x.run(w, w.now+100*ms)
		},
	},
	{
		name: "two masters of one term, of which one stops", role: twoAndOne, attack: 300 * ms, most: 3,
		play: func(x *explorer, w *world) {
			x.parted = func(f flight) bool { return f.from == 0 || f.to == 0 } // until A has founded alone
			x.run(w, 1400*ms)
			x.parted = func(f flight) bool {
				return f.from+f.to == 1 || f.from == 0 && (f.header.Kind == netproto.KindAck || f.header.Kind == netproto.KindAdjust)
			}
			x.run(w, 1900*ms) // now B founds, with C
			x.parted = nil
			x.stop(w, 1)
		},
	},
}

// withhold runs until a node sends a packet of a kind, and takes it from the network.
func (x *explorer) withhold(w *world, i int, kind netproto.Kind) *record {
	for x.err == nil {
		switch {
		case len(w.queue) == 0:
			x.pass(w)
		case w.queue[0].from == i && w.queue[0].header.Kind == kind:
			r := w.queue[0].record
			w.queue = w.queue[1:]
			return r
		default:
			x.deliver(w)
		}
	}
	return nil
}
