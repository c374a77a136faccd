package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meantime/daemon/control"
)

const (
	// unknownValue stands in tables for what is not known.
	unknownValue = "–"
	// oddShown is how many members that do not vote the status names; the others are counted.
	oddShown = 5
)

// overview is a status, and the members, of whom it names those that are odd. In JSON it is the status.
type overview struct {
	control.Status
	members control.Members
}

func newStatusCommand(out *ui) *cobra.Command {
	return question[overview]{
		use: "status", short: "Show whether the LAN agrees, who is master, who is odd and why, and how this host's clock does",
		long: `Show whether the LAN agrees, who is master, who is odd and why, and how this host's clock does.

The first line is the verdict. "bound" is how far this clock may be from LAN time, "offset" what it is still being slewed by. Which members
are odd only the master knows, and its status names them. The exit code says that the daemon answered, not what: scripts ask wait-sync.`,
		example: "  meantime status\n  meantime status --watch\n  meantime status --json | jq .bound_s",
		ask: func(c *control.Client, ctx context.Context) (o overview, err error) {
			if o.Status, err = c.Status(ctx); err == nil {
				o.members, err = c.Members(ctx)
			}
			return o, err
		},
		show: showStatus,
	}.command(out)
}

// short is a duration as people read it: in three figures, from a minute on in whole seconds.
func short(s *control.Seconds) string {
	if s == nil {
		return unknownValue
	}
	d := s.Duration()
	if d.Abs() >= time.Minute {
		return d.Round(time.Second).String()
	}
	unit := time.Nanosecond
	for 1000*unit <= d.Abs() {
		unit *= 10
	}
	return d.Round(unit).String()
}

// count is so many of what has a plural in s.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// verb is one of two forms.
func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// togetherWithin is how far apart clocks are that agree; those that are slewed to LAN time still do not.
const togetherWithin = time.Millisecond

// slewed says whether this host's own clock still has a way to LAN time before it.
func slewed(s control.Status) bool { return s.Offset.Duration().Abs() > togetherWithin }

// toGo is that way.
func toGo(s control.Status) string {
	return short(new(control.SecondsOf(s.Offset.Duration().Abs()))) + " to go"
}

// together says how well the members agree.
func together(s control.Status) (text string, m mood) {
	agree, m := "agree", well
	switch {
	case s.Spread != nil && s.Spread.Duration() > togetherWithin:
		agree, m = "are "+short(s.Spread)+" apart", oddly
	case s.Spread != nil:
		agree += " within " + short(s.Spread)
	}
	switch silent := s.Members - s.Voters; {
	case s.Members < 2:
		return "", well
	case silent <= 0:
		return fmt.Sprintf("all %d members %s", s.Members, agree), m
	case s.Voters == 0:
		return fmt.Sprintf("of %d members none votes", s.Members), oddly
	case s.Voters == 1:
		return fmt.Sprintf("1 of %d members votes, %d %s not", s.Members, silent, verb(silent, "does", "do")), oddly
	default:
		return fmt.Sprintf("%d of %d members %s, %d %s not vote", s.Voters, s.Members, agree, silent, verb(silent, "does", "do")), oddly
	}
}

// judge is what to know first: whether the LAN agrees, and this host with it.
func judge(s control.Status) (text string, m mood) {
	lan, m := together(s)
	masterIs := words(": ", strings.TrimPrefix(words(", ", lan)+words(", master is ", masterLabel(s)), ", "))
	bound := ""
	if s.Bound != nil {
		bound = " within " + short(s.Bound)
	}
	switch s.State {
	case "keeping":
		switch text = "This host is master and keeps LAN time"; {
		case slewed(s):
			text, m = text+"; its clock is being slewed there, "+toGo(s)+words(": ", lan), max(m, oddly)
		case s.Members < 2:
			text, m = strangers(s, "This host is alone on its LAN: it is master, and its clock is LAN time")
		default:
			text += words(": ", lan)
		}
	case "following":
		switch {
		case s.Standing == "newcomer":
			text, m = "This host is being brought to LAN time"+masterIs, max(m, oddly)
		case slewed(s):
			text, m = "This host is being slewed to LAN time, "+toGo(s)+masterIs, max(m, oddly)
		default:
			text = "This host is on LAN time" + bound + masterIs
		}
	case "listening":
		text, _ = strangers(s, "This host is on no LAN time yet: no master is heard")
		m = oddly
	case "gathering":
		text, m = "LAN time is being founded: clocks are measured, none is moved yet", oddly
	case "joining":
		text, m = "This host is not on LAN time yet: it has heard the master"+words(", ", masterLabel(s)), oddly
	case "holdover":
		text, m = "The master is silent: this host goes on by itself"+words(", on LAN time", bound), badly
	case "holding":
		text = fmt.Sprintf("The LAN does not agree: no majority of its %s is together, and nobody is steered", count(s.Members, "member"))
		m = badly
	case "panic":
		text, m = "This host's clock is beyond the panic limits and left alone", badly
	default:
		text, m = "This host is "+s.State, oddly
	}
	if len(s.Interference) > 0 {
		text, m = text+"; something else moves this clock, too: "+strings.Join(s.Interference, ", "), badly
	}
	return text + ".", m
}

// strangers is a verdict on a host that hears nobody of its LAN, and why that may be: there were others, with another key or group. Two
// groups on a network may be meant.
func strangers(s control.Status, text string) (string, mood) {
	switch {
	case s.Dropped["key"] > 0:
		return text + ". Hosts with another key have been heard, and dropped: all of a LAN need the same key file (`meantime key`)", oddly
	case s.Dropped["group"] > 0:
		return text + ". Hosts of another group have been heard, and dropped: all of a LAN need the same `group`", well
	}
	return text, well
}

