package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Packet is one that the daemon has received or sent, decoded. GET /v1/trace answers with one in each line, for as long as it is read.
type Packet struct {
	At        time.Time         `json:"at"`  // on the clock that is kept
	Direction string            `json:"dir"` // in or out
	Kind      string            `json:"kind,omitempty"`
	Peer      string            `json:"peer"` // from where, or where to: group is everybody
	Sender    string            `json:"sender,omitempty"`
	Term      uint64            `json:"term,omitempty"`
	Round     uint32            `json:"round,omitempty"`
	Lineage   string            `json:"lineage,omitempty"`
	Key       string            `json:"key,omitempty"`
	Flags     []string          `json:"flags,omitempty"`
	Fields    map[string]string `json:"fields,omitempty"` // by PROTOCOL.md's names
	Drop      string            `json:"drop,omitempty"`   // why it was not used
	Count     uint64            `json:"count"`            // so many like it: of those that are dropped before they are decoded
	Lost      uint64            `json:"lost,omitempty"`   // so many before it were not shown: the reader is too slow
}

// Trace hands each packet that the daemon receives or sends to show, until ctx ends or show returns an error, which it returns.
func (c *Client) Trace(ctx context.Context, show func(Packet) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://meantime"+PathTrace, nil)
	if err != nil {
		return err
	}
	endless := http.Client{Transport: &http.Transport{ // no time limit, once the answer has begun
		DialContext: c.dial, DisableKeepAlives: true, ResponseHeaderTimeout: c.http.Timeout,
	}}
	answer, err := c.send(&endless, request)
	if err != nil {
		return c.explain(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }() // whoever has had enough
	if answer.StatusCode != http.StatusOK {
		return c.refused(request, answer.StatusCode, answer.Body)
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		var p Packet
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return fmt.Errorf("%w at %s in a way that this program understands: %w", ErrNoDaemon, c.socket, err)
		}
		if err := show(p); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w at %s any more", ErrNoDaemon, c.socket)
}
