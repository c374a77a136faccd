package netproto_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"meantime/netproto"
)

// field is one row of a layout table of PROTOCOL.md.
type field struct {
	at, len int
	name    string
	signed  bool
}

// layout is a layout table of PROTOCOL.md.
type layout []field

func (l layout) find(t testing.TB, name string) field {
	t.Helper()
	for _, f := range l {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("PROTOCOL.md has no field %q", name)
	return field{}
}

// get reads f from the block of bytes its table describes. Of a field longer than 8 bytes it reads the last 8.
func (f field) get(block []byte) uint64 {
	var v uint64
	for _, b := range block[f.at : f.at+f.len] {
		v = v<<8 | uint64(b)
	}
	return v
}

// put writes f into the block of bytes its table describes.
func (f field) put(block []byte, v uint64) {
	for i := f.len - 1; i >= 0; i-- {
		block[f.at+i] = byte(v)
		v >>= 8
	}
}

var rowPattern = regexp.MustCompile(`^\| (\d+) \| (\d+) \| ([a-z0-9. ]+) \| (\w+)`)

// protocolLayouts reads the layout tables of PROTOCOL.md: the header's, one for each kind, and the entry's. The tests take
// offsets and widths from there and never from the code, so that the document cannot be wrong unseen.
func protocolLayouts(t testing.TB) map[string]layout {
	t.Helper()
	layouts := make(map[string]layout)
	section := ""
	for line := range strings.SplitSeq(protocolText(t), "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			section = strings.ToLower(strings.Trim(strings.SplitN(line[3:], " ", 3)[1], ","))
		case line == "Entry:":
			section = "entry"
		case line == "Move:":
			section = "move"
		}
		row := rowPattern.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		at, _ := strconv.Atoi(row[1])
		length, _ := strconv.Atoi(row[2])
		signed := row[4] == "stamp" || row[4] == "span" || row[4] == "rate"
		layouts[section] = append(layouts[section], field{at: at, len: length, name: row[3], signed: signed})
	}
	return layouts
}

