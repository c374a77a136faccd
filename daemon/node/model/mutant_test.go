package model

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a node with a check taken out.
type mutant struct {
	check    string
	file     string // in daemon/node
	old, new string
	after    string // the scenario in which that shows
	shows    string // what is said of it
}

var mutants = []mutant{
	{
		"an Ack shows a nonce of the round (PROTOCOL.md 8.11)", "follow.go",
		"if i := s.shown(echo); i >= 0 {", "if i := max(0, s.shown(echo)); i < s.replies {", "a founding", "heard",
	},
	{
		"an Adjust shows a nonce of the round (8.12)", "follow.go",
		"if s.shown(e.Nonce) < 0 {", "if false {", "a newcomer's restart within a round", "obeyed 0 -> 1",
	},
	{
		"a round's Adjust is taken once (8.12)", "follow.go",
		"if s.adjusted {", "if false {", "a founding", "rounds",
	},
	{
		"proof that was held back is of its round (9.5)", "follow.go",
		"min(now, s.over+grace)", "now", "its master's death", "takes its master for living",
	},
	{
		"a Reply shows the nonce of the Poll (section 4)", "lead.go",
		"h.Seq != l.seq || !l.polled(r.Echo)", "h.Seq != l.seq", "its master's death", "answers nothing",
	},
	{
		"a Claim shows a candidate's nonce (9.10)", "office.go",
		"f.candidacy == 0 || c.Echo != f.candidacy ||", "f.candidacy == 0 ||", "its master's death", "asking true -> false",
	},
	{
		"a Claim shows a master's nonce (9.16)", "office.go",
		"c.Echo != l.asked || l.asked == 0 ||", "", "the meeting of two LANs and the winner's death", "answers nothing",
	},
	{
		"the fence by term and master (9.20)", "follow.go",
		"h.Term < n.term || h.Term == n.term && n.obeyed != s.id && n.obeyed != 0", "false", "two masters of one term, of which one stops", "obeys B and A under term 1",
	},
	{
		"a clone shows a nonce (8.22)", "clone.go",
		"c.Echo == n.double.asked && n.double.asked != 0", "c.Echo != 0", "the meeting of two LANs and the winner's death", "NewID",
	},
}

// TestMutants takes one check after the other out of a copy of the node and demands that the search finds the attack. The node itself has no
// such switch: the compiler is given the copy in the file's place.
func TestMutants(t *testing.T) {
	if !required() {
		t.Skip("builds the node anew for each check: run with MEANTIME_REQUIRE=model")
	}
	for _, m := range mutants {
		t.Run(m.check, func(t *testing.T) {
			t.Parallel()
			out, err := m.explore(t)
			_, story, found := strings.Cut(out, "the attacker (!) and what came of it:\n")
			story, _, _ = strings.Cut(story, "\n    --- ")
			if err == nil || !found || !strings.Contains(story, m.shows) {
				t.Fatalf("not found: %v\n%s", err, out)
			}
			t.Logf("found, after %s:\n%s", m.after, story)
		})
	}
}

// explore runs the search on the mutant.
func (m mutant) explore(t *testing.T) (string, error) {
	t.Helper()
	original, err := filepath.Abs(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s holds %q %d times, want once: the check has moved, and this test must follow", m.file, m.old, n)
	}
	copied, overlay := filepath.Join(t.TempDir(), m.file), filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(copied, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	run := "^TestExplore$/^" + strings.ReplaceAll(m.after, " ", "_") + "$"
	out, err := exec.Command("go", "test", "-vet=off", "-count=1", "-overlay", overlay, "-run", run, ".").CombinedOutput()
	return string(out), err
}
