package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/configs"
	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/netproto"
	"meantime/sysclock"
)

// Every packet of a round is shown, with what is in it and what became of it; who reads through the socket gets the same.
func TestTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}})
		time.Sleep(30 * time.Second)
		reader := all[0].tap.join()
		time.Sleep(2500 * time.Millisecond)
		all[0].tap.leave(reader)
		seen := map[string]int{}
		for len(reader.packets) > 0 {
			p := decode(<-reader.packets)
			seen[strings.TrimSpace(p.Direction+" "+p.Kind+" "+p.Drop)]++
			if p.Kind == "poll" && p.Direction == "out" && (p.Peer != "group" || p.Fields["interval"] != "1000000" || p.Round == 0 || p.Sender == "" ||
				len(p.Flags) == 0) {
				t.Errorf("a poll is shown as %+v", p)
			}
			if p.Kind == "adjust" && p.Direction == "out" && p.Fields["entries.0.slot"] == "" && p.Fields["entries.0.standing"] == "" {
				t.Errorf("an adjust is shown as %+v", p)
			}
			if p.Peer == "" || p.Count != 1 || p.At.Sub(instant(bubbleEpoch)).Abs() > time.Hour {
				t.Errorf("%+v", p)
			}
		}
		for _, what := range []string{"out poll", "in poll own", "in reply", "out ack", "out adjust", "in adjust own"} {
			if seen[what] < 2 {
				t.Errorf("%d times %q in two rounds and a half: %v", seen[what], what, seen)
			}
		}
		if all[0].tap.open.Load() != 0 {
			t.Error("somebody reads still")
		}
		endLAN(t, cancel, all)
	})
}

// Who does not read loses packets and is told how many; the LAN goes on as if nobody looked. Readers are bounded.
func TestTraceWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		reader := m.tap.join()
		time.Sleep(10 * time.Minute) // of a lone master: a poll and an adjust a second, each heard by itself
		if _, s := m.look(ctx, t); s.Traffic.Polls < 580 || len(reader.packets) != tapRoom {
			t.Errorf("%d polls, %d packets wait", s.Traffic.Polls, len(reader.packets))
		}
		if p, ok := reader.next(ctx); !ok || p.Lost < 500 {
			t.Errorf("%+v, %v", p, ok)
		}
		if p, _ := reader.next(ctx); p.Lost != 0 {
			t.Errorf("told twice: %+v", p)
		}
		for range tapReaders - 1 {
			m.tap.join()
		}
		if m.tap.join() != nil {
			t.Error("readers without end")
		}
		if w := m.posted(ctx, caller{}, control.PathTrace, asJSON, `{"on":true}`); w.Code != http.StatusConflict {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		endLAN(t, cancel, []*member{m})
	})
}

// Where nobody looks, a trace costs no memory at all.
func TestTraceIsFreeWhereNobodyLooks(t *testing.T) {
	d := &driver{}
	data := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() { d.tapOut(node.Send{Data: data}) }); n != 0 {
		t.Errorf("%v allocations for a packet that nobody sees", n)
	}
}

// An operator has the packets in the log, and out of it again; a daemon that ends leaves nobody writing.
func TestTraceInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memberOf(t, newMemoryLAN().link(stampsAtOnce), sysclock.VirtualConfig{}, nil)
		m.start(ctx)
		say := func(body, says string) {
			if w := m.posted(ctx, caller{}, control.PathTrace, asJSON, body); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), says) {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		}
		say(`{"on":false}`, "not in the log")
		say(`{"on":true}`, "in the log now")
		say(`{"on":true}`, "already")
		time.Sleep(3 * time.Second)
		say(`{"on":false}`, "no longer")
		n := len(m.journal.find("packet"))
		time.Sleep(3 * time.Second)
		if again := len(m.journal.find("packet")); n < 3 || again != n {
			t.Errorf("%d packets in the log, later %d", n, again)
		}
		say(`{"on":true}`, "in the log now")
		endLAN(t, cancel, []*member{m})
	})
}

// The stream over a real socket: lines until the reader has had enough, longer than any other answer may take.
func TestTraceStream(t *testing.T) {
	t.Parallel()
	socket, _ := controlled(t)
	enough := errors.New("enough")
	n := 0
	err := control.NewClient(socket).Trace(t.Context(), func(p control.Packet) error {
		if n++; n < 4 {
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Errorf("after %d packets: %v", n, err)
	}
}

// What is no packet, and what the gate has dropped, is shown as far as it is known.
func TestDecodeWhatIsNone(t *testing.T) {
	for _, p := range []tapped{{in: true, drop: "key", count: 3}, {in: true, data: []byte("MTxx"), drop: "truncated"}} {
		if c := decode(p); c.Kind != "" || c.Drop != p.drop || c.Direction != "in" || c.Count != p.count {
			t.Errorf("%+v", c)
		}
	}
	a := netproto.Adjust{Parts: 1, Members: 2, Phase: netproto.PhaseKeeping, Entries: []netproto.Entry{{ID: 5, Nonce: 6, Delta: -7, Standing: netproto.StandingVoter}}}
	data := a.Append(nil, netproto.Header{Kind: netproto.KindAdjust, Sender: 9, Seq: 1, Term: 2})
	c := decode(tapped{data: data})
	text, _ := json.Marshal(c.Fields)
	if want := `{"entries.0.delta":"-7","entries.0.id":"0000000000000005","entries.0.nonce":"6","entries.0.standing":"voter","members":"2","parts":"1","phase":"keeping"}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	var out bytes.Buffer
	logPacket(slog.New(newHandler(&out, configs.Log{}, dropKept)), c)
	if !strings.Contains(out.String(), "field.entries.0.delta=-7") {
		t.Errorf("%s", out.String())
	}
}
