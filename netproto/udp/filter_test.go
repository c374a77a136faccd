package udp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"meantime/netproto"
)

// vectorGroup is the group of the codec's golden vectors.
const vectorGroup = 0xA0A1A2A3

// vectors reads the codec's golden vectors, good and bad ones.
func vectors(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("../testdata/*.hex")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden vectors: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
		if all[filepath.Base(file)], err = hex.DecodeString(digits.String()); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

// shield is the filter of a frame in x/net's machine, without the lot.
type shield struct{ vm *bpf.VM }

func newShield(tb testing.TB, f netproto.Frame) shield {
	tb.Helper()
	vm, err := bpf.NewVM(append(admits(f), bpf.RetConstant{Val: 0}))
	if err != nil {
		tb.Fatal(err)
	}
	return shield{vm}
}

// admits runs the filter on a datagram.
func (s shield) admits(tb testing.TB, packet []byte) bool {
	tb.Helper()
	n, err := s.vm.Run(append(make([]byte, udpHeader), packet...))
	if err != nil {
		tb.Fatalf("%x: %v", packet, err)
	}
	if n != 0 && n < udpHeader+len(packet) {
		tb.Fatalf("%x is cut to %d bytes", packet, n)
	}
	return n != 0
}

// keyed is a ring of the golden vectors' group, and vectors under its keys.
func keyed(tb testing.TB, packets map[string][]byte) (*netproto.Ring, [][]byte) {
	tb.Helper()
	var keys []netproto.Key
	for i := range byte(2) {
		k, err := netproto.NewKey(bytes.Repeat([]byte{i + 1}, netproto.SecretLen))
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, k)
	}
	ring, err := netproto.NewRing(vectorGroup, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for _, name := range slices.Sorted(maps.Keys(packets)) {
		p := packets[name]
		all = append(all, p)
		if len(p) >= netproto.HeaderLen+netproto.TagLen { // one with a wrong tag, one with the right one
			all = append(all, under(p, keys[0].ID()), under(p, keys[1].ID()))
			ring.Seal(all[len(all)-1], keys[1].ID())
		}
	}
	return ring, all
}

// under is a packet with another key id.
func under(packet []byte, id uint32) []byte {
	p := slices.Clone(packet)
	binary.BigEndian.PutUint32(p[12:], id)
	return p
}

// wanted is the codec's own verdict: the packet is right in all that is checked before the tag.
func wanted(r *netproto.Ring, packet []byte) bool {
	err := r.Verify(packet)
	return err == nil || err == netproto.ErrTag
}

// TestFilterVectors: the filter lets in what the codec would compute the tag of, and nothing else.
func TestFilterVectors(t *testing.T) {
	ring, packets := keyed(t, vectors(t))
	ours, another := newShield(t, netproto.FrameOf(vectorGroup, ring.IDs()...)), newShield(t, netproto.FrameOf(^uint32(vectorGroup), ring.IDs()...))
	open := newShield(t, netproto.FrameOf(vectorGroup, 0))
	in := 0
	for _, packet := range packets {
		if got, want := ours.admits(t, packet), wanted(ring, packet); got != want {
			t.Errorf("%x: admitted %v, want %v", packet, got, want)
		} else if got {
			in++
		}
		if another.admits(t, packet) {
			t.Errorf("%x: admitted by another group", packet)
		}
		if got := open.admits(t, packet); got != wanted(nil, packet) && binary.BigEndian.Uint32(packet[8:]) == vectorGroup {
			t.Errorf("%x: under the null key admitted %v", packet, got)
		}
	}
	if in == 0 {
		t.Error("nothing is admitted")
	}
}

// TestFilterMutants: nor do they part on packets that differ from good ones by a few bits, bytes or lengths.
func TestFilterMutants(t *testing.T) {
	ring, packets := keyed(t, vectors(t))
	ours, r := newShield(t, netproto.FrameOf(vectorGroup, ring.IDs()...)), rand.New(rand.NewPCG(1, 2))
	in, out := 0, 0
	for range 20_000 {
		p := slices.Clone(packets[r.IntN(len(packets))])
		for range r.IntN(3) {
			if len(p) > 0 {
				p[r.IntN(min(len(p), 20))] ^= 1 << r.IntN(8)
			}
		}
		if r.IntN(4) == 0 {
			p = append(p, make([]byte, r.IntN(1300))...)[:r.IntN(len(p)+1)]
		}
		got, want := ours.admits(t, p), wanted(ring, p)
		if got != want {
			t.Fatalf("%x: admitted %v, want %v", p, got, want)
		}
		if got {
			in++
		} else {
			out++
		}
	}
	t.Logf("%d in, %d out", in, out)
	if in < 1000 || out < 1000 {
		t.Error("one of the two verdicts is hardly tested")
	}
}

// TestFilterKeys: each key held is let in, in whatever place of the ring, and no other.
func TestFilterKeys(t *testing.T) {
	packet := vectors(t)["poll-full.hex"]
	for held := 1; held <= netproto.HeldKeys; held++ {
		keys := []uint32{7, 1 << 31, 0xFFFFFFFF, 9}[:held]
		s := newShield(t, netproto.FrameOf(vectorGroup, keys...))
		for _, id := range []uint32{0, 1, 7, 8, 9, 1 << 31, 0xFFFFFFFF, 0x07000000} {
			if got, want := s.admits(t, under(packet, id)), slices.Contains(keys, id); got != want {
				t.Errorf("keys %v: id %#x admitted %v", keys, id, got)
			}
		}
	}
}

// FuzzFilter: whatever comes, the filter and the codec are of one mind.
func FuzzFilter(f *testing.F) {
	ring, packets := keyed(f, vectors(f))
	for _, packet := range packets {
		f.Add(packet)
	}
	s := newShield(f, netproto.FrameOf(vectorGroup, ring.IDs()...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if got, want := s.admits(t, packet), wanted(ring, packet); got != want {
			t.Fatalf("%x: admitted %v, want %v", packet, got, want)
		}
	})
}
