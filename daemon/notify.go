package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"meantime/daemon/node"
)

// readyWait is how long a service manager may be busy with others: far longer than its queue of messages takes.
// Tests have less time.
var readyWait = 10 * time.Second

// readyPause is between two tries to say it.
const readyPause = 20 * time.Millisecond

// notifier tells systemd, where it has started this process, how the daemon does (sd_notify(3)). Its socket is opened once and for
// life: a confined process opens none. nil is one to whom nobody listens.
type notifier struct {
	conn *net.UnixConn
	said string // the last status that was sent
}

// openNotifier connects to the socket that NOTIFY_SOCKET names; a name that begins with @ is none of a file.
func openNotifier() (*notifier, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		return nil, fmt.Errorf("telling the service manager through NOTIFY_SOCKET: %w (unset it where this is no service)", err)
	}
	return &notifier{conn: conn}, nil
}

// send sends lines in one datagram, or says that it did not: nobody is waited for. Who manages services may be slower than a clock is.
func (n *notifier) send(lines ...string) bool {
	if n == nil {
		return false
	}
	raw, err := n.conn.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		_, failed = writeOnce(fd, []byte(strings.Join(lines, "\n")))
		return true
	})
	return err == nil && failed == nil
}

// ready says that the daemon is up, or that what was to be read again is. It is said until it is taken: a service that is never ready
// is stopped. Nobody else waits for that.
func (n *notifier) ready() error {
	if n == nil {
		return nil
	}
	for began := time.Now(); !n.send("READY=1"); time.Sleep(readyPause) {
		if time.Since(began) > readyWait {
			return errors.New("the service manager takes nothing through NOTIFY_SOCKET: it does not hear that the daemon is ready")
		}
	}
	return nil
}

// alive says that the driver's loop turns, and how the LAN does, if that is news. It must come from the loop itself: a watchdog
// that is fed by a timer of its own proves that timers work.
func (n *notifier) alive(s node.Status) {
	if n == nil {
		return
	}
	lines := []string{"WATCHDOG=1"}
	text := statusText(s)
	if text != n.said {
		lines = append(lines, "STATUS="+text)
	}
	if n.send(lines...) {
		n.said = text
	}
}

// reloading says that what can be read again is being read, until ready.
func (n *notifier) reloading() { n.send("RELOADING=1", monotonicMark()) }

// stopping says that the daemon ends by its own will or somebody's.
func (n *notifier) stopping() { n.send("STOPPING=1", "STATUS=stopping") }

func (n *notifier) close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// statusText is how the LAN does in one line, which changes only if something has.
func statusText(s node.Status) string {
	text := string(s.State)
	switch s.Master {
	case 0:
		return text
	case s.ID:
		text += ", master is this host"
	default:
		text += ", master is " + s.Master.String()
	}
	text += fmt.Sprintf(", members %d, voters %d", s.Members, s.Voters)
	if s.Spread > 0 && (s.State == node.StateKeeping || s.State == node.StateFollowing) {
		text += fmt.Sprintf(", clocks within %v", roundUp(s.Spread))
	}
	return text
}

// roundUp is the next of 1, 2, 5, 10, 20, … ns: a figure that moves with each poll is no news.
func roundUp(d time.Duration) time.Duration {
	step := time.Duration(1)
	for d > 5*step && step < 1e18 {
		step *= 10
	}
	for _, up := range []time.Duration{step, 2 * step} {
		if d <= up {
			return up
		}
	}
	return 5 * step
}
