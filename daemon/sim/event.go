package sim

import "meantime/netproto"

// happening is what an event is about.
type happening uint8

const (
	comes    happening = iota // a member comes to the LAN
	alarm                     // a node's deadline
	arrives                   // a packet has been received and is seen by the node
	departed                  // a transmit stamp comes back
	strikes                   // a fault begins
	ceases                    // a fault ends
	flaps                     // a flapping link changes
	restarts                  // a daemon starts again
	looks                     // the second's sample
	wakes                     // a machine slept, and its daemon is told
	rekeyed                   // a key file changed, and its daemon has read it
	assails                   // the attacker sends
	orders                    // an operator sets LAN time
)

// event is something that happens at an instant. It is a value, kept in a slab, so that a run makes no garbage of its own.
type event struct {
	what   happening
	kernel bool // the kernel takes the stamp
	group  bool // to the group
	told   bool // stamp is the host's wall clock already
	foe    bool // the attacker sent it
	class  Hostility
	kind   netproto.Kind
	host   int32  // whom it happens to
	from   int32  // the sender; the fault's index
	life   uint32 // of the host when it was planned: a later one is not concerned
	stamp  int64  // true time of the packet's arrival or departure, ns since the start; if told, the stamp itself
	token  uint64
	term   uint64 // of an Adjust
	data   []byte
}

// key orders the queue: by time, and at one instant by the order of planning.
type key struct {
	at    int64  // ns since the start
	order uint64 // running number << slotBits | slot in the slab
}

// slotBits bounds the events that are pending at a time to 16 million: 250 hosts with a thousand packets each in flight are fewer.
const slotBits = 24

// queue is a heap of four branches over a slab of events: half the depth of two branches, and no allocation per event.
type queue struct {
	keys  []key
	slab  []event
	free  []uint32
	count uint64
}

// push plans an event for an instant and returns where to describe it, until the next push.
func (q *queue) push(at int64) *event {
	var slot uint32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
	} else {
		slot = uint32(len(q.slab))
		q.slab = append(q.slab, event{})
	}
	q.count++
	q.keys = append(q.keys, key{at, q.count<<slotBits | uint64(slot)})
	q.up(len(q.keys) - 1)
	return &q.slab[slot]
}

// pop takes the next event out. The queue must not be empty.
func (q *queue) pop() (at int64, e event) {
	top := q.keys[0]
	last := len(q.keys) - 1
	q.keys[0] = q.keys[last]
	q.keys = q.keys[:last]
	if last > 0 {
		q.down()
	}
	slot := uint32(top.order & (1<<slotBits - 1))
	e = q.slab[slot]
	q.slab[slot] = event{}
	q.free = append(q.free, slot)
	return top.at, e
}

func (a key) before(b key) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (q *queue) up(i int) {
	k := q.keys[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !k.before(q.keys[parent]) {
			break
		}
		q.keys[i] = q.keys[parent]
		i = parent
	}
	q.keys[i] = k
}

func (q *queue) down() {
	k, i, n := q.keys[0], 0, len(q.keys)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, n); c++ {
			if q.keys[c].before(q.keys[least]) {
				least = c
			}
		}
		if !q.keys[least].before(k) {
			break
		}
		q.keys[i] = q.keys[least]
		i = least
	}
	q.keys[i] = k
}
