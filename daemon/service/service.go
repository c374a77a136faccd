// Package service makes meantime a service of the operating system: it installs, starts, stops and removes it, and answers the
// manager that starts it. It is the only package of the product that may start other programs, such as systemctl, and so the only one
// that a running daemon must not need: daemon does not import it.
package service

import (
	"context"
	"errors"
	"io"
)

// Name is what the service is called everywhere.
const Name = "meantime"

// Managed is the flag of `meantime run` that Windows' service manager gives: see Serve.
const Managed = "service"

const (
	displayName = "meantime"
	description = "One common time for the machines of this LAN"
)

var (
	// ErrNoManager says that nothing here starts services: another system, or a container.
	ErrNoManager = errors.New("no service manager that meantime knows runs here")
	// ErrRights says that this user may not change the services of the system.
	ErrRights = errors.New("not allowed to change the services of this system")
	// ErrNotInstalled says that there is no such service yet.
	ErrNotInstalled = errors.New("the service is not installed")
	// ErrEdited says that a file that belongs to the service is not as meantime wrote it.
	ErrEdited = errors.New("somebody has changed what meantime would write")
)

// Options say what an installation or its end should do.
type Options struct {
	Program string // absolute path of the program to be run; "" = this one
	Force   bool   // Install: replace files that somebody has changed; they are kept beside
	Purge   bool   // Uninstall: configuration, keys and state as well
	// StopW32Time has Install on Windows stop and disable Windows' own time service. Uninstall brings it back as it was.
	StopW32Time bool
	DryRun      bool // only tell the changes
}

// Verb says what a Change does.
type Verb string

// The verbs.
const (
	Write  Verb = "write"  // a file, which gets Change.Text
	Create Verb = "create" // a folder
	Remove Verb = "remove" // a file or a folder with all in it
	Run    Verb = "run"    // a command, or a call of the system
	Keep   Verb = "keep"   // what is there already as it should be, or stays by intent
)

// Change is one thing that was done to the system, or with Options.DryRun would be.
type Change struct {
	Verb Verb   `json:"do"`
	What string `json:"what"`           // a path or a command line
	Text string `json:"text,omitempty"` // what a written file holds
}

// State is what a service is doing.
type State string

// The states.
const (
	Running  State = "running"
	Starting State = "starting"
	Stopping State = "stopping"
	Stopped  State = "stopped"
	Failed   State = "failed"
	Absent   State = "not installed"
)

// Status is what the manager knows of the service.
type Status struct {
	Manager string `json:"manager"`           // "systemd", …
	State   State  `json:"state"`             // of the service
	Boots   bool   `json:"starts_at_boot"`    // it is started when the system is
	PID     int    `json:"pid,omitempty"`     // 0 = none
	Program string `json:"program,omitempty"` // what is run, as far as known
	Text    string `json:"says,omitempty"`    // what the daemon says of itself
	Detail  string `json:"detail,omitempty"`  // why it failed, as far as known
}

// LogOptions say which lines of the log are wanted.
type LogOptions struct {
	Lines  int  // the last so many; 0 = all
	Follow bool // and those that come, until the context ends
}

// Manager is what starts services on this system. Its errors wrap ErrNoManager, ErrRights, ErrNotInstalled or ErrEdited where one of
// them is meant, and say what to do next.
type Manager interface {
	// Install makes the service known and has it started at boot; it does not start it now. Done twice it changes nothing. What it did
	// before an error is undone, and is not among the changes.
	Install(Options) ([]Change, error)
	// Uninstall stops the service and takes it away. Configuration, keys and state stay, unless Options.Purge.
	Uninstall(Options) ([]Change, error)
	// Start returns once the service runs, or says why it does not.
	Start() error
	// Stop returns once the service has ended. One that does not run is stopped already.
	Stop() error
	// Restart is Stop and Start.
	Restart() error
	// Status is without error where the service is not installed.
	Status() (Status, error)
	// Logs writes the log of the service.
	Logs(ctx context.Context, o LogOptions, out io.Writer) error
}

// New is the manager of this system, or an error that wraps ErrNoManager.
func New() (Manager, error) { return newManager() }
