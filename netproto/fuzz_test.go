package netproto_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meantime/netproto"
)

// failer is what testing.T and rapid.T have in common here.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkOneEncoding holds for any bytes: they are dropped with one of the known reasons, or they are what the code itself
// would write, but for a tail.
func checkOneEncoding(t failer, ring *netproto.Ring, packet []byte) {
	t.Helper()
	before := bytes.Clone(packet)
	h, body, known, err := decode(ring, packet)
	if !bytes.Equal(before, packet) {
		t.Fatalf("parsing changed the packet:\n%x\n%x", before, packet)
	}
	if err != nil {
		if reasonNames[err] == "" {
			t.Fatalf("dropped without a known reason: %v", err)
		}
		return
	}
	if a, ok := body.(netproto.Adjust); ok {
		checkEntries(t, packet[netproto.HeaderLen:len(packet)-netproto.TagLen], a)
	}
	again := encode(nil, h, bare(body)) // what stands in blocks is a tail to whoever does not know it
	tail := len(packet) - len(again)
	if tail < 0 || len(again) != netproto.HeaderLen+known+netproto.TagLen {
		t.Fatalf("%d bytes became %d, body of %d bytes known", len(packet), len(again), known)
	}
	if tail > 0 {
		end := netproto.HeaderLen + known
		again = withTail(again, packet[end:end+tail]...)
	}
	ring.Seal(again, h.KeyID)
	if !bytes.Equal(again, packet) {
		t.Fatalf("accepted\n%x\nre-encoded\n%x", packet, again)
	}
}

// checkEntries holds for any Adjust: a node finds in it, without a look at the others, what it would find with one.
func checkEntries(t failer, body []byte, a netproto.Adjust) {
	t.Helper()
	common := a
	common.Entries = nil
	for _, id := range append(ids(a), 1, 2) {
		var want netproto.Entry
		if i := slices.Index(ids(a), id); i >= 0 {
			want = a.Entries[i]
		}
		got, own, err := netproto.ParseEntry(body, id)
		if diff := cmp.Diff(common, got); err != nil || own != want || diff != "" {
			t.Fatalf("%v found %+v, %v, want %+v; what is common:\n%s", id, own, err, want, diff)
		}
	}
}

func ids(a netproto.Adjust) (list []netproto.ID) {
	for _, e := range a.Entries {
		list = append(list, e.ID)
	}
	return list
}

// FuzzOpen feeds whole packets, as a socket would.
func FuzzOpen(f *testing.F) {
	for _, name := range vectorNames(f) {
		packet, _ := readVector(f, filepath.Join("testdata", name))
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) { checkOneEncoding(t, nil, packet) })
}

// FuzzRing feeds whole packets to a node with keys, as they are and sealed: a fuzzer guesses no tag.
func FuzzRing(f *testing.F) {
	for _, name := range vectorNames(f) {
		packet, _ := readVector(f, filepath.Join("testdata", name))
		f.Add(packet, false)
		f.Add(packet, true)
	}
	ring := testRing(f)
	f.Fuzz(func(t *testing.T, packet []byte, seal bool) {
		if seal && len(packet) >= netproto.HeaderLen+netproto.TagLen {
			packet = bytes.Clone(packet)
			ring.Seal(packet, ring.Newest())
		}
		checkOneEncoding(t, ring, packet)
	})
}

// FuzzBody feeds bodies in a frame that is right, so that the fuzzer spends its time behind Open's checks.
func FuzzBody(f *testing.F) {
	for _, v := range goldenVectors() {
		packet := v.packet()
		f.Add(uint8(v.wantHeader().Kind), uint16(v.wantHeader().Flags), packet[netproto.HeaderLen:len(packet)-netproto.TagLen])
	}
	f.Fuzz(func(t *testing.T, kind uint8, flags uint16, body []byte) {
		packet := full("header")[:netproto.HeaderLen]
		packet[3], packet[6], packet[7] = kind, byte(flags>>8), byte(flags)
		packet = append(append(packet, body...), make([]byte, netproto.TagLen)...)
		if len(packet) <= netproto.MaxPacket {
			checkOneEncoding(t, nil, declare(packet))
		}
	})
}
