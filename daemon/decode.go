package daemon

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"meantime/daemon/control"
	"meantime/daemon/node"
	"meantime/netproto"
)

// flagNames are the bits of a header, the lowest first.
var flagNames = []string{"dry", "voter", "never_master", "jumped", "kernel_rx", "kernel_tx", "earlier", "again", "fitted"}

// decode makes words of a packet. Whether it is what it says, its tag is for the node to check; what it dropped is shown as well.
func decode(p tapped) control.Packet {
	c := control.Packet{At: instant(p.at), Direction: "out", Peer: "group", Drop: p.drop, Count: p.count}
	if p.in {
		c.Direction = "in"
	}
	if p.peer.IsValid() {
		c.Peer = p.peer.String()
	}
	h, body, err := netproto.Inspect(p.data)
	if err != nil {
		return c
	}
	c.Kind, c.Sender, c.Term, c.Round = h.Kind.String(), h.Sender.String(), h.Term, h.Seq
	c.Lineage, c.Key = name(h.Lineage), keyName(h.KeyID)
	for bit, word := range flagNames {
		if h.Flags&(1<<bit) != 0 {
			c.Flags = append(c.Flags, word)
		}
	}
	if content, err := parse(h, body); err == nil {
		c.Fields = map[string]string{}
		addFields(c.Fields, "", reflect.ValueOf(content))
	}
	return c
}

// parse reads a body by its kind.
func parse(h netproto.Header, body []byte) (any, error) {
	switch h.Kind {
	case netproto.KindPoll:
		return netproto.ParsePoll(body)
	case netproto.KindReply:
		return netproto.ParseReply(h, body)
	case netproto.KindAck:
		return netproto.ParseAck(body)
	case netproto.KindAdjust:
		return netproto.ParseAdjust(body, nil)
	case netproto.KindCandidate:
		return netproto.ParseCandidate(body)
	case netproto.KindClaim:
		return netproto.ParseClaim(body)
	case netproto.KindResign:
		return netproto.ParseResign(body)
	case netproto.KindSetTime:
		return netproto.ParseSetTime(body)
	}
	return nil, netproto.ErrKind
}

// addFields adds what a body holds, under the names of the fields in netproto: entries.0.delta. What is 0 is left out, as it is on the
// wire's terms: nothing.
func addFields(fields map[string]string, at string, v reflect.Value) {
	below := func(name string) string { return strings.TrimPrefix(at+"."+name, ".") }
	if text, ok := v.Interface().([]byte); ok { // a host's name
		v = reflect.ValueOf(node.Label(string(text)))
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			addFields(fields, below(snake(v.Type().Field(i).Name)), v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			addFields(fields, below(fmt.Sprint(i)), v.Index(i))
		}
	default:
		if !v.IsZero() {
			fields[at] = fmt.Sprint(v.Interface())
		}
	}
}

// snake is a name of Go as JSON has it here: own_bound for OwnBound.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
