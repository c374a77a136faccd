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
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"meantime/configs"
	"meantime/daemon/control"
)

const (
	// asksAtOnce bounds the connections to the control socket. More wait, in the kernel's queue.
	asksAtOnce = 64
	// freshFor is how old a copy of the node's state may be when it is handed out: whoever asks more often gets the same one, and
	// the driver is asked ten times a second at most.
	freshFor = 100 * time.Millisecond
	// headerSize, readTime and writeTime are what a question may take: it is one line, and its answer is for a program on this host.
	headerSize = 4 << 10
	readTime   = 2 * time.Second
	writeTime  = 10 * time.Second
	// dialTime is how long a daemon that is there already may take to show it.
	dialTime = time.Second
	// socketMode lets the service's user and group in.
	socketMode = 0o660
)

// ErrControlHeld says that another daemon answers at the control socket.
var ErrControlHeld = errors.New("another meantime answers at this control socket")

// controller answers programs on this host. It is opened before the process gives its rights up, and only reads: a copy of what the node
// knows, made by the driver between two packets.
type controller struct {
	listener net.Listener
	log      *slog.Logger
}

// socketPath is where the control socket is to be: nowhere in a dry run that does not say where.
func socketPath(cfg configs.Config) string {
	if cfg.DryRun && cfg.Control == configs.Default().Control {
		return ""
	}
	return cfg.Control
}

// openController listens at a path; "" is nowhere. A socket that a dead daemon has left is replaced.
func openController(path string, log *slog.Logger) (*controller, error) {
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
	if err != nil {
		return nil, controlError(path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(controlError(path, err), l.Close())
	}
	return &controller{netutil.LimitListener(l, asksAtOnce), log}, nil
}

// answersAt opens the socket at a path. The clock is kept without one where nobody has asked for it by name.
func answersAt(path string, named bool, log *slog.Logger) (*controller, error) {
	c, err := openController(path, log)
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
func (c *controller) serve(ctx context.Context, d *driver) {
	if c == nil {
		return
	}
	server := http.Server{
		Handler: d.answers(), MaxHeaderBytes: headerSize, ReadTimeout: readTime, WriteTimeout: writeTime,
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // whoever is being answered asks again
	defer stop()
	if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		c.log.Warn("nobody can ask any more how this node does", "err", err)
	}
}

// answers are what can be asked.
func (d *driver) answers() http.Handler {
	mux := http.NewServeMux()
	answer(d, mux, control.PathStatus, freshFor, d.statusAnswer)
	answer(d, mux, control.PathMembers, freshFor, d.membersAnswer)
	answer(d, mux, control.PathEvents, freshFor, d.eventsAnswer)
	answer(d, mux, control.PathNow, 0, d.nowAnswer) // an old one would not hold LAN time
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is no "+r.URL.Path+" here")
	})
	return mux
}

// answer has a path answered by what make returns, which runs in the driver's goroutine and copies. Nobody who reads slowly is waited for
// there, and whoever asks often gets the same copy again, as long as it is good.
func answer[T any](d *driver, mux *http.ServeMux, path string, good time.Duration, make func() (T, error)) {
	var copies struct {
		sync.Mutex
		at   time.Time
		body []byte
	}
	fresh := func(ctx context.Context) ([]byte, error) {
		copies.Lock()
		defer copies.Unlock()
		if time.Since(copies.at) < good && copies.body != nil {
			return copies.body, nil
		}
		var value T
		var err error
		if !d.ask(ctx, func() { value, err = make() }) {
			return nil, errors.New("it is about to end")
		}
		if err == nil {
			copies.body, err = json.Marshal(value)
			copies.at = time.Now()
		}
		return copies.body, err
	}
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		body, err := fresh(r.Context())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // who asked may be gone
	})
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(control.Refusal{Error: text})
}
