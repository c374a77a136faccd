package netproto_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meantime/netproto"
)

// full returns a packet with every field filled, of the kind whose table is named; a header's and an entry's table
// share one with a kind.
func full(table string) []byte {
	h := fullHeader(netproto.FlagVoter)
	switch table {
	case "header", "poll":
		return encode(nil, h, fullPoll())
	case "reply":
		return encode(nil, h, fullReply())
	case "ack":
		return encode(nil, h, fullAck())
	case "adjust", "entry":
		return encode(nil, h, fullAdjust(2))
	case "candidate":
		return encode(nil, h, fullCandidate())
	case "claim":
		return encode(nil, h, fullClaim())
	case "resign":
		return encode(nil, h, fullResign())
	case "set-time":
		return encode(nil, h, fullSetTime())
	}
	panic("no such table: " + table)
}

// blockAt is where in its packet the block of a table begins; of entries it is the last one.
func blockAt(table string) int {
	switch table {
	case "header":
		return 0
	case "entry":
		return netproto.HeaderLen + netproto.AdjustLen + netproto.EntryLen
	}
	return netproto.HeaderLen
}

const (
	maxStamp = uint64(netproto.MaxStamp)
	maxRate  = uint64(netproto.MaxRate)
	all64    = uint64(math.MaxUint64)
	all32    = uint64(math.MaxUint32)
)

// negative is -v as it stands on the wire.
func negative(v uint64) uint64 { return -v }

// Values inside and outside the ranges that several fields share.
var (
	stamp, notStamp = []uint64{0, maxStamp}, []uint64{maxStamp + 1, all64, 1 << 63}
	span, notSpan   = []uint64{0, maxStamp, negative(maxStamp)}, []uint64{maxStamp + 1, negative(maxStamp + 1), 1 << 63}
	rate, notRate   = []uint64{0, maxRate, negative(maxRate)}, []uint64{maxRate + 1, negative(maxRate + 1), 1 << 63}
	any8, any16     = []uint64{0, 255}, []uint64{0, 65535}
	any32, any64    = []uint64{0, all32}, []uint64{0, all64}
	zero, notZero64 = []uint64{0}, []uint64{1, all64}
)

