package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// answer runs the service for the manager that started this process. (Whether it did cannot be told everywhere: on wine, by the
// documented ways, it seems not to have, and a plain program waits ten seconds to be told so.)
func answer(run func(context.Context, Host) error, plain Host) error {
	h := &handler{run: run, plain: plain}
	err := svc.Run(Name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		return fmt.Errorf("%w: it is no service manager that has started this; run it without --service", ErrNoManager)
	}
	return errors.Join(h.err, err)
}

// handler is the service as its manager sees it.
type handler struct {
	run   func(context.Context, Host) error
	plain Host
	err   error // read once svc.Run has returned
}

// states are the phases in the manager's own words.
var states = map[phase]svc.State{starting: svc.StartPending, up: svc.Running, stopping: svc.StopPending}

// Execute runs the service. Its exit code is not 0 after an error, so that the manager starts it again.
func (h *handler) Execute(_ []string, changes <-chan svc.ChangeRequest, statuses chan<- svc.Status) (specific bool, code uint32) {
	host := h.plain
	if events, err := eventlog.Open(Name); err == nil {
		defer events.Close()
		host.Log, host.Plain = func(l slog.Level) io.Writer { return eventWriter{events, l} }, false
	}
	requests := make(chan asked)
	go func() { // ends with the process
		for change := range changes {
			switch change.Cmd {
			case svc.Interrogate:
				requests <- askState
			case svc.Stop, svc.Shutdown:
				requests <- askStop
			}
		}
	}()
	h.err = conduct(func(ctx context.Context, ready func()) error {
		host.Ready = ready
		return h.run(ctx, host)
	}, requests, func(r report) {
		s := svc.Status{State: states[r.phase], CheckPoint: r.step}
		if r.phase == up {
			s.Accepts = svc.AcceptStop | svc.AcceptShutdown
		} else {
			s.WaitHint = uint32(3 * stepEvery.Milliseconds())
		}
		statuses <- s
	})
	if h.err != nil {
		_, _ = io.WriteString(host.Log(slog.LevelError), "stopped: "+h.err.Error()) // nobody sees standard error
		return true, 1
	}
	return false, 0
}

// eventWriter writes lines of a level to Windows' event log.
type eventWriter struct {
	events *eventlog.Log
	level  slog.Level
}

// eventID numbers what the log's text needs none for: its message file prints the text under each of them.
const eventID = 1

func (w eventWriter) Write(line []byte) (int, error) {
	text, write := strings.ReplaceAll(strings.TrimRight(string(line), "\n"), "\x00", ""), w.events.Info
	switch {
	case w.level >= slog.LevelError:
		write = w.events.Error
	case w.level >= slog.LevelWarn:
		write = w.events.Warning
	}
	return len(line), write(eventID, text)
}
