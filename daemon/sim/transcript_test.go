package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew; commit a difference only if it is understood")

// transcript is a run that is told packet by packet: the protocol by example.
type transcript struct {
	name  string
	about string
	from  time.Duration // what is told begins
	until time.Duration
	plan  func() Plan
}

func tale(members int, faults string) func() Plan {
	return func() Plan {
		p := Plan{Seed: 11, Link: Link{Delay: Delay{Least: 50 * time.Microsecond}}, Node: nodeConfig(time.Second, 500*ppm)}
		p.Latency = Delay{Least: 20 * time.Microsecond}
		for i := range members {
			p.Members = append(p.Members, Member{Offset: time.Duration(i) * time.Minute, Frequency: float64(10*i) * ppm})
		}
		p.Faults, _ = ParseFaults(faults)
		return p
	}
}

var transcripts = []transcript{
	{"founding", "Three hosts come to a quiet LAN. One stands, gathers, founds LAN time as the mean of the three clocks, and keeps it.",
		0, 9 * time.Second, tale(3, "")},
	{"takeover", "The master is killed. Its first successor stands after two polls without proof of life, nobody objects, and it polls.",
		38 * time.Second, 44 * time.Second, tale(3, "kill:master@39.9s")},
	{"handover", "The master is stopped cleanly. It resigns, naming its first successor, which stands at once.",
		39 * time.Second, 42 * time.Second, tale(3, "stop:master@39.9s")},
	{"merge", "Two halves of a LAN had a master each. They meet again: the masters ask each other, and the one with fewer voters yields.",
		59 * time.Second, 64 * time.Second, tale(5, "partition:0.1@40s+20s")},
}

// TestTranscripts compares each transcript with its golden file.
func TestTranscripts(t *testing.T) {
	for _, s := range transcripts {
		t.Run(s.name, func(t *testing.T) {
			got := s.tell(t)
			path := filepath.Join("testdata", s.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the story goes otherwise than in %s; if that is understood, run go test -run Transcripts ./daemon/sim -update\n%s",
					path, firstDifference(got, string(want)))
			}
		})
	}
	golden, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(golden) != len(transcripts) {
		t.Errorf("%d golden files for %d transcripts (%v)", len(golden), len(transcripts), err)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// teller writes a transcript down.
type teller struct {
	world *World
	from  time.Duration
	text  strings.Builder
}

func (s transcript) tell(t *testing.T) string {
	t.Helper()
	w, err := New(s.plan(), nil)
	if err != nil {
		t.Fatal(err)
	}
	told := &teller{world: w, from: s.from}
	fmt.Fprintf(&told.text, "# %s\n# Written by go test -run Transcripts ./daemon/sim -update\n\n", s.about)
	w.told = told.effect
	if err := w.Run(s.until); err != nil {
		t.Fatal(err)
	}
	return told.text.String()
}

// effect tells an effect that others can notice: a packet, a step, a word.
func (t *teller) effect(h *Host, e node.Effect) {
	if t.world.Now() < t.from {
		return
	}
	line := ""
	switch e := e.(type) {
	case *node.Send:
		to := "all"
		if !e.Group {
			to = t.name(netproto.ID(0), t.world.index(e.To))
		}
		line = fmt.Sprintf("to %-6s %s", to, t.packet(e.Data))
	case node.Step:
		line = fmt.Sprintf("steps its clock by %v", time.Duration(e.Delta).Round(time.Millisecond))
	case node.Note:
		line = "says: " + e.Text
	case node.NewTerm:
		line = fmt.Sprintf("keeps term %d", e.Term)
	default:
		return
	}
	fmt.Fprintf(&t.text, "%9.4f s  host %d  %s\n", t.world.Now().Seconds(), h.index, line)
}

// name is a host's, by its id or, where that is 0, by its index.
func (t *teller) name(id netproto.ID, index int) string {
	for _, h := range t.world.hosts {
		if id != 0 && h.Node != nil && h.Node.Status().ID == id {
			index = h.index
		}
	}
	if index < 0 {
		return "nobody"
	}
	return fmt.Sprintf("host %d", index)
}

func (t *teller) packet(data []byte) string {
	h, body, err := netproto.Inspect(data)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%-9v term %d round %d", h.Kind, h.Term, h.Seq)
	switch h.Kind {
	case netproto.KindPoll:
		p, _ := netproto.ParsePoll(body)
		text += fmt.Sprintf(": %v, %d members", p.Phase, p.Members)
	case netproto.KindReply:
		p, _ := netproto.ParseReply(h, body)
		text += fmt.Sprintf(": repeat %d, obeys %s", p.Repeat, t.name(p.Master, -1))
		if h.Flags&netproto.FlagVoter != 0 {
			text += ", voter"
		}
	case netproto.KindAck:
		if h.Flags&netproto.FlagAgain != 0 {
			text += ": again"
		}
		if h.Flags&netproto.FlagLast != 0 {
			text += ", last"
		}
	case netproto.KindAdjust:
		a, _ := netproto.ParseAdjust(body, nil)
		text += fmt.Sprintf(": %v, %d voters", a.Phase, a.Voters)
		for _, e := range a.Entries {
			text += fmt.Sprintf("; %s %v %v", t.name(e.ID, -1), e.Standing, time.Duration(e.Delta).Round(100*time.Nanosecond))
		}
	case netproto.KindClaim:
		p, _ := netproto.ParseClaim(body)
		text += fmt.Sprintf(": master is %s, %d voters", t.name(p.Master, -1), p.Voters)
	case netproto.KindResign:
		p, _ := netproto.ParseResign(body)
		text += fmt.Sprintf(": successor %s", t.name(p.Successor, -1))
	}
	return text
}
