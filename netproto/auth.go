package netproto

import (
	"crypto/subtle"
	"encoding/binary"
)

// TagLen is the length of the tag that ends every packet: half of a SHA-256, which is what HMAC-SHA-256-128 keeps
// (RFC 4868) and 2^64 packets do not guess.
const TagLen = 16

// nullKey is the key id of the key that everybody holds: its tag is all zeros. It detects nothing but a stranger's format.
const nullKey uint32 = 0

var nullTag [TagLen]byte

// seal ends the packet that begins at packet[start]: it writes the key id into the header and appends the tag. Both are
// written here and nowhere else, so that they cannot disagree.
func seal(packet []byte, start int) []byte {
	binary.BigEndian.PutUint32(packet[start+keyIDAt:], nullKey)
	return append(packet, nullTag[:]...)
}

// verify checks the tag of a packet whose length and version are known to be right. The comparison takes the same time
// wherever the first difference stands, so that its duration tells nobody how much of a guessed tag is right.
func verify(packet []byte) error {
	if binary.BigEndian.Uint32(packet[keyIDAt:]) != nullKey {
		return ErrKey
	}
	if subtle.ConstantTimeCompare(packet[len(packet)-TagLen:], nullTag[:]) != 1 {
		return ErrTag
	}
	return nil
}
