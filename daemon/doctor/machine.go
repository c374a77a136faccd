package doctor

import (
	"context"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// Machine is the host as the checks see it, and what they are to look for.
type Machine struct {
	System   string         // a GOOS
	User     int            // who looks, -1 where users have no numbers
	Config   configs.Config // what holds here; the defaults where it has problems
	File     string         // that it comes from, "" = there is none
	Problems error          // what is wrong with it
	Listen   time.Duration  // how long to listen for masters
	TryClock bool           // bend the clock for some seconds, if nobody keeps it

	Root   fs.FS // the files of the host
	Clock  sysclock.Host
	Open   func() (sysclock.Clock, error)               // proves the right to set the clock, and changes nothing
	Borrow func() (sysclock.Clock, func() error, error) // that, with all other daemons kept away until the function is called
	Kernel func() (sysclock.KernelState, error)
	Rivals func() ([]daemon.Rival, error)
	Keys   func(configs.Config) (*netproto.Ring, error)
	Survey func(udp.Config) ([]udp.Candidate, error)
	Bind   func(udp.Config) (Conn, error)
	Status func(context.Context) (control.Status, error) // of the daemon that runs
	Free   func(dir string) (uint64, error)              // bytes
	Sleep  func(context.Context, time.Duration)

	status    control.Status
	statusErr error
	asked     bool
}

// Conn is what the checks need of a udp.Conn.
type Conn interface {
	Interfaces() []udp.Interface
	LocalAddr() netip.AddrPort
	PortTaken() bool
	ReceiveGroup(batch []udp.Packet) (int, error)
	ReceiveUnicast(batch []udp.Packet) (int, error)
	Send(batch []udp.Datagram) error
	Stamps(dst []udp.Sent, wait time.Duration) []udp.Sent
	Close() error
}

// Here is this host. The caller fills in what is to be looked for.
func Here(cfg configs.Config) *Machine {
	client := control.NewClient(cfg.Control)
	return &Machine{
		System: runtime.GOOS, User: os.Geteuid(), Config: cfg,
		Root:  os.DirFS(filepath.VolumeName(cfg.StateDir) + string(filepath.Separator)),
		Clock: sysclock.HostClock(), Open: sysclock.Open, Borrow: daemon.BorrowClock, Kernel: sysclock.ReadKernelState,
		Rivals: daemon.Rivals, Keys: daemon.Keys, Survey: udp.Survey, Free: free, Status: client.Status,
		Bind:  func(c udp.Config) (Conn, error) { return udp.Listen(c) },
		Sleep: sleep,
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// answerTime is how long a daemon may take to answer.
const answerTime = 2 * time.Second

// daemon asks the daemon of this host, once.
func (m *Machine) daemon(ctx context.Context) (control.Status, error) {
	if !m.asked {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		m.status, m.statusErr = m.Status(ctx)
		m.asked = true
	}
	return m.status, m.statusErr
}

// inside is an absolute path as Root has it.
func inside(path string) string {
	path = filepath.ToSlash(strings.TrimPrefix(path, filepath.VolumeName(path)))
	if path = strings.Trim(path, "/"); path == "" {
		return "."
	}
	return path
}

func (m *Machine) exists(path string) bool {
	_, err := fs.Stat(m.Root, inside(path))
	return err == nil
}

// text is what stands in a file, without the white space around it; "" where it cannot be read.
func (m *Machine) text(path string) string {
	b, err := fs.ReadFile(m.Root, inside(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// glob are the paths that a pattern meets.
func (m *Machine) glob(pattern string) []string {
	list, _ := fs.Glob(m.Root, inside(pattern)) // its only error is a bad pattern
	return list
}

// running says whether a process of this name runs, as far as they can be seen.
func (m *Machine) running(name string) bool {
	return slices.ContainsFunc(m.glob("/proc/[0-9]*/comm"), func(path string) bool { return m.text(path) == name })
}
