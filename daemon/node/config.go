package node

import (
	"errors"
	"fmt"
	"math"
	"time"

	"meantime/netproto"
)

// Role is the part a node plays.
type Role uint8

// The roles.
const (
	RoleAuto   Role = iota // master or slave, by election
	RoleSlave              // never master
	RoleMaster             // stands for master at once when it starts, and by rank afterwards
)

// String names the role as configuration does.
func (r Role) String() string {
	switch r {
	case RoleSlave:
		return "slave"
	case RoleMaster:
		return "master"
	}
	return "auto"
}

// StepPolicy says when the clock may be stepped rather than slewed.
type StepPolicy uint8

// The policies.
const (
	StepBoot   StepPolicy = iota // at the first synchronisation since the OS booted
	StepNever                    // not at all
	StepAlways                   // whenever the phase exceeds Config.StepThreshold
)

// Config is what a Node is told at its birth.
type Config struct {
	ID       netproto.ID // from the state directory, never zero
	Start    uint32      // random number of this start
	Group    uint32      // netproto.GroupID of the group's name
	Role     Role
	Dry      bool          // the clock is virtual: no vote and no office among real nodes
	Priority uint8         // rank in elections, the higher the sooner master; 0 = never
	Trusted  []netproto.ID // the only nodes that may be master; empty = any
	Excluded []netproto.ID // nodes whose packets are dropped: their clocks lie, say; one that stands in its own list never stands for office
	Term     uint64        // highest term obeyed before this start

	Name string // of this host, for people: a label

	Ring *netproto.Ring // the keys of the group; nil = the null key, which authenticates nobody

	Interval     time.Duration // master: from poll to poll, at the shortest
	Longest      time.Duration // master: from poll to poll where LAN time has been calm for long; 0 = Interval
	MaxSkew      time.Duration // master: widest group of clocks that the founding averages
	FoundWait    time.Duration // master: longest gathering before the founding
	FullRoundsTo int           // master: members up to which each gets its Acks in every round; 0 = however many
	MaxMembers   int           // master: members that it takes, itself included; 0 = as many as the protocol can count

	Release int64 // ns since the Unix epoch: a clock before this has no voice while another is plausible

	Step          StepPolicy
	MayStep       bool          // StepBoot: no synchronisation has been since the OS booted
	StepThreshold time.Duration // StepAlways
	MaxSlew       float64       // largest extra rate while slewing, fractional
	PanicForward  time.Duration // a correction of the clock forward by more than this is left to an operator; 0 = none is
	PanicBackward time.Duration // the same backward
	PhaseOnly     bool          // no fit: each delta is slewed off and forgotten, as in the textbook; for comparison

	Frequency      float64 // frequency correction to start from, fractional
	FrequencyError float64 // how close that is, fractional; 0 where it is a guess

	Random func() uint64 // for nonces and lineages: crypto randomness in production, a seed in simulation
}

// mostMembers is what the protocol can count: a Poll tells in 16 bits how many slots there are, and a slot more is none.
const mostMembers = math.MaxUint16 - 1

// check refuses what no driver should ask for.
func (c Config) check() error {
	switch {
	case c.ID == 0:
		return errors.New("node: id is zero")
	case c.Random == nil:
		return errors.New("node: no source of random numbers")
	case c.Ring != nil && c.Ring.Group() != c.Group:
		return fmt.Errorf("node: keys of group %08x in group %08x", c.Ring.Group(), c.Group)
	case c.Interval <= 0 || c.MaxSlew <= 0:
		return fmt.Errorf("node: interval %v and max slew %v must be positive", c.Interval, c.MaxSlew)
	case c.FullRoundsTo < 0 || c.MaxMembers < 0 || c.MaxMembers == 1 || c.MaxMembers > mostMembers:
		return fmt.Errorf("node: full rounds to %d members and %d at most: not within 0 and %d", c.FullRoundsTo, c.MaxMembers, mostMembers)
	}
	return nil
}
