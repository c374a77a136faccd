package netproto

import "errors"

// Why a packet is dropped. Open and the Parse functions return these very values, never wrapped: a wrapped error
// would cost memory for each hostile packet, and a counter needs a fixed set of reasons.
var (
	ErrTruncated = errors.New("packet is truncated")             // shorter than its kind, or than header and tag
	ErrOversized = errors.New("packet is too long")              // longer than MaxPacket
	ErrMagic     = errors.New("packet is not ours")              // the first two bytes are not the magic number
	ErrVersion   = errors.New("packet has an unknown version")   // not Version
	ErrLength    = errors.New("packet states a wrong length")    // declared body length against bytes received
	ErrGroup     = errors.New("packet is of another group")      // not the ring's
	ErrKey       = errors.New("packet is sealed by unknown key") // key id not held
	ErrTag       = errors.New("packet has a wrong tag")          // not sealed with the key it names, or altered since
	ErrKind      = errors.New("packet is of an unknown kind")    // authentic, but not for this version
	ErrValue     = errors.New("packet has a value out of range") // one of the checks of PROTOCOL.md failed
)
