package node

import (
	"net/netip"
	"time"

	"meantime/netproto"
)

// Input is what the outside tells a Node: a *Packet, a Refused, a *Sent, a Tick, a Suspended, a Foreign, a Keys, an Elect, a StepDown, a
// SetTime or a Stop.
type Input interface{ input() }

// Packet is a received datagram.
type Packet struct {
	Data    []byte
	From    netip.AddrPort // the sender's own unicast address: answers go there
	Iface   int            // index of the interface it came in on
	ToGroup bool           // it was addressed to the group, not to this node
	Stamp   int64          // receive stamp, ns since the Unix epoch on the clock being kept
	Kernel  bool           // the kernel took the stamp
}

// Refused tells of datagrams that the driver dropped itself, before they could crowd out others: their tag was not right.
type Refused struct {
	Drop  Drop
	Count uint64
	From  netip.AddrPort // where the last came from
	Key   uint32         // and the key that it named
}

// Sent brings the transmit stamp of a Send, after the fact. A Send to the group brings one for each interface.
type Sent struct {
	Token  uint64
	Iface  int
	Stamp  int64 // ns since the Unix epoch on the clock being kept
	Kernel bool
}

// Tick says that time has passed; the driver sends it at the Deadline.
type Tick struct{}

// Suspended says that the machine slept: the raw oscillator stood still while time went on by For, and the clock being kept was set by
// the operating system when it woke.
type Suspended struct{ For time.Duration }

// Foreign says that another program changed how the clock being kept is disciplined: its frequency, its time constant, its status.
type Foreign struct{ What string }

// Keys says that the node is to hold other keys from now on. The ring becomes the node's own.
type Keys struct{ Ring *netproto.Ring }

// SetTime is an operator's order to move the time of the whole LAN. What comes of it is told by a TimeSet.
type SetTime struct {
	By  time.Duration
	Who string // for the log
}

// Stop says that the program ends: a master hands over.
type Stop struct{}

func (*Packet) input()   {}
func (Refused) input()   {}
func (*Sent) input()     {}
func (Tick) input()      {}
func (Suspended) input() {}
func (Foreign) input()   {}
func (Keys) input()      {}
func (SetTime) input()   {}
func (Stop) input()      {}
