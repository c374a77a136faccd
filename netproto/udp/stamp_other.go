//go:build !linux

package udp

import (
	"syscall"
	"time"
)

// txStamper is empty: macOS and FreeBSD have no transmit stamps, and those of Windows count another clock, exist
// from Server 2022 on and only with some network drivers. Packets carry the stamp taken before the send.
type txStamper struct{}

func (*txStamper) start(syscall.RawConn) bool { return false }

func (*txStamper) drain(func(r report, now int64)) {}

func (*txStamper) wait(time.Duration) {}

func (*txStamper) restartIDs() {}
