package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FaultKind is what can befall a LAN.
type FaultKind uint8

// The kinds. For is how long it lasts; 0 means for ever where that makes sense.
const (
	Kill      FaultKind = iota // the daemon ends at once (kill -9) and starts again after For; its clock goes on as last steered
	Stop                       // the daemon ends cleanly and starts again after For
	Wipe                       // as Kill, and the state directory is lost: a new id, no term, as if never synchronised
	Power                      // the host loses power and boots after For: its wall clock comes from the battery's, off by up to Amount
	Freeze                     // the process is stopped for For (SIGSTOP): it handles nothing, packets queue up, its clock goes on
	VMPause                    // the virtual machine is stopped for For: the process, the wall clock and the raw oscillator
	Suspend                    // as VMPause, but the wall clock is put right at the end, to within Amount
	Step                       // another program steps the host's clock by Amount
	Partition                  // Hosts hear only each other, and the rest only the rest, for For
	Cut                        // nothing reaches or leaves Hosts for For
	Deaf                       // nothing reaches Hosts for For; what they send arrives
	Mute                       // nothing leaves Hosts for For; they hear everything
	Flap                       // Cut and mended in turns of Amount each, for For
	Lossy                      // Fraction of all packets is lost for For
	Delayed                    // what is sent to Hosts comes Amount later, and what they send does not, for For
	Attack                     // an outsider sends Rate hostile datagrams a second, of all classes, for For
	Replay                     // the same, of nothing but what he has recorded since the beginning
	SetTime                    // the host's operator orders that the LAN's time be moved by Amount
	kinds                      // how many there are
	drawn     = Delayed        // kinds before this one are what Draw draws from: the others are not to come right by themselves
)

// Faults of all members, named in a Fault's Hosts.
const (
	Master = -1 // whoever polled last when the fault comes
	All    = -2 // every host
)

var kindNames = [kinds]string{
	"kill", "stop", "wipe", "power", "freeze", "vmpause", "suspend", "step", "partition", "cut", "deaf", "mute", "flap", "lossy",
	"delay", "attack", "replay", "set-time",
}

// String names the kind as --faults does.
func (k FaultKind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Fault is one thing that happens in a run.
type Fault struct {
	Kind   FaultKind
	Hosts  []int // indices of members, or Master, or All
	At     time.Duration
	For    time.Duration
	Amount time.Duration // what it means depends on the kind

	Fraction float64 // of Lossy
	Rate     float64 // datagrams a second, of Attack and Replay

	down, over bool // of Flap, while the run goes on
}

// String writes a fault as ParseFaults reads it: kind:hosts@at+for~amount, for instance kill:master@60s+10s,
// partition:0.1@60s+30s or lossy@60s+30s~20%.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Kind.String())
	if len(f.Hosts) > 0 {
		b.WriteByte(':')
	}
	for i, h := range f.Hosts {
		if i > 0 {
			b.WriteByte('.')
		}
		switch h {
		case Master:
			b.WriteString("master")
		case All:
			b.WriteString("all")
		default:
			b.WriteString(strconv.Itoa(h))
		}
	}
	fmt.Fprintf(&b, "@%v", f.At)
	if f.For > 0 {
		fmt.Fprintf(&b, "+%v", f.For)
	}
	if f.Amount != 0 {
		fmt.Fprintf(&b, "~%v", f.Amount)
	}
	if f.Fraction != 0 {
		fmt.Fprintf(&b, "~%v%%", 100*f.Fraction)
	}
	if f.Rate != 0 {
		fmt.Fprintf(&b, "~%v/s", f.Rate)
	}
	return b.String()
}

// Faults is a list that writes itself as ParseFaults reads it.
type Faults []Fault

// String joins the faults by commas.
func (fs Faults) String() string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.String()
	}
	return strings.Join(parts, ",")
}