// fieldTests is the column "dropped if" of PROTOCOL.md sections 2 to 6, 10 to 12 and 15.
var fieldTests = []struct {
	table, field string
	good, bad    []uint64
	reason       error
}{
	{"header", "magic", []uint64{0x4D54}, []uint64{0, 0x544D, 0x4D55, 0x5D54}, netproto.ErrMagic},
	{"header", "version", []uint64{1}, []uint64{0, 2, 255}, netproto.ErrVersion},
	{"header", "kind", []uint64{1}, []uint64{0, 9, 255}, netproto.ErrKind},
	{"header", "body length", []uint64{24}, []uint64{0, 23, 25, 65535}, netproto.ErrLength},
	{"header", "flags", any16, nil, nil},
	{"header", "group", any32, nil, nil},
	{"header", "key id", zero, []uint64{1, all32}, netproto.ErrKey},
	{"header", "sender", notZero64, zero, netproto.ErrValue},
	{"header", "start", any32, nil, nil},
	{"header", "seq", []uint64{1, all32}, zero, netproto.ErrValue},
	{"header", "lineage", any64, nil, nil},
	{"header", "term", any64, nil, nil},

	{"poll", "nonce", notZero64, zero, netproto.ErrValue},
	{"poll", "interval", []uint64{400_000, all32}, []uint64{0, 399_999}, netproto.ErrValue},
	{"poll", "window", []uint64{1, 1_000_000}, []uint64{0, 1_000_001, all32}, netproto.ErrValue},
	{"poll", "slots", []uint64{1, 65535}, zero, netproto.ErrValue},
	{"poll", "members", []uint64{1, 65535}, zero, netproto.ErrValue},
	{"poll", "priority", any8, nil, nil},
	{"poll", "phase", []uint64{1, 2, 3}, []uint64{0, 4, 255}, netproto.ErrValue},
	{"poll", "turns", any16, nil, nil},

	{"reply", "echo", notZero64, zero, netproto.ErrValue},
	{"reply", "nonce", notZero64, zero, netproto.ErrValue},
	{"reply", "t2", stamp, notStamp, netproto.ErrValue},
	{"reply", "t3", stamp, notStamp, netproto.ErrValue},
	{"reply", "residual", span, notSpan, netproto.ErrValue},
	{"reply", "rate", rate, notRate, netproto.ErrValue},
	{"reply", "bound", stamp, notStamp, netproto.ErrValue},
	{"reply", "master", any64, nil, nil},
	{"reply", "earlier.seq", []uint64{1, all32}, zero, netproto.ErrValue},
	{"reply", "earlier.repeat", any8, nil, nil},
	{"reply", "repeat", any8, nil, nil},
	{"reply", "priority", any8, nil, nil},
	{"reply", "reserved", zero, []uint64{1, 0x80}, netproto.ErrValue},
	{"reply", "earlier.t3", stamp, notStamp, netproto.ErrValue},
	{"reply", "earlier.t6", stamp, notStamp, netproto.ErrValue},
	{"reply", "held 0", any32, nil, nil},
	{"reply", "held 1", any32, nil, nil},
	{"reply", "held 2", any32, nil, nil},
	{"reply", "held 3", any32, nil, nil},
	{"reply", "pace", any32, nil, nil},
	{"reply", "moved", any32, nil, nil},

	{"ack", "echo", notZero64, zero, netproto.ErrValue},
	{"ack", "repeat", any8, nil, nil},
	{"ack", "reserved", zero, []uint64{1, 1 << 8, 1 << 16, 1 << 24, 1 << 32, 1 << 40, 1 << 48}, netproto.ErrValue},

	{"adjust", "rotation.rate", rate, notRate, netproto.ErrValue},
	{"adjust", "rotation.phase", span, notSpan, netproto.ErrValue},
	{"adjust", "rotation.epoch", stamp, notStamp, netproto.ErrValue},
	{"adjust", "pace", any32, nil, nil},
	{"adjust", "spread", any32, nil, nil},
	{"adjust", "voters", []uint64{0, 9}, []uint64{10, 65535}, netproto.ErrValue},
	{"adjust", "members", []uint64{7, 65535}, []uint64{0, 6}, netproto.ErrValue},
	{"adjust", "part", []uint64{0, 1}, []uint64{2, 255}, netproto.ErrValue},
	{"adjust", "parts", []uint64{2, 255}, []uint64{0, 1}, netproto.ErrValue},
	{"adjust", "phase", []uint64{1, 2, 3}, []uint64{0, 4, 255}, netproto.ErrValue},
	{"adjust", "count", []uint64{0, 1, 2}, []uint64{35, 255}, netproto.ErrValue},
	{"adjust", "count", nil, []uint64{3, 34}, netproto.ErrTruncated},
	{"adjust", "successor 0", any64, nil, nil},
	{"adjust", "successor 1", any64, nil, nil},
	{"adjust", "successor 2", any64, nil, nil},

	{"entry", "id", notZero64, zero, netproto.ErrValue},
	{"entry", "nonce", notZero64, zero, netproto.ErrValue},
	{"entry", "delta", span, notSpan, netproto.ErrValue},
	{"entry", "bound", any32, nil, nil},
	{"entry", "slot", any16, nil, nil},
	{"entry", "standing", []uint64{1, 2, 3, 4}, []uint64{0, 5, 255}, netproto.ErrValue},
	{"entry", "reserved", zero, []uint64{1, 0x80}, netproto.ErrValue},

	{"candidate", "nonce", notZero64, zero, netproto.ErrValue},
	{"candidate", "master", any64, nil, nil},
	{"candidate", "rounds", any32, nil, nil},
	{"candidate", "priority", []uint64{1, 255}, zero, netproto.ErrValue},
	{"candidate", "reserved", zero, []uint64{1, 1 << 8, 1 << 16, 1 << 23}, netproto.ErrValue},

	{"claim", "echo", notZero64, zero, netproto.ErrValue},
	{"claim", "master", any64, nil, nil},
	{"claim", "rounds", any32, nil, nil},
	{"claim", "voters", any16, nil, nil},
	{"claim", "priority", any8, nil, nil},
	{"claim", "reserved", zero, []uint64{1, 0x80}, netproto.ErrValue},

	{"resign", "successor", any64, nil, nil},

	{"set-time", "request", notZero64, zero, netproto.ErrValue},
	{"set-time", "echo", notZero64, zero, netproto.ErrValue},
	{"set-time", "by", []uint64{1, maxStamp, negative(maxStamp)}, append([]uint64{0}, notSpan...), netproto.ErrValue},
	{"set-time", "left", span, notSpan, netproto.ErrValue},
	{"set-time", "begins", stamp, notStamp, netproto.ErrValue},
	{"set-time", "pace", any32, nil, nil},
	{"set-time", "answer", []uint64{0, 1, 5}, []uint64{6, 255}, netproto.ErrValue},
	{"set-time", "reserved", zero, []uint64{1, 1 << 8, 1 << 16, 1 << 23}, netproto.ErrValue},
}

