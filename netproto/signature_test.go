package netproto_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"

	"meantime/netproto"
)

// A master's signature is reserved (PROTOCOL.md 7.7 to 7.9) and not switched on: what follows shows that it fits into packets of today,
// and what it would cost.

const (
	signatureBlock = 8 + ed25519.SignatureSize // type, length, reserved; the signature
	signedEntries  = 32                        // that fit into an Adjust beside it
)

var signatureContext = &ed25519.Options{Context: "meantime signature"}

// sign ends a packet's body with the block of a signature over all before it, and seals the packet.
func sign(t testing.TB, private ed25519.PrivateKey, ring *netproto.Ring, packet []byte) []byte {
	t.Helper()
	tail := make([]byte, signatureBlock)
	binary.BigEndian.PutUint16(tail, 1)
	binary.BigEndian.PutUint16(tail[2:], ed25519.SignatureSize)
	packet = withTail(packet, tail...)
	ring.Seal(packet, ring.Newest()) // for the key id, which is signed, too
	end := len(packet) - netproto.TagLen - ed25519.SignatureSize
	signature, err := private.Sign(nil, packet[:end], signatureContext)
	if err != nil {
		t.Fatal(err)
	}
	copy(packet[end:], signature)
	ring.Seal(packet, ring.Newest())
	return packet
}

// signed says whether a packet carries the signature that belongs to a public key.
func signed(public ed25519.PublicKey, packet []byte) bool {
	end := len(packet) - netproto.TagLen - ed25519.SignatureSize
	return ed25519.VerifyWithOptions(public, packet[:end], packet[end:end+ed25519.SignatureSize], signatureContext) == nil
}

func signingKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(testSecret(3)) }

// TestSignatureFitsIntoATail: version 1 takes a signed packet as what it is without, and 32 entries leave room for it.
func TestSignatureFitsIntoATail(t *testing.T) {
	private, ring := signingKey(), testRing(t)
	public := private.Public().(ed25519.PublicKey)
	h := fullHeader(netproto.FlagVoter)
	h.KeyID = ring.Newest()
	for _, body := range []any{fullAdjust(signedEntries), fullClaim(), fullResign()} {
		plain := encode(nil, h, body)
		packet := sign(t, private, ring, bytes.Clone(plain))
		got, read, known, err := decode(ring, packet)
		if err != nil || fmt.Sprint(read) != fmt.Sprint(body) {
			t.Errorf("%T: %v", body, err)
		}
		if tail := len(packet) - netproto.HeaderLen - known - netproto.TagLen; tail != signatureBlock {
			t.Errorf("%v: tail of %d bytes", got.Kind, tail)
		}
		if !signed(public, packet) {
			t.Errorf("%v: the signature does not hold", got.Kind)
		}
		packet[16] ^= 1 // a holder of the group's key seals whatever it likes, but cannot sign it
		ring.Seal(packet, ring.Newest())
		if _, _, err := ring.Open(packet); err != nil || signed(public, packet) {
			t.Errorf("%v: %v; another's signature holds", got.Kind, err)
		}
	}
	if packet := sign(t, private, ring, encode(nil, h, fullAdjust(signedEntries+1))); len(packet) <= netproto.MaxPacket {
		t.Errorf("%d entries fit into %d bytes", signedEntries+1, len(packet))
	}
}

// BenchmarkSignature is what a master's signature would cost: the master signs each Adjust of a round, each member verifies one.
func BenchmarkSignature(b *testing.B) {
	private, ring, h := signingKey(), testRing(b), fullHeader(netproto.FlagVoter)
	public := private.Public().(ed25519.PublicKey)
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprintf("master of %d", members), func(b *testing.B) {
			parts := (members - 1 + signedEntries - 1) / signedEntries
			packet := sign(b, private, ring, encode(nil, h, fullAdjust(min(members-1, signedEntries))))
			end := len(packet) - netproto.TagLen - ed25519.SignatureSize
			for b.Loop() {
				for range parts {
					if _, err := private.Sign(nil, packet[:end], signatureContext); err != nil {
						b.Fatal(err)
					}
				}
			}
			plain := (members - 1 + netproto.MaxEntries - 1) / netproto.MaxEntries
			frame := netproto.HeaderLen + netproto.AdjustLen + netproto.TagLen
			b.ReportMetric(float64(parts*(frame+signatureBlock)-plain*frame), "bytes/round")
			b.ReportMetric(float64(parts), "signatures/round")
		})
	}
	b.Run("member", func(b *testing.B) {
		packet := sign(b, private, ring, encode(nil, h, fullAdjust(signedEntries)))
		for b.Loop() {
			if !signed(public, packet) {
				b.Fatal("the signature does not hold")
			}
		}
	})
}
