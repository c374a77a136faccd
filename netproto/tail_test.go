package netproto_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meantime/netproto"
)

// moveAt is where in reply-move's packet the value of the move's block begins: behind the name's block.
const moveAt = netproto.HeaderLen + netproto.ReplyLen + 8 + len("café-7") + 8

// TestMoveIsChecked: PROTOCOL.md 7.12. Whatever of it may not be makes the move as if it were not there, and nothing else of the packet.
func TestMoveIsChecked(t *testing.T) {
	l := protocolLayouts(t)["move"]
	packet := encode(nil, fullHeader(netproto.FlagVoter), moving(fullReply()))
	checkLayout(t, "move", l, packet[moveAt:], bodyValues(fullMove()))
	for field, values := range map[string][]uint64{
		"lineage": {0, fullMove().From}, "from": {0, fullMove().Lineage}, "by": append([]uint64{0}, notSpan...), "left": notSpan,
		"epoch": notStamp, "pace": {0},
	} {
		for _, v := range values {
			spoilt := bytes.Clone(packet)
			l.find(t, field).put(spoilt[moveAt:], v)
			want := moving(fullReply()).(netproto.Reply)
			want.Move = netproto.Move{}
			if _, body, _, err := decode(nil, spoilt); err != nil || !cmp.Equal(any(want), body) {
				t.Errorf("%s = %#x: %v\n%s", field, v, err, cmp.Diff(any(want), body))
			}
		}
	}
}

// TestBlocksThatDoNotFit: PROTOCOL.md 7.7. What is no block ends the reading, and harms nothing.
func TestBlocksThatDoNotFit(t *testing.T) {
	name := []byte{0, 2, 0, 1, 0, 0, 0, 0, 'a'}
	for what, test := range map[string]struct {
		tail []byte
		want string
	}{
		"short":             {[]byte{0, 2, 0, 1, 0, 0, 0}, ""},
		"longer than there": {append([]byte{0, 9, 0, 10, 0, 0, 0, 0}, name...), ""},
		"reserved":          {append([]byte{0, 9, 0, 0, 0, 0, 0, 1}, name...), ""},
		"unknown":           {append([]byte{0, 9, 0, 1, 0, 0, 0, 0, 'x'}, name...), "a"},
		"empty name":        {[]byte{0, 2, 0, 0, 0, 0, 0, 0}, ""},
		"long name":         {append([]byte{0, 2, 0, 64, 0, 0, 0, 0}, make([]byte, 64)...), ""},
		"short move":        {append([]byte{0, 3, 0, 1, 0, 0, 0, 0, 7}, name...), "a"},
	} {
		_, body, _, err := decode(nil, withTail(encode(nil, fullHeader(0), fullReply()), test.tail...))
		if r, ok := body.(netproto.Reply); err != nil || !ok || string(r.Name) != test.want || r.Move != (netproto.Move{}) {
			t.Errorf("%s: %v, %+v; want name %q and no move", what, err, body, test.want)
		}
	}
}

// TestLongNamesAreCut: no name makes a packet longer than it may be.
func TestLongNamesAreCut(t *testing.T) {
	p := fullPoll()
	p.Name = bytes.Repeat([]byte("n"), 1<<16)
	_, body, _, err := decode(nil, encode(nil, fullHeader(0), p))
	if got := body.(netproto.Poll); err != nil || len(got.Name) != netproto.MaxName {
		t.Errorf("%v, a name of %d bytes, want %d", err, len(got.Name), netproto.MaxName)
	}
}
