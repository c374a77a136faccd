package daemon

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/page"
)

// orphan is a source whose master dies at some time.
type orphan struct {
	began  time.Time
	dead   atomic.Bool
	looked []time.Duration // at all members
}

func (o *orphan) Status(context.Context) (control.Status, error) {
	if o.dead.Load() {
		return control.Status{State: "holdover"}, nil
	}
	return control.Status{State: "following", Master: "m"}, nil
}

func (o *orphan) Members(context.Context) (control.Members, error) {
	o.looked = append(o.looked, time.Since(o.began))
	return control.Members{Members: []control.Member{{ID: "x", Self: true}}}, nil
}

func (o *orphan) Events(context.Context) (control.Events, error) { return control.Events{}, nil }
func (o *orphan) Now(context.Context) (control.Now, error)       { return control.Now{}, nil }

// watcher is a browser that takes everything at once.
type watcher struct{ *httptest.ResponseRecorder }

func (watcher) SetWriteDeadline(time.Time) error { return nil }

// The page looks at its node once a second; while somebody watches, a quarter of a second after a change at the latest.
func TestFeedPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o, h := &orphan{began: time.Now()}, page.NewHistory()
		ended := make(chan struct{})
		go func() { defer close(ended); feedPage(ctx, o, h) }()
		time.Sleep(1100 * time.Millisecond)
		o.dead.Store(true) // and back: nobody watches
		time.Sleep(500 * time.Millisecond)
		o.dead.Store(false)
		go page.Handler(h).ServeHTTP(watcher{httptest.NewRecorder()}, httptest.NewRequest("GET", "/live", nil).WithContext(ctx))
		time.Sleep(1700 * time.Millisecond)
		o.dead.Store(true)
		time.Sleep(glance)
		synctest.Wait()
		answer := httptest.NewRecorder()
		page.Handler(h).ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
		if !strings.Contains(answer.Body.String(), "No master") {
			t.Errorf("%v after the master died the page says:\n%s", glance, answer.Body)
		}
		time.Sleep(1200 * time.Millisecond)
		cancel()
		<-ended
		want := []time.Duration{0, 1000, 2000, 3000, 3500, 4500}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(o.looked, want) {
			t.Errorf("it looked after %v", o.looked)
		}
	})
}
