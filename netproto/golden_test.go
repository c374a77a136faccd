package netproto_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meantime/netproto"
)

var update = flag.Bool("update", false, "rewrite testdata/*.hex from the tables of this file")

// goldenVector is a packet that has to be accepted, and what it has to mean.
type goldenVector struct {
	name, why string
	header    netproto.Header
	body      any
	tail      []byte
	ring      *netproto.Ring // that seals it, under header.KeyID; nil = the null key
}

const unknownFlags = ^(netproto.FlagLast<<1 - 1)

func goldenVectors() []goldenVector {
	small := netproto.Header{Group: netproto.GroupID("default"), Sender: 1, Seq: 1}
	limit := netproto.Header{
		Flags: 0xFFFF &^ netproto.FlagEarlier, Group: 0xFFFFFFFF, Sender: 1<<64 - 1, Start: 0xFFFFFFFF, Seq: 0xFFFFFFFF,
		Lineage: 1<<64 - 1, Term: 1<<64 - 1,
	}
	voter := fullHeader(netproto.FlagVoter)
	return []goldenVector{
		{"poll-minimal", "smallest valid values, not founded", small,
			netproto.Poll{Nonce: 1, Interval: 1, Window: 1, Slots: 1, Members: 1, Phase: netproto.PhaseGathering}, nil, nil},
		{"poll-full", "every field filled", voter, fullPoll(), nil, nil},
		{"poll-limits", "every field at its largest; unknown flags", limit,
			netproto.Poll{Nonce: 1<<64 - 1, Interval: 1<<32 - 1, Window: 1<<32 - 1, Slots: 1<<16 - 1, Members: 1<<16 - 1,
				Priority: 255, Phase: netproto.PhaseHolding, Turns: 1<<16 - 1}, nil, nil},
		{"poll-tail", "a body 8 bytes longer than known", voter, fullPoll(), []byte("tomorrow"), nil},
		{"reply-minimal", "first contact: no master, no earlier block", small, netproto.Reply{Echo: 1, Nonce: 2}, nil, nil},
		{"reply-full", "repeat 4 with an earlier block, negative residual and rate",
			fullHeader(netproto.FlagVoter | netproto.FlagKernelRX | netproto.FlagKernelTX | netproto.FlagFitted), fullReply(), nil, nil},
		{"reply-limits", "stamps and spans at their limits", limit,
			netproto.Reply{Echo: 1<<64 - 1, Nonce: 1<<64 - 1, T2: netproto.MaxStamp, T3: 0, Residual: -netproto.MaxSpan,
				Rate: -netproto.MaxRate, Bound: netproto.MaxSpan, Master: 1<<64 - 1, Repeat: 255, Priority: 255,
				Earlier: netproto.Earlier{Seq: 1<<32 - 1, Repeat: 255, T3: netproto.MaxStamp, T6: netproto.MaxStamp}, Moved: 1<<32 - 1}, nil, nil},
		{"reply-tail", "a body 1 byte longer than known", fullHeader(netproto.FlagDry | unknownFlags), fullReply(), []byte{0xFF}, nil},
		{"ack-minimal", "last Ack of a round", small, netproto.Ack{Echo: 1}, nil, nil},
		{"ack-again", "asks for another Reply", fullHeader(netproto.FlagVoter | netproto.FlagAgain), fullAck(), nil, nil},
		{"ack-last", "asks for another Reply, which may get no Ack", fullHeader(netproto.FlagVoter | netproto.FlagAgain | netproto.FlagLast),
			fullAck(), nil, nil},
		{"ack-tail", "a body 4 bytes longer than known", voter, fullAck(), []byte{0, 0, 0, 0}, nil},
		{"adjust-minimal", "no entry", small,
			netproto.Adjust{Members: 1, Parts: 1, Phase: netproto.PhaseHolding}, nil, nil},
		{"adjust-founding", "master 3:00, slaves 3:25 and 2:50 → 3:05: the slaves' deltas, −20 and +15 minutes", voter,
			foundingAdjust(), nil, nil},
		{"adjust-negative", "negative rotation, phase and delta", voter, negativeAdjust(), nil, nil},
		{"adjust-max", "34 entries, second part of two", voter, fullAdjust(netproto.MaxEntries), nil, nil},
		{"adjust-tail", "one entry and 16 bytes behind it", voter, fullAdjust(1), []byte("sixteen bytes on"), nil},
		{"candidate-minimal", "smallest valid values: no master known, no round taken part in", small,
			netproto.Candidate{Nonce: 1, Priority: 1}, nil, nil},
		{"candidate-full", "every field filled, of a voter", voter, fullCandidate(), nil, nil},
		{"candidate-limits", "every field at its largest; unknown flags", limit,
			netproto.Candidate{Nonce: 1<<64 - 1, Master: 1<<64 - 1, Rounds: 1<<32 - 1, Priority: 255}, nil, nil},
		{"candidate-tail", "a body 8 bytes longer than known", voter, fullCandidate(), []byte("tomorrow"), nil},
		{"claim-minimal", "smallest valid values: no master, no voter, priority 0", small, netproto.Claim{Echo: 1}, nil, nil},
		{"claim-full", "a master that 7 voting members obey", voter, fullClaim(), nil, nil},
		{"claim-candidate", "a candidate of higher rank: no master, no voter", voter,
			netproto.Claim{Echo: 0x1112131415161718, Rounds: 0x61626364, Priority: 200}, nil, nil},
		{"claim-limits", "every field at its largest; unknown flags", limit,
			netproto.Claim{Echo: 1<<64 - 1, Master: 1<<64 - 1, Rounds: 1<<32 - 1, Voters: 1<<16 - 1, Priority: 255}, nil, nil},
		{"claim-tail", "a body 3 bytes longer than known", voter, fullClaim(), []byte{1, 2, 3}, nil},
		{"resign-minimal", "names nobody", small, netproto.Resign{}, nil, nil},
		{"resign-full", "names a successor", voter, fullResign(), nil, nil},
		{"resign-limits", "every field at its largest; unknown flags", limit, netproto.Resign{Successor: 1<<64 - 1}, nil, nil},
		{"resign-tail", "a body 2 bytes longer than known", voter, fullResign(), []byte{0xFF, 0}, nil},
		{"set-time-asked", "90 s back", voter, askedSetTime(), nil, nil},
		{"set-time-accepted", "a master's answer", voter, fullSetTime(), nil, nil},
		{"set-time-limits", "every field at its largest; unknown flags", limit,
			netproto.SetTime{Request: 1<<64 - 1, Echo: 1<<64 - 1, By: netproto.MaxSpan, Left: -netproto.MaxSpan, Begins: netproto.MaxStamp,
				Pace: 1<<32 - 1, Answer: netproto.AnswerUntrusted}, nil, nil},
		{"set-time-tail", "a body 1 byte longer than known", voter, fullSetTime(), []byte{7}, nil},
		{"poll-name", "the sender's name in a block", voter, named(fullPoll()), nil, nil},
		{"reply-move", "a name and a move in blocks", voter, moving(fullReply()), nil, nil},
		{"adjust-move", "32 entries and a move in a block", voter, moving(fullAdjust(netproto.MaxEntriesMoving)), nil, nil},
		{"adjust-blocks", "a block that is not known, and a move that names no lineage: neither counts", voter, fullAdjust(1),
			strangeBlocks(), nil},
	}
}

