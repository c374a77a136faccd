package daemon

import (
	"context"
	"io"
	"log/slog"
	"time"

	"meantime/configs"
	"meantime/daemon/node"
	"meantime/netproto/udp"
)

// NewLogger writes as the configuration says.
func NewLogger(w io.Writer, cfg configs.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == configs.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
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
func logStatus(log *slog.Logger, s node.Status) {
	args := []any{"state", string(s.State), "master", s.Master.String(), "seq", s.Seq,
		"members", s.Members, "voters", s.Voters, "spread", s.Spread, "residual", s.Residual, "bound", s.Bound,
		"frequency_ppm", s.Rate * 1e6, "kernel_stamps", s.Kernel, "key", keyName(s.Key)}
	if s.Key != 0 && s.Holders > 0 { // a master
		args = append(args, "newest_key", keyName(s.Held[0]), "held_by", s.Holders)
	}
	log.Info("status", append(args, "dropped", s.Drops.Total()-s.Drops[node.DropOwn])...)
	for reason, count := range s.Drops {
		if count > 0 {
			log.Debug("dropped", "reason", node.Drop(reason).String(), "count", count)
		}
	}
}

// logChange writes that an interface came, went or failed.
func logChange(log *slog.Logger, c udp.Change) {
	if c.Err != nil {
		log.Warn("interface "+c.Kind.String(), "interface", c.Name, "err", c.Err)
		return
	}
	log.Info("interface "+c.Kind.String(), "interface", c.Name)
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
