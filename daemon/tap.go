package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/node"
)

const (
	// tapRoom is how many packets wait for a reader of a trace: a round of a LAN of eighty. What comes on top is lost to that reader.
	tapRoom = 512
	// tapReaders bounds who reads at once: each costs a copy of every packet.
	tapReaders = 8
)

// tapped is a packet as it was seen. It is decoded by who reads, not by the driver.
type tapped struct {
	at    int64 // ns since the Unix epoch, on the kept clock
	in    bool
	peer  netip.AddrPort // zero = the group
	data  []byte         // nil where the driver never saw it
	drop  string         // why it was not used, "" if it was
	count uint64         // so many like it
}

// tap shows packets to whoever wants to look. The driver never waits for them.
type tap struct {
	open    atomic.Int32 // how many read: at none the driver does nothing
	mutex   sync.Mutex
	readers []*tapReader
	log     context.CancelFunc // ends what is written to the log; nil = nothing is. The driver's
	writing sync.WaitGroup     // whoever writes to the log
}

// tapReader is one of them.
type tapReader struct {
	packets chan tapped
	lost    atomic.Uint64 // since it was told last
}

// join begins to read; nil where there are readers enough.
func (t *tap) join() *tapReader {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if len(t.readers) == tapReaders {
		return nil
	}
	r := &tapReader{packets: make(chan tapped, tapRoom)}
	t.readers = append(t.readers, r)
	t.open.Store(int32(len(t.readers)))
	return r
}

func (t *tap) leave(r *tapReader) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.readers = slices.DeleteFunc(t.readers, func(other *tapReader) bool { return other == r })
	t.open.Store(int32(len(t.readers)))
}

// show hands a packet to everybody who has room for it.
func (t *tap) show(p tapped) {
	p.data = slices.Clone(p.data)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, r := range t.readers {
		select {
		case r.packets <- p:
		default:
			r.lost.Add(1)
		}
	}
}

// silence ends what is written to the log.
func (t *tap) silence() {
	if t.log != nil {
		t.log()
	}
	t.writing.Wait()
}

// next is the next packet, or what was lost before it. It is false when ctx ends.
func (r *tapReader) next(ctx context.Context) (control.Packet, bool) {
	select {
	case p := <-r.packets:
		decoded := decode(p)
		decoded.Lost = r.lost.Swap(0)
		return decoded, true
	case <-ctx.Done():
		return control.Packet{}, false
	}
}

// tapIn gives the node an input as f does, and shows the packet with what became of it.
func (d *driver) tapIn(at node.Moment, in node.Input) []node.Effect {
	if d.tap.open.Load() == 0 {
		return d.node.Handle(at, in)
	}
	switch in := in.(type) {
	case *node.Packet:
		seen := tapped{at: d.clockAt(at), in: true, peer: in.From, data: in.Data, count: 1}
		before := d.node.Status().Drops
		effects := d.node.Handle(at, in)
		for reason, count := range d.node.Status().Drops {
			if count > before[reason] {
				seen.drop = node.Drop(reason).String()
			}
		}
		d.tap.show(seen)
		return effects
	case node.Refused:
		d.tap.show(tapped{at: d.clockAt(at), in: true, peer: in.From, drop: in.Drop.String(), count: in.Count})
	}
	return d.node.Handle(at, in)
}

// clockAt is what the kept clock shows at a moment whose wall clock may not have been read.
func (d *driver) clockAt(at node.Moment) int64 {
	if at.Width == node.Unread {
		return d.sharp.Wall + at.Raw - d.sharp.Raw
	}
	return at.Wall
}

// tapOut shows a packet that is about to leave.
func (d *driver) tapOut(s *node.Send) {
	if d.tap.open.Load() == 0 {
		return
	}
	p := tapped{at: d.sharp.Wall, data: s.Data, count: 1}
	if !s.Group {
		p.peer = s.To
	}
	d.tap.show(p)
}

// stream answers with a line of JSON for each packet, until who asked has had enough.
func (d *driver) stream(w http.ResponseWriter, r *http.Request) {
	reader := d.tap.join()
	if reader == nil {
		refuse(w, http.StatusConflict, "as many as may are reading the trace already")
		return
	}
	defer d.tap.leave(reader)
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // it is open for as long as the reader likes; a test's has none
	w.Header().Set("Content-Type", "application/jsonl")
	lines := json.NewEncoder(w)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
		if conn.Flush() != nil {
			return
		}
		p, ok := reader.next(r.Context())
		if !ok || lines.Encode(p) != nil {
			return
		}
	}
}

// setTrace has packets written to the log, too, or no longer.
func (d *driver) setTrace(ctx context.Context, who caller, t control.Trace) (o control.Outcome, err error) {
	if !d.ask(ctx, func() { o, err = d.logPackets(who, t.On) }) {
		return o, errEnding
	}
	return o, err
}

// logPackets begins to write packets to the log, or ends it.
func (d *driver) logPackets(who caller, on bool) (control.Outcome, error) {
	t := &d.tap
	switch {
	case on && t.log != nil:
		return control.Outcome{Text: "packets are in the log already"}, nil
	case !on && t.log == nil:
		return control.Outcome{Text: "packets are not in the log"}, nil
	case !on:
		t.log()
		t.log = nil
		d.say(note(node.Info, "trace off: an operator asked", "by", who.String()))
		return control.Outcome{Text: "packets are in the log no longer"}, nil
	}
	reader := t.join()
	if reader == nil {
		return control.Outcome{}, httpError{http.StatusConflict, "as many as may are reading the trace already"}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.log = cancel
	d.say(note(node.Info, "trace on: an operator asked", "by", who.String()))
	t.writing.Go(func() {
		defer t.leave(reader)
		for {
			p, ok := reader.next(ctx)
			if !ok {
				return
			}
			logPacket(d.log, p)
		}
	})
	return control.Outcome{Text: "packets are in the log now"}, nil
}

// logPacket writes what a line of the trace says.
func logPacket(log *slog.Logger, p control.Packet) {
	if p.Lost > 0 {
		log.Warn("packets of the trace are lost: the log is too slow for them", "lost", p.Lost)
	}
	args := []any{"dir", p.Direction, "kind", p.Kind, "peer", p.Peer}
	if p.Sender != "" {
		args = append(args, "sender", p.Sender, "term", p.Term, "round", p.Round)
	}
	if p.Drop != "" {
		args = append(args, "drop", p.Drop)
	}
	var fields []any
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		fields = append(fields, slog.String(name, p.Fields[name]))
	}
	log.Info("packet", append(args, slog.Group("field", fields...))...)
}
