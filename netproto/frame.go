package netproto

// Frame is what can be told of a packet without a key: how long it is, and what its header says that has to be right before
// a tag is computed at all. It is for whoever throws datagrams away before this package sees them, such as a filter in the
// kernel.
type Frame struct {
	Min, Max int     // length of a packet in bytes
	LengthAt int     // offset of the u16 that holds the length less Min
	Fields   []Field // each has to hold
}

// Field is a big-endian number at an offset, with the values that it may have.
type Field struct {
	At, Size int // bytes; Size is 1, 2 or 4
	Any      []uint32
}

// FrameOf is the form of a group's packets under the keys of these ids; without any, under whatever key.
func FrameOf(group uint32, keys ...uint32) Frame {
	f := Frame{
		Min: HeaderLen + TagLen, Max: MaxPacket, LengthAt: lengthAt,
		Fields: []Field{
			{At: 0, Size: 2, Any: []uint32{magic}},
			{At: versionAt, Size: 1, Any: []uint32{Version}},
			{At: groupAt, Size: 4, Any: []uint32{group}},
		},
	}
	if len(keys) > 0 {
		f.Fields = append(f.Fields, Field{At: keyIDAt, Size: 4, Any: keys})
	}
	return f
}

// Where the header holds what a Frame looks at, beside groupAt and keyIDAt.
const (
	versionAt = 2
	lengthAt  = 4
)
