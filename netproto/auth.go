package netproto

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// TagLen is the length of the tag that ends every packet: half of a SHA-256, which is what HMAC-SHA-256-128 keeps
// (RFC 4868) and 2^64 packets do not guess.
const TagLen = 16

// MaxKeys is how many keys a Ring holds: as many as a Reply can list. A rotation needs two.
const MaxKeys = HeldKeys

// nullKey is the key id of the key that everybody holds: its tag is all zeros. It detects nothing but a stranger's format.
const nullKey uint32 = 0

var (
	nullTag [TagLen]byte
	nullIDs = []uint32{nullKey}
)

// Ring is the keys that a node holds for one group. It seals and opens packets with them. It keeps the state of its hashes
// between packets, so that neither allocates: each goroutine needs a Clone of its own.
//
// A nil *Ring holds the null key alone: it seals and opens what authenticates nobody, in any group. A Ring with keys
// refuses the null key.
type Ring struct {
	group uint32
	keys  []Key
	ids   []uint32
	tags  []func(packet []byte) []byte // the keys' taggers
}

// NewRing makes the ring of a group out of 1 to MaxKeys keys, the newest first.
func NewRing(group uint32, keys ...Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key: make one with meantime key new")
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys: take the oldest away, at most %d can be held", len(keys), MaxKeys)
	}
	r := &Ring{group: group, keys: slices.Clone(keys)}
	for _, k := range keys {
		if k.secret == nil {
			return nil, errors.New("a key without a secret: make it with NewKey")
		}
		if r.Holds(k.id) {
			return nil, fmt.Errorf("key %v is there twice: take one away", k)
		}
		r.ids = append(r.ids, k.id)
		r.tags = append(r.tags, k.tagger(group))
	}
	return r, nil
}

// Clone is a ring with the same keys for another goroutine.
func (r *Ring) Clone() *Ring {
	if r == nil {
		return nil
	}
	clone, err := NewRing(r.group, r.keys...)
	if err != nil {
		panic(err) // the same keys made r
	}
	return clone
}

// Group is the group that the ring's keys are bound to, 0 for a nil ring, which belongs to none.
func (r *Ring) Group() uint32 {
	if r == nil {
		return 0
	}
	return r.group
}

// IDs lists the keys held, newest first. The slice is the ring's own.
func (r *Ring) IDs() []uint32 {
	if r == nil {
		return nullIDs
	}
	return r.ids
}

// Newest is the id of the newest key, 0 where that is the null key.
func (r *Ring) Newest() uint32 { return r.IDs()[0] }

// Holds says whether the ring holds a key.
func (r *Ring) Holds(id uint32) bool { return slices.Contains(r.IDs(), id) }

// Seal seals a packet that an Append method built under a key: it writes the key id into the header and the tag at the end. A key
// that is not held, any more perhaps, gives way to the newest.
func (r *Ring) Seal(packet []byte, id uint32) {
	if r == nil {
		return
	}
	which := max(slices.Index(r.ids, id), 0)
	binary.BigEndian.PutUint32(packet[keyIDAt:], r.ids[which])
	copy(packet[len(packet)-TagLen:], r.tags[which](packet))
}

// Verify checks of a received packet what Open checks first: its frame, its group and its tag. What it lets through was sealed by
// somebody who holds a key of the ring. It looks at nothing else.
func (r *Ring) Verify(packet []byte) error {
	if err := checkFrame(packet); err != nil {
		return err
	}
	if r != nil && binary.BigEndian.Uint32(packet[groupAt:]) != r.group {
		return ErrGroup
	}
	which := slices.Index(r.IDs(), binary.BigEndian.Uint32(packet[keyIDAt:]))
	if which < 0 {
		return ErrKey
	}
	want := nullTag[:]
	if r != nil {
		want = r.tags[which](packet)
	}
	// The comparison takes the same time wherever the first difference stands, so that its duration tells nobody how much
	// of a guessed tag is right.
	if subtle.ConstantTimeCompare(packet[len(packet)-TagLen:], want) != 1 {
		return ErrTag
	}
	return nil
}

// KeyOf is the id of the key that a packet says it is sealed with, 0 where it is too short to say: for who tells of packets that were
// refused.
func KeyOf(packet []byte) uint32 {
	if len(packet) < HeaderLen {
		return nullKey
	}
	return binary.BigEndian.Uint32(packet[keyIDAt:])
}

// seal ends the packet that begins at packet[start] under the null key: it writes the key id into the header and appends the tag.
func seal(packet []byte, start int) []byte {
	binary.BigEndian.PutUint32(packet[start+keyIDAt:], nullKey)
	return append(packet, nullTag[:]...)
}
