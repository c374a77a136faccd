package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// besideEvery is how often a running daemon looks for others that were started after it.
const besideEvery = time.Minute

// ErrBeside says that another time daemon sets this host's clock. Such an error is an ErrClockHeld, too.
var ErrBeside = errors.New("another time daemon sets this host's clock")

// rival is a running program that sets the clock.
type rival struct {
	name   string // chronyd, W32Time, …
	pid    int    // 0 = not known
	unit   string // of systemd, "" = none
	remedy string // what stops it for good
}

func (r rival) String() string {
	switch {
	case r.unit != "":
		return fmt.Sprintf("%s (process %d, %s)", r.name, r.pid, r.unit)
	case r.pid != 0:
		return fmt.Sprintf("%s (process %d)", r.name, r.pid)
	}
	return r.name
}

// besideError names the rivals and what to do about them.
type besideError struct{ rivals []rival }

func (e besideError) Error() string {
	return fmt.Sprintf("%v: %s; two that steer one clock fight: %s; or say beside: true if it leaves the clock alone, or try --dry-run",
		ErrBeside, names(e.rivals), remedies(e.rivals))
}

func (besideError) Is(target error) bool { return target == ErrBeside || target == ErrClockHeld }

// names lists rivals.
func names(rivals []rival) string {
	var all []string
	for _, r := range rivals {
		all = append(all, r.String())
	}
	return strings.Join(all, ", ")
}

// remedies lists what to do about them, each once: several processes of one daemon are stopped together.
func remedies(rivals []rival) string {
	var all []string
	for _, r := range rivals {
		if !slices.Contains(all, r.remedy) {
			all = append(all, r.remedy)
		}
	}
	return strings.Join(all, ", ")
}

// Rival is another program that sets this host's clock, and what to do about it.
type Rival struct{ Name, Remedy string }

// Rivals are the other time daemons that run on this host, as far as can be seen; the error says that it could not be.
func Rivals() (list []Rival, err error) {
	found, err := rivals()
	for _, r := range found {
		list = append(list, Rival{r.String(), r.remedy})
	}
	return list, err
}

// alone refuses a clock that another daemon sets, or only warns where the operator has said so. A list of processes that
// cannot be read proves nothing.
func alone(look func() ([]rival, error), beside bool, log *slog.Logger) error {
	rivals, err := look()
	if err != nil {
		log.Warn("cannot see whether another time daemon runs", "err", err)
	}
	switch {
	case len(rivals) == 0:
		return nil
	case !beside:
		return besideError{rivals}
	}
	log.Warn(ErrBeside.Error()+"; allowed by beside: true", "daemons", names(rivals))
	return nil
}

// watchBeside tells of daemons that run beside this one, and warns each time they are others than before, until ctx ends.
func watchBeside(ctx context.Context, look func() ([]rival, error), log *slog.Logger, tell func([]rival)) {
	known := ""
	if rivals, err := look(); err == nil {
		known = names(rivals) // the start has spoken of them
		tell(rivals)
	}
	ticker := time.NewTicker(besideEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		rivals, err := look()
		if err != nil {
			continue // told at the start
		}
		now := names(rivals)
		if now != known && now != "" {
			log.Warn(ErrBeside.Error(), "daemons", now, "do", remedies(rivals))
		}
		if now != known {
			tell(rivals)
		}
		known = now
	}
}
