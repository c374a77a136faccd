package netproto_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"meantime/netproto"
)

// testSecret is the secret of the vectors: bytes that count up, from 0 for the newest key, from 32 for the older one, and so on.
func testSecret(which int) []byte {
	secret := make([]byte, netproto.SecretLen)
	for i := range secret {
		secret[i] = byte(which*netproto.SecretLen + i)
	}
	return secret
}

func testKey(t testing.TB, which int) netproto.Key {
	t.Helper()
	k, err := netproto.NewKey(testSecret(which))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ringOf makes a ring out of keys of the vectors, in the group of fullHeader unless told otherwise.
func ringOf(t testing.TB, group uint32, which ...int) *netproto.Ring {
	t.Helper()
	var keys []netproto.Key
	for _, w := range which {
		keys = append(keys, testKey(t, w))
	}
	r, err := netproto.NewRing(group, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const testGroup = 0xA0A1A2A3 // fullHeader's

// testRing is the ring of the vectors: two keys.
func testRing(t testing.TB) *netproto.Ring { return ringOf(t, testGroup, 0, 1) }

// keyedVectors are packets of every kind under the newest key of testRing, and one under the older.
func keyedVectors(t testing.TB) []goldenVector {
	ring := testRing(t)
	h := fullHeader(netproto.FlagVoter)
	h.KeyID = ring.Newest()
	older := h
	older.KeyID = ring.IDs()[1]
	return []goldenVector{
		{"keyed-poll", "as poll-full", h, fullPoll(), nil, ring},
		{"keyed-reply", "as reply-full, with fewer flags", h, fullReply(), nil, ring},
		{"keyed-ack", "as ack-again, without the flag", h, fullAck(), nil, ring},
		{"keyed-adjust", "34 entries, as adjust-max", h, fullAdjust(netproto.MaxEntries), nil, ring},
		{"keyed-candidate", "as candidate-full", h, fullCandidate(), nil, ring},
		{"keyed-claim", "as claim-full", h, fullClaim(), nil, ring},
		{"keyed-resign", "as resign-full", h, fullResign(), nil, ring},
		{"keyed-set-time", "as set-time-asked", h, askedSetTime(), nil, ring},
		{"keyed-older", "as poll-full, under the older of two keys", older, fullPoll(), nil, ring},
		{"keyed-tail", "as poll-tail: the tag covers the tail", h, fullPoll(), []byte("tomorrow"), ring},
	}
}

// keyedBadVectors are packets that a node with the keys of testRing drops.
func keyedBadVectors(t testing.TB) []badVector {
	ring := testRing(t)
	h := fullHeader(netproto.FlagVoter)
	elsewhere := h
	elsewhere.Group++
	plain := encode(nil, h, fullPoll())
	sealed := func(by *netproto.Ring, h netproto.Header, id uint32) []byte {
		p := encode(nil, h, fullPoll())
		by.Seal(p, id)
		return p
	}
	poll := sealed(ring, h, ring.Newest())
	other := ringOf(t, elsewhere.Group, 0, 1)
	stranger := ringOf(t, testGroup, 2)
	set := func(packet []byte, at int, values ...byte) []byte {
		p := bytes.Clone(packet)
		copy(p[at:], values)
		return p
	}
	const body = netproto.HeaderLen
	return []badVector{
		{"bad-keyed-null", "the null key, where keys are held", netproto.ErrKey, plain, ring},
		{"bad-keyed-unknown", "a key that is not held", netproto.ErrKey, sealed(stranger, h, stranger.Newest()), ring},
		{"bad-keyed-tag", "one bit of the tag", netproto.ErrTag, set(poll, len(poll)-1, poll[len(poll)-1]^1), ring},
		{"bad-keyed-zero", "a held key, the null key's tag", netproto.ErrTag, set(plain, 12, poll[12:16]...), ring},
		{"bad-keyed-header", "the sender altered", netproto.ErrTag, set(poll, 16, poll[16]^0x80), ring},
		{"bad-keyed-body", "the last byte of the body altered", netproto.ErrTag, set(poll, body+23, 1), ring},
		{"bad-keyed-other", "sealed under the older key, names the newest", netproto.ErrTag,
			set(sealed(ring, h, ring.IDs()[1]), 12, poll[12:16]...), ring},
		{"bad-keyed-group", "another group under the same key", netproto.ErrGroup, sealed(other, elsewhere, other.Newest()), ring},
		{"bad-keyed-moved", "sealed for another group, then this one's written over it", netproto.ErrTag,
			set(sealed(other, elsewhere, other.Newest()), 8, poll[8:12]...), ring},
		{"bad-keyed-group-first", "another group and an unknown key: the group is judged first", netproto.ErrGroup,
			set(set(poll, 11, poll[11]+1), 15, poll[15]^1), ring},
		{"bad-keyed-tag-first", "wrong tag, unknown kind and sender 0: the tag is judged first", netproto.ErrTag,
			set(set(poll, 3, 9), 16, 0, 0, 0, 0, 0, 0, 0, 0), ring},
	}
}

// TestTagIsAsWritten: PROTOCOL.md 1.4 and 1.7 to 1.9, computed here once more with the standard library alone.
func TestTagIsAsWritten(t *testing.T) {
	for _, v := range keyedVectors(t) {
		packet := v.packet()
		secret := testSecret(0)
		if v.name == "keyed-older" {
			secret = testSecret(1)
		}
		id, err := hkdf.Key(sha256.New, secret, nil, "meantime key id", 4)
		if err != nil || binary.BigEndian.Uint32(id) != v.header.KeyID {
			t.Errorf("%s: key id %08x, want %x (%v)", v.name, v.header.KeyID, id, err)
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "meantime packet\x01\xA0\xA1\xA2\xA3", 32)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(packet[:len(packet)-16])
		if want := mac.Sum(nil)[:16]; !bytes.Equal(packet[len(packet)-16:], want) {
			t.Errorf("%s: tag %x, want %x", v.name, packet[len(packet)-16:], want)
		}
	}
}

// TestEveryBitIsSealed: no bit of a sealed packet can be altered, wherever it stands.
func TestEveryBitIsSealed(t *testing.T) {
	ring := testRing(t)
	for _, v := range keyedVectors(t) {
		packet := v.packet()
		for bit := range 8 * len(packet) {
			packet[bit/8] ^= 1 << (bit % 8)
			if err := ring.Verify(packet); err == nil {
				t.Errorf("%s: bit %d of byte %d does not count", v.name, bit%8, bit/8)
			}
			packet[bit/8] ^= 1 << (bit % 8)
		}
		if err := ring.Verify(packet); err != nil {
			t.Errorf("%s: restored, yet %v", v.name, err)
		}
	}
}

// TestTagsAreBound: one secret gives another tag in another group and under another version, and two secrets never give one.
func TestTagsAreBound(t *testing.T) {
	seen := map[string]string{}
	note := func(what string, tag []byte) {
		if was, ok := seen[string(tag)]; ok {
			t.Errorf("%s and %s agree on %x", was, what, tag)
		}
		seen[string(tag)] = what
	}
	for which := range 3 {
		for group := range uint32(3) {
			r := ringOf(t, group, which)
			p := encode(nil, fullHeader(0), fullPoll())
			r.Seal(p, r.Newest())
			note(fmt.Sprintf("key %d in group %d", which, group), p[len(p)-netproto.TagLen:])
		}
		k := testKey(t, which)
		for version := range uint8(3) {
			note(fmt.Sprintf("subkey %d of version %d", which, version), netproto.PacketKey(k, version, 9))
		}
	}
}

// TestRingRefuses: what no ring is made of, each with what to do.
func TestRingRefuses(t *testing.T) {
	keys := make([]netproto.Key, netproto.MaxKeys+1)
	for i := range keys {
		keys[i] = testKey(t, i)
	}
	for _, c := range []struct {
		keys []netproto.Key
		want string
	}{
		{nil, "meantime key new"},
		{keys, "take the oldest away"},
		{[]netproto.Key{keys[0], keys[1], keys[0]}, "twice"},
		{[]netproto.Key{{}}, "NewKey"},
	} {
		if _, err := netproto.NewRing(1, c.keys...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d keys: %v, want %q", len(c.keys), err, c.want)
		}
	}
	if r, err := netproto.NewRing(1, keys[:netproto.MaxKeys]...); err != nil || len(r.IDs()) != netproto.MaxKeys {
		t.Errorf("%d keys: %v", netproto.MaxKeys, err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := netproto.NewKey(make([]byte, n)); err == nil || !strings.Contains(err.Error(), "meantime key new") {
			t.Errorf("a secret of %d bytes: %v", n, err)
		}
	}
}

// TestNilRing is the null key in every group, and nothing else.
func TestNilRing(t *testing.T) {
	var r *netproto.Ring
	p := encode(nil, fullHeader(0), fullPoll())
	before := bytes.Clone(p)
	r.Seal(p, 5)
	if !bytes.Equal(p, before) || r.Clone() != nil || r.Newest() != 0 || r.Group() != 0 || !r.Holds(0) || r.Holds(1) {
		t.Errorf("a nil ring is more than the null key: %v", r.IDs())
	}
	if err := r.Verify(p); err != nil {
		t.Error(err)
	}
	if err := r.Verify(keyedVectors(t)[0].packet()); err != netproto.ErrKey {
		t.Errorf("a sealed packet: %v, want ErrKey", err)
	}
}

// TestSealUnderAKeyThatIsGone seals under the newest.
func TestSealUnderAKeyThatIsGone(t *testing.T) {
	r := testRing(t)
	p := encode(nil, fullHeader(0), fullPoll())
	r.Seal(p, 5)
	if h, _, err := r.Open(p); err != nil || h.KeyID != r.Newest() {
		t.Errorf("sealed under %08x, %v", h.KeyID, err)
	}
}

// TestCloneIsApart: sealing with one does not disturb the other.
func TestCloneIsApart(t *testing.T) {
	a := testRing(t)
	b := a.Clone()
	p, q := encode(nil, fullHeader(0), fullPoll()), encode(nil, fullHeader(0), fullReply())
	a.Seal(p, a.Newest())
	b.Seal(q, b.IDs()[1])
	if err := b.Verify(p); err != nil {
		t.Error(err)
	}
	if err := a.Verify(q); err != nil {
		t.Error(err)
	}
}

// TestInspectBelievesAnything but what cannot be taken apart.
func TestInspectBelievesAnything(t *testing.T) {
	for _, v := range keyedVectors(t) {
		packet := v.packet()
		packet[len(packet)-1] ^= 1
		if h, _, err := netproto.Inspect(packet); err != nil || h != v.wantHeader() || netproto.KeyOf(packet) != h.KeyID {
			t.Errorf("%s: %+v, %v", v.name, h, err)
		}
	}
	if _, _, err := netproto.Inspect(nil); err != netproto.ErrTruncated || netproto.KeyOf(nil) != 0 {
		t.Errorf("nothing: %v", err)
	}
}

// TestKeyNeverShowsItsSecret, whatever prints it, by itself or within something that has no say.
func TestKeyNeverShowsItsSecret(t *testing.T) {
	k := testKey(t, 2) // "@ABC…": it would be seen as text as well
	secret := testSecret(2)
	ring := ringOf(t, testGroup, 2, 3)
	subkey := netproto.PacketKey(k, netproto.Version, testGroup)
	text, err := k.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"key": k, "keys": []netproto.Key{k}, "ring": ring})
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(text), string(asJSON), k.String(), k.GoString(), netproto.KeyName(k.ID())}
	type hidden struct{ key netproto.Key }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q", "% x"} {
		for _, v := range []any{k, &k, []netproto.Key{k}, hidden{k}, &hidden{k}, map[string]hidden{"": {k}}, ring, *ring} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
	}
	for _, b := range [][]byte{secret, subkey} {
		for _, form := range []string{"%s", "%x", "%X", "%d", "% x", "%#v", "%q"} {
			want := fmt.Sprintf(form, b[4:8])
			want = strings.Trim(want, `[]"`)
			if form == "%#v" {
				want = strings.TrimSuffix(strings.TrimPrefix(want, "[]byte{"), "}")
			}
			for _, s := range shown {
				if strings.Contains(s, want) {
					t.Errorf("%q shows %s of the secret", s, want)
				}
			}
		}
	}
	if !strings.Contains(string(asJSON), hex.EncodeToString(binary.BigEndian.AppendUint32(nil, k.ID()))) {
		t.Errorf("%s does not show the id", asJSON)
	}
}

