package daemon

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"meantime/daemon/metrics"
)

// A daemon shows its metrics to whoever has the control socket, and each kind of packet that it counts.
func TestMetrics(t *testing.T) {
	t.Parallel()
	_, m := controlled(t)
	answers := m.answers()
	status, err := answers.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	answers.handler().ServeHTTP(answer, httptest.NewRequest("GET", metrics.Path, nil))
	text, _ := io.ReadAll(answer.Body)
	if answer.Code != 200 || !strings.Contains(string(text), "\nmeantime_master ") {
		t.Fatalf("%d\n%s", answer.Code, text)
	}
	for kind := range status.Packets {
		if kind != "sent" && !strings.Contains(string(text), `meantime_packets_received_total{kind="`+kind+`"}`) {
			t.Errorf("packets of kind %s are counted and not shown", kind)
		}
	}
}