func foundingAdjust() netproto.Adjust {
	const minute = 60_000_000_000
	a := fullAdjust(2)
	a.Rotation, a.Part, a.Parts = netproto.Rotation{Epoch: noon}, 0, 1
	a.Voters, a.Members = 3, 3
	a.Entries[0].Delta, a.Entries[0].Standing = -20*minute, netproto.StandingFounder
	a.Entries[1].Delta, a.Entries[1].Standing = 15*minute, netproto.StandingFounder
	return a
}

func negativeAdjust() netproto.Adjust {
	a := fullAdjust(1)
	a.Rotation.Rate, a.Rotation.Phase = -1, -netproto.MaxSpan
	a.Entries[0].Delta = -netproto.MaxSpan
	a.Entries[0].Slot = netproto.NoSlot
	return a
}

func askedSetTime() netproto.SetTime {
	p := fullSetTime()
	p.Left, p.Begins, p.Pace, p.Answer = 0, 0, 0, netproto.AnswerNone
	return p
}

// named gives a Poll a name, and moving a Reply both a name and a move, an Adjust a move.
func named(p netproto.Poll) netproto.Poll {
	p.Name = []byte("café-7")
	return p
}

func moving(body any) any {
	switch b := body.(type) {
	case netproto.Reply:
		b.Name, b.Move = []byte("café-7"), fullMove()
		return b
	case netproto.Adjust:
		b.Move = fullMove()
		return b
	}
	panic("no place for a move")
}

