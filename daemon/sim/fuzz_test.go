package sim

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meantime/netproto"
)

// tape is a source of random numbers that a fuzzer wrote: what the attacker draws is what stands there, and goes on at random behind its
// end.
type tape struct {
	rest []byte
	then *rand.PCG
}

func (t *tape) Uint64() uint64 {
	if len(t.rest) < 8 {
		return t.then.Uint64()
	}
	word := binary.BigEndian.Uint64(t.rest)
	t.rest = t.rest[8:]
	return word
}

// Modes of a fuzzed run.
const (
	modeKeyed   = 1 << iota // else the attacker holds all the key that there is: none
	modeDies                // the master dies
	modeRestart             // all start again
)

// fuzzed is a small LAN, attacked for a few seconds.
func fuzzed(mode uint8) Plan {
	o := Default()
	o.Nodes, o.For, o.Keyed = 3, 20*time.Second, mode&modeKeyed != 0
	if mode&modeDies != 0 {
		o.Faults = append(o.Faults, Fault{Kind: Kill, Hosts: []int{Master}, At: 9 * time.Second, For: 5 * time.Second})
	}
	if mode&modeRestart != 0 {
		o.Faults = append(o.Faults, Fault{Kind: Kill, Hosts: []int{All}, At: 10 * time.Second, For: time.Second})
	}
	o.Faults = append(o.Faults, Fault{Kind: Attack, At: 6 * time.Second, For: 7 * time.Second, Rate: 100})
	return o.Plan().compared()
}

// FuzzNode sets an attacker on a LAN whose every choice is the fuzzer's, and a packet of the fuzzer's beside. Whatever comes, no node
// panics or goes mad; and with a key, all that the nodes do to clocks, state and offices is what they do without it, no more and no less.
func FuzzNode(f *testing.F) {
	golden, err := filepath.Glob("../../netproto/testdata/*.hex")
	if err != nil || len(golden) == 0 {
		f.Fatalf("no golden vectors: %v", err)
	}
	for i, path := range golden {
		f.Add(uint8(i), []byte(path), vector(f, path))
	}
	var alone [8]map[deed]int
	for mode := range alone {
		alone[mode] = map[deed]int{}
		if _, _, err := fuzzed(uint8(mode)).Unharmed().runDeeds(Limits{}, nil, func(d deed) { alone[mode][d]++ }); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, choices, packet []byte) {
		mode %= uint8(len(alone))
		w := start(t, fuzzed(mode))
		w.attacker.dice = rand.New(&tape{choices, rand.NewPCG(uint64(len(choices)), uint64(len(packet)))})
		w.inject(packet)
		seen := map[deed]int{}
		w.deeds = func(d deed) {
			if seen[d]++; mode&modeKeyed != 0 && seen[d] > alone[mode][d] {
				t.Fatalf("obeyed: %v", d)
			}
		}
		if err := w.Run(w.plan.For); err != nil {
			t.Fatal(err)
		}
		if mode&modeKeyed != 0 && !maps.Equal(seen, alone[mode]) { // more of one was told at once
			for d, n := range alone[mode] {
				if seen[d] < n {
					t.Errorf("kept from it: %v", d)
				}
			}
		}
		w.sane(t)
	})
}

// vector reads a golden vector.
func vector(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	packet, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// inject sends a packet to everybody, again and again, as it is and in the LAN's own group.
func (w *World) inject(packet []byte) {
	const groupAt = 8
	here := append([]byte(nil), packet...)
	if len(here) >= netproto.HeaderLen {
		binary.BigEndian.PutUint32(here[groupAt:], w.plan.Node.Group)
	}
	for i := range 20 {
		at := int64(6*time.Second) + int64(i)*int64(333*time.Millisecond)
		for _, to := range w.hosts {
			e := w.queue.push(at)
			*e = event{what: arrives, host: int32(to.index), from: int32(i%4) - 1, stamp: at, kernel: true, group: i%2 == 0, foe: true}
			if e.data = packet; i%3 > 0 {
				e.data = here
			}
		}
	}
}

// sane checks what the nodes say of themselves.
func (w *World) sane(t *testing.T) {
	t.Helper()
	mostMembers := w.plan.Node.MaxMembers
	for i, h := range w.hosts {
		if h.Node == nil {
			continue
		}
		s := h.Node.Status()
		if s.Members < 0 || s.Members > math.MaxUint16 || s.Master == s.ID && s.Members > mostMembers || s.Voters < 0 ||
			s.Term > netproto.MaxTerm || math.IsNaN(s.Rate) || math.Abs(s.Rate) > kernelFrequency || s.Bound < -1 || s.State == "" {
			t.Errorf("host %d: %+v", i, s)
		}
	}
}
