package node

// lag is how long after this node's decision to send them its packets leave: it has to write down when they do before they do. Half of
// what it is wrong by is in the offset that one Reply alone gives, with all slaves to the same side: at 30 µs a master was 15 µs behind
// the other 63 of its LAN, whose turns came every 16th round.
type lag struct{ usual int64 } // ns

const (
	// lagGain is the weight of the latest packet: as in RFC 6298 for a delay.
	lagGain = 8
	// lagStep (ns) is how far beyond twice the usual lag a packet still counts for what it took. Whoever was preempted in between says
	// nothing about the next one.
	lagStep = 20_000
)

// learn takes what the kernel says that a packet took (ns).
func (l *lag) learn(took int64) {
	l.usual += (min(max(took, 0), 2*l.usual+lagStep) - l.usual) / lagGain
}