func strangeBlocks() []byte {
	unknown := []byte{0, 9, 0, 3, 0, 0, 0, 0, 1, 2, 3}
	return append(append(unknown, 0, 3, 0, 48, 0, 0, 0, 0), make([]byte, 48)...)
}

// packet builds the vector's bytes.
func (v goldenVector) packet() []byte {
	p := encode(nil, v.header, v.body)
	if v.tail != nil {
		p = withTail(p, v.tail...)
	}
	v.ring.Seal(p, v.header.KeyID)
	return p
}

// wantHeader is the header that Open has to give.
func (v goldenVector) wantHeader() netproto.Header {
	h := v.header
	switch b := v.body.(type) {
	case netproto.Poll:
		h.Kind = netproto.KindPoll
	case netproto.Reply:
		h.Kind = netproto.KindReply
		if b.Earlier.Seq != 0 {
			h.Flags |= netproto.FlagEarlier
		}
	case netproto.Ack:
		h.Kind = netproto.KindAck
	case netproto.Adjust:
		h.Kind = netproto.KindAdjust
	case netproto.Candidate:
		h.Kind = netproto.KindCandidate
	case netproto.Claim:
		h.Kind = netproto.KindClaim
	case netproto.Resign:
		h.Kind = netproto.KindResign
	case netproto.SetTime:
		h.Kind = netproto.KindSetTime
	}
	return h
}

// badVector is a packet that has to be dropped, and why.
type badVector struct {
	name, why string
	reason    error
	bytes     []byte
	ring      *netproto.Ring // that opens it
}

