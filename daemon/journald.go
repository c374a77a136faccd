package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"meantime/configs"
)

// journalSocket is where systemd's journal takes entries with fields, each a datagram.
const journalSocket = "/run/systemd/journal/socket"

// journalPriority is what the journal, and syslog before it, call the levels.
func journalPriority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// dialJournal connects to the journal where standard error leads to it (JOURNAL_STREAM names its device and inode); nil elsewhere. The
// connection is open before the process gives its rights up.
func dialJournal(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("JOURNAL_STREAM") == "" || os.Getenv("JOURNAL_STREAM") != streamOf(f) {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: journalSocket})
	if err != nil {
		return nil // its text is kept all the same
	}
	return patient{conn}
}

// journalPatience is how long the journal may take for an entry. The clock does not wait for a journal that is stuck.
const journalPatience = 100 * time.Millisecond

// patient is a connection to the journal that is waited for so long.
type patient struct{ *net.UnixConn }

// Write writes an entry.
func (p patient) Write(entry []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(journalPatience)); err != nil {
		return 0, err
	}
	return p.UnixConn.Write(entry)
}

// journalHandler writes each record to the journal: the line that stands in other logs, without the time and the level, which
// the journal keeps itself, and each attribute as a field, MEANTIME_OFFSET for offset.
type journalHandler struct {
	journal io.Writer
	plain   slog.Handler // where an entry goes that the journal does not take
	cfg     configs.Log
	adapt   []func(slog.Handler) slog.Handler
}

// Enabled says whether the level is written.
func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.cfg.Level }

// Handle writes a record.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	var line, entry bytes.Buffer
	if err := h.adapted(newHandler(&line, h.cfg, dropKept)).Handle(ctx, r); err != nil {
		return err
	}
	journalField(&entry, "MESSAGE", strings.TrimSuffix(line.String(), "\n"))
	journalField(&entry, "PRIORITY", fmt.Sprint(journalPriority(r.Level)))
	journalField(&entry, "SYSLOG_IDENTIFIER", "meantime")
	r.Attrs(func(a slog.Attr) bool {
		journalAttr(&entry, "MEANTIME", a)
		return true
	})
	if _, err := h.journal.Write(entry.Bytes()); err != nil {
		return h.adapted(h.plain).Handle(ctx, r)
	}
	return nil
}

// WithAttrs and WithGroup keep what is added for the line; fields are a record's own.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup opens a group.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *journalHandler) with(add func(slog.Handler) slog.Handler) slog.Handler {
	c := *h
	c.adapt = append(c.adapt[:len(c.adapt):len(c.adapt)], add)
	return &c
}

func (h *journalHandler) adapted(to slog.Handler) slog.Handler {
	for _, add := range h.adapt {
		to = add(to)
	}
	return to
}

// journalAttr writes an attribute, of a group each one in it.
func journalAttr(entry *bytes.Buffer, prefix string, a slog.Attr) {
	name, value := prefix, a.Value.Resolve()
	if a.Key != "" {
		name += "_" + journalName(a.Key)
	}
	if value.Kind() == slog.KindGroup {
		for _, member := range value.Group() {
			journalAttr(entry, name, member)
		}
		return
	}
	journalField(entry, name, value.String())
}

// journalName is a name as fields have them: capitals, digits and _.
func journalName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// journalField writes one field. A value of several lines has its length before it.
func journalField(entry *bytes.Buffer, name, value string) {
	entry.WriteString(name)
	if strings.Contains(value, "\n") {
		entry.WriteByte('\n')
		_ = binary.Write(entry, binary.LittleEndian, uint64(len(value))) // a bytes.Buffer takes everything
	} else {
		entry.WriteByte('=')
	}
	entry.WriteString(value)
	entry.WriteByte('\n')
}
