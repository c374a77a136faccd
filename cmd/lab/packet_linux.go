package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sniffPeriod bounds how long a sniffer takes to end.
const sniffPeriod = 200 * time.Millisecond

// sniffer watches what the guests send, from outside: the guests do not notice, and are not asked.
type sniffer struct {
	socket  int
	program string
	nodes   map[int]int // by interface index
	leader  atomic.Int32
	quit    chan struct{}
	done    chan error
}

// sniff starts to write down all UDP packets that n guests send.
func sniff(path, program string, n int) (*sniffer, error) {
	s := &sniffer{program: program, nodes: map[int]int{}, quit: make(chan struct{}), done: make(chan error, 1)}
	s.leader.Store(1)
	for i := range n {
		device, err := net.InterfaceByName(tap(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tap(i), err)
		}
		s.nodes[device.Index] = i + 1
	}
	// Every protocol: a bridge takes a frame of its ports away before sockets for one protocol see it.
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	var err error
	if s.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	wait := unix.NsecToTimeval(int64(sniffPeriod))
	if err := unix.SetsockoptTimeval(s.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	go func() {
		out := bufio.NewWriter(file)
		s.done <- errors.Join(s.listen(out), out.Flush(), file.Close(), unix.Close(s.socket))
	}()
	return s, nil
}

// listen takes packets until it is told to end.
func (s *sniffer) listen(out *bufio.Writer) error {
	frame := make([]byte, 2048)
	for {
		select {
		case <-s.quit:
			return nil
		default:
		}
		n, from, err := unix.Recvfrom(s.socket, frame, 0)
		seen := rdtsc()
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("packet socket: %w", err)
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Pkttype == unix.PACKET_OUTGOING || s.nodes[link.Ifindex] == 0 {
			continue
		}
		p, ok := parsePacket(frame[:n])
		if !ok {
			continue
		}
		p.TSC, p.Node = seen, s.nodes[link.Ifindex]
		if p.leads(s.program) {
			s.leader.Store(int32(p.Node))
		}
		if err := p.write(out); err != nil {
			return err
		}
	}
}

// master is the node that last spoke as leader; the first, of programs without one.
func (s *sniffer) master() int { return int(s.leader.Load()) }

// stop ends the sniffer and says how it went.
func (s *sniffer) stop() error {
	close(s.quit)
	return <-s.done
}