func protocolText(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProtocolTablesAreWhole: the tables have no gap, no overlap and the lengths of the code.
func TestProtocolTablesAreWhole(t *testing.T) {
	lengths := map[string]int{
		"header": netproto.HeaderLen, "poll": netproto.PollLen, "reply": netproto.ReplyLen,
		"ack": netproto.AckLen, "adjust": netproto.AdjustLen, "entry": netproto.EntryLen,
		"candidate": netproto.CandidateLen, "claim": netproto.ClaimLen, "resign": netproto.ResignLen,
		"set-time": netproto.SetTimeLen, "move": 48,
	}
	layouts := protocolLayouts(t)
	if len(layouts) != len(lengths) {
		t.Errorf("PROTOCOL.md has %d layout tables, want %d", len(layouts), len(lengths))
	}
	for name, want := range lengths {
		end := 0
		for _, f := range layouts[name] {
			if f.at != end {
				t.Errorf("%s: field %q at %d, want %d", name, f.name, f.at, end)
			}
			end = f.at + f.len
		}
		if end != want {
			t.Errorf("%s: the table ends at %d, the code at %d", name, end, want)
		}
	}
}

// TestProtocolStatesTheLimits: numbers that PROTOCOL.md gives in prose.
func TestProtocolStatesTheLimits(t *testing.T) {
	text := protocolText(t)
	for _, phrase := range []string{
		fmt.Sprintf("at most %d bytes", netproto.MaxPacket),
		fmt.Sprintf("%d entries are the most that fit", netproto.MaxEntries),
		fmt.Sprintf("The protocol of meantime, version %d", netproto.Version),
		"Range 0 … 2^62−1", "range −10^15 … 10^15",
	} {
		if !strings.Contains(text, phrase) {
			t.Errorf("PROTOCOL.md does not say %q", phrase)
		}
	}
	if netproto.MaxStamp != 1<<62-1 || netproto.MaxSpan != 1<<62-1 || netproto.MaxRate != 1e15 {
		t.Error("limits of stamps, spans and rates differ from PROTOCOL.md 1.7 to 1.9")
	}
}

var (
	sentencePattern  = regexp.MustCompile(`(?m)^- (\d+)\.(\d+) `)
	referencePattern = regexp.MustCompile(`(?:^|[ (])(\d+\.\d+)(?:[ ,;:)\n]|\.[ \n]| \|)`)
	headingPattern   = regexp.MustCompile(`(?m)^## (\d+)\. `)
)

// TestProtocolNumbersItsSentences: sections and their sentences count from 1 without a gap, and every reference to a
// sentence has one.
func TestProtocolNumbersItsSentences(t *testing.T) {
	text := protocolText(t)
	for i, m := range headingPattern.FindAllStringSubmatch(text, -1) {
		if m[1] != strconv.Itoa(i+1) {
			t.Errorf("section %s stands where %d belongs", m[1], i+1)
		}
	}
	last, known := make(map[string]int), make(map[string]bool)
	for _, m := range sentencePattern.FindAllStringSubmatch(text, -1) {
		last[m[1]]++
		if m[2] != strconv.Itoa(last[m[1]]) {
			t.Errorf("sentence %s.%s stands where %s.%d belongs", m[1], m[2], m[1], last[m[1]])
		}
		known[m[1]+"."+m[2]] = true
	}
	references := referencePattern.FindAllStringSubmatch(text, -1)
	for _, m := range references {
		if !known[m[1]] {
			t.Errorf("no sentence %s", m[1])
		}
	}
	if len(known) == 0 || len(references) <= len(known) {
		t.Errorf("%d sentences and %d references found: the patterns match too little", len(known), len(references))
	}
}

// headerValues lists h in the order of its table.
func headerValues(h netproto.Header, bodyLen int) []uint64 {
	return []uint64{
		0x4D54, 1, uint64(h.Kind), uint64(bodyLen), uint64(h.Flags), uint64(h.Group), uint64(h.KeyID),
		uint64(h.Sender), uint64(h.Start), uint64(h.Seq), h.Lineage, h.Term,
	}
}

// bodyValues lists a body, without its entries, in the order of its table.
func bodyValues(body any) []uint64 {
	switch b := body.(type) {
	case netproto.Poll:
		return []uint64{
			uint64(b.Nonce), uint64(b.Interval), uint64(b.Window), uint64(b.Slots), uint64(b.Members),
			uint64(b.Priority), uint64(b.Phase), uint64(b.Turns),
		}
	case netproto.Reply:
		return []uint64{
			uint64(b.Echo), uint64(b.Nonce), uint64(b.T2), uint64(b.T3), uint64(b.Residual), uint64(b.Rate),
			uint64(b.Bound), uint64(b.Master), uint64(b.Earlier.Seq), uint64(b.Earlier.Repeat), uint64(b.Repeat),
			uint64(b.Priority), 0, uint64(b.Earlier.T3), uint64(b.Earlier.T6),
			uint64(b.Held[0]), uint64(b.Held[1]), uint64(b.Held[2]), uint64(b.Held[3]),
			uint64(b.Pace), uint64(b.Moved),
		}
	case netproto.Ack:
		return []uint64{uint64(b.Echo), uint64(b.Repeat), 0}
	case netproto.Adjust:
		return []uint64{
			uint64(b.Rotation.Rate), uint64(b.Rotation.Phase), uint64(b.Rotation.Epoch), uint64(b.Pace),
			uint64(b.Spread), uint64(b.Voters), uint64(b.Members), uint64(b.Part), uint64(b.Parts), uint64(b.Phase),
			uint64(len(b.Entries)), uint64(b.Successors[0]), uint64(b.Successors[1]), uint64(b.Successors[2]),
		}
	case netproto.Candidate:
		return []uint64{uint64(b.Nonce), uint64(b.Master), uint64(b.Rounds), uint64(b.Priority), 0}
	case netproto.Claim:
		return []uint64{uint64(b.Echo), uint64(b.Master), uint64(b.Rounds), uint64(b.Voters), uint64(b.Priority), 0}
	case netproto.Resign:
		return []uint64{uint64(b.Successor)}
	case netproto.SetTime:
		return []uint64{
			b.Request, uint64(b.Echo), uint64(b.By), uint64(b.Left), uint64(b.Begins), uint64(b.Pace), uint64(b.Answer), 0,
		}
	case netproto.Move:
		return []uint64{b.Lineage, b.From, uint64(b.By), uint64(b.Left), uint64(b.Epoch), uint64(b.Pace), 0}
	case netproto.Entry:
		return []uint64{
			uint64(b.ID), uint64(b.Nonce), uint64(b.Delta), uint64(b.Bound), uint64(b.Slot), uint64(b.Standing), 0,
		}
	}
	panic(fmt.Sprintf("no such body: %T", body))
}

// checkLayout compares block with values, at the offsets of a table of PROTOCOL.md.
func checkLayout(t testing.TB, what string, l layout, block []byte, values []uint64) {
	t.Helper()
	if len(l) != len(values) {
		t.Fatalf("%s: PROTOCOL.md has %d fields, the test %d", what, len(l), len(values))
	}
	for i, f := range l {
		if got := f.get(block); got != values[i] {
			t.Errorf("%s: %s at %d is %#x, want %#x", what, f.name, f.at, got, values[i])
		}
	}
}

// checkPacket compares a packet with its values at the offsets of PROTOCOL.md, to the last byte of the body's known part.
func checkPacket(t testing.TB, layouts map[string]layout, packet []byte, h netproto.Header, body any) {
	t.Helper()
	bodyLen := len(packet) - netproto.HeaderLen - netproto.TagLen
	checkLayout(t, "header", layouts["header"], packet, headerValues(h, bodyLen))
	rest := packet[netproto.HeaderLen:]
	checkLayout(t, h.Kind.String(), layouts[h.Kind.String()], rest, bodyValues(body))
	if adjust, ok := body.(netproto.Adjust); ok {
		for i, e := range adjust.Entries {
			checkLayout(t, "entry", layouts["entry"], rest[netproto.AdjustLen+i*netproto.EntryLen:], bodyValues(e))
		}
	}
}
