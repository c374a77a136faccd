package netproto

// PacketKey lets the tests see that subkeys differ where they must.
func PacketKey(k Key, version uint8, group uint32) []byte { return k.packetKey(version, group) }