// masterLabel is what people call the master.
func masterLabel(s control.Status) string {
	if s.Master == s.ID && s.Master != "" {
		return "this host"
	}
	return label(s.MasterName, s.Master)
}

// label is a name, or the id where there is none.
func label(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// named is a name with the id behind it.
func named(name, id string) string {
	if name == "" {
		return id
	}
	return fmt.Sprintf("%s (%s)", name, id)
}

// facts are lines of a name and what there is to say of it.
type facts struct {
	screen screen
	strings.Builder
}

// factWidth is where what is said begins.
const factWidth = 14

func (f *facts) add(name, format string, args ...any) {
	f.line(plainly, pad(name, factWidth)+fmt.Sprintf(format, args...))
}

func (f *facts) line(m mood, text string) {
	for _, line := range f.screen.wrap(text, factWidth) {
		f.WriteString(f.screen.paint(m, line) + "\n")
	}
}

// showStatus is the verdict, who is odd, and a line for each thing.
func showStatus(o overview, on screen) string {
	s, text := o.Status, facts{screen: on}
	judged, m := judge(s)
	for _, line := range on.wrap(judged, 0) {
		text.WriteString(on.paint(m, line) + "\n")
	}
	text.WriteString("\n")
	text.add("state", "%s", stateWords(s))
	switch {
	case s.Master == s.ID && s.Master != "":
		text.add("master", "this host, term %d", s.Term)
	case s.Master != "":
		text.add("master", "%s%s, term %d", named(s.MasterName, s.Master), words(" at ", s.MasterAddr), s.Term)
	default:
		text.add("master", "none known")
	}
	text.add("this host", "%s, role %s%s", named(s.Name, s.ID), s.Role, words(", ", s.Standing))
	text.add("members", "%d, of which %d %s", s.Members, s.Voters, verb(s.Voters, "votes", "vote"))
	if s.Turns > 1 && s.Expected != nil && s.Lost != nil {
		text.add("in turns", "each member has all its exchanges once in %d rounds, and one in each of the others", s.Turns)
		text.add("replies", "%d lost of %d, within %s each round", *s.Lost, *s.Expected, short(s.Window))
	}
	text.odd(odd(o.members.Members))
	text.clock(s)
	text.traffic(s)
	return text.String()
}

// odd names members that do not vote.
func (f *facts) odd(members []control.Member) {
	for i, member := range members {
		if i == oddShown {
			f.line(oddly, pad("odd", factWidth)+fmt.Sprintf("%d more: `meantime members --odd` shows all", len(members)-i))
			return
		}
		address := words(" at ", member.Address)
		if member.Self {
			address = ", this host"
		}
		f.line(oddly, pad("odd", factWidth)+named(member.Name, member.ID)+address+": "+member.Why)
	}
}

// clock says how this host's clock does.
func (f *facts) clock(s control.Status) {
	if s.Bound == nil {
		f.add("bound", "not known yet")
	} else {
		f.add("bound", "%s from LAN time at most", short(s.Bound))
	}
	slewed := ""
	if s.Offset != 0 {
		slewed = ", being slewed"
	}
	f.add("offset", "%s", short(&s.Offset)+slewed)
	f.add("frequency", "%+.3f ppm", s.Frequency)
	others := "none seen"
	if len(s.Interference) > 0 {
		others = strings.Join(s.Interference, ", ")
	}
	f.add("interference", "%s", others)
}

// traffic says what this host hears.
func (f *facts) traffic(s control.Status) {
	every := ""
	if s.Interval > 0 {
		every = ", one each " + s.Interval.Duration().String()
	}
	if s.LastPoll == nil {
		f.add("last poll", "none yet")
	} else {
		f.add("last poll", "%s ago%s", short(s.LastPoll), every)
	}
	f.add("stamps", "%s", map[bool]string{true: "kernel", false: "user space, or none exchanged lately"}[s.KernelStamps])
	f.add("key", "%s", keyWords(s))
	f.add("up", "%v", s.Uptime.Duration().Round(time.Second))
	if len(s.Dropped) > 0 {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.Dropped[reason]))
		}
		f.add("dropped", "%s", strings.Join(reasons, ", "))
	}
}

// words joins what is not empty to what stands before it.
func words(between, text string) string {
	if text == "" {
		return ""
	}
	return between + text
}

// stateWords explain the state.
func stateWords(s control.Status) string {
	meaning := map[string]string{
		"listening": "no master heard yet", "gathering": "measuring; no clock is moved yet", "keeping": "master, LAN time is kept",
		"following": "on LAN time", "joining": "a master is heard, LAN time not taken yet", "holdover": "the master is silent, frequency held",
		"panic": "the clock is beyond the panic limits and left alone", "holding": "no majority agrees, nobody is steered",
	}[s.State]
	switch {
	case s.State == "following" && s.Standing == "newcomer":
		meaning = "LAN time is known, the clock is being brought to it"
	case s.State == "following" && slewed(s):
		meaning = "LAN time is known, the clock is being slewed to it"
	case s.State == "keeping" && slewed(s):
		meaning += ", the clock is being slewed to it"
	}
	text := s.State + words(": ", meaning)
	if s.DryRun {
		text += " (dry run: a virtual clock)"
	}
	return text
}

func keyWords(s control.Status) string {
	switch {
	case s.Key == "":
		return "none: nothing proves who sends"
	case s.KeysHeld > 1:
		return fmt.Sprintf("%s, of %d held", s.Key, s.KeysHeld)
	}
	return s.Key
}
