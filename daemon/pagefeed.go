package daemon

import (
	"context"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/page"
)

const (
	// glance is how often the page's history looks, while somebody watches, whether something has changed: shown well within a second.
	glance = 250 * time.Millisecond
	// sampleEvery is how often it looks at everything, a change or not.
	sampleEvery = 4 * glance
)

// feedPage has a history sample a node until ctx ends.
func feedPage(ctx context.Context, source control.Source, history *page.History) {
	var last control.Status
	var took time.Time
	for {
		now := time.Now()
		due := now.Sub(took) >= sampleEvery-glance/2
		if !due && history.Watched() {
			s, err := source.Status(ctx)
			due = err == nil && differs(s, last)
		}
		if due {
			sample, err := page.Look(ctx, source, now)
			if err == nil { // a clock that cannot be read has ended the driver
				history.Take(sample)
				last, took = sample.Status, now
			}
		}
		pause := glance
		if !history.Watched() { // an idle node wakes up less
			pause = max(glance, sampleEvery-time.Since(took))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// differs says whether a status is worth showing at once.
func differs(a, b control.Status) bool {
	return a.State != b.State || a.Master != b.Master || a.Term != b.Term || a.Members != b.Members || a.Voters != b.Voters ||
		len(a.Interference) != len(b.Interference)
}
