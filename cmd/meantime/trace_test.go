package main

import (
	"testing"
	"time"

	"meantime/daemon/control"
)

// A packet is a line, whatever is known of it.
func TestShowPacket(t *testing.T) {
	at := time.Date(2026, 11, 26, 9, 8, 7, 6e6, time.UTC)
	want(t, showPacket(control.Packet{
		At: at, Direction: "in", Kind: "reply", Peer: "192.0.2.9:10526", Sender: "00000000000000a1", Term: 3, Round: 7, Flags: []string{"voter", "fitted"},
		Fields: map[string]string{"rate": "5", "echo": "9"}, Count: 1, Lost: 2,
	}), "(2 packets were not shown: this reads too slowly)\n"+
		"09:08:07.006000  in   reply      192.0.2.9:10526  00000000000000a1 term=3 round=7 flags=voter,fitted echo=9 rate=5\n")
	want(t, showPacket(control.Packet{At: at, Direction: "in", Peer: "192.0.2.9:10526", Drop: "key", Count: 4}),
		"09:08:07.006000  in   –          192.0.2.9:10526  dropped: key (4 like it)\n")
}

// Who may not change anything is told so by the exit code, and what to do; what cannot be now is another matter.
func TestChangeErrors(t *testing.T) {
	if code, hint := exitCode(control.ErrReadOnly), hintFor(control.ErrReadOnly); code != exitPermission || hint != "say it as root" {
		t.Errorf("%d, %q", code, hint)
	}
	if code := exitCode(control.ErrNotNow); code != exitFailed {
		t.Errorf("%d", code)
	}
	want(t, showOutcome(control.Outcome{Text: "done", Node: "00000000000000a1"}), "done: 00000000000000a1\n")
	want(t, showOutcome(control.Outcome{Text: "done"}), "done\n")
}
