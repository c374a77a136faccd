package main

import (
	"context"
	"fmt"
	"io"

	"meantime/daemon/service"
)

// fakeManager is a manager whose service is in this state, and that does nothing: no script touches the host's services.
type fakeManager service.State

func (m fakeManager) change(o service.Options, c ...service.Change) ([]service.Change, error) {
	if m == "forbidden" && !o.DryRun {
		return nil, service.ErrRights
	}
	return c, nil
}

func (m fakeManager) Install(o service.Options) ([]service.Change, error) {
	if m == "edited" && !o.Force {
		return nil, fmt.Errorf("%w: /etc/x: lines that it has (-) and would have (+):\n- mine\n+ yours", service.ErrEdited)
	}
	return m.change(o, service.Change{Verb: service.Write, What: "/etc/x", Text: "[Unit]\n\nA=" + o.Program + "\n"},
		service.Change{Verb: service.Run, What: "enable x"})
}

func (m fakeManager) Uninstall(o service.Options) ([]service.Change, error) {
	if service.State(m) == service.Absent {
		return nil, service.ErrNotInstalled
	}
	return m.change(o, service.Change{Verb: map[bool]service.Verb{true: service.Remove, false: service.Keep}[o.Purge], What: "/etc/meantime"})
}

func (m fakeManager) Start() error   { return m.act("start") }
func (m fakeManager) Stop() error    { return m.act("stop") }
func (m fakeManager) Restart() error { return m.act("restart") }

func (m fakeManager) act(verb string) error {
	if m == "forbidden" {
		return service.ErrRights
	}
	return fmt.Errorf("the service does not %s: planted", verb)
}

func (m fakeManager) Status() (service.Status, error) {
	s := service.Status{Manager: "fake", State: service.State(m)}
	if s.State == service.Running {
		s.PID, s.Program, s.Text, s.Boots = 42, "/usr/bin/meantime", "keeping, master is this host, members 3, voters 3", true
	}
	if s.State == service.Failed {
		s.Detail = "it ended with exit code 7"
	}
	return s, nil
}

func (m fakeManager) Logs(_ context.Context, o service.LogOptions, out io.Writer) error {
	_, err := fmt.Fprintf(out, "%+v\n", o)
	return err
}
