package node

import "meantime/daemon/berkeley"

// room is where a master works. Nothing in it outlasts a round but the room itself, which the next uses again: however many members there
// are, a round allocates nothing.
type room struct {
	acked      recent
	keeper     berkeley.Keeper
	peers      []*peer           // those measured,
	samples    []berkeley.Sample // and how
	all, quick ballot
	numbers    []int64 // to be sorted
}

// recent finds the peer to whom the Ack under a token went: a ring with as many places as there are peers, and leastRecent. A stamp that
// comes back after so many later Acks is of no use any more.
type recent []*peer

const leastRecent = 16

// add notes that the peer's token is its last Ack's.
func (r *recent) add(p *peer, peers int) {
	if places := uint64(len(*r)); int(places) < max(peers, leastRecent) {
		wider := make(recent, max(2*places, leastRecent))
		for _, old := range *r {
			if old != nil {
				wider[old.token%uint64(len(wider))] = old
			}
		}
		*r = wider
	}
	(*r)[p.token%uint64(len(*r))] = p
}

// find is the peer whose last Ack has a token, nil where there is none.
func (r recent) find(token uint64) *peer {
	if len(r) == 0 {
		return nil
	}
	if p := r[token%uint64(len(r))]; p != nil && p.token == token {
		return p
	}
	return nil
}
