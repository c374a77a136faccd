// Package node is the protocol: what a member of the LAN does with what it sees and when.
//
// A Node is a machine without hands. Handle takes one input (a packet, the stamp of a sent one, the passing of time)
// together with the moment it was seen, and returns effects: packets to send, what to tell the clock, what to log.
// Deadline says when it wants to be called even if nothing comes. The node never reads a clock, opens a socket, starts a
// goroutine or draws from global randomness, so the same code runs behind real sockets, in a demo on loopback and in a
// simulator, and the same inputs always give the same effects.
//
// Inside, every instant is a reading of the raw oscillator, which nothing steers. The wall-clock stamps of packets are mapped
// to it at the door (clockwork), and the node's timescale (package servo) maps it to LAN time. Only what leaves the node is
// in LAN time. A clock that is being slewed, or was stepped by somebody, therefore disturbs no measurement.
package node
