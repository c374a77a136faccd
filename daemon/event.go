package daemon

import (
	"fmt"
	"time"

	"meantime/daemon/control"
	"meantime/daemon/node"
)

// keptEvents is how many events are kept: a day of a LAN that has trouble each quarter of an hour, 20 kB.
const keptEvents = 100

// events are the last things that happened, oldest first.
type events struct {
	kept []control.Event
	lost uint64
	last uint64 // running number
}

// add files what the node noted. A dry run's events are in the host's time, as its log is.
func (e *events) add(at time.Time, n node.Note) {
	if n.Level < node.Info {
		return
	}
	e.last++
	event := control.Event{N: e.last, At: at.UTC(), Level: levels[n.Level].String(), Text: n.Text, Facts: map[string]string{}}
	for _, a := range n.Attrs {
		event.Facts[a.Key] = fact(a.Value)
	}
	if len(e.kept) == keptEvents {
		copy(e.kept, e.kept[1:])
		e.kept, e.lost = e.kept[:keptEvents-1], e.lost+1
	}
	e.kept = append(e.kept, event)
}

// fact is a value as people read it.
func fact(value any) string {
	if d, ok := value.(time.Duration); ok {
		return d.String()
	}
	return fmt.Sprint(value)
}

// list copies them out.
func (e *events) list() control.Events {
	return control.Events{Lost: e.lost, Events: append([]control.Event{}, e.kept...)}
}
