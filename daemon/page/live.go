package page

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// mostWatchers is how many browsers may watch at once; the others are told to come again.
	mostWatchers = 32
	// heartbeat is how often a watcher hears something when nothing is sampled, so that a dead one is found.
	heartbeat = 10 * time.Second
	// writeTime is what a message may take. Who reads no faster is let go, and comes again by itself.
	writeTime = 5 * time.Second
)

// serveLive sends what is known after each sample, as server-sent events. A watcher that is slower than the samples gets the newest one;
// by its number it sees that some are missing, and asks for the history.
func (h *History) serveLive(w http.ResponseWriter, r *http.Request) {
	if h.watchers.Add(1) > mostWatchers {
		h.watchers.Add(-1)
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d browsers watch already: close one, or come again later", mostWatchers), http.StatusServiceUnavailable)
		return
	}
	defer h.watchers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for sent := uint64(0); ; {
		text, number, changed := h.message()
		if number == sent {
			text = []byte(": nothing new\n\n")
		}
		if sent = number; send(control, w, text, h.patience) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-beat.C:
		}
	}
}

// Watched says whether anybody watches at present.
func (h *History) Watched() bool { return h.watchers.Load() > 0 }

// send writes one message within a time, or fails.
func send(control *http.ResponseController, w http.ResponseWriter, text []byte, within time.Duration) error {
	if err := control.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return control.Flush()
}
