package netproto_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"meantime/netproto"
)

// BenchmarkTag puts what else could make a tag of 16 bytes beside HMAC-SHA-256: over a Poll.
func BenchmarkTag(b *testing.B) { benchmarkTags(b, netproto.HeaderLen+netproto.PollLen) }

// BenchmarkTagAdjust does so over the longest Adjust.
func BenchmarkTagAdjust(b *testing.B) { benchmarkTags(b, netproto.MaxPacket-netproto.TagLen) }

// benchmarkTags lets what could authenticate a packet authenticate one, so that the choice can be judged (DESIGN.md, "Authentication").
func benchmarkTags(b *testing.B, length int) {
	b.Helper()
	data := make([]byte, length)
	run := func(name string, tag func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tag()
			}
		})
	}
	mac, sum := hmac.New(sha256.New, testSecret(0)), make([]byte, 0, sha256.Size)
	run("hmac-sha256", func() {
		mac.Reset()
		mac.Write(data)
		sum = mac.Sum(sum[:0])
	})
	block, err := aes.NewCipher(testSecret(0))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	nonce, sealed := make([]byte, gcm.NonceSize()), make([]byte, 0, gcm.Overhead())
	run("aes-256-gcm", func() { sealed = gcm.Seal(sealed[:0], nonce, nil, data) })
	private := signingKey()
	public := private.Public().(ed25519.PublicKey)
	signature := ed25519.Sign(private, data)
	run("ed25519-sign", func() { ed25519.Sign(private, data) })
	run("ed25519-verify", func() { ed25519.Verify(public, data, signature) })
}
