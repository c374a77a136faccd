package node

import (
	"net/netip"
	"time"

	"meantime/netproto"
)

// Effect is what a Node wants done, in the order given: *Send, *Steer, Step, Synchronised, Remember, NewID, NewTerm,
// Answer, TimeSet or Note.
type Effect interface{ effect() }

// Send wants a datagram sent and its transmit stamp brought back under Token.
type Send struct {
	Data  []byte
	Group bool           // to the group, once on every interface; To and Iface do not count
	To    netip.AddrPort // else to this address
	Iface int            // out of this interface
	Token uint64
}

// Steer wants the clock being kept steered; it replaces what was asked before.
type Steer struct {
	Frequency float64 // fractional correction against the raw oscillator
	Phase     int64   // ns to slew
	MaxSlew   float64 // largest extra rate for that, fractional
	MaxError  int64   // ns: bound on the clock's distance from LAN time
	EstError  int64   // ns: its likely distance

	Synchronised bool // the clock is being kept; false while it is held and left alone
}

// Step wants the clock being kept moved by Delta ns at once.
type Step struct{ Delta int64 }

// Synchronised says that LAN time has been adopted for the first time: from now until the OS boots anew no step is due.
type Synchronised struct{}

// Remember says what frequency correction this oscillator needs, as well as it is known: to be kept for the next start.
type Remember struct {
	Frequency float64 // fractional
	Error     float64 // fractional: the correction is that close
}

// NewID says that another host uses this node's id (a cloned disk), so that the node has taken a new one: to be kept.
type NewID struct{ ID uint64 }

// NewTerm says that a higher term has been obeyed: to be kept, so that a restart does not believe an older master.
type NewTerm struct{ Term uint64 }

// TimeSet is what came of a SetTime.
type TimeSet struct {
	By     time.Duration
	Answer netproto.Answer // AnswerNone: no master answered
	Begins time.Duration   // from now until LAN time is moved
	Steps  bool            // this host's clock is stepped then, as its policy says
	Takes  time.Duration   // from then until clocks that are slewed have followed, at the pace in force
}

// Level is how much a Note matters.
type Level uint8

// Levels of a Note.
const (
	Debug Level = iota
	Info
	Warn
)

// Note is a line for the log. The words are the node's own, so that a simulated run reads like a real one.
type Note struct {
	Level Level
	Text  string
	Attrs []Attr
}

// Attr is a named value of a Note: a string, an integer, a float64 or a time.Duration.
type Attr struct {
	Key   string
	Value any
}

func (*Send) effect()        {}
func (*Steer) effect()       {}
func (Step) effect()         {}
func (Synchronised) effect() {}
func (Remember) effect()     {}
func (NewID) effect()        {}
func (NewTerm) effect()      {}
func (TimeSet) effect()      {}
func (Note) effect()         {}
