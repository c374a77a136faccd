package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
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
	if n := testing.AllocsPerRun(100, func() { d.tapOut(&node.Send{Data: data}) }); n != 0 {
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

// Of each kind of packet there is, every field of its body is shown, and a name as text.
func TestDecodeEachKind(t *testing.T) {
	name := "café-7\x1b[2J\n"
	move := netproto.Move{Lineage: 1, From: 2, By: -3, Left: 4, Epoch: 5, Pace: 6}
	bodies := []interface {
		Append(dst []byte, h netproto.Header) []byte
	}{
		&netproto.Poll{Nonce: 1, Interval: 1e6, Window: 4e5, Slots: 3, Members: 4, Priority: 5, Phase: netproto.PhaseKeeping, Turns: 6, Name: []byte(name)},
		&netproto.Reply{
			Echo: 1, Nonce: 2, T2: 3, T3: 4, Residual: -5, Rate: 6, Bound: 7, Master: 8, Repeat: 1, Priority: 9, Pace: 10, Moved: 11, Name: []byte(name), Move: move,
			Earlier: netproto.Earlier{Seq: 1, Repeat: 1, T3: 2, T6: 3}, Held: [netproto.HeldKeys]uint32{4, 3, 2, 1},
		},
		&netproto.Ack{Echo: 1, Repeat: 2},
		&netproto.Adjust{
			Rotation: netproto.Rotation{Rate: 1, Phase: 2, Epoch: 3}, Pace: 4, Spread: 5, Voters: 6, Members: 7, Part: 1, Parts: 2, Phase: netproto.PhaseKeeping,
			Successors: [netproto.Successors]netproto.ID{1, 2, 3}, Move: move,
			Entries: []netproto.Entry{{ID: 5, Nonce: 6, Delta: -7, Bound: 8, Slot: 9, Standing: netproto.StandingVoter}},
		},
		&netproto.Candidate{Nonce: 1, Master: 2, Rounds: 3, Priority: 4},
		&netproto.Resign{Successor: 1},
		&netproto.SetTime{Request: 1, Echo: 2, By: -3, Left: 4, Begins: 5, Pace: 6, Answer: netproto.AnswerYes},
		&netproto.Claim{Echo: 1, Master: 2, Rounds: 3, Voters: 4, Priority: 5},
	}
	seen := map[string]bool{}
	for _, body := range bodies {
		c := decode(tapped{data: body.Append(nil, netproto.Header{Flags: netproto.FlagEarlier, Sender: 9, Seq: 1})})
		seen[c.Kind] = true
		if shown, ok := c.Fields["name"]; ok && shown != "café-7[2J" {
			t.Errorf("%s: a name is shown as %q", c.Kind, shown)
		}
		for _, at := range leaves("", reflect.ValueOf(body).Elem()) {
			if c.Fields[at] == "" {
				t.Errorf("%s: nothing of %s in %v", c.Kind, at, c.Fields)
			}
			delete(c.Fields, at)
		}
		if len(c.Fields) != 0 {
			t.Errorf("%s has %v besides", c.Kind, c.Fields)
		}
	}
	for kind := netproto.Kind(1); !strings.HasPrefix(kind.String(), "kind "); kind++ {
		if !seen[kind.String()] {
			t.Errorf("no %v was tried", kind)
		}
	}
}

// leaves are the names of all that a body holds.
func leaves(at string, v reflect.Value) (names []string) {
	if _, name := v.Interface().([]byte); name || v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return []string{strings.TrimPrefix(at, ".")}
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			names = append(names, leaves(at+"."+snake(v.Type().Field(i).Name), v.Field(i))...)
		}
		return names
	}
	for i := range v.Len() {
		names = append(names, leaves(fmt.Sprintf("%s.%d", at, i), v.Index(i))...)
	}
	return names
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
