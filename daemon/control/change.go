package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// The paths of what changes something: POST, with a JSON object of the types below. Root and the daemon's own user may; whoever else may
// ask gets 403, and 409 says that it cannot be done now.
const (
	PathElection = "/v1/election"
	PathStepDown = "/v1/stepdown"
	PathTrace    = "/v1/trace"
	PathLog      = "/v1/log"
)

// Election has the office of master go to whoever ranks first, by priority and vote.
type Election struct{}

// StepDown has a master hand over to its first successor, and not stand again for a while.
type StepDown struct {
	Rest Seconds `json:"rest_s"`
}

// Trace has packets written to the daemon's log, or no longer.
type Trace struct {
	On bool `json:"on"`
}

// Log is how the daemon writes its log. As a request, what is empty stays.
type Log struct {
	Level  string `json:"level,omitempty"`  // debug, info, warn or error
	Format string `json:"format,omitempty"` // text or json
}

// Outcome is what became of a change.
type Outcome struct {
	Text string `json:"text"`
	Node string `json:"node,omitempty"` // id of whom it is about
}

// Elect has the office go to whoever ranks first.
func (c *Client) Elect(ctx context.Context) (o Outcome, err error) {
	return o, c.post(ctx, PathElection, Election{}, &o)
}

// StepDown has this master hand over, and not stand again before rest is over.
func (c *Client) StepDown(ctx context.Context, rest time.Duration) (o Outcome, err error) {
	return o, c.post(ctx, PathStepDown, StepDown{SecondsOf(rest)}, &o)
}

// SetTrace has packets written to the daemon's log, or no longer.
func (c *Client) SetTrace(ctx context.Context, on bool) (o Outcome, err error) {
	return o, c.post(ctx, PathTrace, Trace{on}, &o)
}

// SetLog changes how the daemon writes its log, and returns how it does now.
func (c *Client) SetLog(ctx context.Context, l Log) (now Log, err error) {
	return now, c.post(ctx, PathLog, l, &now)
}

// post asks for a change and decodes the answer into value.
func (c *Client) post(ctx context.Context, path string, wish, value any) error {
	body, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://meantime"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request, value)
}
