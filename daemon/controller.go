package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/daemon/metrics"
)

const (
	// asksAtOnce bounds the connections to the control socket. More wait, in the kernel's queue.
	asksAtOnce = 64
	// freshFor is how old a copy of the node's state may be when it is handed out: whoever asks more often gets the same one, and
	// the driver is asked ten times a second at most.
	freshFor = 100 * time.Millisecond
	// leftAlone is how long the driver makes no other reading of LAN time for whoever asks. Who asks meanwhile waits, and all who wait share
	// the next one: it is made after they have asked, so that it is no older than one of their own.
	leftAlone = 10 * time.Millisecond
	// headerSize, readTime and writeTime are what a question may take: it is one line, and its answer is for a program on this host.
	headerSize = 4 << 10
	readTime   = 2 * time.Second
	writeTime  = 10 * time.Second
	// dialTime is how long a daemon that is there already may take to show it.
	dialTime = time.Second
	// socketMode lets the service's user in, and the group that may ask.
	socketMode = 0o660
)

// ErrControlHeld says that another daemon answers at the control socket.
var ErrControlHeld = errors.New("another meantime answers at this control socket")

// controller answers programs on this host. It is opened before the process gives its rights up. Whoever reads gets a copy of what the node
// knows, made by the driver between two packets; whoever may change something has its wish carried out there.
type controller struct {
	listener net.Listener
	token    string // whoever asks must know; "" = the socket itself says who may
	log      *slog.Logger
}

// socketPath is where the control socket is to be: nowhere in a dry run that does not say where.
func socketPath(cfg configs.Config) string {
	if cfg.DryRun && cfg.Control == configs.Default().Control {
		return ""
	}
	return cfg.Control
}

// openController listens at a path; "" is nowhere. A socket that a dead daemon has left is replaced. The members of a group may ask there.
func openController(path, group string, log *slog.Logger) (*controller, error) {
	if path == "" {
		return nil, nil
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	_, err := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, controlError(path, err)
	}
	if err != nil || dir == filepath.Dir(configs.Default().Control) {
		_ = os.Chmod(dir, 0o755) // this program's own: who may ask is for the socket to say
	}
	l, err := net.Listen("unix", path)
	if noUnixSockets(err) {
		return openDoor(path, log)
	}
	if err != nil {
		return nil, controlError(path, err)
	}
	if err := errors.Join(admit(path, group, log), os.Chmod(path, socketMode)); err != nil {
		return nil, errors.Join(controlError(path, err), l.Close())
	}
	return &controller{netutil.LimitListener(callers{l}, asksAtOnce), "", log}, nil
}

// groupID is the number of a group, nobody where the service's own is to do: where none is named, or there is none of the default name.
func groupID(name string) (int, error) {
	if name == "" || runtime.GOOS == "windows" {
		return nobody, nil
	}
	found, err := user.LookupGroup(name)
	if err == nil {
		return strconv.Atoi(found.Gid)
	}
	if _, unknown := errors.AsType[user.UnknownGroupError](err); unknown && name == configs.Default().ControlGroup {
		return nobody, nil
	}
	return nobody, fmt.Errorf("control_group: %w (create it, or name another with control_group or --control-group)", err)
}

// admit hands the socket to the group whose members may ask. Who is neither root nor in it cannot: an ordinary user's dry run, say.
func admit(path, group string, log *slog.Logger) error {
	gid, err := groupID(group)
	if err != nil || gid == nobody {
		return err
	}
	err = os.Chown(path, -1, gid)
	if errors.Is(err, fs.ErrPermission) && group == configs.Default().ControlGroup {
		log.Info("its group may not ask: this process is not in it", "control_group", group)
		return nil
	}
	return err
}

// named says whether somebody has said where this daemon is to be asked, or by whom.
func named(cfg configs.Config) bool {
	return cfg.Control != configs.Default().Control || cfg.ControlGroup != configs.Default().ControlGroup
}

// answersAt opens the socket of a configuration. The clock is kept without one where nobody has asked for it by name.
func answersAt(cfg configs.Config, named bool, log *slog.Logger) (*controller, error) {
	c, err := openController(socketPath(cfg), cfg.ControlGroup, log)
	if err != nil && !named && !errors.Is(err, ErrControlHeld) {
		log.Warn("nobody can ask how this node does", "err", err)
		return nil, nil
	}
	return c, err
}

// clearSocket removes a socket that nobody answers at, and nothing else.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return controlError(path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket: %s is there and no socket: move it away, or name another path with control or --control", path)
	}
	c, err := net.DialTimeout("unix", path, dialTime)
	switch {
	case err == nil:
		_ = c.Close() // it only was to be seen
	case control.IsRefused(err): // whoever listened is dead
		if err := os.Remove(path); err != nil {
			return controlError(path, err)
		}
		return nil
	case errors.Is(err, fs.ErrPermission):
		return controlError(path, err)
	}
	return fmt.Errorf("%w: %s: stop it first, or name another with control or --control", ErrControlHeld, path)
}

func controlError(path string, err error) error {
	return fmt.Errorf("control socket %s: %w (control: \"\" or --control= goes without)", path, err)
}

