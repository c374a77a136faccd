// Package control is how a program asks a running daemon: HTTP with JSON over a Unix socket, and a client for it. `meantime status` and its
// like use nothing else.
//
// GET /v1/status, /v1/members, /v1/events and /v1/now answer with the types below. Further fields may come within a version; none goes or
// changes its meaning. Durations are seconds in fields that end in _s, rates ppm in fields that end in _ppm; what is not known is left
// out. An answer other than 200 holds a Refusal.
package control

import (
	"context"
	"time"
)

// The paths.
const (
	PathStatus  = "/v1/status"
	PathMembers = "/v1/members"
	PathEvents  = "/v1/events"
	PathNow     = "/v1/now"
	PathVersion = "/v1/version"
)

// API counts what came to be within version 1: 1 had status, members, events and now; 2 has version, trace and the changes, too;
// 3 has the profiles.
const API = 3

// Version is which program answers.
type Version struct {
	Program string `json:"program"` // as `meantime version` says
	API     int    `json:"api"`     // what it can be asked: see the constant
}

// Refusal says why a request was not answered.
type Refusal struct {
	Error string `json:"error"`
}

// Source is whoever knows how a node does: the daemon itself, or a Client of it. What it returns is shared: nobody changes it.
type Source interface {
	Status(context.Context) (Status, error)
	Members(context.Context) (Members, error)
	Events(context.Context) (Events, error)
	Now(context.Context) (Now, error)
}

var _ Source = (*Client)(nil)

// Status is how a node and its LAN do.
type Status struct {
	ID           string            `json:"id"`             // 16 hex digits
	Name         string            `json:"name,omitempty"` // this host's: a label, never authority
	Role         string            `json:"role"`           // as configured: auto, slave or master
	State        string            `json:"state"`          // listening, gathering, keeping, following, joining, holdover, panic or holding
	DryRun       bool              `json:"dry_run"`
	Standing     string            `json:"standing,omitempty"`       // voter, newcomer, …
	Master       string            `json:"master,omitempty"`         // its id
	MasterAddr   string            `json:"master_address,omitempty"` // of another host than this
	MasterName   string            `json:"master_name,omitempty"`
	Lineage      string            `json:"lineage,omitempty"` // of LAN time, since its founding
	Term         uint64            `json:"term"`
	Round        uint32            `json:"round"`
	Interval     Seconds           `json:"interval_s"`            // from poll to poll, at present
	LastPoll     *Seconds          `json:"last_poll_s,omitempty"` // age of the last poll that was sent, or obeyed
	Members      int               `json:"members"`
	Voters       int               `json:"voters"`
	Turns        int               `json:"turns,omitempty"`            // of a master: rounds in which each member has all its exchanges once
	Window       *Seconds          `json:"window_s,omitempty"`         // of a master: within which replies are sent
	Expected     *uint64           `json:"replies_expected,omitempty"` // of a master: from members that it heard in the round before
	Lost         *uint64           `json:"replies_lost,omitempty"`     // of those, how many did not come
	Spread       *Seconds          `json:"spread_s,omitempty"`         // largest minus smallest offset among the voters
	Offset       Seconds           `json:"offset_s"`                   // of this clock from where its node wants it: still to be slewed
	Bound        *Seconds          `json:"bound_s,omitempty"`          // how far this clock may be from LAN time
	Frequency    float64           `json:"frequency_ppm"`              // correction of this oscillator
	Scatter      *Seconds          `json:"scatter_s,omitempty"`
	KernelStamps bool              `json:"kernel_stamps"`
	Interference []string          `json:"interference"`  // other programs and hands at this clock; none: []
	Key          string            `json:"key,omitempty"` // id of the key in force
	KeysHeld     int               `json:"keys_held"`
	Uptime       Seconds           `json:"uptime_s"`
	Packets      map[string]uint64 `json:"packets"` // taken, by kind
	Dropped      map[string]uint64 `json:"dropped"` // by reason
}

// Member is one member of the LAN as the node that answers knows it. Only a master knows all, and their voices.
type Member struct {
	ID        string   `json:"id"`
	Name      string   `json:"name,omitempty"` // a label, never authority
	Self      bool     `json:"self"`
	Master    bool     `json:"master"`
	Address   string   `json:"address,omitempty"`
	Standing  string   `json:"standing,omitempty"`
	Votes     *bool    `json:"votes,omitempty"`         // whether its clock counted in the last round's mean
	Why       string   `json:"why,omitempty"`           // it did not
	Offset    *Seconds `json:"offset_s,omitempty"`      // of its clock from LAN time
	Delay     *Seconds `json:"delay_s,omitempty"`       // there and back
	Bound     *Seconds `json:"bound_s,omitempty"`       // of the measurement
	Jitter    *Seconds `json:"jitter_s,omitempty"`      // usual change of what is measured, from round to round
	Word      *Seconds `json:"own_bound_s,omitempty"`   // how far it may be off, by its own word
	Frequency *float64 `json:"frequency_ppm,omitempty"` // correction of its oscillator
	Priority  *int     `json:"priority,omitempty"`
	Rounds    *int     `json:"rounds,omitempty"`  // in which it was heard
	Missed    *int     `json:"missed,omitempty"`  // the last so many
	Heard     *Seconds `json:"heard_s,omitempty"` // age of its last answer
}

// Members are the members, the node that answers first.
type Members struct {
	Complete bool     `json:"complete"`         // a master answered
	Master   string   `json:"master,omitempty"` // where to ask for all of them
	Members  []Member `json:"members"`
}

// Event is something that happened: a change of state, an election, a step, a disturbance.
type Event struct {
	N     uint64            `json:"n"`     // counts up from 1, since the daemon's start
	At    time.Time         `json:"at"`    // by the host's clock, as it stood; in a dry run, too
	Level string            `json:"level"` // INFO or WARN
	Text  string            `json:"text"`
	Facts map[string]string `json:"facts,omitempty"`
}

// Events are the last ones, oldest first.
type Events struct {
	Lost   uint64  `json:"lost"` // older ones that are not kept any more
	Events []Event `json:"events"`
}

// Now is LAN time at one instant: it lies between Earliest and Latest.
type Now struct {
	Synchronised bool      `json:"synchronised"` // Best follows LAN time; otherwise it is this clock and nothing bounds it
	Earliest     time.Time `json:"earliest,omitzero"`
	Best         time.Time `json:"best"`
	Latest       time.Time `json:"latest,omitzero"`
	Clock        time.Time `json:"clock"` // what this host's clock showed
}

// Seconds is a duration as JSON has it.
type Seconds float64

// Duration is the same for Go.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// SecondsOf is the reverse, to the nanosecond.
func SecondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }
