package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"meantime/daemon/control"
	"meantime/daemon/node"
)

var update = flag.Bool("update", false, "write testdata/master.prom")

// fixed answers always the same.
type fixed struct {
	status  control.Status
	members control.Members
	events  control.Events
	err     error
}

func (f fixed) Status(context.Context) (control.Status, error)   { return f.status, f.err }
func (f fixed) Members(context.Context) (control.Members, error) { return f.members, f.err }
func (f fixed) Events(context.Context) (control.Events, error)   { return f.events, f.err }
func (f fixed) Now(context.Context) (control.Now, error)         { return control.Now{}, f.err }

// master is the master of n members, of whom the last is left out.
func master(n int) fixed {
	id := func(i int) string { return fmt.Sprintf("%016x", i+1) }
	f := fixed{
		status: control.Status{
			ID: id(0), Name: "bell", Role: "auto", State: "keeping", Master: id(0), MasterName: "bell", Lineage: "00c0ffee00c0ffee", Term: 3,
			Round: 99, Members: n, Voters: n - 1, Spread: new(control.Seconds(4e-6)), Offset: -2e-6, Bound: new(control.Seconds(9e-6)),
			Frequency: -12.5, Scatter: new(control.Seconds(1e-6)), KernelStamps: true, Key: "0badcafe", KeysHeld: 1, Uptime: 3600, Interval: 1,
			LastPoll: new(control.Seconds(0.25)), Turns: 2, Window: new(control.Seconds(0.5)), Expected: new(uint64(900)), Lost: new(uint64(3)), Packets: map[string]uint64{"replies": 7, "sent": 12}, Dropped: map[string]uint64{"key": 2},
		},
		members: control.Members{Complete: true},
		events:  control.Events{Lost: 5, Events: make([]control.Event, 2)},
	}
	for i := range n {
		m := control.Member{
			ID: id(i), Self: i == 0, Master: i == 0, Name: "host\xff", Address: fmt.Sprintf("192.0.2.%d:10526", i+1), Standing: "voter",
			Votes: new(i != n-1), Offset: new(control.Seconds(i) * 1e-6), Jitter: new(control.Seconds(1e-6)), Frequency: new(20.0),
		}
		if i != 0 {
			m.Delay, m.Bound, m.Heard = new(control.Seconds(8e-5)), new(control.Seconds(4e-5)), new(control.Seconds(0.5))
		}
		if i == n-1 {
			m.Why = string(node.VoiceOff)
		}
		f.members.Members = append(f.members.Members, m)
	}
	return f
}

// scrape is what a Prometheus reads of a source, without what is of the process.
func scrape(t *testing.T, source control.Source) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(Collector(source))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", Path, nil))
	if answer.Code != 200 {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// What a master shows, all of it; and promtool's linter has nothing to say.
func TestScrape(t *testing.T) {
	got := scrape(t, master(3))
	if *update {
		if err := os.WriteFile("testdata/master.prom", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/master.prom")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	problems, err := promlint.New(strings.NewReader(got)).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// What is not known has no series.
func TestUnknown(t *testing.T) {
	got := scrape(t, fixed{status: control.Status{ID: "0000000000000001", State: "listening"}, members: control.Members{
		Members: []control.Member{{ID: "0000000000000001", Self: true}},
	}})
	for _, name := range []string{
		"bound_seconds", "scatter_seconds", "spread_seconds", "last_poll_age_seconds", "master_info", "members_by_voice",
		"member_offset_seconds", "member_votes",
	} {
		if strings.Contains(got, "\nmeantime_"+name) {
			t.Errorf("%s is known", name)
		}
	}
	for _, line := range []string{"meantime_synchronised 0", "meantime_master 0", `meantime_state{state="listening"} 1`, "meantime_member_series 1"} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// Of however many members, so many have series of their own, the same ones each time; the counts are of all.
func TestManyMembers(t *testing.T) {
	many := master(4096)
	first := scrape(t, many)
	slices.Reverse(many.members.Members)
	if scrape(t, many) != first {
		t.Error("the order of the members matters")
	}
	for _, line := range []string{
		"meantime_members 4096", "meantime_member_series 256", `meantime_members_by_voice{voice="counted"} 4095`,
		`meantime_members_by_voice{voice="off the majority's time"} 1`, `meantime_member_votes{id="0000000000000001"} 1`,
	} {
		if !strings.Contains(first, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if n := strings.Count(first, "\n"); n > 2500 {
		t.Errorf("%d lines", n)
	}
}

// Who cannot answer shows nothing that looks like an answer.
func TestSourceFails(t *testing.T) {
	answer := httptest.NewRecorder()
	Handler(fixed{err: errors.New("it is about to end")}).ServeHTTP(answer, httptest.NewRequest("GET", Path, nil))
	if answer.Code != 500 || !strings.Contains(answer.Body.String(), "about to end") {
		t.Errorf("%d: %s", answer.Code, answer.Body)
	}
}

// The values of labels are the node's words.
func TestVocabulary(t *testing.T) {
	var drops []string
	for d := range node.DropCount {
		if d != node.DropOwn {
			drops = append(drops, d.String())
		}
	}
	var voices, nodeStates []string
	for _, v := range []node.Voice{
		node.VoiceCounted, node.VoiceSilent, node.VoiceUnknown, node.VoiceNewcomer, node.VoiceDry, node.VoiceAbroad, node.VoiceDisloyal,
		node.VoiceSlow, node.VoiceOff, node.VoiceFallen, node.VoiceHeld,
	} {
		voices = append(voices, string(v))
	}
	for _, s := range []node.State{
		node.StateListening, node.StateGathering, node.StateKeeping, node.StateFollowing, node.StateJoining, node.StateHoldover,
		node.StatePanic, node.StateHolding,
	} {
		nodeStates = append(nodeStates, string(s))
	}
	for _, c := range []struct{ got, want []string }{{reasons, drops}, {voiceNames, voices}, {states, nodeStates}} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("(-node +metrics)\n%s", diff)
		}
	}
}

// Rules and dashboard ask for nothing that is not there, and everybody who writes one may rely on the names.
func TestNames(t *testing.T) {
	there := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(scrape(t, master(3)), -1) {
		there[name[1]] = true
	}
	for _, file := range []string{"prometheus/meantime.rules.yml", "prometheus/meantime.rules.test.yml", "grafana/meantime.json"} {
		text, err := os.ReadFile("../../packaging/" + file)
		if err != nil {
			t.Fatal(err)
		}
		used := regexp.MustCompile(`\bmeantime_\w+`).FindAllString(string(text), -1)
		if len(used) == 0 {
			t.Errorf("%s asks for nothing", file)
		}
		for _, name := range used {
			if !there[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			handler, ask := Handler(master(n)), httptest.NewRequest("GET", Path, nil)
			answer := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				answer.Body.Reset()
				handler.ServeHTTP(answer, ask)
			}
			b.ReportMetric(float64(answer.Body.Len()), "bytes")
		})
	}
}
