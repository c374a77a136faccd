package daemon

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain demands that no test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// required tells whether the environment says that this kind of test must not be skipped.
func required(kind string) bool {
	return slices.Contains(strings.Split(os.Getenv("MEANTIME_REQUIRE"), ","), kind)
}

// skip skips a test that this machine cannot run, unless MEANTIME_REQUIRE holds its kind.
func skip(t *testing.T, kind, format string, args ...any) {
	t.Helper()
	if required(kind) {
		t.Fatalf("MEANTIME_REQUIRE holds "+kind+", but "+format, args...)
	}
	t.Skipf(format, args...)
}

// journal is a log that a test reads: what was logged, in order.
type journal struct {
	mu      sync.Mutex
	records []slog.Record
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, r.Clone())
	return nil
}

// find returns the records whose message begins with prefix.
func (j *journal) find(prefix string) []slog.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.records), func(r slog.Record) bool { return !strings.HasPrefix(r.Message, prefix) })
}

// warnings returns the messages of level warn and above.
func (j *journal) warnings() (all []string) {
	for _, r := range j.find("") {
		if r.Level >= slog.LevelWarn {
			all = append(all, r.Message)
		}
	}
	return all
}

// value returns an attribute of a record, nil if it has none of that name.
func value(r slog.Record, key string) (found any) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			found = a.Value.Any()
		}
		return found == nil
	})
	return found
}