func badVectors() []badVector {
	h := fullHeader(netproto.FlagVoter)
	poll, reply := encode(nil, h, fullPoll()), encode(nil, h, fullReply())
	ack, adjust := encode(nil, h, fullAck()), encode(nil, h, fullAdjust(1))
	candidate, claim, resign := encode(nil, h, fullCandidate()), encode(nil, h, fullClaim()), encode(nil, h, fullResign())
	setTime := encode(nil, h, fullSetTime())
	firstReply := fullReply()
	firstReply.Earlier = netproto.Earlier{}
	set := func(packet []byte, at int, values ...byte) []byte {
		p := bytes.Clone(packet)
		copy(p[at:], values)
		return p
	}
	const body, zero = netproto.HeaderLen, "\x00\x00\x00\x00\x00\x00\x00\x00"
	return []badVector{
		{"bad-empty", "no byte at all", netproto.ErrTruncated, nil, nil},
		{"bad-short", "63 bytes", netproto.ErrTruncated, poll[:63], nil},
		{"bad-long", "1233 bytes", netproto.ErrOversized, withTail(adjust, make([]byte, 1233-len(adjust))...), nil},
		{"bad-magic", "\"MU\"", netproto.ErrMagic, set(poll, 1, 'U'), nil},
		{"bad-version", "version 2", netproto.ErrVersion, set(poll, 2, 2), nil},
		{"bad-length-more", "declares a byte more than there is", netproto.ErrLength, set(poll, 5, 25), nil},
		{"bad-length-less", "declares a byte less", netproto.ErrLength, set(poll, 5, 23), nil},
		{"bad-key", "key id 1", netproto.ErrKey, set(poll, 15, 1), nil},
		{"bad-tag", "one bit of the tag", netproto.ErrTag, set(poll, len(poll)-1, 1), nil},
		{"bad-tag-first", "wrong tag, unknown kind and sender 0: the tag is judged first", netproto.ErrTag,
			set(set(set(poll, len(poll)-16, 0x80), 3, 9), 16, []byte(zero)...), nil},
		{"bad-kind-zero", "kind 0", netproto.ErrKind, set(poll, 3, 0), nil},
		{"bad-kind-nine", "kind 9", netproto.ErrKind, set(poll, 3, 9), nil},
		{"bad-sender", "sender 0", netproto.ErrValue, set(poll, 16, []byte(zero)...), nil},
		{"bad-seq", "seq 0", netproto.ErrValue, set(poll, 28, 0, 0, 0, 0), nil},
		{"bad-poll-short", "body of 23 bytes", netproto.ErrTruncated, cut(poll, 1), nil},
		{"bad-poll-window", "window longer than the interval", netproto.ErrValue, set(poll, body+12, 0x00, 0x0F, 0x42, 0x41), nil},
		{"bad-reply-short", "body of 111 bytes", netproto.ErrTruncated, cut(reply, 1), nil},
		{"bad-reply-stamp", "t2 = 2^62", netproto.ErrValue, set(reply, body+16, 0x40, 0, 0, 0, 0, 0, 0, 0), nil},
		{"bad-reply-flag", "flag earlier, empty block", netproto.ErrValue, set(encode(nil, h, firstReply), 7, 0x42), nil},
		{"bad-reply-block", "earlier block, no flag", netproto.ErrValue, set(reply, 7, 0x02), nil},
		{"bad-ack-short", "body of 15 bytes", netproto.ErrTruncated, cut(ack, 1), nil},
		{"bad-ack-reserved", "last reserved byte 1", netproto.ErrValue, set(ack, body+15, 1), nil},
		{"bad-adjust-short", "body of 63 bytes", netproto.ErrTruncated, cut(adjust, netproto.EntryLen+1), nil},
		{"bad-adjust-count", "count 35", netproto.ErrValue, set(adjust, body+39, 35), nil},
		{"bad-adjust-missing", "count 2, one entry", netproto.ErrTruncated, set(adjust, body+39, 2), nil},
		{"bad-adjust-standing", "standing 5 in the last entry", netproto.ErrValue, set(adjust, body+64+30, 5), nil},
		{"bad-candidate-short", "body of 23 bytes", netproto.ErrTruncated, cut(candidate, 1), nil},
		{"bad-candidate-nonce", "nonce 0", netproto.ErrValue, set(candidate, body, []byte(zero)...), nil},
		{"bad-candidate-priority", "priority 0: its sender never stands", netproto.ErrValue, set(candidate, body+20, 0), nil},
		{"bad-candidate-reserved", "last reserved byte 1", netproto.ErrValue, set(candidate, body+23, 1), nil},
		{"bad-claim-short", "body of 23 bytes", netproto.ErrTruncated, cut(claim, 1), nil},
		{"bad-claim-echo", "echo 0", netproto.ErrValue, set(claim, body, []byte(zero)...), nil},
		{"bad-claim-reserved", "reserved byte 1", netproto.ErrValue, set(claim, body+23, 1), nil},
		{"bad-resign-short", "body of 7 bytes", netproto.ErrTruncated, cut(resign, 1), nil},
		{"bad-set-time-short", "body of 47 bytes", netproto.ErrTruncated, cut(setTime, 1), nil},
		{"bad-set-time-by", "moves nothing", netproto.ErrValue, set(setTime, body+16, []byte(zero)...), nil},
		{"bad-set-time-answer", "answer 6", netproto.ErrValue, set(setTime, body+44, 6), nil},
		{"bad-set-time-reserved", "last reserved byte 1", netproto.ErrValue, set(setTime, body+47, 1), nil},
	}
}

