package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// PathProfile begins the paths of profiles: GET of it and a kind answers with a profile as `go tool pprof` reads it. Root and the daemon's
// own user may. The processor's takes so many seconds as the question says.
const PathProfile = "/v1/profile/"

// The kinds.
const (
	ProfileCPU       = "cpu"       // where the processor's time goes
	ProfileHeap      = "heap"      // what is in memory, as of the last collection
	ProfileAllocs    = "allocs"    // what was ever allocated
	ProfileGoroutine = "goroutine" // what is under way
)

// mostProfile (bytes) is how long a profile may be.
const mostProfile = 64 << 20

// Profile writes a profile of the daemon to w. seconds are how long the processor's takes, from 1 to 60; the others take none, 0.
func (c *Client) Profile(ctx context.Context, kind string, seconds int, w io.Writer) error {
	query := url.Values{}
	if seconds > 0 {
		query.Set("seconds", strconv.Itoa(seconds))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://meantime"+PathProfile+kind+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	patient := http.Client{Timeout: c.http.Timeout + time.Duration(seconds)*time.Second, Transport: c.http.Transport}
	answer, err := c.send(&patient, request)
	if err != nil {
		return c.explain(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	if answer.StatusCode != http.StatusOK {
		return c.refused(request, answer.StatusCode, answer.Body)
	}
	if _, err := io.Copy(w, io.LimitReader(answer.Body, mostProfile)); err != nil {
		return fmt.Errorf("reading the profile from %s: %w", c.socket, err)
	}
	return nil
}