// TestEveryFieldIsChecked writes each value of fieldTests into a packet that is otherwise valid. Every field of
// PROTOCOL.md has a row.
func TestEveryFieldIsChecked(t *testing.T) {
	layouts := protocolLayouts(t)
	tested := make(map[string]bool)
	for _, test := range fieldTests {
		tested[test.table+" "+test.field] = true
		f := layouts[test.table].find(t, test.field)
		check := func(value uint64, want error) {
			t.Helper()
			packet := full(test.table)
			f.put(packet[blockAt(test.table):], value)
			if _, _, _, err := decode(nil, packet); err != want {
				t.Errorf("%s %s = %#x: %v, want %v", test.table, test.field, value, err, want)
			}
		}
		for _, v := range test.good {
			check(v, nil)
		}
		for _, v := range test.bad {
			check(v, test.reason)
		}
	}
	for table, l := range layouts {
		for _, f := range l {
			if !tested[table+" "+f.name] && table != "move" {
				t.Errorf("no row for %s %s", table, f.name)
			}
		}
	}
}

// TestEarlierIsZeroWithoutItsFlag: PROTOCOL.md 4.1.
func TestEarlierIsZeroWithoutItsFlag(t *testing.T) {
	layouts := protocolLayouts(t)
	first := fullReply()
	first.Earlier = netproto.Earlier{}
	for _, name := range []string{"earlier.seq", "earlier.repeat", "earlier.t3", "earlier.t6"} {
		packet := encode(nil, fullHeader(0), first)
		if _, _, _, err := decode(nil, packet); err != nil {
			t.Fatal(err)
		}
		layouts["reply"].find(t, name).put(packet[netproto.HeaderLen:], 1)
		if _, _, _, err := decode(nil, packet); err != netproto.ErrValue {
			t.Errorf("%s = 1 without the flag: %v, want %v", name, err, netproto.ErrValue)
		}
	}
}

// TestAppendKeepsTheEarlierFlagTrue: whatever the caller's flags say, and a block without a round is not sent.
func TestAppendKeepsTheEarlierFlagTrue(t *testing.T) {
	reply := fullReply()
	if h, _, _, err := decode(nil, encode(nil, fullHeader(0), reply)); err != nil || h.Flags != netproto.FlagEarlier {
		t.Errorf("with a block: flags %#x, %v; want %#x", h.Flags, err, netproto.FlagEarlier)
	}
	reply.Earlier.Seq = 0
	h, body, _, err := decode(nil, encode(nil, fullHeader(netproto.FlagEarlier|netproto.FlagDry), reply))
	if err != nil || h.Flags != netproto.FlagDry {
		t.Errorf("without a round: flags %#x, %v; want %#x", h.Flags, err, netproto.FlagDry)
	}
	reply.Earlier = netproto.Earlier{}
	if diff := cmp.Diff(any(reply), body); diff != "" {
		t.Errorf("without a round (-want +got):\n%s", diff)
	}
}

// TestAppendOwnsKindAndKey: what a caller leaves in these fields never reaches the wire.
func TestAppendOwnsKindAndKey(t *testing.T) {
	h := fullHeader(0)
	h.Kind, h.KeyID = netproto.KindPoll, 77
	got, _, _, err := decode(nil, encode(nil, h, fullAck()))
	if err != nil || got.Kind != netproto.KindAck || got.KeyID != 0 {
		t.Errorf("kind %v, key id %d, %v; want ack, 0", got.Kind, got.KeyID, err)
	}
}

