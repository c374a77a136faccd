package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meantime/daemon/control"
	"meantime/sysclock"
)

// free are the objects whose names are not the API's: reasons, facts, fields of packets.
var free = []string{".dropped", ".events[].facts", ".fields"}

// shape lists what JSON holds: each path with the kind of its value. Elements of a list are taken together.
func shape(at string, value any, into map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		into[at] = "object"
		for name, member := range v {
			if !slices.Contains(free, at) {
				shape(at+"."+name, member, into)
			}
		}
	case []any:
		into[at] = "list"
		for _, member := range v {
			shape(at+"[]", member, into)
		}
	default:
		into[at] = fmt.Sprintf("%T", v)
	}
}

// shapeOf is the shape of a text.
func shapeOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all := map[string]string{}
	shape("", value, all)
	return all
}

// documented are the examples of docs/CONTROL.md by what is asked: the first block of JSON after a heading is the answer, or, of a POST, the
// second.
func documented(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../docs/CONTROL.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		heading, rest, _ := strings.Cut(section, "\n")
		blocks := strings.Split(rest, "```json\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("no example of %s", heading)
			continue
		}
		for i, b := range blocks {
			block, _, _ := strings.Cut(b, "```")
			blocks[i] = block
		}
		all[heading] = []byte(blocks[len(blocks)-1])
		if strings.HasPrefix(heading, "POST") {
			all["body of "+heading] = []byte(blocks[0])
		}
	}
	return all
}

// Each example of the document is what the daemon answers, name by name, and each question that it knows is there.
func TestControlDocument(t *testing.T) {
	examples := documented(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := startLAN(ctx, t, newMemoryLAN(), stampsAtOnce, []sysclock.VirtualConfig{{}, {Offset: 300e6, Frequency: 20e-6}})
		for _, m := range all {
			m.host = "host"
		}
		time.Sleep(time.Minute)
		compare := func(what string, answer []byte) {
			got, want := shapeOf(t, string(answer)), shapeOf(t, cmp.Or(string(examples[what]), "null"))
			delete(examples, what)
			if !maps.Equal(got, want) {
				t.Errorf("%s is answered with\n%s\nand the document has another shape: %v", what, answer, difference(got, want))
			}
		}
		for path, m := range map[string]*member{
			control.PathStatus: all[1], control.PathMembers: all[0], control.PathEvents: all[0], control.PathNow: all[0], control.PathVersion: all[0],
		} {
			w := httptest.NewRecorder()
			m.answers().handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
			compare("GET "+path, w.Body.Bytes())
		}
		reader := all[0].tap.join()
		time.Sleep(3 * time.Second)
		for len(reader.packets) > 0 {
			if p := decode(<-reader.packets); p.Kind == "ack" && p.Direction == "out" {
				line, _ := json.Marshal(p)
				compare("GET "+control.PathTrace, line)
				break
			}
		}
		all[0].tap.leave(reader)
		for _, what := range slices.Sorted(maps.Keys(examples)) { // the election before the master steps down
			if path, ok := strings.CutPrefix(what, "body of POST "); ok && path != control.PathLog {
				body := examples[what]
				delete(examples, what)
				compare("POST "+path, all[0].posted(ctx, caller{}, path, asJSON, string(body)).Body.Bytes())
				time.Sleep(5 * time.Second)
			}
		}
		compare("A refusal", all[0].posted(ctx, caller{uid: -2}, control.PathElection, asJSON, "{}").Body.Bytes())
		endLAN(t, cancel, all)
	})
	for what, example := range examples { // the log of this test's daemon is not its own
		d := json.NewDecoder(bytes.NewReader(example))
		if d.DisallowUnknownFields(); !strings.HasSuffix(what, "POST "+control.PathLog) || d.Decode(new(control.Log)) != nil {
			t.Errorf("the document has %s, which is not asked here: %s", what, example)
		}
	}
}

// difference lists what only one of two shapes has.
func difference(got, want map[string]string) (lines []string) {
	for path, kind := range got {
		if want[path] != kind {
			lines = append(lines, fmt.Sprintf("%s is %s, not %q", path, kind, want[path]))
		}
	}
	for path := range want {
		if got[path] == "" {
			lines = append(lines, path+" is not there")
		}
	}
	slices.Sort(lines)
	return lines
}
