package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

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
}

// change answers a request for one: whoever may make it and says it in JSON is heard.
func change[Q, A any](do func(context.Context, caller, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := changer(r)
		if !ok {
			refuse(w, http.StatusForbidden, fmt.Sprintf("root and the daemon's own user (uid %d) may, and this is %v", os.Geteuid(), who))
			return
		}
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
	input node.Input
	done  chan<- node.Answer
}

// wish hands a wish to the node, in the driver's goroutine, and returns what became of it.
func (d *driver) wish(ctx context.Context, input node.Input) (control.Outcome, error) {
	done := make(chan node.Answer, 1)
	select {
	case d.wishes <- wish{input, done}:
	case <-d.ended:
		return control.Outcome{}, errEnding
	case <-ctx.Done():
		return control.Outcome{}, ctx.Err()
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

// fulfil has the node answer a wish.
func (d *driver) fulfil(w wish) error {
	d.answer = node.Answer{}
	err := d.handle(func(node.Moment) node.Input { return w.input })
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
