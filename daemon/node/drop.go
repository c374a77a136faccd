package node

import (
	"errors"

	"meantime/netproto"
)

// Drop is a reason for which a datagram was counted and dropped.
type Drop uint8

// The reasons.
const (
	DropTruncated Drop = iota // shorter than it says or needs
	DropOversized             // longer than any packet
	DropForeign               // not ours: other magic, version or length
	DropKey                   // unknown key or wrong tag
	DropKind                  // a kind this version does not know
	DropValue                 // a field out of its range
	DropGroup                 // another group's
	DropOwn                   // sent by this node
	DropDuplicate             // seen already
	DropStale                 // of a round or term that is over
	DropUnasked               // shows no nonce of ours
	DropDry                   // of a dry node, which has no office among real ones
	DropRole                  // meant for the other role
	DropRange                 // stamps too far apart to be clocks
	DropFull                  // no room for another peer
	DropBusy                  // more than this node answers
	DropUntrusted             // of a node that may not be master here
	DropExcluded              // of a node that has been excluded
	DropStepping              // came while the own clock was being stepped
	DropCount                 // how many reasons there are
)

var dropNames = [DropCount]string{
	"truncated", "oversized", "foreign", "key", "kind", "value", "group", "own", "duplicate", "stale",
	"unasked", "dry", "role", "range", "full", "busy", "untrusted", "excluded", "stepping",
}

// String names the reason as logs and status show it.
func (d Drop) String() string {
	if d < DropCount {
		return dropNames[d]
	}
	return "unknown"
}

// Drops counts dropped datagrams by reason.
type Drops [DropCount]uint64

// Total is the number of all of them.
func (d Drops) Total() (sum uint64) {
	for _, n := range d {
		sum += n
	}
	return sum
}

// DropOf maps an error of netproto to the reason under which a datagram is counted.
func DropOf(err error) Drop {
	switch {
	case errors.Is(err, netproto.ErrTruncated), errors.Is(err, netproto.ErrLength):
		return DropTruncated
	case errors.Is(err, netproto.ErrOversized):
		return DropOversized
	case errors.Is(err, netproto.ErrKey), errors.Is(err, netproto.ErrTag):
		return DropKey
	case errors.Is(err, netproto.ErrGroup):
		return DropGroup
	case errors.Is(err, netproto.ErrKind):
		return DropKind
	case errors.Is(err, netproto.ErrMagic), errors.Is(err, netproto.ErrVersion):
		return DropForeign
	}
	return DropValue
}
