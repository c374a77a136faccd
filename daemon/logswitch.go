package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"

	"meantime/configs"
)

// logSwitch is a handler whose level and format can be changed while it is written to: by another handler in its place.
type logSwitch struct {
	build   func(configs.Log) slog.Handler
	current *atomic.Pointer[setting]
	adapt   func(slog.Handler) slog.Handler // adds attributes and groups; nil = none
}

// setting is a handler and how it writes.
type setting struct {
	cfg     configs.Log
	handler slog.Handler
}

// newLogSwitch returns one that begins with a configuration. What build returns may be in use when it is called again.
func newLogSwitch(cfg configs.Log, build func(configs.Log) slog.Handler) *logSwitch {
	s := &logSwitch{build: build, current: &atomic.Pointer[setting]{}}
	s.set(cfg)
	return s
}

// set writes otherwise from now on.
func (s *logSwitch) set(cfg configs.Log) { s.current.Store(&setting{cfg, s.build(cfg)}) }

// config is how it writes.
func (s *logSwitch) config() configs.Log { return s.current.Load().cfg }

// Enabled, Handle, WithAttrs and WithGroup make it a slog.Handler.
func (s *logSwitch) Enabled(ctx context.Context, l slog.Level) bool {
	return s.current.Load().handler.Enabled(ctx, l)
}

// Handle writes a record.
func (s *logSwitch) Handle(ctx context.Context, r slog.Record) error {
	h := s.current.Load().handler
	if s.adapt != nil {
		h = s.adapt(h)
	}
	return h.Handle(ctx, r)
}

// WithAttrs adds attributes to whatever handler is in force.
func (s *logSwitch) WithAttrs(attrs []slog.Attr) slog.Handler {
	return s.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup opens a group in whatever handler is in force.
func (s *logSwitch) WithGroup(name string) slog.Handler {
	return s.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (s *logSwitch) with(add func(slog.Handler) slog.Handler) slog.Handler {
	before := s.adapt
	return &logSwitch{s.build, s.current, func(h slog.Handler) slog.Handler {
		if before != nil {
			h = before(h)
		}
		return add(h)
	}}
}