// ParseFaults reads a list of faults, separated by commas. Empty text is an empty list.
func ParseFaults(text string) ([]Fault, error) {
	var faults []Fault
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		f, err := parseFault(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// parseFault reads kind:hosts@at+for~amount; +for and ~amount may be missing.
func parseFault(text string) (f Fault, err error) {
	head, tail, ok := strings.Cut(text, "@")
	if !ok {
		return f, errors.New("when? write kind:hosts@when+duration, for instance kill:master@60s+10s")
	}
	kind, hosts, _ := strings.Cut(head, ":")
	if f.Kind, err = parseKind(kind); err != nil {
		return f, err
	}
	if f.Hosts, err = parseHosts(hosts); err != nil {
		return f, err
	}
	tail, amount, hasAmount := strings.Cut(tail, "~")
	at, span, hasSpan := strings.Cut(tail, "+")
	if f.At, err = time.ParseDuration(at); err != nil {
		return f, fmt.Errorf("when: %w", err)
	}
	if hasSpan {
		if f.For, err = time.ParseDuration(span); err != nil {
			return f, fmt.Errorf("how long: %w", err)
		}
	}
	if hasAmount {
		err = f.parseAmount(amount)
	}
	return f, err
}

// parseAmount reads a duration, a share such as 30% or a rate such as 1000/s.
func (f *Fault) parseAmount(text string) (err error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		f.Fraction, err = strconv.ParseFloat(percent, 64)
		f.Fraction /= 100
	} else if rate, ok := strings.CutSuffix(text, "/s"); ok {
		f.Rate, err = strconv.ParseFloat(rate, 64)
	} else {
		f.Amount, err = time.ParseDuration(text)
	}
	if err != nil {
		return fmt.Errorf("how much: %w", err)
	}
	return nil
}

func parseKind(text string) (FaultKind, error) {
	for k, name := range kindNames {
		if name == text {
			return FaultKind(k), nil
		}
	}
	return 0, fmt.Errorf("no such fault; write one of %s", strings.Join(kindNames[:], ", "))
}

func parseHosts(text string) (hosts []int, err error) {
	for part := range strings.SplitSeq(text, ".") {
		switch part {
		case "":
		case "master":
			hosts = append(hosts, Master)
		case "all":
			hosts = append(hosts, All)
		default:
			h, err := strconv.Atoi(part)
			if err != nil || h < 0 {
				return nil, fmt.Errorf("host %q: write master, all or numbers from 0 joined by dots", part)
			}
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// mostHostile (datagrams a second) is what a gigabit of the shortest ones comes to.
const mostHostile = 1_488_000

// hostile says whether the kind is an attacker's sending.
func (k FaultKind) hostile() bool { return k == Attack || k == Replay }

// check refuses what cannot happen on a LAN of so many nodes in a run of so long.
func (f Fault) check(nodes int, length time.Duration) error {
	if f.Kind >= kinds {
		return errors.New("no such kind")
	}
	if len(f.Hosts) == 0 && f.Kind != Lossy && !f.Kind.hostile() {
		return errors.New("whom? write master, all or host numbers after a colon")
	}
	for _, h := range f.Hosts {
		if h < All || h >= nodes {
			return fmt.Errorf("host %d: the hosts are 0 to %d", h, nodes-1)
		}
	}
	switch {
	case f.At < 0 || f.At > length:
		return fmt.Errorf("at %v: the run ends after %v", f.At, length)
	case f.For < 0:
		return fmt.Errorf("for %v: write a duration that is not negative", f.For)
	case f.For == 0 && f.Kind >= Power && f.Kind <= Suspend:
		return errors.New("how long? write +duration")
	case (f.Kind == Step || f.Kind == SetTime) && f.Amount == 0:
		return errors.New("by how much? write ~duration")
	case f.Kind == Flap && (f.Amount <= 0 || f.For <= 0):
		return errors.New("write +duration~turn, for instance flap:2@60s+60s~5s")
	case f.Kind == Delayed && (f.Amount <= 0 || f.Amount > maxDelay):
		return fmt.Errorf("by how much? write ~duration, at most %v", maxDelay)
	case f.Kind.hostile() && !(f.Rate > 0 && f.Rate <= mostHostile):
		return fmt.Errorf("how many? write ~1000/s or the like, at most ~%d/s", mostHostile)
	case f.Kind == Lossy && !(f.Fraction > 0 && f.Fraction <= mostLoss):
		return errors.New("what fraction? write ~30% or the like, at most ~95%")
	}
	return nil
}
