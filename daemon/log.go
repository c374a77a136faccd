package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

// NewLogger writes as the configuration says, until an operator says otherwise: with fields where w is the journal's.
func NewLogger(w io.Writer, cfg configs.Log) *slog.Logger {
	journal := dialJournal(w)
	return slog.New(newLogSwitch(cfg, func(cfg configs.Log) slog.Handler {
		plain := newHandler(w, cfg, nil)
		if journal == nil {
			return plain
		}
		return &journalHandler{journal: journal, plain: plain, cfg: cfg}
	}))
}

// NewEventLogger is NewLogger for a log that keeps the time and the severity of each line itself, and has a writer for each level.
func NewEventLogger(writer func(slog.Level) io.Writer, cfg configs.Log) *slog.Logger {
	return slog.New(newLogSwitch(cfg, func(cfg configs.Log) slog.Handler {
		h := make(byLevel, len(eventLevels))
		for i, level := range eventLevels {
			h[i] = newHandler(writer(level), cfg, dropKept)
		}
		return h
	}))
}

// dropKept leaves out what such a log keeps itself: time and level.
func dropKept(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// newHandler writes as the configuration says. replace may change attributes; nil = none.
func newHandler(w io.Writer, cfg configs.Log, replace func([]string, slog.Attr) slog.Attr) slog.Handler {
	options := &slog.HandlerOptions{Level: cfg.Level, ReplaceAttr: replace}
	if cfg.Format != configs.LogJSON {
		return slog.NewTextHandler(w, options)
	}
	options.ReplaceAttr = withUnit
	if replace != nil {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr { return withUnit(groups, replace(groups, a)) }
	}
	return slog.NewJSONHandler(w, options)
}

// eventLevels are the severities that an event log knows, the least first.
var eventLevels = []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// byLevel hands each record to the handler of its severity in eventLevels.
type byLevel []slog.Handler

func (h byLevel) Enabled(ctx context.Context, l slog.Level) bool { return h[0].Enabled(ctx, l) }

func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	i := len(h) - 1
	for i > 0 && r.Level < eventLevels[i] {
		i--
	}
	return h[i].Handle(ctx, r)
}

func (h byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithAttrs(attrs) })
}

func (h byLevel) WithGroup(name string) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithGroup(name) })
}

func (h byLevel) each(change func(slog.Handler) slog.Handler) byLevel {
	changed := make(byLevel, len(h))
	for i, one := range h {
		changed[i] = change(one)
	}
	return changed
}

// withUnit tells programs a duration in seconds, with the unit in its name. JSON has no durations: it would be a bare number of ns.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key+"_s", a.Value.Duration().Seconds())
	}
	return a
}

var levels = map[node.Level]slog.Level{node.Debug: slog.LevelDebug, node.Info: slog.LevelInfo, node.Warn: slog.LevelWarn}

// logNote writes what the node says, word for word.
func logNote(log *slog.Logger, n node.Note) {
	args := make([]any, 0, 2*len(n.Attrs))
	for _, a := range n.Attrs {
		args = append(args, a.Key, a.Value)
	}
	log.Log(context.Background(), levels[n.Level], n.Text, args...)
}

// logStatus writes the regular line: whoever reads the log sees how the LAN does without asking.
func logStatus(log *slog.Logger, level slog.Level, s node.Status) {
	ctx := context.Background()
	if !log.Enabled(ctx, level) {
		return
	}
	args := []any{"state", string(s.State)}
	if s.Master != 0 {
		args = append(args, "master", s.Master.String())
	}
	args = append(args, "seq", s.Seq, "members", s.Members, "voters", s.Voters, "spread", s.Spread, "residual", s.Residual)
	if s.Bound >= 0 {
		args = append(args, "bound", s.Bound)
	}
	args = append(args, "frequency_ppm", shortPPM(s.Rate), "kernel_stamps", s.Kernel, "key", keyName(s.Key))
	if s.Turns > 1 {
		args = append(args, "turns", s.Turns, "window", s.Window, "replies_expected", s.Expected, "replies_lost", s.Lost)
	}
	if s.Key != 0 && s.Holders > 0 { // a master
		args = append(args, "newest_key", keyName(s.Held[0]), "held_by", s.Holders)
	}
	if n := heldKeys(s); n > 1 {
		args = append(args, "held", n)
	}
	log.Log(ctx, level, "status", append(args, "dropped", s.Drops.Total()-s.Drops[node.DropOwn], dropReasons(s.Drops))...)
	for reason, count := range s.Drops {
		if count > 0 {
			log.Debug("dropped", "reason", node.Drop(reason).String(), "count", count)
		}
	}
}

// shortPPM is a rate in ppm as people read it: 0.1 ns a second is less than any oscillator keeps.
func shortPPM(rate float64) float64 { return math.Round(rate*1e10) / 1e4 }

// heldKeys is how many keys the node holds: more than one while the LAN's key is changed.
func heldKeys(s node.Status) (n int) {
	for _, key := range s.Held {
		if key != 0 {
			n++
		}
	}
	return n
}

// dropReasons says why datagrams of others were dropped, by the reasons that there were.
func dropReasons(drops node.Drops) slog.Attr {
	var counts []any
	for reason, count := range drops {
		if count > 0 && node.Drop(reason) != node.DropOwn {
			counts = append(counts, slog.Uint64(node.Drop(reason).String(), count))
		}
	}
	return slog.Group("dropped_for", counts...)
}

// changeNote says that an interface came, went or failed.
func changeNote(c udp.Change) node.Note {
	if c.Err != nil {
		return note(node.Warn, "interface "+c.Kind.String(), "interface", c.Name, "err", c.Err)
	}
	return note(node.Info, "interface "+c.Kind.String(), "interface", c.Name)
}

// note is what the daemon itself has to say, with names and values in turn.
func note(level node.Level, text string, pairs ...any) node.Note {
	n := node.Note{Level: level, Text: text}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Attrs = append(n.Attrs, node.Attr{Key: fmt.Sprint(pairs[i]), Value: pairs[i+1]})
	}
	return n
}

// logFindings writes what a clock has found out about itself since it was last asked.
func logFindings(log *slog.Logger, clock sysclock.Clock) {
	if f, ok := clock.(sysclock.Finder); ok {
		for _, found := range f.Findings() {
			log.Info(found)
		}
	}
}

// limiter lets one message through in a while, so that a dead cable does not fill a disk.
type limiter struct {
	every time.Duration
	last  time.Time
}

func (l *limiter) allow() bool {
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < l.every {
		return false
	}
	l.last = now
	return true
}
