package sim

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"meantime/daemon/node"
	"meantime/netproto"
)

// hash is FNV-1a over words of 64 bits: a trace is folded in as it happens, without being written out.
type hash uint64

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func newHash() hash { return fnvOffset }

func (x *hash) word(v uint64) { *x = (*x ^ hash(v)) * fnvPrime }

func (x *hash) bytes(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		x.word(binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		x.word(uint64(c))
	}
}

func (x *hash) text(s string) {
	for i := range len(s) {
		x.word(uint64(s[i]))
	}
}

// input folds an input into the trace: what happened to whom, with which number and stamp, carrying which datagram.
func (w *World) input(h *Host, what happening, number uint64, stamp int64, data []byte) {
	w.hash.word(uint64(w.now))
	w.hash.word(uint64(h.index)<<8 | uint64(what))
	w.hash.word(number)
	w.hash.word(uint64(stamp))
	w.hash.bytes(data)
	if w.trace != nil {
		w.trace(fmt.Sprintf("%s <- %s", w.where(h), inputText(what, number, stamp, data)))
	}
}

// effect folds an effect into the trace.
func (w *World) effect(h *Host, e node.Effect) {
	switch e := e.(type) {
	case *node.Send:
		w.hash.word(e.Token)
		w.hash.bytes(e.Data)
	case *node.Steer:
		w.hash.word(math.Float64bits(e.Frequency))
		w.hash.word(uint64(e.Phase))
	case node.Step:
		w.hash.word(uint64(e.Delta))
	case node.Remember:
		w.hash.word(math.Float64bits(e.Frequency))
	case node.NewTerm:
		w.hash.word(e.Term)
	case node.NewID:
		w.hash.word(e.ID)
	case node.TimeSet:
		w.hash.word(uint64(e.Answer))
	case node.Note:
		w.hash.text(e.Text)
	}
	if w.trace != nil {
		w.trace(fmt.Sprintf("%s -> %s", w.where(h), effectText(e)))
	}
}

func (w *World) where(h *Host) string {
	return fmt.Sprintf("%14.9f host %d", time.Duration(w.now).Seconds(), h.index)
}

func inputText(what happening, number uint64, stamp int64, data []byte) string {
	switch what {
	case alarm:
		return "tick"
	case ceases:
		return "stop"
	case rekeyed:
		return fmt.Sprintf("keys, the newest %s", netproto.KeyName(uint32(number)))
	case orders:
		return fmt.Sprintf("set LAN time by %v", time.Duration(stamp))
	case wakes:
		return fmt.Sprintf("slept for %v", time.Duration(stamp))
	case departed:
		return fmt.Sprintf("sent token %d at %d", number, stamp-Epoch)
	}
	return fmt.Sprintf("packet from %d at %d: %s", number, stamp-Epoch, packetText(data))
}

func effectText(e node.Effect) string {
	switch e := e.(type) {
	case *node.Send:
		to := "group"
		if !e.Group {
			to = e.To.Addr().String()
		}
		return fmt.Sprintf("send token %d to %s: %s", e.Token, to, packetText(e.Data))
	case *node.Steer:
		return fmt.Sprintf("steer %+.6f ppm, phase %v", e.Frequency/ppm, time.Duration(e.Phase))
	case node.Step:
		return fmt.Sprintf("step %v", time.Duration(e.Delta))
	case node.Remember:
		return fmt.Sprintf("remember %+.6f ppm ± %.6f ppm", e.Frequency/ppm, e.Error/ppm)
	case node.NewTerm:
		return fmt.Sprintf("keep term %d", e.Term)
	case node.NewID:
		return fmt.Sprintf("keep id %016x", e.ID)
	case node.TimeSet:
		return fmt.Sprintf("set LAN time by %v: %v", e.By, e.Answer)
	case node.Synchronised:
		return "synchronised"
	case node.Note:
		var b strings.Builder
		fmt.Fprintf(&b, "note %q", e.Text)
		for _, a := range e.Attrs {
			fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		}
		return b.String()
	}
	return fmt.Sprintf("%T %+v", e, e)
}

// packetText names a datagram by its kind and what its header says.
func packetText(data []byte) string {
	h, _, err := netproto.Inspect(data)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v of %v term %d seq %d", h.Kind, h.Sender, h.Term, h.Seq)
}
