package node

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"meantime/netproto"
)

const (
	// introduced is how many rounds in a row a node says its host's name to somebody new, as datagrams are lost, and namedEvery how often ever
	// after: whoever comes later learns the others' within so many rounds.
	introduced = 4
	namedEvery = 16
)

// named says whether a packet of a round is to hold this host's name; rounds is how many there have been with that master.
func named(rounds int, seq uint32) bool { return rounds <= introduced || seq%namedEvery == 0 }

// Label is a host's name as it may be shown anywhere: printable, and short. It is never authority.
func Label(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
	for len(name) > netproto.MaxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// relabel takes in a name from the wire, where there is one. What is known already is not copied.
func relabel(known *string, name []byte) {
	if len(name) > 0 && string(name) != *known {
		*known = Label(string(name))
	}
}