var reasonNames = map[error]string{
	netproto.ErrTruncated: "ErrTruncated", netproto.ErrOversized: "ErrOversized", netproto.ErrMagic: "ErrMagic",
	netproto.ErrVersion: "ErrVersion", netproto.ErrLength: "ErrLength", netproto.ErrKey: "ErrKey",
	netproto.ErrGroup: "ErrGroup", netproto.ErrTag: "ErrTag", netproto.ErrKind: "ErrKind", netproto.ErrValue: "ErrValue",
}

// TestGoldenVectors: PROTOCOL.md section 14, first table. The bytes of each file are what the code writes, mean what the
// table says, and lie where PROTOCOL.md says.
func TestGoldenVectors(t *testing.T) {
	layouts := protocolLayouts(t)
	for _, v := range slices.Concat(goldenVectors(), keyedVectors(t)) {
		t.Run(v.name, func(t *testing.T) {
			want := v.packet()
			packet := vectorFile(t, v.name, renderPacket(layouts, v, want))
			if !bytes.Equal(packet, want) {
				t.Fatalf("file holds\n%x\nthe code writes\n%x", packet, want)
			}
			h, body, known, err := decode(v.ring, packet)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.wantHeader(), h); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(v.body, body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			blocks := len(encode(nil, h, body)) - len(encode(nil, h, bare(body)))
			if tail := len(packet) - netproto.HeaderLen - known - netproto.TagLen; tail != blocks+len(v.tail) {
				t.Errorf("tail of %d bytes, want %d", tail, blocks+len(v.tail))
			}
			checkPacket(t, layouts, packet, h, body)
		})
	}
}

// TestBadVectors: PROTOCOL.md section 14, second table.
func TestBadVectors(t *testing.T) {
	for _, v := range slices.Concat(badVectors(), keyedBadVectors(t)) {
		t.Run(v.name, func(t *testing.T) {
			packet := vectorFile(t, v.name, renderBad(v))
			if !bytes.Equal(packet, v.bytes) {
				t.Fatalf("file holds\n%x\nwant\n%x", packet, v.bytes)
			}
			h, body, _, err := decode(v.ring, packet)
			if err != v.reason {
				t.Fatalf("dropped as %v, want %v (header %+v, body %+v)", err, v.reason, h, body)
			}
		})
	}
}

// TestVectorFilesAreAllUsed: no file without a row in a table, here and in PROTOCOL.md, and no table without files.
func TestVectorFilesAreAllUsed(t *testing.T) {
	rows := make(map[string]string)
	for _, v := range slices.Concat(goldenVectors(), keyedVectors(t)) {
		rows[v.name+".hex"] = fmt.Sprintf("| `%s.hex` | %s |", v.name, v.why)
	}
	for _, v := range slices.Concat(badVectors(), keyedBadVectors(t)) {
		rows[v.name+".hex"] = fmt.Sprintf("| `%s.hex` | `%s` | %s |", v.name, reasonNames[v.reason], v.why)
	}
	text := protocolText(t)
	for name, row := range rows {
		if !strings.Contains(text, row) {
			t.Errorf("PROTOCOL.md lacks the row for %s:\n%s", name, row)
		}
	}
	if n := strings.Count(text, "\n| `"); n != len(rows) {
		t.Errorf("PROTOCOL.md lists %d vectors, the tables %d", n, len(rows))
	}
	files := vectorNames(t)
	for _, name := range files {
		if rows[name] == "" {
			t.Errorf("testdata/%s is in no table", name)
		}
	}
	if len(files) != len(rows) {
		t.Errorf("%d files in testdata, %d rows", len(files), len(rows))
	}
}

