package daemon

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"meantime/daemon/control"
)

const (
	// usualProfile and longestProfile are how long a processor profile is taken: a hundred samples a second of what runs.
	usualProfile   = 10 * time.Second
	longestProfile = time.Minute
)

// profiles hands out what Go's runtime knows of this process, to root and the daemon's own user: function names and counts, and no memory's
// content. Package net/http/pprof is not used: it would serve everybody who reaches any server of this process.
func profiles(mux *http.ServeMux) {
	for _, kind := range []string{control.ProfileHeap, control.ProfileAllocs, control.ProfileGoroutine} {
		mux.Handle("GET "+control.PathProfile+kind, changersOnly(func(w http.ResponseWriter, _ *http.Request) {
			var text bytes.Buffer // made at once: who reads slowly holds nothing up
			if err := pprof.Lookup(kind).WriteTo(&text, 0); err != nil {
				refuse(w, http.StatusServiceUnavailable, err.Error())
				return
			}
			sendProfile(w, text.Bytes())
		}))
	}
	mux.Handle("GET "+control.PathProfile+control.ProfileCPU, changersOnly(profileCPU))
}

// profileCPU samples where the processor's time goes, until it is over or who asked has gone. There is one such profile at a time.
func profileCPU(w http.ResponseWriter, r *http.Request) {
	span := usualProfile
	if text := r.URL.Query().Get("seconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || seconds > int(longestProfile/time.Second) {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("seconds is to be a whole number from 1 to %d", int(longestProfile/time.Second)))
			return
		}
		span = time.Duration(seconds) * time.Second
	}
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Time{}) // it takes as long as it takes; a test's has none
	_ = conn.SetWriteDeadline(time.Now().Add(span + writeTime))
	var text bytes.Buffer
	if err := pprof.StartCPUProfile(&text); err != nil {
		refuse(w, http.StatusConflict, "another one is being taken already")
		return
	}
	select {
	case <-time.After(span):
	case <-r.Context().Done():
	}
	pprof.StopCPUProfile()
	sendProfile(w, text.Bytes())
}

// sendProfile answers with a profile as pprof reads it: a gzipped protocol buffer.
func sendProfile(w http.ResponseWriter, profile []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(profile) // who asked may be gone
}
