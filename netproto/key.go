package netproto

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// SecretLen is the length of a key's secret in bytes: as long as the hash, more adds nothing.
const SecretLen = 32

// Purposes of what is derived from a secret. Each begins differently, so that no two derivations can ever agree.
const (
	purposeID     = "meantime key id"
	purposePacket = "meantime packet" // and then the version, u8, and the group, u32
)

// Key is a secret that the members of a LAN share. It never shows the secret, whatever prints or encodes it: it shows its id.
type Key struct {
	secret func() []byte // a function: fmt and reflect look into everything else, where they may not call our methods
	id     uint32
}

// NewKey makes a key of SecretLen random bytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) != SecretLen {
		return Key{}, fmt.Errorf("a key has %d bytes, not %d: make one with meantime key new", SecretLen, len(secret))
	}
	own := bytes.Clone(secret)
	k := Key{secret: func() []byte { return own }}
	k.id = max(binary.BigEndian.Uint32(k.derive(purposeID, 4)), nullKey+1)
	return k, nil
}

// ID names the key on the wire and to people. It is derived from the secret, tells nothing of it, and is the same in every group; it
// is never that of the null key, 0.
func (k Key) ID() uint32 { return k.id }

// packetKey is the key of the tags, which is of no use for another version or in another group.
func (k Key) packetKey(version uint8, group uint32) []byte {
	bound := binary.BigEndian.AppendUint32([]byte{version}, group)
	return k.derive(purposePacket+string(bound), sha256.Size)
}

// tagger returns a function that computes the tag of a packet, over all but its last TagLen bytes. What it returns is good until its next
// call. It keeps the state of its hash, so that it does not allocate; being a function, it shows nothing of the key.
func (k Key) tagger(group uint32) func(packet []byte) []byte {
	mac := hmac.New(sha256.New, k.packetKey(Version, group))
	var sum [sha256.Size]byte
	return func(packet []byte) []byte {
		mac.Reset()
		mac.Write(packet[:len(packet)-TagLen])
		return mac.Sum(sum[:0])[:TagLen]
	}
}

// derive gives n bytes for a purpose: HKDF-SHA-256 (RFC 5869) without a salt, which a random secret does not need.
func (k Key) derive(purpose string, n int) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret(), nil, purpose, n)
	if err != nil {
		panic(err) // only for more than 255 hashes, or a secret too short for FIPS 140
	}
	return derived
}

// String shows the id, as eight hex digits.
func (k Key) String() string { return KeyName(k.id) }

// GoString shows the id.
func (k Key) GoString() string { return k.String() }

// Format shows the id, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText shows the id.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// KeyName is how a key id is shown to people.
func KeyName(id uint32) string { return fmt.Sprintf("%08x", id) }