func (c *controller) close() error {
	if c == nil {
		return nil
	}
	if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// serve answers until ctx ends.
func (c *controller) serve(ctx context.Context, a *answers) {
	if c == nil {
		return
	}
	handler := onlyHere(a.handler())
	if c.token != "" {
		handler = guard(c.token, handler)
	}
	server := http.Server{
		Handler: handler, MaxHeaderBytes: headerSize, ReadTimeout: readTime, WriteTimeout: writeTime,
		ConnContext: withCaller,
		ErrorLog:    slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // whoever is being answered asks again
	defer stop()
	if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		c.log.Warn("nobody can ask any more how this node does", "err", err)
	}
}

// answers are copies of what a node knows, for whoever asks: the control socket, in Go a control.Source.
type answers struct {
	driver  *driver
	status  copies[control.Status]
	members copies[control.Members]
	events  copies[control.Events]
	now     copies[control.Now]
	metrics http.Handler
}

var _ control.Source = (*answers)(nil)

func (d *driver) answers() *answers {
	a := &answers{
		driver:  d,
		status:  copies[control.Status]{driver: d, good: freshFor, make: d.statusAnswer},
		members: copies[control.Members]{driver: d, good: freshFor, make: d.membersAnswer},
		events:  copies[control.Events]{driver: d, good: freshFor, make: d.eventsAnswer},
		now:     copies[control.Now]{driver: d, pause: leftAlone, make: d.nowAnswer}, // an old one would not hold LAN time
	}
	a.metrics = metrics.Handler(a)
	return a
}

// Status, Members, Events and Now are a control.Source.
func (a *answers) Status(ctx context.Context) (control.Status, error)   { return a.status.value(ctx) }
func (a *answers) Members(ctx context.Context) (control.Members, error) { return a.members.value(ctx) }
func (a *answers) Events(ctx context.Context) (control.Events, error)   { return a.events.value(ctx) }
func (a *answers) Now(ctx context.Context) (control.Now, error)         { return a.now.value(ctx) }

// handler answers over HTTP.
func (a *answers) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+control.PathStatus, &a.status)
	mux.Handle("GET "+control.PathMembers, &a.members)
	mux.Handle("GET "+control.PathEvents, &a.events)
	mux.Handle("GET "+control.PathNow, &a.now)
	mux.Handle("GET "+metrics.Path, a.metrics)
	mux.HandleFunc("GET "+control.PathVersion, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, control.Version{Program: Version, API: control.API})
	})
	mux.HandleFunc("GET "+control.PathTrace, a.driver.stream)
	profiles(mux)
	a.driver.changes(mux)
	mux.HandleFunc("/", elsewhere(mux))
	return mux
}

// elsewhere answers what is for no other handler: a path that has another method, or none.
func elsewhere(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var methods []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			other := r.WithContext(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" {
				methods = append(methods, method)
			}
		}
		if allow := strings.Join(methods, ", "); allow != "" {
			w.Header().Set("Allow", allow)
			refuse(w, http.StatusMethodNotAllowed, r.URL.Path+" is for "+allow)
			return
		}
		refuse(w, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path+" here")
	}
}

// copies hands out what make returns, which runs in the driver's goroutine and copies. Nobody who reads slowly is waited for there, and
// whoever asks often gets the same copy again, as long as it is good. What is handed out is shared: nobody changes it.
type copies[T any] struct {
	driver *driver
	good   time.Duration // how old a copy may be when it is handed out
	pause  time.Duration // how long after a copy the driver is not asked for another
	make   func() (T, error)

	mutex sync.Mutex
	at    time.Time // when the last began to be made; zero before the first
	last  T
	text  []byte // the last as JSON; nil = nobody has asked for it
}

// value is a copy that is good.
func (c *copies[T]) value(ctx context.Context) (T, error) {
	asked := time.Now()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.fresh(ctx, asked)
}

// json is the same in JSON.
func (c *copies[T]) json(ctx context.Context) ([]byte, error) {
	asked := time.Now()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	value, err := c.fresh(ctx, asked)
	if err == nil && c.text == nil {
		c.text, err = json.Marshal(value)
	}
	return c.text, err
}

// fresh is value for whoever holds the mutex.
func (c *copies[T]) fresh(ctx context.Context, asked time.Time) (value T, err error) {
	if !c.at.IsZero() && (time.Since(c.at) < c.good || asked.Before(c.at)) {
		return c.last, nil
	}
	select {
	case <-time.After(c.pause - time.Since(c.at)): // long over before the first
	case <-ctx.Done():
		return value, ctx.Err()
	}
	began := time.Now()
	if !c.driver.ask(ctx, func() { value, err = c.make() }) {
		return value, errors.New("it is about to end")
	}
	if err == nil {
		c.last, c.text, c.at = value, nil, began
	}
	return value, err
}

// ServeHTTP answers with JSON.
func (c *copies[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := c.json(r.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // who asked may be gone
}

// reply answers with JSON.
func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // who asked may be gone
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(control.Refusal{Error: text})
}
