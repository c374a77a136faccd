// Package page is the LAN as a picture: one page for a browser, with everything it needs embedded, and the memory of what it shows. It
// reads a control.Source, and knows nothing of the daemon; it starts no goroutine, opens no socket and changes nothing.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
)

// Whatever comes from the LAN, such as a host's name, is hostile: html/template writes it here, and page.js as textContent.
var (
	//go:embed index.html
	index string
	//go:embed page.css page.js icon.svg uplot/uPlot.iife.min.js uplot/uPlot.min.css uplot/LICENSE
	files     embed.FS
	indexPage = template.Must(template.New("index").Funcs(template.FuncMap{"blank": func() row { return row{} }}).Parse(index))
)

// media are the files and their types. The system's own table, which package mime asks, may say anything, and a browser takes no script
// that is none by its type.
var media = map[string]string{
	"page.css": "text/css; charset=utf-8", "uplot/uPlot.min.css": "text/css; charset=utf-8",
	"page.js": "text/javascript; charset=utf-8", "uplot/uPlot.iife.min.js": "text/javascript; charset=utf-8",
	"icon.svg": "image/svg+xml", "uplot/LICENSE": "text/plain; charset=utf-8", // which wants to go with every copy
}

// The paths of the page, beside those of the files.
const (
	pathIndex   = "/"
	pathHistory = "/history"
	pathLive    = "/live"
)

// fences are on every answer: a browser runs no script but ours, fetches nothing from elsewhere, and shows the page in nobody's frame.
// uPlot sets styles by script, which no policy forbids.
var fences = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

// Handler serves the page: its text with what is known at that moment, so that it says something without scripts, its files, the history,
// and live what changes.
func Handler(h *History) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathIndex+"{$}", h.serveIndex)
	mux.HandleFunc("GET "+pathHistory, h.serveHistory)
	mux.HandleFunc("GET "+pathLive, h.serveLive)
	for name, media := range media {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) { serveFile(w, name, media) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range fences {
			w.Header().Set(name, value)
		}
		mux.ServeHTTP(w, r)
	})
}

// serveFile answers with an embedded file of a media type.
func serveFile(w http.ResponseWriter, name, media string) {
	text, err := files.ReadFile(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, media, text)
}

// serveIndex answers with the page itself.
func (h *History) serveIndex(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	if err := indexPage.Execute(&text, h.view()); err != nil {
		http.Error(w, fmt.Sprintf("the page cannot be written: %v", err), http.StatusInternalServerError)
		return
	}
	answer(w, "text/html; charset=utf-8", text.Bytes())
}

// serveHistory answers with all curves and marks.
func (h *History) serveHistory(w http.ResponseWriter, _ *http.Request) {
	text, err := h.json()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, "application/json", text)
}

// answer writes text of a media type.
func answer(w http.ResponseWriter, media string, text []byte) {
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(text) // who asked may be gone
}
