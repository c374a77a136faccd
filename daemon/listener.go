package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/user"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"meantime/configs"
	"meantime/daemon/metrics"
	"meantime/daemon/page"
)

const (
	// guestsAtOnce bounds the connections to one listener: a few collectors and browsers. More wait, in the kernel's queue.
	guestsAtOnce = 64
	// guestHeader (bytes) is more than a control socket's question has: a browser sends along the cookies of all that is on localhost.
	guestHeader = 16 << 10
	// guestIdle is how long a connection may wait for the next request: longer than a collector's usual minute, which then need not
	// connect again.
	guestIdle = 90 * time.Second
	// guestLeave is how long whoever is being answered at the end may stay. net/http keeps one whom it refused for half a second.
	guestLeave = time.Second
	// portHTTP is where http:// leads without a port.
	portHTTP = "80"
)

// The keys of the configuration that open a listener, each for what it is named after.
const (
	keyMetrics = "metrics"
	keyPage    = "page"
)

// site is what one key has served: a handler, and the pattern of the paths that are its own.
type site struct {
	pattern string
	handler http.Handler
}

// sites are what listeners serve, by key.
func (d *driver) sites(a *answers, history *page.History) map[string]site {
	return map[string]site{keyMetrics: {"GET " + metrics.Path, a.metrics}, keyPage: {"/", page.Handler(history)}}
}

// openDoors opens what others come in by, from this host and over TCP, until they are shut.
func openDoors(cfg configs.Config, log *slog.Logger) (c *controller, all webs, shut func() error, err error) {
	if c, err = answersAt(cfg, named(cfg), log); err != nil {
		return nil, nil, nil, socketTrouble(err)
	}
	if all, err = openWebs(cfg, log); err != nil {
		return nil, nil, nil, errors.Join(err, c.close())
	}
	return c, all, func() error { return errors.Join(all.close(), c.close()) }, nil
}

// socketError is an ErrNetwork that says itself which socket it is about.
type socketError struct{ error }

func (e socketError) Is(target error) bool { return target == ErrNetwork }
func (e socketError) Unwrap() error        { return e.error }

// socketTrouble makes an ErrNetwork of what keeps a socket from being opened, other than another daemon there and a group that is unknown.
func socketTrouble(err error) error {
	if _, unknown := errors.AsType[user.UnknownGroupError](err); unknown || errors.Is(err, ErrControlHeld) {
		return err
	}
	return socketError{err}
}

// web serves browsers and collectors of metrics over TCP. It is opened before the process gives its rights up, and only reads.
type web struct {
	listener net.Listener
	keys     []string // that name its address
	hosts    []string // what a request may call this host; nil = anything, where other hosts come from
	log      *slog.Logger
}

// webs are all listeners.
type webs []*web

// openWebs listens where the configuration says; where two keys say the same, one listener serves both.
func openWebs(cfg configs.Config, log *slog.Logger) (webs, error) {
	var all webs
	for _, k := range []struct {
		key string
		at  netip.AddrPort
	}{{keyMetrics, cfg.Metrics}, {keyPage, cfg.Page}} {
		if !k.at.IsValid() {
			continue
		}
		if i := slices.IndexFunc(all, func(w *web) bool { return w.listener.Addr().String() == k.at.String() }); i >= 0 {
			all[i].keys = append(all[i].keys, k.key)
			continue
		}
		w, err := openWeb(k.at, log)
		if err != nil {
			err = fmt.Errorf("%s at %s: %w (another address and port, or %[1]s: \"\" for none)", k.key, k.at, err)
			return nil, errors.Join(socketTrouble(err), all.close())
		}
		w.keys = []string{k.key}
		all = append(all, w)
	}
	for _, w := range all {
		log.Info("serving", "what", strings.Join(w.keys, " and "), "address", w.listener.Addr().String())
		if w.hosts == nil {
			log.Warn("other hosts can read the metrics: whoever reaches the address may", "address", w.listener.Addr().String())
		}
	}
	return all, nil
}

// openWeb listens at one address. On loopback it wants to be called by a name that no other site's can be turned into: DNS may let any
// name mean 127.0.0.1, and the browser then takes that site's scripts for ours.
func openWeb(at netip.AddrPort, log *slog.Logger) (*web, error) {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, err
	}
	w := &web{listener: netutil.LimitListener(l, guestsAtOnce), log: log}
	if at.Addr().IsLoopback() {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		w.hosts = loopbackHosts(at.Addr().String(), port)
	}
	return w, nil
}

// loopbackHosts are what a browser calls a port of loopback. HTTP's own it leaves out.
func loopbackHosts(address, port string) (hosts []string) {
	for _, host := range []string{address, "127.0.0.1", "::1", "localhost"} {
		host = net.JoinHostPort(host, port)
		if hosts = append(hosts, host); port == portHTTP {
			hosts = append(hosts, strings.TrimSuffix(host, ":"+portHTTP))
		}
	}
	return hosts
}

// serve says whether one of them serves what a key is for.
func (all webs) serve(key string) bool {
	return slices.ContainsFunc(all, func(w *web) bool { return slices.Contains(w.keys, key) })
}

func (all webs) close() error {
	var errs []error
	for _, w := range all {
		if err := w.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// serve answers until ctx ends, which ends what takes long, too. A handler that writes for longer than writeTime moves its deadline
// itself (http.ResponseController).
func (w *web) serve(ctx context.Context, sites map[string]site) {
	mux := http.NewServeMux()
	for _, key := range w.keys {
		if s, ok := sites[key]; ok {
			mux.Handle(s.pattern, s.handler)
		}
	}
	server := http.Server{
		Handler: w.admit(mux), MaxHeaderBytes: guestHeader, ReadHeaderTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: guestIdle,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
	}
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), guestLeave)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	defer func() {
		if !stop() {
			<-left
		}
	}()
	if err := server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		w.log.Warn("no longer served", "what", strings.Join(w.keys, " and "), "err", err)
	}
}

// admit lets through what a browser or a collector sends that was sent here on purpose.
func (w *web) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		answer.Header().Set("X-Content-Type-Options", "nosniff")
		answer.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		code, why := w.objection(r)
		if code == 0 {
			next.ServeHTTP(answer, r)
			return
		}
		_ = http.NewResponseController(answer).SetReadDeadline(time.Now().Add(readTime)) // the rest of the request is read, but not waited for
		answer.Header().Set("Connection", "close")
		http.Error(answer, why, code)
	})
}

// objection says what is wrong with a request; 0 is nothing.
func (w *web) objection(r *http.Request) (code int, why string) {
	origin, from := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "only GET and HEAD: what changes something goes over the control socket"
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "no request here has a body"
	case w.hosts != nil && !slices.Contains(w.hosts, r.Host):
		return http.StatusMisdirectedRequest, "ask for " + w.hosts[0] + " or localhost with this port: other names could be anybody's"
	case origin != "" && origin != "http://"+r.Host, !slices.Contains([]string{"", "none", "same-origin"}, from):
		return http.StatusForbidden, "another site asked for this: type the address yourself"
	}
	return 0, ""
}