// TestKeysOfAnyNodeNeverShareAnID: ids differ, and none is the null key's.
func TestKeysOfAnyNodeNeverShareAnID(t *testing.T) {
	seen := map[uint32]bool{0: true}
	for which := range 7 {
		id := testKey(t, which).ID()
		if seen[id] {
			t.Errorf("key %d has an id that is taken, %08x", which, id)
		}
		seen[id] = true
	}
}

// TestRingDoesNotAllocate: neither for what is sealed and opened nor for what is dropped.
func TestRingDoesNotAllocate(t *testing.T) {
	scratch := make([]netproto.Entry, 0, netproto.MaxEntries)
	ring := testRing(t)
	for _, v := range keyedVectors(t) {
		packet := v.packet()
		var err error
		n := testing.AllocsPerRun(allocRuns, func() {
			ring.Seal(packet, v.header.KeyID)
			err = parse(ring, packet, scratch)
		})
		if n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
	for _, v := range keyedBadVectors(t) {
		var err error
		if n := testing.AllocsPerRun(allocRuns, func() { err = ring.Verify(v.bytes) }); n != 0 || err != v.reason {
			t.Errorf("%s: %v allocations, %v", v.name, n, err)
		}
	}
}

// BenchmarkPoll is a Poll built, sealed, opened and parsed, beside HMAC alone and beside the null key.
func BenchmarkPoll(b *testing.B) {
	run := func(name string, ring *netproto.Ring) {
		b.Run(name, func(b *testing.B) {
			buffer := make([]byte, 0, netproto.MaxPacket)
			poll, h := fullPoll(), fullHeader(netproto.FlagVoter)
			b.ReportAllocs()
			for b.Loop() {
				buffer = poll.Append(buffer[:0], h)
				ring.Seal(buffer, ring.Newest())
				if err := parse(ring, buffer, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("null", nil)
	run("keyed", testRing(b))
	b.Run("hmac", func(b *testing.B) {
		mac, data, sum := hmac.New(sha256.New, testSecret(0)), make([]byte, netproto.HeaderLen+netproto.PollLen), make([]byte, 0, 32)
		b.ReportAllocs()
		for b.Loop() {
			mac.Reset()
			mac.Write(data)
			sum = mac.Sum(sum[:0])
		}
	})
}

// BenchmarkSeal and BenchmarkVerify are what a tag costs, by kind; hostile is a packet that is dropped for its tag.
func BenchmarkSeal(b *testing.B) {
	ring := testRing(b)
	for kind, appendTo := range appenders() {
		b.Run(kind.String(), func(b *testing.B) {
			packet := appendTo(nil)
			b.ReportAllocs()
			for b.Loop() {
				ring.Seal(packet, ring.Newest())
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	ring := testRing(b)
	run := func(name string, packet []byte, want error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := ring.Verify(packet); err != want {
					b.Fatal(err)
				}
			}
		})
	}
	for kind, appendTo := range appenders() {
		packet := appendTo(nil)
		ring.Seal(packet, ring.Newest())
		run(kind.String(), packet, nil)
	}
	for _, v := range keyedBadVectors(b) {
		run(v.name, v.bytes, v.reason)
	}
}
