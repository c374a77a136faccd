package sim

import (
	"math/rand/v2"
	"time"

	"meantime/netproto"
)

// LieKind is how a member lies. A liar knows the truth: what it claims is measured from the honest members' true mean, so that
// nobody's steering undoes it.
type LieKind uint8

// The kinds.
const (
	Truth     LieKind = iota
	Fixed             // its clock is Amount off
	Drifting          // its clock goes off by Rate
	Scattered         // its clock is somewhere within ±Amount, elsewhere for each liar
	Colluding         // as Drifting, but from Amount on: all with the same Lie tell the same tale
	RateOnly          // its clock is right; its oscillator, it claims, has an error of Rate
	Moving            // its clock is right; what it says that its corrections have moved it by grows at Rate
	BadMaster         // in office, it alters each member's delta by up to ±Amount; otherwise it tells the truth
)

// Lie is what a member lies.
type Lie struct {
	Kind   LieKind
	Amount time.Duration
	Rate   float64 // fractional
	From   time.Duration
}

// lie returns the datagram that a liar sends in place of data, which it does not change.
func (w *World) lie(from *Host, data []byte) []byte {
	lie := from.member.Lie
	if w.now < int64(lie.From) {
		return data
	}
	h, body, err := netproto.Inspect(data)
	switch {
	case err != nil:
		return data
	case h.Kind == netproto.KindReply && lie.Kind != BadMaster:
		data = w.falseReply(from, h, body, data)
	case h.Kind == netproto.KindAdjust && lie.Kind == BadMaster:
		data = falseAdjust(from, h, body, data)
	}
	from.keys.Seal(data, h.KeyID) // a liar is a member: it holds the key
	return data
}

// falseReply tells stamps as of the clock that the liar claims to have.
func (w *World) falseReply(from *Host, h netproto.Header, body, data []byte) []byte {
	r, err := netproto.ParseReply(h, body)
	if err != nil {
		return data
	}
	lie := from.member.Lie
	switch lie.Kind {
	case RateOnly:
		r.Rate = netproto.RateOf(lie.Rate)
		return r.Append(nil, h)
	case Moving:
		r.Moved += uint32(int64(lie.Rate * float64(w.now-int64(lie.From))))
		return r.Append(nil, h)
	}
	own, err := w.Error(from.index)
	if err != nil {
		return data
	}
	own += r.Residual // the stamps are the timescale's
	r.Residual = 0
	by := netproto.Stamp(lie.claim(from.index, w.now) + w.honestMean() - own)
	r.T2, r.T3 = r.T2+by, r.T3+by
	if r.Earlier.Seq != 0 {
		r.Earlier.T3, r.Earlier.T6 = r.Earlier.T3+by, r.Earlier.T6+by
	}
	return r.Append(nil, h)
}

// claim is how far (ns) off the honest mean the liar's clock is to seem.
func (l Lie) claim(index int, now int64) int64 {
	drifted := int64(l.Rate * float64(now-int64(l.From)))
	switch l.Kind {
	case Fixed:
		return int64(l.Amount)
	case Drifting:
		return drifted
	case Scattered:
		return int64(even(rand.New(rand.NewPCG(uint64(index), uint64(l.Amount)))) * float64(l.Amount))
	default:
		return int64(l.Amount) + drifted
	}
}

// honestMean is the mean true error (ns) of the honest members' clocks that run.
func (w *World) honestMean() int64 {
	var sum, count int64
	for _, h := range w.hosts {
		if h.member.Lie.Kind != Truth || !h.up() || !h.synced {
			continue
		}
		if e, err := w.Error(h.index); err == nil {
			sum, count = sum+e, count+1
		}
	}
	return sum / max(count, 1)
}

// falseAdjust sends each member somewhere else.
func falseAdjust(from *Host, h netproto.Header, body, data []byte) []byte {
	a, err := netproto.ParseAdjust(body, nil)
	if err != nil || a.Phase != netproto.PhaseKeeping {
		return data
	}
	for i := range a.Entries {
		a.Entries[i].Delta += int64(even(from.dice) * float64(from.member.Lie.Amount))
	}
	return a.Append(nil, h)
}
