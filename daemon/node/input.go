package node

import "net/netip"

// Input is what the outside tells a Node: a Packet, a Sent, a Tick or a Stop.
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

// Sent brings the transmit stamp of a Send, after the fact. A Send to the group brings one for each interface.
type Sent struct {
	Token  uint64
	Iface  int
	Stamp  int64 // ns since the Unix epoch on the clock being kept
	Kernel bool
}

// Tick says that time has passed; the driver sends it at the Deadline.
type Tick struct{}

// Stop says that the program ends: a master hands over.
type Stop struct{}

func (Packet) input() {}
func (Sent) input()   {}
func (Tick) input()   {}
func (Stop) input()   {}