// TestAppendLeavesOutWhatDoesNotFit: an Adjust with too many entries is as long as the longest that may be sent.
func TestAppendLeavesOutWhatDoesNotFit(t *testing.T) {
	packet := encode(nil, fullHeader(0), fullAdjust(netproto.MaxEntries+3))
	if len(packet) > netproto.MaxPacket {
		t.Errorf("%d bytes, at most %d may be sent", len(packet), netproto.MaxPacket)
	}
	_, body, _, err := decode(nil, packet)
	if diff := cmp.Diff(any(fullAdjust(netproto.MaxEntries)), body); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestPacketLengths: the lengths named in PROTOCOL.md sections 3 to 6, 10 to 12 and 15.
func TestPacketLengths(t *testing.T) {
	for _, test := range []struct {
		body any
		want int
	}{
		{fullPoll(), 88}, {fullReply(), 176}, {fullAck(), 80}, {fullAdjust(0), 128}, {fullAdjust(netproto.MaxEntries), 1216},
		{fullCandidate(), 88}, {fullClaim(), 88}, {fullResign(), 72}, {fullSetTime(), 112},
	} {
		if got := len(encode(nil, fullHeader(0), test.body)); got != test.want {
			t.Errorf("%T: %d bytes, want %d", test.body, got, test.want)
		}
	}
}

// TestOpenChecksInOrder: PROTOCOL.md 1.2. Each packet has one more fault than the one before, and shows the first by
// the order of the checks.
func TestOpenChecksInOrder(t *testing.T) {
	packet := full("poll")
	layouts := protocolLayouts(t)
	faults := []struct {
		reason error
		spoil  func()
	}{
		{netproto.ErrValue, func() { layouts["header"].find(t, "seq").put(packet, 0) }},
		{netproto.ErrKind, func() { layouts["header"].find(t, "kind").put(packet, 9) }},
		{netproto.ErrTag, func() { packet[len(packet)-1] = 1 }},
		{netproto.ErrKey, func() { layouts["header"].find(t, "key id").put(packet, 1) }},
		{netproto.ErrLength, func() { layouts["header"].find(t, "body length").put(packet, 1) }},
		{netproto.ErrVersion, func() { layouts["header"].find(t, "version").put(packet, 2) }},
		{netproto.ErrMagic, func() { layouts["header"].find(t, "magic").put(packet, 1) }},
		{netproto.ErrTruncated, func() { packet = packet[:63] }},
		{netproto.ErrOversized, func() { packet = append(packet, make([]byte, 1233-63)...) }},
	}
	for _, f := range faults {
		f.spoil()
		h, body, err := netproto.Open(packet)
		if err != f.reason {
			t.Errorf("dropped as %v, want %v", err, f.reason)
		}
		if h != (netproto.Header{}) || body != nil {
			t.Errorf("%v: header %+v and body %x escaped", err, h, body)
		}
	}
}

// TestEachKindIsKnown: PROTOCOL.md 7.3. Open lets the kinds of this version through.
func TestEachKindIsKnown(t *testing.T) {
	known := make(map[netproto.Kind]bool)
	for _, k := range kinds {
		known[k] = true
	}
	packet := full("poll")
	f := protocolLayouts(t)["header"].find(t, "kind")
	for k := range 256 {
		f.put(packet, uint64(k))
		_, _, err := netproto.Open(packet)
		want := netproto.ErrKind
		if known[netproto.Kind(k)] {
			want = nil
		}
		if err != want {
			t.Errorf("kind %d: %v, want %v", k, err, want)
		}
	}
}

// TestEveryTagBitCounts: PROTOCOL.md 1.2 and 1.4.
func TestEveryTagBitCounts(t *testing.T) {
	packet := full("ack")
	for bit := range netproto.TagLen * 8 {
		at := len(packet) - netproto.TagLen + bit/8
		packet[at] ^= 1 << (bit % 8)
		if _, _, err := netproto.Open(packet); err != netproto.ErrTag {
			t.Errorf("bit %d: %v, want %v", bit, err, netproto.ErrTag)
		}
		packet[at] ^= 1 << (bit % 8)
	}
}

// TestEveryCutIsDropped: any prefix of a packet, whether it declares its length truly or not.
func TestEveryCutIsDropped(t *testing.T) {
	for _, kind := range kinds {
		packet := full(kind.String())
		for n := range len(packet) {
			if _, _, _, err := decode(nil, packet[:n]); err != netproto.ErrTruncated && err != netproto.ErrLength {
				t.Errorf("%v cut to %d bytes: %v", kind, n, err)
			}
		}
		for n := 1; n <= len(packet)-netproto.HeaderLen-netproto.TagLen; n++ {
			if _, _, _, err := decode(nil, cut(packet, n)); err != netproto.ErrTruncated {
				t.Errorf("%v with a body %d bytes short: %v, want %v", kind, n, err, netproto.ErrTruncated)
			}
		}
	}
}

// TestOpenKeepsTheBodyToItself: an append to the body must not write into the tag.
func TestOpenKeepsTheBodyToItself(t *testing.T) {
	packet := full("ack")
	_, body, err := netproto.Open(packet)
	if err != nil || len(body) != netproto.AckLen || cap(body) != len(body) {
		t.Errorf("body of length %d and capacity %d, %v", len(body), cap(body), err)
	}
}

// TestParseEntryReadsOneEntry: PROTOCOL.md 6.2. A bad entry spoils an Adjust for its node, and for whoever reads all of them; all else does
// for everybody.
func TestParseEntryReadsOneEntry(t *testing.T) {
	a := fullAdjust(netproto.MaxEntries)
	packet := encode(nil, fullHeader(netproto.FlagVoter), a)
	body := packet[netproto.HeaderLen : len(packet)-netproto.TagLen]
	checkEntries(t, body, a)
	body[netproto.AdjustLen+3*netproto.EntryLen-1] = 1 // reserved, of the third
	for i, e := range a.Entries {
		var want error
		if i == 2 {
			want = netproto.ErrValue
		}
		if _, own, err := netproto.ParseEntry(body, e.ID); err != want || err == nil && own != e {
			t.Errorf("entry %d: %+v, %v", i, own, err)
		}
	}
	if _, err := netproto.ParseAdjust(body, nil); err != netproto.ErrValue {
		t.Errorf("all of them: %v", err)
	}
	if _, _, err := netproto.ParseEntry(body[:len(body)-1], 1); err != netproto.ErrTruncated {
		t.Errorf("cut: %v", err)
	}
	body[netproto.AdjustLen-27] = 0 // parts
	if _, _, err := netproto.ParseEntry(body, 1); err != netproto.ErrValue {
		t.Errorf("no parts: %v", err)
	}
}

// TestParseAdjustReusesScratch: the entries lie in the caller's memory, and none of its old contents show.
func TestParseAdjustReusesScratch(t *testing.T) {
	h, body, err := netproto.Open(full("adjust"))
	if err != nil {
		t.Fatal(h, err)
	}
	scratch := make([]netproto.Entry, 5, netproto.MaxEntries)
	got, err := netproto.ParseAdjust(body, scratch)
	if diff := cmp.Diff(fullAdjust(2), got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if &got.Entries[0] != &scratch[0] {
		t.Error("entries do not lie in scratch")
	}
}

// validHeader draws a header that may travel.
func validHeader(t *rapid.T) netproto.Header {
	return netproto.Header{
		Flags:   netproto.Flags(rapid.Uint16().Draw(t, "flags")),
		Group:   rapid.Uint32().Draw(t, "group"),
		Sender:  netproto.ID(rapid.Uint64Min(1).Draw(t, "sender")),
		Start:   rapid.Uint32().Draw(t, "start"),
		Seq:     rapid.Uint32Min(1).Draw(t, "seq"),
		Lineage: rapid.Uint64().Draw(t, "lineage"),
		Term:    rapid.Uint64().Draw(t, "term"),
	}
}

func drawNonce(t *rapid.T) netproto.Nonce {
	return netproto.Nonce(rapid.Uint64Min(1).Draw(t, "nonce"))
}

// drawID draws an id where 0, none, is one too.
func drawID(t *rapid.T) netproto.ID { return netproto.ID(rapid.Uint64().Draw(t, "id or none")) }

func drawStamp(t *rapid.T) netproto.Stamp {
	return netproto.Stamp(rapid.Int64Range(0, int64(netproto.MaxStamp)).Draw(t, "stamp"))
}

func drawSpan(t *rapid.T) int64 {
	return rapid.Int64Range(-netproto.MaxSpan, netproto.MaxSpan).Draw(t, "span")
}

func drawRate(t *rapid.T) netproto.Rate {
	return netproto.Rate(rapid.Int64Range(-int64(netproto.MaxRate), int64(netproto.MaxRate)).Draw(t, "rate"))
}

func drawPhase(t *rapid.T) netproto.Phase {
	return netproto.Phase(rapid.Uint8Range(1, 3).Draw(t, "phase"))
}

func drawPoll(t *rapid.T) netproto.Poll {
	interval := rapid.Uint32Min(1).Draw(t, "interval")
	return netproto.Poll{
		Nonce:    drawNonce(t),
		Interval: interval,
		Window:   rapid.Uint32Range(1, interval).Draw(t, "window"),
		Slots:    rapid.Uint16Min(1).Draw(t, "slots"),
		Members:  rapid.Uint16Min(1).Draw(t, "members"),
		Priority: rapid.Uint8().Draw(t, "priority"),
		Phase:    drawPhase(t),
		Turns:    rapid.Uint16().Draw(t, "turns"),
		Name:     drawName(t),
	}
}

func drawReply(t *rapid.T) netproto.Reply {
	r := netproto.Reply{
		Echo: drawNonce(t), Nonce: drawNonce(t), T2: drawStamp(t), T3: drawStamp(t), Residual: drawSpan(t),
		Rate: drawRate(t), Bound: int64(drawStamp(t)), Master: drawID(t),
		Repeat: rapid.Uint8().Draw(t, "repeat"), Priority: rapid.Uint8().Draw(t, "priority"),
	}
	if rapid.Bool().Draw(t, "earlier") {
		r.Earlier = netproto.Earlier{
			Seq: rapid.Uint32Min(1).Draw(t, "earlier seq"), Repeat: rapid.Uint8().Draw(t, "earlier repeat"),
			T3: drawStamp(t), T6: drawStamp(t),
		}
	}
	for i := range r.Held {
		r.Held[i] = rapid.Uint32().Draw(t, "held")
	}
	r.Pace, r.Moved = rapid.Uint32().Draw(t, "pace"), rapid.Uint32().Draw(t, "moved")
	r.Name, r.Move = drawName(t), drawMove(t)
	return r
}

func drawAdjust(t *rapid.T) netproto.Adjust {
	members := rapid.Uint16Min(1).Draw(t, "members")
	parts := rapid.Uint8Min(1).Draw(t, "parts")
	a := netproto.Adjust{
		Rotation: netproto.Rotation{Rate: drawRate(t), Phase: drawSpan(t), Epoch: drawStamp(t)},
		Pace:     rapid.Uint32().Draw(t, "pace"), Spread: rapid.Uint32().Draw(t, "spread"),
		Voters: rapid.Uint16Max(members).Draw(t, "voters"), Members: members,
		Part: rapid.Uint8Max(parts-1).Draw(t, "part"), Parts: parts, Phase: drawPhase(t),
	}
	for i := range a.Successors {
		a.Successors[i] = drawID(t)
	}
	most := netproto.MaxEntries
	if a.Move = drawMove(t); a.Move.Lineage != 0 {
		most = netproto.MaxEntriesMoving
	}
	for range rapid.IntRange(0, most).Draw(t, "count") {
		a.Entries = append(a.Entries, netproto.Entry{
			ID: netproto.ID(rapid.Uint64Min(1).Draw(t, "id")), Nonce: drawNonce(t), Delta: drawSpan(t),
			Bound: rapid.Uint32().Draw(t, "bound"), Slot: rapid.Uint16().Draw(t, "slot"),
			Standing: netproto.Standing(rapid.Uint8Range(1, 4).Draw(t, "standing")),
		})
	}
	return a
}

// drawBy draws a span that is not zero.
func drawBy(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(1, netproto.MaxSpan), rapid.Int64Range(-netproto.MaxSpan, -1)).Draw(t, "by")
}

func drawMove(t *rapid.T) (m netproto.Move) {
	if rapid.Bool().Draw(t, "move") {
		m = netproto.Move{
			Lineage: 2 * rapid.Uint64Range(1, math.MaxInt64).Draw(t, "lineage"), From: 2*rapid.Uint64Range(1, math.MaxInt64).Draw(t, "from") + 1,
			By: drawBy(t), Left: drawSpan(t), Epoch: drawStamp(t), Pace: rapid.Uint32Min(1).Draw(t, "move's pace"),
		}
	}
	return m
}

// drawName draws a name, nil for none.
func drawName(t *rapid.T) []byte {
	return append([]byte(nil), rapid.SliceOfN(rapid.Byte(), 0, netproto.MaxName).Draw(t, "name")...)
}

func drawBody(t *rapid.T) (netproto.Kind, any) {
	switch k := rapid.SampledFrom(kinds).Draw(t, "kind"); k {
	case netproto.KindPoll:
		return k, drawPoll(t)
	case netproto.KindReply:
		return k, drawReply(t)
	case netproto.KindAck:
		return k, netproto.Ack{Echo: drawNonce(t), Repeat: rapid.Uint8().Draw(t, "repeat")}
	case netproto.KindAdjust:
		return k, drawAdjust(t)
	case netproto.KindCandidate:
		return k, netproto.Candidate{
			Nonce: drawNonce(t), Master: drawID(t), Rounds: rapid.Uint32().Draw(t, "rounds"),
			Priority: rapid.Uint8Min(1).Draw(t, "priority"),
		}
	case netproto.KindClaim:
		return k, netproto.Claim{
			Echo: drawNonce(t), Master: drawID(t), Rounds: rapid.Uint32().Draw(t, "rounds"),
			Voters: rapid.Uint16().Draw(t, "voters"), Priority: rapid.Uint8().Draw(t, "priority"),
		}
	case netproto.KindResign:
		return k, netproto.Resign{Successor: drawID(t)}
	case netproto.KindSetTime:
		return k, netproto.SetTime{
			Request: rapid.Uint64Min(1).Draw(t, "request"), Echo: drawNonce(t), By: drawBy(t), Left: drawSpan(t), Begins: drawStamp(t),
			Pace: rapid.Uint32().Draw(t, "pace"), Answer: netproto.Answer(rapid.Uint8Range(0, 5).Draw(t, "answer")),
		}
	default:
		panic("no such kind: " + k.String())
	}
}

// TestRoundTrip: parse after append is the identity, behind any prefix and with any tail that fits; and every field lies
// where PROTOCOL.md says.
func TestRoundTrip(t *testing.T) {
	layouts := protocolLayouts(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := validHeader(rt)
		kind, want := drawBody(rt)
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(rt, "prefix")
		buffer := encode(bytes.Clone(prefix), h, want)
		if !bytes.HasPrefix(buffer, prefix) {
			rt.Fatalf("append changed what stood before it")
		}
		packet := buffer[len(prefix):]
		h.Kind = kind
		if r, ok := want.(netproto.Reply); ok {
			h.Flags &^= netproto.FlagEarlier
			if r.Earlier.Seq != 0 {
				h.Flags |= netproto.FlagEarlier
			}
		}
		tail := rapid.SliceOfN(rapid.Byte(), 0, netproto.MaxPacket-len(packet)).Draw(rt, "tail")
		for _, p := range [][]byte{packet, withTail(packet, tail...)} {
			gotHeader, got, _, err := decode(nil, p)
			if err != nil {
				rt.Fatalf("%v for %+v %+v", err, h, want)
			}
			if len(p) > len(packet) { // it may hold a block
				got, want = bare(got), bare(want)
			}
			if diff := cmp.Diff(h, gotHeader) + cmp.Diff(want, got); diff != "" {
				rt.Fatalf("(-want +got):\n%s", diff)
			}
			checkPacket(t, layouts, p, h, want)
		}
	})
}

// TestDamagedPacketsHaveOneEncoding: whatever of a damaged packet is still accepted re-encodes to the same bytes.
func TestDamagedPacketsHaveOneEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, body := drawBody(rt)
		packet := encode(nil, validHeader(rt), body)
		for range rapid.IntRange(1, 4).Draw(rt, "damages") {
			packet[rapid.IntRange(0, len(packet)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		checkOneEncoding(rt, nil, packet)
	})
}
