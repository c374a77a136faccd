package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/netproto"
)

const (
	// wishSize bounds (bytes) what is wished for: a handful of words.
	wishSize = 4 << 10
	// longestRest is how long a master that steps down may stay out of elections: whoever wants it for good sets its priority to 0.
	longestRest = 24 * time.Hour
)

// httpError is an error with its code in HTTP.
type httpError struct {
	code int
	text string
}

func (r httpError) Error() string { return r.text }

// errEnding says that a question came too late.
var errEnding = httpError{http.StatusServiceUnavailable, "it is about to end"}

// changes are what root and the daemon's own user may ask for.
func (d *driver) changes(mux *http.ServeMux) {
	mux.Handle("POST "+control.PathElection, change(d.elect))
	mux.Handle("POST "+control.PathStepDown, change(d.stepDown))
	mux.Handle("POST "+control.PathLog, change(d.setLog))
	mux.Handle("POST "+control.PathTrace, change(d.setTrace))
	mux.Handle("POST "+control.PathSetTime, change(d.setTime))
}

// change answers a request for one: whoever may make it and says it in JSON is heard.
func change[Q, A any](do func(context.Context, caller, Q) (A, error)) http.HandlerFunc {
	return changersOnly(func(w http.ResponseWriter, r *http.Request) {
		who, _ := changer(r)
		var wish Q
		if err := read(w, r, &wish); err != nil {
			refuse(w, err.code, err.text)
			return
		}
		answer, err := do(r.Context(), who, wish)
		if err == nil {
			reply(w, answer)
			return
		}
		code := http.StatusServiceUnavailable
		if own, ok := errors.AsType[httpError](err); ok {
			code = own.code
		}
		refuse(w, code, err.Error())
	})
}

// changersOnly is next for whoever may change something.
func changersOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if who, ok := changer(r); !ok {
			refuse(w, http.StatusForbidden, fmt.Sprintf("root and the daemon's own user (uid %d) may, and this is %v", os.Geteuid(), who))
			return
		}
		next(w, r)
	}
}

// read takes a request's body: one JSON object, of which every field is known. What a newer program wishes for and this one does not
// understand is refused, not left out.
func read(w http.ResponseWriter, r *http.Request, wish any) *httpError {
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		return &httpError{http.StatusUnsupportedMediaType, fmt.Sprintf("application/json is wanted, not %q", kind)}
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, wishSize))
	body.DisallowUnknownFields()
	err := body.Decode(wish)
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("a body of %d bytes at most is wanted", wishSize)}
	}
	if err != nil {
		return &httpError{http.StatusBadRequest, "a JSON object is wanted: " + err.Error()}
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return &httpError{http.StatusBadRequest, "one JSON object is wanted, and nothing after it"}
	}
	return nil
}

// wish is what an operator wants of the node.
type wish struct {
	input func(node.Moment) node.Input
	done  chan<- node.Answer // what became of it at once,
	set   chan<- outcome     // or, where LAN time is to be set, once the master has answered
}

// wish hands a wish to the node, in the driver's goroutine, and returns what became of it.
func (d *driver) wish(ctx context.Context, input node.Input) (control.Outcome, error) {
	done := make(chan node.Answer, 1)
	if err := d.hand(ctx, wish{input: func(node.Moment) node.Input { return input }, done: done}); err != nil {
		return control.Outcome{}, err
	}
	var a node.Answer
	select {
	case a = <-done:
	case <-d.ended:
		return control.Outcome{}, errEnding
	}
	if a.Done {
		return control.Outcome{Text: a.Text, Node: name(a.Node)}, nil
	}
	if at := d.whereabouts(ctx, a.Node); at != "" {
		a.Text += " (" + at + ")"
	}
	return control.Outcome{}, httpError{http.StatusConflict, a.Text}
}

// hand hands a wish to the driver's goroutine.
func (d *driver) hand(ctx context.Context, w wish) error {
	select {
	case d.wishes <- w:
		return nil
	case <-d.ended:
		return errEnding
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fulfil has the node answer a wish.
func (d *driver) fulfil(w wish) error {
	at, err := d.begun()
	if err != nil {
		return err
	}
	if w.set != nil {
		if !d.expect(w.set) {
			return nil
		}
		return d.handleAt(at, w.input(at))
	}
	d.answer = node.Answer{}
	err = d.handleAt(at, w.input(at))
	w.done <- d.answer
	return err
}

// whereabouts is where a member can be asked, "" if it is not known.
func (d *driver) whereabouts(ctx context.Context, id netproto.ID) (at string) {
	d.ask(ctx, func() {
		for _, m := range d.node.Members() {
			if m.ID == id && m.Addr.IsValid() {
				at = m.Addr.Addr().String()
			}
		}
	})
	return at
}

func (d *driver) elect(ctx context.Context, who caller, _ control.Election) (control.Outcome, error) {
	return d.wish(ctx, node.Elect{By: who.String()})
}

func (d *driver) stepDown(ctx context.Context, who caller, s control.StepDown) (control.Outcome, error) {
	if s.Rest < 0 || s.Rest > control.SecondsOf(longestRest) {
		return control.Outcome{}, httpError{http.StatusBadRequest, fmt.Sprintf("rest_s is to be from 0 to %v", longestRest.Seconds())}
	}
	return d.wish(ctx, node.StepDown{By: who.String(), Rest: s.Rest.Duration()})
}

// logLevels are the levels that an operator may ask for.
var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// setLog has the log written otherwise, until the daemon starts anew. The line that says so is written the old way, or, where that
// was too quiet for it, the new one.
func (d *driver) setLog(ctx context.Context, who caller, l control.Log) (now control.Log, err error) {
	s, ok := d.log.Handler().(*logSwitch)
	if !ok {
		return now, httpError{http.StatusConflict, "the log of this daemon is somebody else's"}
	}
	cfg := s.config()
	if l.Level != "" {
		if cfg.Level, ok = logLevels[l.Level]; !ok {
			return now, httpError{http.StatusBadRequest, fmt.Sprintf("level %q is not known: debug, info, warn or error", l.Level)}
		}
	}
	if l.Format != "" {
		if cfg.Format = configs.LogFormat(l.Format); cfg.Format != configs.LogText && cfg.Format != configs.LogJSON {
			return now, httpError{http.StatusBadRequest, fmt.Sprintf("format %q is not known: text or json", l.Format)}
		}
	}
	now = control.Log{Level: strings.ToLower(cfg.Level.String()), Format: string(cfg.Format)}
	if cfg == s.config() {
		return now, nil
	}
	if !d.ask(ctx, func() {
		heard := d.log.Enabled(ctx, slog.LevelInfo)
		changed := note(node.Info, "log changed: an operator asked", "level", now.Level, "format", now.Format, "by", who.String())
		if heard {
			d.say(changed)
		}
		if s.set(cfg); !heard {
			d.say(changed)
		}
	}) {
		return now, errEnding
	}
	return now, nil
}
