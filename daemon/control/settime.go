package control

import (
	"context"
	"time"
)

// PathSetTime is where the time of the whole LAN is set: POST of a SetTime.
const PathSetTime = "/v1/set-time"

// setPatience is how long the answer may take: the LAN's master gives it, and there may have to be an election before.
const setPatience = 10 * time.Second

// SetTime moves the time of the whole LAN: to a time, or by so much. One of the two is given.
type SetTime struct {
	Time time.Time `json:"time,omitzero"`
	By   Seconds   `json:"by_s,omitempty"`
}

// Setting is what comes of it.
type Setting struct {
	By     Seconds   `json:"by_s"`     // what LAN time is moved by
	Begins Seconds   `json:"begins_s"` // from now on
	Steps  bool      `json:"steps"`    // this host's clock is stepped then, as its policy says; otherwise it is slewed
	Takes  Seconds   `json:"takes_s"`  // how long clocks that are slewed are on their way, all together
	Ends   time.Time `json:"ends"`     // when the last of those is there, on LAN time as it will be
}

// SetTime has the LAN's master move the time of all members.
func (c *Client) SetTime(ctx context.Context, s SetTime) (set Setting, err error) {
	patient := *c
	patient.http.Timeout = setPatience
	return set, patient.post(ctx, PathSetTime, s, &set)
}
