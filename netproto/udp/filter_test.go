package udp

import (
	"encoding/hex"
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

// wanted is the codec's own verdict: it is the group's, and right in all that is checked before the tag.
func wanted(packet []byte, group uint32) bool {
	h, _, err := netproto.Open(packet)
	switch err {
	case nil:
		return h.Group == group
	case netproto.ErrTag, netproto.ErrKind, netproto.ErrValue:
		return [4]byte(packet[8:12]) == [4]byte{byte(group >> 24), byte(group >> 16), byte(group >> 8), byte(group)}
	}
	return false
}

// TestFilterVectors: the filter lets in what the codec would look at the tag of, and nothing else.
func TestFilterVectors(t *testing.T) {
	ours, another := newShield(t, netproto.FrameOf(vectorGroup)), newShield(t, netproto.FrameOf(vectorGroup+1))
	in := 0
	for name, packet := range vectors(t) {
		if got, want := ours.admits(t, packet), wanted(packet, vectorGroup); got != want {
			t.Errorf("%s: admitted %v, want %v", name, got, want)
		} else if got {
			in++
		}
		if another.admits(t, packet) {
			t.Errorf("%s: admitted by another group", name)
		}
	}
	if in == 0 {
		t.Error("nothing is admitted")
	}
}

// TestFilterMutants: nor do they part on packets that differ from good ones by a few bits, bytes or lengths.
func TestFilterMutants(t *testing.T) {
	ours, r := newShield(t, netproto.FrameOf(vectorGroup)), rand.New(rand.NewPCG(1, 2))
	all := vectors(t)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	in, out := 0, 0
	for range 20_000 {
		p := slices.Clone(all[names[r.IntN(len(names))]])
		for range r.IntN(3) {
			if len(p) > 0 {
				p[r.IntN(min(len(p), 20))] ^= 1 << r.IntN(8)
			}
		}
		if r.IntN(4) == 0 {
			p = append(p, make([]byte, r.IntN(1300))...)[:r.IntN(len(p)+1)]
		}
		got, want := ours.admits(t, p), wanted(p, vectorGroup)
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
			p := slices.Clone(packet)
			p[12], p[13], p[14], p[15] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
			if got, want := s.admits(t, p), slices.Contains(keys, id); got != want {
				t.Errorf("keys %v: id %#x admitted %v", keys, id, got)
			}
		}
	}
}

// FuzzFilter: whatever comes, the filter and the codec are of one mind.
func FuzzFilter(f *testing.F) {
	for _, packet := range vectors(f) {
		f.Add(packet)
	}
	s := newShield(f, netproto.FrameOf(vectorGroup))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if got, want := s.admits(t, packet), wanted(packet, vectorGroup); got != want {
			t.Fatalf("%x: admitted %v, want %v", packet, got, want)
		}
	})
}
