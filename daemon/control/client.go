package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

var (
	// ErrNoDaemon says that nobody answers at the socket.
	ErrNoDaemon = errors.New("no meantime answers")
	// ErrForbidden says that this user may not ask.
	ErrForbidden = errors.New("not allowed to ask meantime")
	// ErrReadOnly says that this user may ask, and not change anything.
	ErrReadOnly = errors.New("not allowed to change what meantime does")
	// ErrUnknown says that the daemon does not know what it was asked: it is another version than the program that asks.
	ErrUnknown = errors.New("this meantime does not know the question")
	// ErrBadValue says that a value in what the daemon was asked is none that it takes; the text says which it does.
	ErrBadValue = errors.New("meantime cannot take that")
	// ErrRefused says that the daemon could not answer; the text says why.
	ErrRefused = errors.New("meantime did not answer")
	// ErrNotNow says that the daemon cannot do now what it was asked to; the text says why.
	ErrNotNow = errors.New("meantime cannot do that now")
)

const (
	// patience is how long an answer may take. The daemon gives it between two packets.
	patience = 5 * time.Second
	// most is how long (bytes) an answer may be: 4,096 members in 500 bytes each, and some.
	most = 8 << 20
	// longestSocket (bytes) is what the path of a Unix socket may have on every system: see configs.
	longestSocket = 103
)

// Client asks the daemon behind one socket. It may be used by several goroutines.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the daemon at a socket's path. It connects with each question.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http = http.Client{Timeout: patience, Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
	return c
}

// Status asks how the node does. Its errors, like those of all questions, wrap one of those above.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, PathStatus, &s)
}

// Members asks for the members.
func (c *Client) Members(ctx context.Context) (m Members, err error) {
	return m, c.get(ctx, PathMembers, &m)
}

// Events asks for what happened.
func (c *Client) Events(ctx context.Context) (e Events, err error) {
	return e, c.get(ctx, PathEvents, &e)
}

// Now asks for LAN time.
func (c *Client) Now(ctx context.Context) (n Now, err error) {
	return n, c.get(ctx, PathNow, &n)
}

// Version asks which version answers.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, PathVersion, &v)
}

// get asks and decodes the answer into value.
func (c *Client) get(ctx context.Context, path string, value any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://meantime"+path, nil)
	if err != nil {
		return err
	}
	return c.do(request, value)
}

// send sends a request, with the token where there is one.
func (c *Client) send(over *http.Client, request *http.Request) (*http.Response, error) {
	if _, token, err := c.door(); err == nil {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return over.Do(request)
}

// do sends a request and decodes the answer into value.
func (c *Client) do(request *http.Request, value any) error {
	answer, err := c.send(&c.http, request)
	if err != nil {
		return c.explain(request.Context(), err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body := io.LimitReader(answer.Body, most)
	if answer.StatusCode != http.StatusOK {
		return c.refused(request, answer.StatusCode, body)
	}
	if err := json.NewDecoder(body).Decode(value); isTimeout(err) {
		return c.explain(request.Context(), err)
	} else if err != nil {
		return fmt.Errorf("%w at %s in a way that this program understands: %w", ErrNoDaemon, c.socket, err)
	}
	return nil
}

// Windows' numbers of errors of sockets, which package syscall has no names for.
const (
	wsaAccess  = syscall.Errno(10013)
	wsaRefused = syscall.Errno(10061)
)

// IsRefused says whether an error of a connection means that nobody listens at the socket any more.
func IsRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaRefused)
}

// isTimeout says whether an error is that something took too long.
func isTimeout(err error) bool {
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout()
}

// explain names what a failed connection means.
func (c *Client) explain(ctx context.Context, err error) error {
	info, missing := os.Stat(c.socket)
	switch {
	case isTimeout(err) && ctx.Err() == nil: // the client's own patience, not that of whoever asks
		return fmt.Errorf("%w at %s: the daemon does not answer within %v", ErrNoDaemon, c.socket, c.http.Timeout)
	case len(c.socket) > longestSocket && errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w at %s: a socket's path has %d characters at most", ErrNoDaemon, c.socket, longestSocket)
	case missing == nil && (info.Mode().IsRegular() || info.IsDir()):
		return fmt.Errorf("%w at %s: that is no socket", ErrNoDaemon, c.socket)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, wsaAccess):
		return fmt.Errorf("%w at %s", ErrForbidden, c.socket)
	case errors.Is(err, fs.ErrNotExist), IsRefused(err): // nobody came, or went without taking the socket along
		return fmt.Errorf("%w at %s", ErrNoDaemon, c.socket)
	}
	return fmt.Errorf("%w at %s: %w", ErrNoDaemon, c.socket, cmp.Or(errors.Unwrap(err), err))
}

// refused is the daemon's own word.
func (c *Client) refused(request *http.Request, code int, body io.Reader) error {
	var r Refusal
	if err := json.NewDecoder(body).Decode(&r); err != nil || r.Error == "" {
		r.Error = http.StatusText(code)
	}
	switch code {
	case http.StatusNotFound, http.StatusMethodNotAllowed: // the latter of an older daemon, which knows the path for something else
		return fmt.Errorf("%w: %s%s", ErrUnknown, r.Error, c.difference(request))
	case http.StatusUnauthorized:
		return fmt.Errorf("%w at %s: %s", ErrForbidden, c.socket, r.Error)
	case http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrReadOnly, r.Error)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return fmt.Errorf("%w: %s", ErrBadValue, r.Error)
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", ErrNotNow, r.Error)
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Error)
}

// difference says which of the two is older, if that is known.
func (c *Client) difference(request *http.Request) string {
	if request.URL.Path == PathVersion {
		return ""
	}
	switch v, err := c.Version(request.Context()); {
	case errors.Is(err, ErrUnknown):
		return ": this daemon is older than the program that asks"
	case err != nil, v.API == API:
		return ""
	case v.API < API:
		return fmt.Sprintf(": this daemon, %s, is older than the program that asks", v.Program)
	default:
		return fmt.Sprintf(": this daemon, %s, is newer than the program that asks", v.Program)
	}
}
