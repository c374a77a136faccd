package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
)

// caller is who is at the other end of a control connection, as the kernel says. It is the connection's remote address, too: there is no
// other between processes of one host.
type caller struct {
	uid int // nobody where the system does not tell
}

// nobody is no user. Windows has no such ids: there this process is nobody, too, and who gets in is for the folder's access list to say.
const nobody = -1

// Network and String make a caller a net.Addr.
func (caller) Network() string { return "unix" }

func (c caller) String() string {
	if c.uid == nobody {
		return "unknown"
	}
	return fmt.Sprintf("uid %d", c.uid)
}

// mayChange says whether a caller may change what this daemon does: root and the daemon's own user may.
func (c caller) mayChange() bool { return c.uid == 0 || c.uid == os.Geteuid() }

// callers is a listener that asks the kernel who comes.
type callers struct{ net.Listener }

// Accept waits for the next.
func (l callers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return called{conn, callerOf(conn)}, nil
}

// called is a connection that knows its caller.
type called struct {
	net.Conn
	caller caller
}

// RemoteAddr is the caller.
func (c called) RemoteAddr() net.Addr { return c.caller }

// callerKey finds the caller in a request's context.
type callerKey struct{}

// withCaller tells the requests of a connection who sends them.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	who, ok := conn.RemoteAddr().(caller)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, who)
}

// changer is who asks for a change. ok is false of whoever may not, and of requests that did not come through the control socket.
func changer(r *http.Request) (who caller, ok bool) {
	who, ok = r.Context().Value(callerKey{}).(caller)
	return who, ok && who.mayChange()
}

// onlyHere refuses what a web page has sent: browsers say so, and programs that ask have no page.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range []string{"Origin", "Sec-Fetch-Site", "Referer"} {
			if r.Header.Get(header) != "" {
				refuse(w, http.StatusForbidden, "web pages are not answered here")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