// TestEachKindHasVectors: two accepted vectors and one with a tail for every kind of version 1, a dropped one for its short
// body, and one for every reason.
func TestEachKindHasVectors(t *testing.T) {
	whole, tails, short := make(map[netproto.Kind]int), make(map[netproto.Kind]int), make(map[netproto.Kind]int)
	reasons := make(map[error]bool)
	for _, v := range goldenVectors() {
		if v.tail == nil {
			whole[v.wantHeader().Kind]++
		} else {
			tails[v.wantHeader().Kind]++
		}
	}
	for _, v := range slices.Concat(badVectors(), keyedBadVectors(t)) {
		reasons[v.reason] = true
		if h, _, err := v.ring.Open(v.bytes); err == nil && v.reason == netproto.ErrTruncated {
			short[h.Kind]++
		}
	}
	for _, k := range kinds {
		if whole[k] < 2 || tails[k] < 1 || short[k] < 1 {
			t.Errorf("%v has %d vectors, %d with a tail, %d with a short body", k, whole[k], tails[k], short[k])
		}
	}
	for reason, name := range reasonNames {
		if !reasons[reason] {
			t.Errorf("no vector for %s", name)
		}
	}
}

// vectorNames lists testdata/*.hex. No file at all is a failure: tests and fuzz targets would pass on nothing.
func vectorNames(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in testdata (%v)", err)
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}

// vectorFile reads a vector. Its text, comments included, has to be want; with -update it is written first.
func vectorFile(t *testing.T, name, want string) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	packet, text := readVector(t, path)
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites it:\n%s", path, diff)
	}
	return packet
}

// readVector reads hex digits: # starts a comment, white space means nothing.
func readVector(t testing.TB, path string) (packet []byte, text string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.SplitSeq(string(raw), "\n") {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	packet, err = hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return packet, string(raw)
}

// renderPacket writes a vector field by field, each with its place and its value.
func renderPacket(layouts map[string]layout, v goldenVector, packet []byte) string {
	var out strings.Builder
	h := v.wantHeader()
	fmt.Fprintf(&out, "# %s: %s\n", h.Kind, v.why)
	rest := packet[:len(packet)-netproto.TagLen]
	block := func(what string, l layout) {
		end := l[len(l)-1].at + l[len(l)-1].len
		fmt.Fprintf(&out, "\n# %s\n", what)
		for _, f := range l {
			fmt.Fprintf(&out, "%-16x # %3d %s = %s\n", rest[f.at:f.at+f.len], f.at, f.name, f.format(rest))
		}
		rest = rest[end:]
	}
	block("header", layouts["header"])
	count := 0
	if h.Kind == netproto.KindAdjust {
		count = int(layouts["adjust"][10].get(rest))
	}
	block("body", layouts[h.Kind.String()])
	for i := range count {
		block(fmt.Sprintf("entry %d", i), layouts["entry"])
	}
	if len(rest) > 0 {
		what := "tail, ignored"
		if v.tail == nil {
			what = "blocks"
		}
		fmt.Fprintf(&out, "\n# %s\n%x\n", what, rest)
	}
	fmt.Fprintf(&out, "\n# tag\n%x\n", packet[len(packet)-netproto.TagLen:])
	return out.String()
}

// format writes the value of f: ids and the like in hex, quantities in decimal.
func (f field) format(block []byte) string {
	v := f.get(block)
	switch {
	case f.signed:
		return fmt.Sprint(int64(v))
	case f.len == 8 || f.name == "magic" || f.name == "flags" || f.name == "group" || f.name == "start":
		return fmt.Sprintf("%#x", v)
	}
	return fmt.Sprint(v)
}

// renderBad writes a vector that is dropped, 16 bytes a line.
func renderBad(v badVector) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# dropped as %s: %s\n", reasonNames[v.reason], v.why)
	for at := 0; at < len(v.bytes); at += 16 {
		fmt.Fprintf(&out, "%-32x # %d\n", v.bytes[at:min(at+16, len(v.bytes))], at)
	}
	return out.String()
}
